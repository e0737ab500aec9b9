"""The nodes: each by itself, and all together."""

from __future__ import annotations

from collections.abc import Iterator

from netaddr import IPAddress

from wizard.plan.addresses import SubnetFull, assign, dynamic_range
from wizard.plan.fields import FieldError, format_mac, parse_node_name, shown
from wizard.plan.findings import Finding, error, note, warning
from wizard.plan.machine import Facts
from wizard.plan.model import ClusterKind, Machine, Node, Plan, Role

_BROADCAST = (1 << 48) - 1
_MULTICAST_BIT = 1 << 40

_MOST_NAMED = 5


def of_plan(plan: Plan) -> Iterator[Finding]:
    if plan.kind is ClusterKind.CIAO:
        yield from _roles(plan)
    for field, machine in _machines(plan):
        yield from _name(field, machine)
        yield from _mac(field, machine)
        if machine.ip is not None:
            yield from _address(f"{field}.ip", machine, machine.ip, plan)
    yield from _twice(plan)
    yield from _bmcs(plan)
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
    for field, node in _machines(plan):
        for mac in map(format_mac, node.macs):
            if mac in own:
                yield error(
                    "mac-own",
                    f"{field}.mac",
                    f"{mac} of {shown(node.name)} is the MAC of this machine's own {shown(own[mac])}.",
                    f"Write the MAC of {node.name}; it is on its label, or in its boot menu.",
                )
        if facts.host_name and node.name == facts.host_name.split(".")[0].lower():
            yield warning(
                "name-is-gateway",
                f"{field}.name",
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


def _machines(plan: Plan) -> Iterator[tuple[str, Machine]]:
    """Each node and device, with its key path."""
    for number, node in enumerate(plan.nodes):
        yield f"nodes[{number}]", node
    for number, device in enumerate(plan.devices):
        yield f"devices[{number}]", device


def _name(field: str, node: Machine) -> Iterator[Finding]:
    try:
        parse_node_name(node.name)
    except FieldError as refused:
        yield error("name-unusable", f"{field}.name", refused.message, refused.remedy)


def _mac(field: str, node: Machine) -> Iterator[Finding]:
    for mac in node.macs:
        value = int(mac)
        if value == 0:
            code, what = "mac-zero", "no machine's address"
        elif value == _BROADCAST:
            code, what = "mac-broadcast", "the address of all machines at once"
        elif value & _MULTICAST_BIT:
            code, what = "mac-multicast", "a group's address, not a machine's"
        else:
            continue
        yield error(
            code,
            f"{field}.mac",
            f"{format_mac(mac)} of {shown(node.name)} is {what}.",
            f"Write the MAC of {shown(node.name)}'s own NIC; it is on its label, or in its boot menu.",
        )


def _address(field: str, node: Machine, ip: IPAddress, plan: Plan) -> Iterator[Finding]:
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
    names: dict[str, str] = {}
    macs: dict[int, str] = {}
    addresses: dict[int, str] = {}
    for field, node in _machines(plan):
        this = shown(node.name)
        namesake = names.setdefault(node.name, field)
        if namesake != field:
            both = "nodes" if isinstance(node, Node) else "machines"
            message = f"Two {both} are named {this}: the {_place(namesake, both)} and the {_place(field, both)}."
            yield error("name-taken", f"{field}.name", message, "Give each node a name of its own.")
        for mac in node.macs:
            first = macs.setdefault(int(mac), this)
            if first is not this:
                message = f"The MAC {format_mac(mac)} of {this} is {first}'s too."
                yield error("mac-taken", f"{field}.mac", message, "Write each node's own MAC.")
        if node.ip is None:
            continue
        first = addresses.setdefault(int(node.ip), this)
        if first is not this:
            message = f"The address {node.ip} of {this} is {first}'s too."
            remedy = "Give each node an address of its own, or leave it blank: the wizard chooses one."
            yield error("address-taken", f"{field}.ip", message, remedy)


def _place(field: str, among: str) -> str:
    """Key path -> ordinal: "nodes[2]" -> "3rd", or "3rd node" where devices are meant too."""
    kind, _, number = field.rstrip("]").partition("[")
    return _th(int(number)) if among == "nodes" else f"{_th(int(number))} {kind.removesuffix('s')}"


def _bmcs(plan: Plan) -> Iterator[Finding]:
    """A BMC has its address by itself, or as a device of the plan: no node and no other BMC may have it."""
    holders = {int(node.ip): shown(node.name) for node in plan.nodes if node.ip is not None}
    holders[int(plan.network.gateway)] = "the gateway"
    nodes_or_gateway, owners = set(holders), dict[int, int]()
    reserved = {int(device.ip): device.name for device in plan.devices if device.ip is not None}
    first, last = dynamic_range(plan.network)
    for number, node in enumerate(plan.nodes):
        if node.bmc is None:
            continue
        field, this = f"nodes[{number}].bmc", f"The BMC of {shown(node.name)}"
        cidr = plan.network.cidr
        if node.bmc in cidr and int(node.bmc) in (cidr.first, cidr.last):
            yield error(
                "bmc-is-network-address", field, f"{this} cannot be at {node.bmc}.", "Write the BMC's own address."
            )
            continue
        holder = holders.setdefault(int(node.bmc), f"the BMC of {shown(node.name)}")
        if int(node.bmc) in nodes_or_gateway or owners.setdefault(int(node.bmc), number) != number:
            message = f"{this} has {node.bmc}, which {holder} already uses."
            yield error("bmc-taken", field, message, "Write the address that is set in the BMC itself.")
        elif device := reserved.get(int(node.bmc)):
            message = f"{this} is the device {shown(device)}, at {node.bmc}."
            remedy = "If that is another machine, write the BMC's own address: it would be sent the BMC's password."
            yield note("bmc-is-device", field, message, remedy)
        elif first <= node.bmc <= last:
            message = f"{this} has the address {node.bmc}, which is in the DHCP range {first} to {last}."
            remedy = "Set another address in the BMC, or use another range, or reserve it as one of [[devices]]."
            yield error("bmc-in-range", field, message, remedy)


def _th(number: int) -> str:
    """Index (from 0) -> ordinal: 2 -> "3rd"."""
    place = number + 1
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"


def _in_range(plan: Plan) -> Iterator[Finding]:
    first, last = dynamic_range(plan.network)
    inside = [(field, node) for field, node in _machines(plan) if node.ip is not None and first <= node.ip <= last]
    if not inside:
        return
    highest = max(node.ip for _, node in inside if node.ip is not None)
    named = [f"{node.ip} ({node.name})" for _, node in inside[:_MOST_NAMED]]
    more = f" and {len(inside) - _MOST_NAMED} more" if len(inside) > _MOST_NAMED else ""
    then = f"gets {highest + 1} or higher, not {first}" if highest < last else f"starts over at {first}"
    yield warning(
        "node-in-range",
        f"{inside[0][0]}.ip",
        f"Reserved addresses are in the DHCP range {first} to {last}: {', '.join(named)}{more}. dnsmasq never "
        "gives them to others, but continues after the highest leased address (dhcp-sequential-ip): once these "
        f"nodes are up, the first virtual machine {then}.",
        "Fine if you accept that; otherwise use addresses outside the range, or another range.",
    )


def _vm_patterns(plan: Plan) -> Iterator[Finding]:
    patterns = [(pattern, pattern.split(":")) for pattern in plan.network.vm_macs]
    every = ((field, format_mac(mac), machine) for field, machine in _machines(plan) for mac in machine.macs)
    for field, mac, node in every:
        octets = mac.split(":")
        for pattern, parts in patterns:
            if all(part in ("*", octet) for part, octet in zip(parts, octets, strict=False)):
                yield note(
                    "vm-macs-match-node",
                    f"{field}.mac",
                    f"{mac} of {shown(node.name)} also matches {pattern}, a virtual machine's MAC.",
                    "Nothing to do: the node keeps its address. Taken out of the plan it would still be answered.",
                )
                break
