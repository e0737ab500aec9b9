"""Suggest roles for the NICs, with reasons, and a first network. Never by order or name alone."""

from __future__ import annotations

from netaddr import IPNetwork

from wizard.plan.addresses import (
    busy_networks,
    default_gateway,
    default_route_nics,
    default_slice,
    free_networks,
    overlap,
)
from wizard.plan.fields import shown
from wizard.plan.machine import Facts, Nic, Suggestion
from wizard.plan.model import Network
from wizard.plan.rules.nics import (
    CABLE_KINDS,
    corporate_wire_reason,
    kind_label,
    may_be_a_phone,
    router_assigned_address,
    shared_wire_reason,
)
from wizard.plan.uplinks import can_lead_out

SAMPLE = IPNetwork("192.168.0.0/24")
"""The network of ciao's guide."""


def suggest(facts: Facts) -> tuple[Suggestion, ...]:
    """One suggestion per NIC, in the order of the facts; at most one NIC per role.

    No role is suggested on thin evidence: if it is unclear which NIC leads to the company, or if
    several could be the cluster's, the user decides.
    """
    corporate = _corporate(facts)
    cluster = _cluster(facts, corporate)
    return tuple(Suggestion(nic.name, *_judged(nic, corporate, cluster, facts)) for nic in facts.nics)


def suggest_interfaces(facts: Facts) -> tuple[str, str]:
    """The suggested (corporate, cluster); "" for none."""
    roles = {suggestion.role: suggestion.nic for suggestion in suggest(facts)}
    return roles.get("corporate", ""), roles.get("cluster", "")


def suggest_network(facts: Facts) -> Network:
    """The guide's 192.168.0.0/24, or the first /24 that overlaps nothing here, laid out the same way."""
    busy = busy_networks(facts, facts.applied_cluster)
    cidr = SAMPLE
    if any(overlap(SAMPLE, each.network) for each in busy):
        cidr = next(iter(free_networks(facts, 1)), SAMPLE)
    gateway = default_gateway(cidr)
    return Network(cidr, gateway, default_slice(cidr, gateway))


def _corporate(facts: Facts) -> Nic | None:
    """The NIC with the best evidence of leading to the company; None if several are equal."""
    routed = default_route_nics(facts)
    able = [nic for nic in facts.nics if _usable(nic) and nic.name != facts.applied_cluster]
    able = [nic for nic in able if can_lead_out(nic, nic.name in routed, facts.nics)]
    # The last resort: below a VPN's there is the NIC that leads to the company, and below PPPoE's there is none.
    tunnels = [nic for nic in able if nic.kind == "tunnel"]
    able = [nic for nic in able if nic.kind != "tunnel"]
    with_route = [nic for nic in able if nic.name in routed]
    if len(with_route) > 1:
        metrics = {nic.name: _metric(nic, facts) for nic in with_route}
        best = min(metrics.values())
        with_route = [nic for nic in with_route if metrics[nic.name] == best]
    for evidence in (
        with_route,
        [nic for nic in able if nic.carries_ssh],
        [nic for nic in able if _leased(nic)],
        tunnels,
    ):
        if evidence:
            return evidence[0] if len(evidence) == 1 else None
    return None


def _metric(nic: Nic, facts: Facts) -> int:
    return min((r.metric for r in facts.routes if r.nic == nic.name and r.destination.prefixlen == 0), default=0)


def _cluster(facts: Facts, corporate: Nic | None) -> Nic | None:
    applied = facts.nic(facts.applied_cluster) if facts.applied_cluster else None
    if applied is not None:
        return applied
    if corporate is None:
        return None
    free = [nic for nic in facts.nics if nic is not corporate and not _against_cluster(nic, facts)]
    linked = [nic for nic in free if nic.carrier]
    best = linked or free
    return best[0] if len(best) == 1 else None


def _judged(nic: Nic, corporate: Nic | None, cluster: Nic | None, facts: Facts) -> tuple[str | None, tuple[str, ...]]:
    """The role and the reasons for one NIC."""
    against = _against_cluster(nic, facts)
    if nic is cluster:
        if nic.name == facts.applied_cluster:
            return "cluster", ("the applied plan uses it for the cluster",)
        return "cluster", ("it has no address and nothing uses it", _link(nic))
    if nic is corporate:
        return "corporate", tuple(against) or ("it has an address",)
    if against:
        return None, tuple(against)
    if corporate is None:
        return None, ("it is unclear which NIC leads to the company: choose one", _link(nic))
    if nic.carrier is not True and cluster is not None:
        return None, ("nothing uses it", _link(nic))
    return None, ("nothing uses it, but another NIC is like it: choose one", _link(nic))


def _against_cluster(nic: Nic, facts: Facts) -> list[str]:
    """Evidence against the NIC as the cluster's; most of it is evidence for the company's."""
    reasons = []
    if not nic.usable_name:
        reasons.append("its name has a special meaning to network tools")
    if nic.name in default_route_nics(facts):
        reasons.append("the default route goes through it")
    if nic.carries_ssh:
        reasons.append("your SSH session uses it")
    if _leased(nic):
        reasons.append("it got its address from a DHCP server")
    if nic.kind == "wireless":
        reasons.append("it is wireless")
    elif nic.kind not in CABLE_KINDS:
        reasons.append(f"it is {kind_label(nic)}")
    if nic.master:
        reasons.append(f"it is part of {shown(nic.master)}")
    if why := corporate_wire_reason(nic, facts) or shared_wire_reason(nic, facts):
        reasons.append(why)
    if may_be_a_phone(nic) and nic.kind in CABLE_KINDS:
        reasons.append(f"its driver ({nic.driver}) is used by phones and modems too")
    if address := router_assigned_address(nic):
        reasons.append(f"a router gave it the address {address}")
    static = [str(a.network) for a in nic.addresses if not a.dynamic and not a.network.ip.is_link_local()]
    if static:
        reasons.append(f"it has the address {', '.join(static)}")
    return reasons


def _usable(nic: Nic) -> bool:
    return nic.usable_name and nic.kind != "loopback" and not nic.master


def _leased(nic: Nic) -> bool:
    return nic.leased


def _link(nic: Nic) -> str:
    if nic.carrier:
        return "its cable has a link"
    return "no cable is plugged in" if nic.carrier is False else "it is down: a cable would not show"
