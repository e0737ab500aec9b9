"""Plan x leases -> one row for everybody on the cluster's wire."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wizard.host.facts.vendors import vendor_of
from wizard.host.net.neighbours import Neighbour
from wizard.monitor.dnsmasq_log import IgnoredClient
from wizard.plan.addresses import SubnetFull, assign
from wizard.plan.fields import format_mac
from wizard.plan.lease_parser import Lease
from wizard.plan.model import Node, Plan

_TENANT = "02:00:"
_KINDS = ("node", "vm", "stranger")
_NO_ADDRESS = b"\xff" * 5


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One machine on the cluster's wire, or one that should be there.

    `kind`: "node", "vm", "stranger". `state`: "leased", "static" (it answers at its own address without a lease),
    "missing", "wrong-address", "ignored".
    `ip` is the leased address; of a missing or static node the one reserved for it. `expires` is None without a
    lease and for an infinite one. `reason` says in words what is the matter, "" where nothing is.
    `alarms` are slugs of what should never be: "one-mac", "one-address", "tenant-mac". `first_seen` and
    `last_seen`: when it was heard of, as far as the log and whoever watched can tell.
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
    first_seen: datetime | None = None
    last_seen: datetime | None = None


def row_json(row: LeaseRow) -> dict[str, Any]:
    """A row in the shape of `leases --json`."""
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
    """The plan's nodes in their order, each with a row; then VMs, then strangers, each by address.

    `now` needs a time zone. `ignored` and `reasons` are what `monitor.log` finds. Nodes without an
    address in the plan are taken to have the one that the wizard chooses for them.
    """
    table = LeaseTable(plan)
    table.neighbours = neighbours or {}
    table.ignored = ignored or {}
    table.reasons = reasons or {}
    for lease in leases:
        table.add(lease, now)
    found = [row for mac in table.macs() for row in table.rows_of(mac)]
    return tuple(sorted(found, key=lambda row: row_key(row, table.order)))


def row_key(row: LeaseRow, numbers: Mapping[str, int]) -> bytes:
    """What rows are sorted by: the nodes in the plan's order, then VMs, then strangers, each by address.

    `numbers`: each node's place in the plan, by MAC. Of a node with several leases the right one comes first. One
    piece: of 65,000 tuples the numbers alone would fill 6 MB.
    """
    number = numbers.get(row.mac, 0) if row.kind == "node" else 0
    wrong = row.state == "wrong-address"
    return b"%d%06d%d%b%b" % (_KINDS.index(row.kind), number, wrong, address_key(row), row.mac.encode())


def address_key(row: LeaseRow) -> bytes:
    """The address in network order; whoever has none comes last."""
    return socket.inet_aton(row.ip) if row.ip else _NO_ADDRESS


class LeaseTable:
    """The plan, joined with leases that come and go; tells the rows of one machine at a time.

    `neighbours` by address, `ignored` and `reasons` by MAC may be replaced at any time.
    """

    def __init__(self, plan: Plan) -> None:
        self.nodes = {format_mac(node.mac): node for node in _assigned(plan).nodes}
        self.order = {mac: number for number, mac in enumerate(self.nodes)}
        self.reserved = {str(node.ip): mac for mac, node in self.nodes.items() if node.ip is not None}
        self.is_vm = _vm_matcher(plan.network.vm_macs)
        self.neighbours: Mapping[str, Neighbour] = {}
        self.ignored: Mapping[str, IgnoredClient] = {}
        self.reasons: Mapping[str, str] = {}
        self.current: dict[str, list[Lease]] = {}
        self.ended: dict[str, Lease] = {}
        self.holders: dict[str, Lease] = {}

    def add(self, lease: Lease, now: datetime) -> None:
        if lease.expires is not None and lease.expires <= now:
            self.ended[lease.mac] = lease
            return
        self.current.setdefault(lease.mac, []).append(lease)
        self.holders[lease.ip] = lease

    def remove(self, lease: Lease) -> None:
        """Forget a lease that was added; nothing where it was not."""
        held = self.current.get(lease.mac, [])
        if lease in held:
            held.remove(lease)
            if not held:
                del self.current[lease.mac]
        if self.ended.get(lease.mac) == lease:
            del self.ended[lease.mac]
        if self.holders.get(lease.ip) == lease:
            del self.holders[lease.ip]

    def expire(self, lease: Lease) -> None:
        """The lease's time is over, and it is in the file still."""
        if lease in self.current.get(lease.mac, []):
            self.remove(lease)
            self.ended[lease.mac] = lease

    def affected_macs(self, ip: str) -> set[str]:
        """The MACs whose rows may change with what happens at an address."""
        owner = self.reserved.get(ip)
        holder = self.holders.get(ip)
        return {mac for mac in (owner, holder.mac if holder else None) if mac is not None}

    def macs(self) -> Iterator[str]:
        """Everybody who has a row."""
        yield from self.nodes
        yield from (mac for mac in self.current if mac not in self.nodes)
        yield from (mac for mac in self.ignored if mac not in self.current and mac not in self.nodes)

    def rows_of(self, mac: str) -> list[LeaseRow]:
        """A node's rows, at least one; of others one for each lease, or for having been ignored; or none."""
        node = self.nodes.get(mac)
        if node is not None:
            return list(self._node_rows(mac, node))
        if mac in self.current:
            return [self._other_row(lease) for lease in self.current[mac]]
        return [self._ignored_row(self.ignored[mac])] if mac in self.ignored else []

    def _node_rows(self, mac: str, node: Node) -> Iterator[LeaseRow]:
        held = self.current.get(mac, [])
        wanted = "" if node.ip is None else str(node.ip)
        right = next((lease for lease in held if lease.ip == wanted or not wanted), None)
        if right is not None:
            yield self._row(right, "node", "leased", node)
        for number, lease in enumerate(lease for lease in held if lease is not right):
            if right is not None or number:
                why = "a second lease of this MAC: two machines share it, or one asks under two client ids"
            else:
                why = self._why_wrong(mac, wanted)
            yield self._row(lease, "node", "wrong-address", node, why)
        if held:
            return
        seen = self.ignored.get(mac)
        if self._answers(mac, wanted):
            # It has the address by its own configuration, or the lease was forgotten: it is where it should be.
            yield self._row(Lease(None, mac, wanted), "node", "static", node)
            return
        nothing = Lease(None, mac, wanted, seen.hostname if seen else "")
        if seen is not None:
            why = "asked for an address and was ignored: dnsmasq does not know it as a node yet"
            yield self._row(nothing, "node", "ignored", node, why)
        else:
            yield self._row(nothing, "node", "missing", node, self._why_missing(mac, wanted))

    def _why_wrong(self, mac: str, wanted: str) -> str:
        holder = self.holders.get(wanted)
        if holder is not None:
            return f"{wanted} is reserved for it, but is leased to {_called(holder)}"
        return self.reasons.get(mac) or f"{wanted} is reserved for it; it gets that when it asks again"

    def _answers(self, mac: str, wanted: str) -> bool:
        neighbour = self.neighbours.get(wanted)
        return neighbour is not None and bool(neighbour.reachable) and neighbour.mac == mac

    def _why_missing(self, mac: str, wanted: str) -> str:
        holder = self.holders.get(wanted)
        if holder is not None:
            return f"{wanted} is reserved for it, but is leased to {_called(holder)}"
        if mac in self.reasons:
            return self.reasons[mac]
        ended = self.ended.get(mac)
        if ended is not None and ended.expires is not None:
            return f"its lease of {ended.ip} ended at {ended.expires.astimezone():%Y-%m-%d %H:%M}"
        return ""

    def _other_row(self, lease: Lease) -> LeaseRow:
        kind = "vm" if self.is_vm(lease.mac) else "stranger"
        why = _tenant_leak(lease.mac)
        if not why and lease.ip in self.reserved:
            why = f"holds {lease.ip}, which is reserved for {self.nodes[self.reserved[lease.ip]].name}"
        return self._row(lease, kind, "leased", None, why)

    def _ignored_row(self, seen: IgnoredClient) -> LeaseRow:
        kind = "vm" if self.is_vm(seen.mac) else "stranger"
        times = "once" if seen.count == 1 else f"{seen.count} times"
        last = f", last at {seen.last_seen.astimezone():%Y-%m-%d %H:%M}" if seen.last_seen else ""
        asked = f"asked for an address {times}{last} and was ignored: it is not in the plan"
        why = _tenant_leak(seen.mac) or asked
        return self._row(Lease(None, seen.mac, "", seen.hostname), kind, "ignored", None, why)

    def _row(self, lease: Lease, kind: str, state: str, node: Node | None, reason: str = "") -> LeaseRow:
        neighbour = self.neighbours.get(lease.ip) if lease.ip else None
        reachable = None
        if neighbour is not None and neighbour.mac in ("", lease.mac):
            reachable = neighbour.reachable
        elif neighbour is not None and neighbour.reachable and not reason:
            # Who answers there is somebody else, so that nothing is known of this one.
            reason = f"another machine answers at {lease.ip}: {neighbour.mac}"
        return LeaseRow(
            mac=lease.mac,
            ip=lease.ip,
            hostname=lease.hostname,
            name=node.name if node else "",
            role=", ".join(node.roles) if node else "",
            expires=lease.expires,
            kind=kind,
            state=state,
            reachable=reachable,
            vendor=vendor_of(lease.mac),
            reason=reason,
            alarms=("tenant-mac",) if _tenant_leak(lease.mac) else (),
        )


def _assigned(plan: Plan) -> Plan:
    try:
        return assign(plan)
    except SubnetFull:
        return plan


def _vm_matcher(patterns: Iterable[str]) -> Callable[[str], object]:
    octets = "|".join(p.lower().replace("*", "[0-9a-f]{2}") for p in patterns)
    return re.compile(octets or r"(?!)").fullmatch


def _tenant_leak(mac: str) -> str:
    """Words for a MAC that ciao gives to tenants' instances (02:00 and the address), "" for others."""
    if not mac.startswith(_TENANT) or len(mac) != 17:
        return ""
    ip = ".".join(str(int(octet, 16)) for octet in mac.split(":")[2:])
    return f"the MAC of the tenant instance {ip}, which should never be seen on this wire"


def _called(lease: Lease) -> str:
    return f"{lease.mac} ({lease.hostname})" if lease.hostname else lease.mac
