"""Changes to a sound pair of a plan and a machine, to be put together by the tests of the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from netaddr import EUI, IPAddress, IPNetwork

from wizard.plan.backends import Backend
from wizard.plan.images import Image
from wizard.plan.machine import Address, Facts, Listener, Nic, NicOwner, Route
from wizard.plan.model import Device, DhcpOption, Forward, Interfaces, Plan, Protocol, Record, RecordKind, SplitDns

Change = Callable[[Plan, Facts], tuple[Plan, Facts]]

ANY = "0.0.0.0"  # noqa: S104


def nic(name: str, **changes: Any) -> Change:
    """Change the NIC `name`."""
    return lambda plan, facts: (
        plan,
        replace(facts, nics=tuple(replace(n, **changes) if n.name == name else n for n in facts.nics)),
    )


def more_nics(*nics: Nic) -> Change:
    return lambda plan, facts: (plan, replace(facts, nics=(*facts.nics, *nics)))


def routes(*more: Route) -> Change:
    return lambda plan, facts: (plan, replace(facts, routes=(*facts.routes, *more)))


def listens(
    protocol: str, address: str, port: int, process: str = "", pid: int | None = None, nic: str = "", unit: str = ""
) -> Change:
    listener = Listener(protocol, address, port, process, pid, nic, unit)
    return lambda plan, facts: (plan, replace(facts, listeners=(*facts.listeners, listener)))


def machine(**changes: Any) -> Change:
    return lambda plan, facts: (plan, replace(facts, **changes))


def owned_by(backend: str, reason: str) -> Change:
    """The cluster NIC managed by somebody, who is at work."""
    managers = ("ifupdown", "NetworkManager", "networkd", "netplan")
    return machine(owners=(NicOwner("eth1", backend, reason),), network_managers=managers)


def backed_by(backend: str) -> Change:
    return network(backend=Backend(backend))


def names(corporate: str = "eth0", cluster: str = "eth1") -> Change:
    return lambda plan, facts: (replace(plan, interfaces=Interfaces(corporate, cluster)), facts)


def network(**changes: Any) -> Change:
    return lambda plan, facts: (replace(plan, network=replace(plan.network, **changes)), facts)


def subnet(cidr: str, gateway: str = "") -> Change:
    """The cluster in another subnet, with nodes at the same places."""

    def change(plan: Plan, facts: Facts) -> tuple[Plan, Facts]:
        start = IPNetwork(cidr).first
        nodes = tuple(replace(node, ip=IPAddress(start + 5 + i)) for i, node in enumerate(plan.nodes))
        moved = replace(plan.network, cidr=IPNetwork(cidr), gateway=IPAddress(gateway or start + 2), dhcp_slice=None)
        return replace(plan, network=moved, nodes=nodes), facts

    return change


def node(number: int, **changes: Any) -> Change:
    return lambda plan, facts: (
        replace(plan, nodes=tuple(replace(n, **changes) if i == number else n for i, n in enumerate(plan.nodes))),
        facts,
    )


def forward(port: int, to: str = "controller", to_port: int = 9, protocol: Protocol = Protocol.TCP) -> Change:
    return lambda plan, facts: (
        replace(plan, forwards=(*plan.forwards, Forward(port, to, to_port, protocol))),
        facts,
    )


def records(*rows: tuple[str, str, str]) -> Change:
    """Records as (name, kind, value)."""
    made = tuple(Record(name, RecordKind(kind), value) for name, kind, value in rows)
    return lambda plan, facts: (replace(plan, records=made), facts)


def devices(*rows: tuple[str, str]) -> Change:
    """Devices as (name, address)."""
    made = tuple(Device(name, EUI(0x000C42000000 + n), IPAddress(ip)) for n, (name, ip) in enumerate(rows))
    return lambda plan, facts: (replace(plan, devices=made), facts)


def split_dns(*rows: tuple[str, str]) -> Change:
    """Domains, each with a server."""
    made = tuple(SplitDns(domain, (server,)) for domain, server in rows)
    return lambda plan, facts: (replace(plan, dns=made), facts)


def options(*made: DhcpOption) -> Change:
    return lambda plan, facts: (replace(plan, options=made), facts)


def images(*made: Image) -> Change:
    return lambda plan, facts: (replace(plan, images=made), facts)


def many_forwards(count: int) -> Change:
    """Each for a network of its own."""

    def change(plan: Plan, facts: Facts) -> tuple[Plan, Facts]:
        sources = (IPNetwork("10.0.0.0/8"),)
        more = (Forward(20000 + number, "controller", 80, sources=sources) for number in range(count))
        return replace(plan, forwards=tuple(more)), facts

    return change


def both(*changes: Change) -> Change:
    def change(plan: Plan, facts: Facts) -> tuple[Plan, Facts]:
        for each in changes:
            plan, facts = each(plan, facts)
        return plan, facts

    return change


def mac(text: str) -> EUI:
    return EUI(text, version=48)


def address(text: str, dynamic: bool = False) -> tuple[Address, ...]:
    return (Address(IPNetwork(text), dynamic),)


TUN_DEFAULT = Route(IPNetwork("0.0.0.0/0"), "wg0", table="51820")
TUN = Nic("wg0", 9, "tunnel", up=True)
