"""Plan × leases × neighbours × log -> a row for every machine on the cluster wire."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wizard.host.dhcp.dnsmasq_log import IgnoredClient
from wizard.host.facts.vendors import vendor_of
from wizard.host.net.neighbours import Neighbour
from wizard.host.net.node_traffic import NodeTraffic
from wizard.plan.addresses import SubnetFull, assign
from wizard.plan.fields import format_mac
from wizard.plan.lease_parser import Lease
from wizard.plan.model import Machine, Node, Plan

_TENANT = "02:00:"
_KINDS = ("node", "device", "vm", "stranger")
_NO_ADDRESS = b"\xff" * 5


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One machine on the cluster wire, or a node that is missing there.

    `kind`: "node", "device", "vm", "stranger". `state`: "leased", "static" (it answers at its own address without a
    lease), "missing", "wrong-address", "ignored".
    `ip` is the leased address; of a missing or static node the reserved one. `expires` is None without a lease and
    for an infinite one. `reason`: what is wrong, as text, "" where nothing is. `alarms`: slugs, see `monitor.alarms`.
    `refusal`: why the server last refused it, where that is what it still waits for. `first_seen`, `last_seen`: from
    the log and the monitor's own probes.
    """

    mac: str
    ip: str
    hostname: str
    name: str
    role: str
    expires: datetime | None
    kind: str
    state: str
    reachable: bool | None
    vendor: str
    reason: str
    alarms: tuple[str, ...] = ()
    refusal: str = ""
    first_seen: datetime | None = None
    last_seen: datetime | None = None


def row_json(row: LeaseRow, traffic: NodeTraffic | None = None) -> dict[str, Any]:
    """A row in the shape of `leases --json`. `traffic`: what its address has received and sent, None where unknown."""
    counted = traffic.of(row.ip) if traffic is not None else None
    return {
        "mac": row.mac,
        "ip": row.ip,
        "hostname": row.hostname,
        "name": row.name,
        "role": row.role,
        "expires": row.expires.isoformat() if row.expires else None,
        "kind": row.kind,
        "state": row.state,
        "reachable": row.reachable,
        "vendor": row.vendor,
        "reason": row.reason,
        "alarms": list(row.alarms),
        "first_seen": row.first_seen.isoformat() if row.first_seen else None,
        "last_seen": row.last_seen.isoformat() if row.last_seen else None,
        "rx_bytes": counted.received if counted else None,
        "tx_bytes": counted.sent if counted else None,
    }


def make_rows(
    plan: Plan,
    leases: Iterable[Lease],
    *,
    now: datetime,
    neighbours: Mapping[str, Neighbour] | None = None,
    ignored: Mapping[str, IgnoredClient] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> tuple[LeaseRow, ...]:
    """The plan's nodes and devices in their order, each with a row; then VMs, then strangers, each by address.

    `now` needs a time zone. `ignored`, `reasons`: see DnsmasqLog. Nodes without an address in the plan have the one
    that `plan.addresses.assign` gives them.
    """
    table = LeaseTable(plan)
    table.neighbours = neighbours or {}
    table.ignored = ignored or {}
    table.reasons = reasons or {}
    for lease in leases:
        table.add(lease, now)
    found = [row for mac in table.macs() for row in table.rows_of(mac)]
    return tuple(sorted(found, key=lambda row: row_key(row, table.positions)))


def row_key(row: LeaseRow, positions: Mapping[str, int]) -> bytes:
    """The sort key: nodes in the plan's order, then VMs, then strangers, each by address.

    `positions`: each node's position in the plan, by MAC. Of a node with several leases the right one comes first.
    Bytes, because the integers of 65,000 tuples would take 6 MB.
    """
    position = positions.get(row.mac, 0) if row.kind in ("node", "device") else 0
    wrong = row.state == "wrong-address"
    return b"%d%06d%d%b%b" % (_KINDS.index(row.kind), position, wrong, address_key(row), row.mac.encode())


def address_key(row: LeaseRow) -> bytes:
    """The address in network order; whoever has none comes last."""
    return socket.inet_aton(row.ip) if row.ip else _NO_ADDRESS


class LeaseTable:
    """The plan joined with leases that come and go; makes the rows of one machine at a time.

    `neighbours` (by address), `ignored` and `reasons` (by MAC) may be replaced at any time. `current`: leases by MAC.
    `holders`: the lease by address. `ended`: expired leases by MAC. `nodes`: nodes and devices, by their first MAC;
    `primary`: that first MAC by each of their others.
    """

    def __init__(self, plan: Plan) -> None:
        self.nodes: dict[str, Machine] = {format_mac(one.mac): one for one in _with_addresses(plan).machines}
        self.primary = {format_mac(mac): main for main, one in self.nodes.items() for mac in one.other_macs}
        self.positions = {mac: number for number, mac in enumerate(self.nodes)}
        self.positions.update({mac: self.positions[main] for mac, main in self.primary.items()})
        self.reserved = {str(node.ip): mac for mac, node in self.nodes.items() if node.ip is not None}
        self.is_vm = _vm_matcher(plan.network.vm_macs)
        self.neighbours: Mapping[str, Neighbour] = {}
        self.ignored: Mapping[str, IgnoredClient] = {}
        self.reasons: Mapping[str, str] = {}
        self.current: dict[str, list[Lease]] = {}
        self.ended: dict[str, list[Lease]] = {}
        self.holders: dict[str, Lease] = {}

    def add(self, lease: Lease, now: datetime) -> None:
        if lease.expires is not None and lease.expires <= now:
            self.ended.setdefault(lease.mac, []).append(lease)
            return
        self.current.setdefault(lease.mac, []).append(lease)
        self.holders[lease.ip] = lease

    def remove(self, lease: Lease) -> None:
        """Remove a lease, if it is there."""
        for leases in (self.current, self.ended):
            of_mac = leases.get(lease.mac, [])
            if lease in of_mac:
                of_mac.remove(lease)
                if not of_mac:
                    del leases[lease.mac]
        if self.holders.get(lease.ip) == lease:
            del self.holders[lease.ip]

    def expire(self, lease: Lease) -> None:
        """Move a lease to `ended`: it has expired, and is still in the file."""
        if lease in self.current.get(lease.mac, []):
            self.remove(lease)
            self.ended.setdefault(lease.mac, []).append(lease)

    def affected_macs(self, ip: str) -> set[str]:
        """The MACs whose rows depend on an address."""
        owner = self.reserved.get(ip)
        holder = self.holders.get(ip)
        return {mac for mac in (owner, self.row_mac(holder.mac) if holder else None) if mac is not None}

    def row_mac(self, mac: str) -> str:
        """The MAC that a machine's rows go by: the first of a node or a device that has several."""
        return self.primary.get(mac, mac)

    def macs(self) -> Iterator[str]:
        """The MAC of everyone who has a row."""
        yield from self.nodes
        known = self.nodes.keys() | self.primary.keys()
        yield from (mac for mac in self.current if mac not in known)
        yield from (mac for mac in self.ignored if mac not in self.current and mac not in known)
        known |= self.current.keys() | self.ignored.keys()
        yield from (mac for mac in self.reasons if mac not in known)

    def rows_of(self, mac: str) -> list[LeaseRow]:
        """A node's rows, at least one; of others one for each lease, else one if it was ignored, else none."""
        node = self.nodes.get(mac)
        if node is not None:
            return list(self._node_rows(mac, node))
        if mac in self.current:
            return [self._other_row(lease) for lease in self.current[mac]]
        if mac in self.ignored:
            return [self._ignored_row(self.ignored[mac])]
        return [self._refused_row(mac)] if mac in self.reasons and mac not in self.primary else []

    def _node_rows(self, mac: str, node: Machine) -> Iterator[LeaseRow]:
        macs = [format_mac(each) for each in node.macs] if node.other_macs else [mac]
        # By address: which of two came last is not known of a file.
        held = sorted((lease for each in macs for lease in self.current.get(each, [])), key=_address_of)
        kind = "node" if isinstance(node, Node) else "device"
        reserved_ip = "" if node.ip is None else str(node.ip)
        right = next((lease for lease in held if lease.ip == reserved_ip or not reserved_ip), None)
        if right is not None:
            yield self._row(right, kind, "leased", node)
        for number, lease in enumerate(lease for lease in held if lease is not right):
            if right is not None or number:
                reason = "a second lease of this MAC: two machines share it, or one asks under two client ids"
            else:
                reason = self._why_wrong(lease.mac, reserved_ip)
            yield self._row(lease, kind, "wrong-address", node, reason)
        if held:
            return
        seen = next((self.ignored[each] for each in macs if each in self.ignored), None)
        answering = next((each for each in macs if self._answers(each, reserved_ip)), "")
        if answering:
            # By its own configuration, or its lease was forgotten: it is where it should be.
            yield self._row(Lease(None, answering, reserved_ip), kind, "static", node)
            return
        nothing = Lease(None, mac, reserved_ip, seen.hostname if seen else "")
        if seen is not None:
            reason = "asked for an address and was ignored: dnsmasq does not know it as a node yet"
            yield self._row(nothing, kind, "ignored", node, reason)
        else:
            yield self._row(nothing, kind, "missing", node, self._why_missing(macs, reserved_ip))

    def _why_wrong(self, mac: str, reserved_ip: str) -> str:
        holder = self.holders.get(reserved_ip)
        if holder is not None:
            return f"{reserved_ip} is reserved for it, but is leased to {_label(holder)}"
        return self.reasons.get(mac) or f"{reserved_ip} is reserved for it; it gets that when it asks again"

    def _answers(self, mac: str, reserved_ip: str) -> bool:
        neighbour = self.neighbours.get(reserved_ip)
        return neighbour is not None and bool(neighbour.reachable) and neighbour.mac == mac

    def _why_missing(self, macs: Sequence[str], reserved_ip: str) -> str:
        holder = self.holders.get(reserved_ip)
        if holder is not None:
            return f"{reserved_ip} is reserved for it, but is leased to {_label(holder)}"
        if reason := next((self.reasons[mac] for mac in macs if mac in self.reasons), ""):
            return reason
        ended = [
            (lease.expires, lease.ip) for mac in macs for lease in self.ended.get(mac, []) if lease.expires is not None
        ]
        if not ended:
            return ""
        moment, ip = max(ended)
        return f"its lease of {ip} ended at {moment.astimezone():%Y-%m-%d %H:%M}"

    def _other_row(self, lease: Lease) -> LeaseRow:
        kind = "vm" if self.is_vm(lease.mac) else "stranger"
        reason = _tenant_mac_reason(lease.mac)
        if not reason and lease.ip in self.reserved:
            reason = f"holds {lease.ip}, which is reserved for {self.nodes[self.reserved[lease.ip]].name}"
        return self._row(lease, kind, "leased", None, reason)

    def _ignored_row(self, seen: IgnoredClient) -> LeaseRow:
        kind = "vm" if self.is_vm(seen.mac) else "stranger"
        times = "once" if seen.count == 1 else f"{seen.count} times"
        last = f", last at {seen.last_seen.astimezone():%Y-%m-%d %H:%M}" if seen.last_seen else ""
        asked = f"asked for an address {times}{last} and was ignored: it is not in the plan"
        reason = _tenant_mac_reason(seen.mac) or asked
        return self._row(Lease(None, seen.mac, "", seen.hostname), kind, "ignored", None, reason)

    def _refused_row(self, mac: str) -> LeaseRow:
        """Of one who was heard and got no address, such as when the range is full."""
        kind = "vm" if self.is_vm(mac) else "stranger"
        return self._row(Lease(None, mac, ""), kind, "ignored", None, self.reasons[mac])

    def _row(self, lease: Lease, kind: str, state: str, node: Machine | None, reason: str = "") -> LeaseRow:
        neighbour = self.neighbours.get(lease.ip) if lease.ip else None
        reachable = None
        if neighbour is not None and (
            neighbour.mac in ("", lease.mac) or self.row_mac(neighbour.mac) == self.row_mac(lease.mac)
        ):
            reachable = neighbour.reachable
        elif neighbour is not None and neighbour.reachable and not reason:
            # Somebody else answers there: nothing is known of this machine.
            reason = f"another machine answers at {lease.ip}: {neighbour.mac}"
        return LeaseRow(
            mac=lease.mac,
            ip=lease.ip,
            hostname=lease.hostname,
            name=node.name if node else "",
            role=", ".join(node.roles) if isinstance(node, Node) else "",
            expires=lease.expires,
            kind=kind,
            state=state,
            reachable=reachable,
            vendor=vendor_of(lease.mac),
            reason=reason,
            alarms=("tenant-mac",) if _tenant_mac_reason(lease.mac) else (),
            refusal=self._refusal(lease.mac, node),
        )

    def _refusal(self, mac: str, node: Machine | None) -> str:
        macs = [format_mac(each) for each in node.macs] if node is not None and node.other_macs else [mac]
        return next((self.reasons[each] for each in macs if each in self.reasons), "")


def _address_of(lease: Lease) -> bytes:
    return socket.inet_aton(lease.ip)


def _with_addresses(plan: Plan) -> Plan:
    try:
        return assign(plan)
    except SubnetFull:
        return plan


def _vm_matcher(patterns: Iterable[str]) -> Callable[[str], object]:
    octets = "|".join(p.lower().replace("*", "[0-9a-f]{2}") for p in patterns)
    return re.compile(octets or r"(?!)").fullmatch


def _tenant_mac_reason(mac: str) -> str:
    """What is wrong with a MAC that ciao gives to tenants' instances (02:00 and the address); "" for others."""
    if not mac.startswith(_TENANT) or len(mac) != 17:
        return ""
    ip = ".".join(str(int(octet, 16)) for octet in mac.split(":")[2:])
    return f"the MAC of the tenant instance {ip}, which should never be seen on this wire"


def _label(lease: Lease) -> str:
    return f"{lease.mac} ({lease.hostname})" if lease.hostname else lease.mac
