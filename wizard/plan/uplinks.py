"""The uplinks: the NICs by which a plan's nodes go out, where `corporate = "auto"` follows the default route."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from wizard.plan.addresses import default_routes
from wizard.plan.machine import Facts, Nic, Route
from wizard.plan.model import Plan

INTERNET = ("1.1.1.1", "193.0.0.1")
"""One address in either half of the address space: a VPN may route 0/1 and 128/1 and leave the default route in place.
Only looked up in the routing tables; nothing is ever sent to them."""

NEVER_BY_NAME = (
    *("lo", "docker*", "br-????????????", "veth*", "virbr*", "vnet*", "lxcbr*", "lxdbr*", "incusbr*"),
    *("cni*", "podman*", "flannel*", "cali*", "cilium*", "kube*", "ciao-*"),
)
"""Patterns, the shell's and fnmatch's: NICs of containers and virtual machines, and our own. Never an uplink."""

KINDS_WITHOUT_UPLINK = frozenset({"loopback", "container", "gadget", "conduit"})
"""Kinds of NICs that cannot lead to the company."""
_ONLY_WITH_ROUTE = frozenset({"bridge", "tunnel"})


def uplinks(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """The names of the uplinks now, that of the corporate wire first; () where there is none.

    For a named corporate NIC that name alone. Else what the default route leads over: the main table's of the lowest
    metric, that below a VPN's, and whatever the kernel answers when it is asked for a way to the internet
    (`Facts.outbound`), which a VPN may have taken over by rules or by halves of the address space.
    """
    if not plan.interfaces.follows_default_route:
        return (plan.interfaces.corporate,)
    return default_uplinks(plan.interfaces.cluster, facts)


def default_uplinks(cluster: str, facts: Facts) -> tuple[str, ...]:
    """The uplinks of a plan that follows the default route, and whose cluster NIC is this one."""
    # The outbound ones first: of two alike, it is by that one that packets leave.
    routes = list(default_routes(facts.routes))
    names = dict.fromkeys((*facts.outbound, *_lowest_metric(routes)))
    able = [nic for name in names if (nic := facts.nic(name)) is not None and may_be_uplink(nic, cluster, facts)]
    if able and not any(_has_wire(nic) for nic in able):
        # The company's own addresses are reached past a VPN, and colleagues come in there.
        below = [route for route in routes if (nic := facts.nic(route.nic)) is not None and _has_wire(nic)]
        able += [nic for nic in map(facts.nic, _lowest_metric(below)) if nic and may_be_uplink(nic, cluster, facts)]
    # A stable sort: behind a tunnel or a modem there is no wire to probe.
    return tuple(nic.name for nic in sorted(able, key=lambda nic: not _has_wire(nic)))


def other_wires(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """The NICs whose wire may be the company's, whichever way packets leave now: they have an address of another
    network. () where the plan names a corporate NIC with a wire: it is that one.
    """
    named = facts.nic(plan.interfaces.corporate)
    if not plan.interfaces.follows_default_route and (named is None or _has_wire(named)):
        return ()
    able = (nic for nic in facts.nics if nic.up and _has_wire(nic) and _is_elsewhere(nic, plan))
    return tuple(nic.name for nic in able if may_be_uplink(nic, plan.interfaces.cluster, facts))


def _is_elsewhere(nic: Nic, plan: Plan) -> bool:
    found = (address.network for address in nic.addresses)
    return any(each.version == 4 and each.ip not in plan.network.cidr for each in found)


def _has_wire(nic: Nic) -> bool:
    """Whether Ethernet frames come in by it."""
    return bool(nic.mac) and nic.kind != "tunnel"


def resolved(plan: Plan, facts: Facts) -> Plan:
    """The plan with the first of its uplinks as its corporate NIC; "" where it follows a default route and has none."""
    if not plan.interfaces.follows_default_route:
        return plan
    names = uplinks(plan, facts)
    return replace(plan, interfaces=replace(plan.interfaces, corporate=names[0] if names else ""))


def can_lead_out(nic: Nic, routed: bool, nics: Iterable[Nic] = ()) -> bool:
    """Whether the company can be behind a NIC, named or not: never behind one of containers or virtual machines.

    A bridge or a tunnel (VPN, PPPoE) only while it is `routed`. `nics`: all of the machine, for a bridge's members.
    """
    if nic.kind in KINDS_WITHOUT_UPLINK or any(fnmatchcase(nic.name, pattern) for pattern in NEVER_BY_NAME):
        return False
    members = [other for other in nics if other.master == nic.name]
    if members and all(other.kind == "container" for other in members):
        return False
    return routed or nic.kind not in _ONLY_WITH_ROUTE


def may_be_uplink(nic: Nic, cluster: str, facts: Facts) -> bool:
    """Whether the nodes' packets may leave by a NIC that has the default route: never by the cluster's own, nor by what
    shares its wire."""
    if not nic.usable_name or nic.name == cluster or any(other.name == nic.name for other in facts.sharing(cluster)):
        return False
    return can_lead_out(nic, True, facts.nics)


def _lowest_metric(routes: Iterable[Route]) -> list[str]:
    found = list(routes)
    best = min((route.metric for route in found), default=0)
    # Without a NIC it leads nowhere: the kernel drops what it is for, and looks no further.
    return [route.nic for route in found if route.metric == best and route.nic]
