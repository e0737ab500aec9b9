"""The two NICs, and above all what the cluster NIC must not be."""

from __future__ import annotations

from collections.abc import Iterator

from wizard.plan.addresses import default_route_nics
from wizard.plan.fields import FieldError, parse_nic_name, shown
from wizard.plan.findings import Finding, error, warning
from wizard.plan.machine import Facts, Nic
from wizard.plan.model import Plan
from wizard.plan.uplinks import can_lead_out, resolved

SWAPPED = "The two NICs look swapped: exchange them."
"""A remedy. The Interfaces page adds the key that swaps them."""
CABLE_KINDS = frozenset({"ethernet", "veth"})
"""Kinds of NICs that can lead to the cluster."""

_KIND_WORDS = {
    "wireless": "a wireless NIC",
    "bridge": "a bridge",
    "bond": "a bond",
    "vlan": "a VLAN",
    "tunnel": "a tunnel",
    "loopback": "the loopback",
    "macvlan": "a macvlan",
    "modem": "a modem to a mobile network",
    "tether": "a phone that shares its connection",
    "gadget": "the cable to another computer alone",
    "container": "a container's",
    "conduit": "the inner port of a switch chip",
}
# Drivers that USB adapters, phones and modems share.
_ADAPTER_OR_PHONE = frozenset({"cdc_ether", "cdc_ncm", "cdc_eem", "cdc_subset"})


def kind_label(nic: Nic) -> str:
    return _KIND_WORDS.get(nic.kind, "a virtual NIC")


def corporate_wire_reason(nic: Nic, facts: Facts, corporate: str = "") -> str:
    """Evidence, from another NIC on the same wire, that the wire is the company's; "" without any."""
    routed = default_route_nics(facts)
    for other in facts.sharing(nic.name):
        whose = f"{other.name}, {kind_label(other) if other.kind not in CABLE_KINDS else 'a NIC'} on the same wire,"
        if other.name in routed:
            return f"{whose} has the default route"
        if other.carries_ssh:
            return f"{whose} carries your SSH session"
        if other.leased:
            return f"{whose} has an address from a DHCP server"
        if other.name == corporate:
            return f"{whose} is to be the corporate NIC"
    return ""


def shared_wire_reason(nic: Nic, facts: Facts) -> str:
    """The other NICs on the same wire, in words; "" without any."""
    others = facts.sharing(nic.name)
    return f"it shares its wire with {', '.join(shown(other.name) for other in others)}" if others else ""


def may_be_a_phone(nic: Nic) -> bool:
    return nic.driver in _ADAPTER_OR_PHONE


def router_assigned_address(nic: Nic) -> str:
    """An IPv6 address that the NIC got from a router; "" without one."""
    return next((str(a.network.ip) for a in nic.addresses if a.dynamic and a.network.version == 6), "")


def of_plan(plan: Plan) -> Iterator[Finding]:
    corporate, cluster = plan.interfaces.corporate, plan.interfaces.cluster
    if corporate == cluster:
        yield error(
            "same-nic",
            "interfaces.cluster",
            f"{shown(cluster)} is both the corporate and the cluster NIC.",
            "Name two NICs; a gateway needs two cables.",
        )
    for field, name in (("interfaces.corporate", corporate), ("interfaces.cluster", cluster)):
        try:
            parse_nic_name(name)
        except FieldError as refused:
            yield error("nic-unusable-name", field, refused.message, refused.remedy)


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    follows = plan.interfaces.follows_default_route
    corporate = facts.nic(resolved(plan, facts).interfaces.corporate)
    cluster = facts.nic(plan.interfaces.cluster)
    for field, name, nic in (
        *([] if follows else [("interfaces.corporate", plan.interfaces.corporate, corporate)]),
        ("interfaces.cluster", plan.interfaces.cluster, cluster),
    ):
        if nic is None:
            if _name_passes(name):
                yield _missing(field, name, facts)
            continue
        yield from _any_nic(field, nic)
    if follows and corporate is None:
        yield _no_way_out(plan, facts)
    if corporate is not None and not follows:
        yield from _corporate(corporate, facts)
        yield from _vpn_instead(corporate, facts)
    if cluster is not None:
        yield from _cluster(plan, cluster, corporate, facts)
        if corporate is not None and cluster.name != corporate.name:
            yield from _alike(corporate, cluster)


def _no_way_out(plan: Plan, facts: Facts) -> Finding:
    routed = sorted(default_route_nics(facts) - {plan.interfaces.cluster})
    over = f"; that over {', '.join(map(shown, routed))} leads to no company" if routed else ""
    return warning(
        "no-way-out",
        "interfaces.corporate",
        f"This machine has no default route now{over}: the nodes reach nothing beyond this machine's own networks.",
        "Plug in the company's cable or join a Wi-Fi network: the gateway follows by itself.",
    )


def _missing(field: str, name: str, facts: Facts) -> Finding:
    usable = [nic.name for nic in facts.nics if nic.usable_name and nic.kind != "loopback"]
    here = f"Available: {', '.join(usable)}." if usable else "No usable NIC was found."
    return error("nic-missing", field, f"This machine has no NIC {shown(name)}. {here}", "Plug it in, or name another.")


def _any_nic(field: str, nic: Nic) -> Iterator[Finding]:
    if not nic.usable_name and _name_passes(nic.name):
        yield error(
            "nic-unusable-name",
            field,
            f"The name {shown(nic.name)} has a special meaning to network tools.",
            "Rename the NIC, with `ip link set … name …` or a systemd .link file.",
        )
    if nic.master:
        yield error(
            "nic-enslaved",
            field,
            f"{nic.name} is part of {shown(nic.master)}, which has its traffic and its address.",
            f"Take it out (`sudo ip link set {nic.name} nomaster`), or name another NIC.",
        )
    if nic.carrier is False:
        yield warning(
            "no-carrier",
            field,
            f"{nic.name} has no link: the cable is out, or the other end is off.",
            "Plug the cable in; without a link the network cannot be probed.",
        )


def _name_passes(name: str) -> bool:
    """True if `of_plan` has no finding on this name."""
    try:
        return bool(parse_nic_name(name))
    except FieldError:
        return False


def _corporate(nic: Nic, facts: Facts) -> Iterator[Finding]:
    field = "interfaces.corporate"
    routed = nic.name in default_route_nics(facts)
    if not can_lead_out(nic, routed, facts.nics):
        yield error(
            "nic-kind",
            field,
            f"{nic.name} is {kind_label(nic)}: no cable to the company can be in it.",
            "Name the NIC that leads to the company's network.",
        )
    elif not routed:
        yield warning(
            "corporate-no-default-route",
            field,
            f"{nic.name} has no default route: the nodes will reach nothing beyond this machine's own networks.",
            "Check that this is the NIC that leads to the company, and that its cable is in.",
        )


def _vpn_instead(nic: Nic, facts: Facts) -> Iterator[Finding]:
    tunnels = [each.name for each in facts.nics if each.kind == "tunnel" and each.name in facts.outbound]
    if tunnels and nic.kind != "tunnel":
        yield warning(
            "vpn-has-default-route",
            "interfaces.corporate",
            f"{shown(tunnels[0])} takes this machine's traffic to the internet, and the nodes' with it; but they may "
            f"leave by {nic.name} alone, so they reach nothing beyond the company's network.",
            'Write corporate = "auto": then they go out by whichever has the default route, the VPN too.',
        )


def _cluster(plan: Plan, nic: Nic, corporate: Nic | None, facts: Facts) -> Iterator[Finding]:
    field = "interfaces.cluster"
    routed = nic.name in default_route_nics(facts)
    if nic.kind == "wireless":
        yield error(
            "cluster-wireless",
            field,
            f"{nic.name} is wireless: it cannot carry a switch full of nodes and virtual machines.",
            "Name a wired NIC; a USB adapter will do.",
        )
    elif nic.kind not in CABLE_KINDS:
        yield error(
            "nic-kind",
            field,
            f"{nic.name} is {kind_label(nic)}: no cable to the nodes can be in it.",
            "Name the Ethernet NIC that the cluster's switch is plugged into.",
        )
    if routed:
        turned = corporate is not None and not corporate.default_route
        yield error(
            "cluster-has-default-route",
            field,
            f"The default route goes through {nic.name}: it leads to the company, where DHCP must not be served.",
            SWAPPED if turned else "Name the other NIC for the cluster.",
        )
    elif _carries_vpn(nic.name, facts):
        yield error(
            "cluster-under-vpn",
            field,
            f"A VPN has the default route and reaches its server through {nic.name}: that NIC leads to the company.",
            "Name another NIC for the cluster.",
        )
    if nic.leased:
        leased = next((f" ({a.network.ip})" for a in nic.addresses if a.dynamic and a.network.version == 4), "")
        yield error(
            "cluster-has-dhcp-address",
            field,
            f"{nic.name} gets its address{leased} from a DHCP server: a second server on that network does damage.",
            "Name the other NIC for the cluster, or stop the DHCP client there if it really leads to the nodes.",
        )
    yield from _same_wire(nic, corporate, facts)
    if nic.name != facts.applied_cluster:
        yield from _doubtful(nic)
    if nic.carries_ssh:
        yield error(
            "cluster-carries-ssh",
            field,
            f"Your SSH session comes in over {nic.name}; a change of its address would cut you off.",
            "Name another NIC for the cluster, or work at the machine's own keyboard.",
        )
    yield from _foreign_addresses(plan, nic, facts)


def _same_wire(nic: Nic, corporate: Nic | None, facts: Facts) -> Iterator[Finding]:
    if why := corporate_wire_reason(nic, facts, corporate.name if corporate is not None else ""):
        yield error(
            "cluster-shares-wire",
            "interfaces.cluster",
            f"{nic.name} is on the company network: {why}. DHCP must not be served there.",
            "Name another NIC for the cluster.",
        )
    elif not nic.master and (why := shared_wire_reason(nic, facts)):
        yield warning(
            "cluster-wire-in-use",
            "interfaces.cluster",
            f"{nic.name} may carry more than the cluster: {why}.",
            "Make sure that these lead to the nodes as well.",
        )


def _doubtful(nic: Nic) -> Iterator[Finding]:
    if address := router_assigned_address(nic):
        yield warning(
            "cluster-has-router",
            "interfaces.cluster",
            f"A router behind {nic.name} gave it the address {address}: it may be the company's.",
            "Make sure that the cable leads to the nodes alone, and that no router is there.",
        )
    if nic.kind in CABLE_KINDS and may_be_a_phone(nic):
        yield warning(
            "cluster-may-be-a-phone",
            "interfaces.cluster",
            f"The driver of {nic.name} ({nic.driver}) is used by phones and modems, and by some adapters.",
            "Make sure that it is an adapter, with the cable to the cluster's switch in it.",
        )


def _foreign_addresses(plan: Plan, nic: Nic, facts: Facts) -> Iterator[Finding]:
    static = [
        str(address.network)
        for address in nic.addresses
        if address.network.version == 4 and not address.dynamic and address.network.ip != plan.network.gateway
    ]
    if static and nic.name not in {facts.applied_cluster, *default_route_nics(facts)}:
        yield warning(
            "cluster-has-address",
            "interfaces.cluster",
            f"{nic.name} already has the address {', '.join(static)}: something else may be using it.",
            "Make sure that it leads to the nodes alone.",
        )


def _alike(corporate: Nic, cluster: Nic) -> Iterator[Finding]:
    mac = cluster.permanent_mac or cluster.mac
    if mac and mac == (corporate.permanent_mac or corporate.mac) and cluster.bus == corporate.bus:
        yield error(
            "nics-alike",
            "interfaces.cluster",
            f"{corporate.name} and {cluster.name} have the same MAC ({mac}) and the same place in the machine: "
            "only their names differ, and names change.",
            "Name another NIC for one of them.",
        )


def _carries_vpn(name: str, facts: Facts) -> bool:
    over_all = default_route_nics(facts)
    if not any(nic.kind == "tunnel" and nic.name in over_all for nic in facts.nics):
        return False
    return any(route.nic == name and route.gateway and route.destination.version == 4 for route in facts.routes)
