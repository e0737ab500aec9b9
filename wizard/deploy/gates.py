"""What must hold for our DHCP to be answered: judgements of the guard, each with its reason in words."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.host.facts_routes import default_route_nics, read_routes
from wizard.plan.machine import Nic
from wizard.plan.model import Plan


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether DHCP may be answered now. `code` is a stable slug, `tripped` for what a person must look at."""

    ok: bool
    code: str = ""
    reason: str = ""
    tripped: bool = False


FINE = Verdict(True)


def identity_holds(plan: Plan, identity: dict[str, dict[str, str]], nics: dict[str, Nic]) -> Verdict:
    """The cluster NIC is the very NIC that the plan was applied to."""
    cluster = plan.interfaces.cluster
    known = identity.get("cluster", {})
    nic = nics.get(cluster)
    elsewhere = next(
        (n for n in nics.values() if n.permanent_mac == known.get("mac") and n.bus == known.get("bus")), None
    )
    if nic is None:
        if elsewhere is not None:
            return Verdict(
                False,
                "renamed",
                f"{cluster} is now called {elsewhere.name}; apply the plan with that name",
                tripped=True,
            )
        return Verdict(False, "nic-gone", f"{cluster} is not there")
    if known and (nic.permanent_mac, nic.bus) != (known.get("mac"), known.get("bus")):
        now = f", and the one that was meant is now {elsewhere.name}" if elsewhere else ""
        return Verdict(
            False,
            "other-nic",
            f"{cluster} is another NIC: expected {known.get('mac')}, found {nic.permanent_mac}{now}",
            tripped=True,
        )
    return FINE


def wire_holds(plan: Plan, nics: dict[str, Nic]) -> Verdict:
    """The cluster NIC has a link and the gateway's address, which is nowhere else, and no default route."""
    cluster, net = plan.interfaces.cluster, plan.network
    if cluster in default_route_nics(read_routes()):
        return Verdict(
            False, "default-route", f"a default route leads over {cluster}: that is no cluster", tripped=True
        )
    if not nics[cluster].carrier:
        return Verdict(False, "no-carrier", f"{cluster} has no link: no cable, or nothing at its other end")
    ours = str(net.gateway)
    holders = [n.name for n in nics.values() for a in n.addresses if str(a.network.ip) == ours]
    if holders != [cluster]:
        where = ", ".join(holders) or "no NIC"
        return Verdict(False, "address", f"{ours} should be on {cluster} alone; it is on {where}")
    return FINE
