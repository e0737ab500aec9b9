"""Address arithmetic: the dynamic range, the next free address, networks in use and free ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from netaddr import IPAddress, IPNetwork

from wizard.plan.fields import printable
from wizard.plan.findings import WizardError
from wizard.plan.model import Device, Network, Plan

if TYPE_CHECKING:
    from wizard.plan.machine import Facts, Route

# No private block is larger than a /8. What is shorter stands for "everywhere", such as the
# 0.0.0.0/1 and 128.0.0.0/1 with which a VPN takes over the default route.
SHORTEST_SITE_PREFIX = 8
MULTICAST = 0xE0000000
HIGHEST = 0xFFFFFFFF

# ciao carves its tenants' networks from here, whatever is configured.
TENANTS = IPNetwork("172.16.0.0/12")


class SubnetFull(WizardError):
    """The network has fewer addresses left than the plan has nodes without one."""


@dataclass(frozen=True, slots=True)
class Busy:
    """An IPv4 network in use on a machine. `what` names the use: 'the address … of eth0', 'the route … over tun0'."""

    network: IPNetwork
    nic: str
    what: str


def default_gateway(cidr: IPNetwork) -> IPAddress:
    """.200 in a /24, as ciao's guide has it; else the last usable host."""
    if cidr.prefixlen == 24:
        return IPAddress(cidr.first + 200, version=4)
    return IPAddress(cidr.last - 1 if cidr.size > 2 else cidr.last, version=4)


def default_slice(cidr: IPNetwork, gateway: IPAddress) -> IPNetwork:
    """The second quarter of `cidr` (.64/26 of a /24), or the next quarter that the gateway is not in."""
    prefix = min(cidr.prefixlen + 2, 32)
    quarters = list(cidr.subnet(prefix))
    wanted = [*quarters[1:], quarters[0]]
    return next((quarter for quarter in wanted if gateway not in quarter), wanted[0])


def dynamic_range(network: Network) -> tuple[IPAddress, IPAddress]:
    """First and last dynamic address: the slice's usable hosts, .65 to .126 for .64/26.

    Where a slice holds no usable host at all the first comes out greater than the last.
    """
    if network.dhcp_range is not None:
        return network.dhcp_range
    part = network.dhcp_slice
    if part is None:
        part = default_slice(network.cidr, network.gateway)
    first, last = part.first, part.last
    if part.size > 2:
        first, last = first + 1, last - 1
    # Only slices of one or two addresses can still stand on the network's own two.
    first += first == network.cidr.first
    last -= last == network.cidr.last
    return IPAddress(min(first, HIGHEST), version=4), IPAddress(max(last, 0), version=4)


def next_free(plan: Plan) -> IPAddress | None:
    """The address to write down for one more node: the first free one after the nodes' own, else a lower one.

    The first host comes last, as most people expect a router there. None if the network is full. `assign` chooses
    differently: its choice must not change when a node with its own address is added.
    """
    first = plan.network.cidr.first + 1
    highest = max((int(node.ip) for node in plan.nodes if node.ip is not None), default=first)
    starts = (max(highest, first) + 1, first + 1, first)
    return next((ip for start in starts for ip in islice(_free_hosts(plan, start), 1)), None)


def assign(plan: Plan) -> Plan:
    """The plan with an address for every node and device.

    Nodes without one get, in their order, the lowest host that is not the gateway's, not another
    machine's and not in the dynamic range; devices the highest. Raises SubnetFull.
    """
    if all(machine.ip is not None for machine in plan.machines):
        return plan
    free = _free_hosts(plan)
    nodes = []
    for node in plan.nodes:
        ip = node.ip if node.ip is not None else next(free, None)
        if ip is None:
            raise SubnetFull(
                f"{plan.network.cidr} has no address left for {node.name}: {len(plan.nodes)} nodes "
                "and the dynamic range share it.",
                "Use a larger subnet (network.cidr), or a smaller DHCP range (network.dhcp_slice).",
            )
        nodes.append(replace(node, ip=ip))
    plan = replace(plan, nodes=tuple(nodes))
    return replace(plan, devices=_assigned_devices(plan))


def _assigned_devices(plan: Plan) -> tuple[Device, ...]:
    """The devices, each with an address: the highest free ones, so that a new node never takes one of theirs.

    `plan` has an address for every node. Raises SubnetFull.
    """
    if all(device.ip is not None for device in plan.devices):
        return plan.devices
    first, last = (int(end) for end in dynamic_range(plan.network))
    taken = taken_addresses(plan)
    candidate = plan.network.cidr.last
    devices = []
    for device in plan.devices:
        ip = device.ip
        while ip is None:
            candidate = first - 1 if first <= candidate - 1 <= last else candidate - 1
            if candidate <= plan.network.cidr.first:
                raise SubnetFull(
                    f"{plan.network.cidr} has no address left for {device.name}.",
                    "Use a larger subnet (network.cidr), or a smaller DHCP range (network.dhcp_slice).",
                )
            ip = None if candidate in taken else IPAddress(candidate, version=4)
        devices.append(replace(device, ip=ip))
    return tuple(devices)


@dataclass(frozen=True, slots=True)
class RangeUse:
    """The DHCP range: `reserved` of its `size` addresses are for the plan's own machines and the gateway, `free` for
    nobody yet."""

    size: int
    reserved: int
    free: int


def range_use(plan: Plan, leased: Iterable[str]) -> RangeUse:
    """The use of the DHCP range, with these addresses leased. Machines without an address have none reserved."""
    first, last = (int(end) for end in dynamic_range(plan.network))
    own = {int(machine.ip) for machine in plan.machines if machine.ip is not None} | {int(plan.network.gateway)}
    reserved = {ip for ip in own if first <= ip <= last}
    taken = reserved | {ip for ip in map(_number, leased) if first <= ip <= last}
    size = max(0, last - first + 1)
    return RangeUse(size, len(reserved), size - len(taken))


def _number(ip: str) -> int:
    # For as many as a cluster has, netaddr takes too long.
    return int.from_bytes(bytes(map(int, ip.split("."))), "big")


def taken_addresses(plan: Plan) -> set[int]:
    """The addresses that the plan gives to somebody, and those of BMCs, as numbers."""
    machines = {int(machine.ip) for machine in plan.machines if machine.ip is not None}
    return machines | {int(node.bmc) for node in plan.nodes if node.bmc is not None} | {int(plan.network.gateway)}


def _free_hosts(plan: Plan, start: int = 0) -> Iterator[IPAddress]:
    """Free host addresses in ascending order, from `start` (an address as a number)."""
    cidr = plan.network.cidr
    first, last = (int(end) for end in dynamic_range(plan.network))
    taken = taken_addresses(plan)
    candidate = max(cidr.first + 1, start)
    while candidate < cidr.last:
        if first <= candidate <= last:
            candidate = last + 1
            continue
        if candidate not in taken:
            yield IPAddress(candidate, version=4)
        candidate += 1


def busy_networks(facts: Facts, ours: str = "") -> tuple[Busy, ...]:
    """The IPv4 networks of the machine's addresses and routes, of any table, the largest first.

    Left out: default routes and what amounts to one, multicast, all that belongs to the NIC `ours`,
    and what lies within another one of the same NIC.
    """
    found = [
        Busy(address.network.cidr, nic.name, f"the address {address.network} of {printable(nic.name)}")
        for nic in facts.nics
        for address in nic.addresses
    ]
    for route in facts.routes:
        over = f" over {printable(route.nic)}" if route.nic else ""
        table = "" if route.table in ("main", "local") else f" (table {printable(route.table)})"
        found.append(Busy(route.destination.cidr, route.nic, f"the route {route.destination}{over}{table}"))
    kept: dict[str, list[Busy]] = {}
    for busy in sorted(found, key=lambda b: b.network.prefixlen):
        if not _is_site(busy.network) or (ours and busy.nic == ours):
            continue
        same_nic = kept.setdefault(busy.nic, [])
        if not any(overlap(busy.network, other.network) for other in same_nic):
            same_nic.append(busy)
    return tuple(busy for of_nic in kept.values() for busy in of_nic)


def is_default_route(network: IPNetwork) -> bool:
    """True if a route to `network` is an IPv4 default route, or half of one as VPNs install it."""
    return network.version == 4 and network.prefixlen < SHORTEST_SITE_PREFIX and network.first < MULTICAST


def nics_of_default_routes(routes: Iterable[Route]) -> frozenset[str]:
    """Names of the NICs with a default route in any table, IPv4 or IPv6, or with half of one as VPNs install it."""
    return frozenset(
        route.nic
        for route in routes
        if route.nic and (is_default_route(route.destination) or route.destination.prefixlen == 0)
    )


def default_routes(routes: Iterable[Route], nic: str = "", *, any_table: bool = False) -> list[Route]:
    """The main table's IPv4 default routes, in the kernel's order; over `nic` alone where one is given."""
    return [
        route
        for route in routes
        if str(route.destination) == "0.0.0.0/0"
        and (any_table or route.table == "main")
        and (not nic or route.nic == nic)
    ]


def default_route_nics(facts: Facts) -> frozenset[str]:
    """Names of the NICs that a default route leads over."""
    return nics_of_default_routes(facts.routes) | {nic.name for nic in facts.nics if nic.default_route}


def _is_site(network: IPNetwork) -> bool:
    return network.version == 4 and network.prefixlen >= SHORTEST_SITE_PREFIX and network.first < MULTICAST


def overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.first <= other.last and other.first <= one.last


def free_networks(facts: Facts, count: int = 2) -> list[IPNetwork]:
    """Up to `count` private /24s that overlap no network in use on the machine."""
    busy = busy_networks(facts, facts.applied_cluster)
    free: list[IPNetwork] = []
    for first in _private_24s():
        if len(free) >= count:
            break
        if not any(b.network.first <= first + 255 and first <= b.network.last for b in busy):
            free.append(IPNetwork((first, 24), version=4))
    return free


def _private_24s() -> Iterator[int]:
    """First addresses of private /24s, as numbers; those that ciao, home routers and hypervisors use come last."""
    c_block, a_block = 0xC0A80000, 0x0A000000
    for third in (*range(64, 100), *range(192, 255), *range(1, 64), *range(100, 192)):
        yield c_block + (third << 8)
    for second in (*range(64, 256), *range(64)):
        for third in range(256):
            yield a_block + (second << 16) + (third << 8)
