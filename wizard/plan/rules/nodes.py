"""The nodes: each by itself, and all together."""

from __future__ import annotations

from collections.abc import Iterator

from netaddr import IPAddress

from wizard.plan.addresses import SubnetFull, assign, dynamic_range
from wizard.plan.fields import FieldError, format_mac, parse_node_name, shown
from wizard.plan.findings import Finding, error, note, warning
from wizard.plan.machine import Facts
from wizard.plan.model import Node, Plan, Role

_BROADCAST = (1 << 48) - 1
_MULTICAST_BIT = 1 << 40

_MOST_NAMED = 5


def of_plan(plan: Plan) -> Iterator[Finding]:
    yield from _roles(plan)
    for number, node in enumerate(plan.nodes):
        field = f"nodes[{number}]"
        yield from _name(field, node)
        yield from _mac(field, node)
        if node.ip is not None:
            yield from _address(f"{field}.ip", node, node.ip, plan)
    yield from _twice(plan)
    yield from _in_range(plan)
    yield from _vm_patterns(plan)
    try:
        assign(plan)
    except SubnetFull as full:
        yield error("subnet-full", "network.cidr", full.message, full.remedy)


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    own: dict[str, str] = {}
    for nic in facts.nics:
        own.update({mac.lower(): nic.name for mac in (nic.mac, nic.permanent_mac) if mac})
    own.pop("00:00:00:00:00:00", None)
    for number, node in enumerate(plan.nodes):
        mac = format_mac(node.mac)
        if mac in own:
            yield error(
                "mac-own",
                f"nodes[{number}].mac",
                f"{mac} of {shown(node.name)} is the MAC of this machine's own {shown(own[mac])}.",
                f"Write the MAC of {node.name}; it is on its label, or in its boot menu.",
            )
        if facts.host_name and node.name == facts.host_name.split(".")[0].lower():
            yield warning(
                "name-is-gateway",
                f"nodes[{number}].name",
                f"{shown(node.name)} is also the name of this machine.",
                "Give the node another name, so that both can be told apart.",
            )


def _roles(plan: Plan) -> Iterator[Finding]:
    present = {role for node in plan.nodes for role in node.roles}
    for role in Role:
        if role not in present:
            yield error(
                "role-missing",
                "nodes",
                f"No node has the role {role.value}; a cluster needs 1 controller, 1+ network, 1+ compute.",
                f"Add a {role.value} node, or give a node two roles.",
            )


def _name(field: str, node: Node) -> Iterator[Finding]:
    try:
        parse_node_name(node.name)
    except FieldError as refused:
        yield error("name-unusable", f"{field}.name", refused.message, refused.remedy)


def _mac(field: str, node: Node) -> Iterator[Finding]:
    value = int(node.mac)
    if value == 0:
        code, what = "mac-zero", "no machine's address"
    elif value == _BROADCAST:
        code, what = "mac-broadcast", "the address of all machines at once"
    elif value & _MULTICAST_BIT:
        code, what = "mac-multicast", "a group's address, not a machine's"
    else:
        return
    yield error(
        code,
        f"{field}.mac",
        f"{format_mac(node.mac)} of {shown(node.name)} is {what}.",
        f"Write the MAC of {shown(node.name)}'s own NIC; it is on its label, or in its boot menu.",
    )


def _address(field: str, node: Node, ip: IPAddress, plan: Plan) -> Iterator[Finding]:
    cidr = plan.network.cidr
    if ip == plan.network.gateway:
        code, why = "node-is-gateway", "is the gateway's own address"
    elif ip not in cidr:
        code, why = "node-outside", f"is not in {cidr}: dnsmasq would ignore the reservation"
    elif int(ip) in (cidr.first, cidr.last):
        what = "address of the network itself" if int(ip) == cidr.first else "broadcast address"
        code, why = "node-is-network-address", f"is the {what}"
    else:
        return
    hosts = f"one from {cidr[1]} to {cidr[-2]}" if cidr.size > 2 else "a host of a larger network"
    remedy = f"Use {hosts}, or leave it blank: the wizard chooses one."
    yield error(code, field, f"{ip} of {shown(node.name)} {why}.", remedy)


def _twice(plan: Plan) -> Iterator[Finding]:
    names: dict[str, int] = {}
    macs: dict[int, str] = {}
    addresses: dict[int, str] = {}
    for number, node in enumerate(plan.nodes):
        field, this = f"nodes[{number}]", shown(node.name)
        namesake = names.setdefault(node.name, number)
        if namesake != number:
            message = f"Two nodes are named {this}: the {_th(namesake)} and the {_th(number)}."
            yield error("name-taken", f"{field}.name", message, "Give each node a name of its own.")
        first = macs.setdefault(int(node.mac), this)
        if first is not this:
            message = f"The MAC {format_mac(node.mac)} of {this} is {first}'s too."
            yield error("mac-taken", f"{field}.mac", message, "Write each node's own MAC.")
        if node.ip is None:
            continue
        first = addresses.setdefault(int(node.ip), this)
        if first is not this:
            message = f"The address {node.ip} of {this} is {first}'s too."
            remedy = "Give each node an address of its own, or leave it blank: the wizard chooses one."
            yield error("address-taken", f"{field}.ip", message, remedy)


def _th(number: int) -> str:
    """Index (from 0) -> ordinal: 2 -> "3rd"."""
    place = number + 1
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"


def _in_range(plan: Plan) -> Iterator[Finding]:
    first, last = dynamic_range(plan.network)
    inside = [
        (number, node) for number, node in enumerate(plan.nodes) if node.ip is not None and first <= node.ip <= last
    ]
    if not inside:
        return
    highest = max(node.ip for _, node in inside if node.ip is not None)
    named = [f"{node.ip} ({node.name})" for _, node in inside[:_MOST_NAMED]]
    more = f" and {len(inside) - _MOST_NAMED} more" if len(inside) > _MOST_NAMED else ""
    then = f"gets {highest + 1} or higher, not {first}" if highest < last else f"starts over at {first}"
    yield warning(
        "node-in-range",
        f"nodes[{inside[0][0]}].ip",
        f"Reserved addresses are in the DHCP range {first} to {last}: {', '.join(named)}{more}. dnsmasq never "
        "gives them to others, but continues after the highest leased address (dhcp-sequential-ip): once these "
        f"nodes are up, the first virtual machine {then}.",
        "Fine if you accept that; otherwise use addresses outside the range, or another range.",
    )


def _vm_patterns(plan: Plan) -> Iterator[Finding]:
    patterns = [(pattern, pattern.split(":")) for pattern in plan.network.vm_macs]
    for number, node in enumerate(plan.nodes):
        octets = format_mac(node.mac).split(":")
        for pattern, parts in patterns:
            if all(part in ("*", octet) for part, octet in zip(parts, octets, strict=False)):
                yield note(
                    "vm-macs-match-node",
                    f"nodes[{number}].mac",
                    f"{format_mac(node.mac)} of {shown(node.name)} also matches {pattern}, a virtual machine's MAC.",
                    "Nothing to do: the node keeps its address. Taken out of the plan it would still be answered.",
                )
                break
