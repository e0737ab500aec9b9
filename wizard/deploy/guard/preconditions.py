"""Preconditions for serving DHCP, each with a reason for people. Pure functions.

Called by the guard (`daemon`, `name_server`) on what it has just read of the machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from wizard.plan.machine import Nic
from wizard.plan.model import Plan

# Virtual NICs that may repeat the MAC of a physical one.
_VIRTUAL_KINDS = frozenset({"bridge", "bond", "vlan", "macvlan", "tunnel"})


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """Whether DHCP may be served now. `code`: a stable slug. `tripped`: only an apply by a person ends it.

    `grace`: s in which a tripping verdict may pass by itself (udev swaps names at a hot plug). DHCP is muted at once
    either way.
    """

    ok: bool
    code: str = ""
    reason: str = ""
    tripped: bool = False
    grace: float = 0.0


HOLDS = GuardVerdict(True)
GRACE_S = 2.0

Identity = Mapping[str, Mapping[str, str]]


def check_identity(plan: Plan, identity: Identity, nics: Mapping[str, Nic]) -> GuardVerdict:
    """The cluster NIC is the one that the plan was applied to, by permanent MAC and bus path.

    `identity`: identity.toml as read, {"cluster": {"mac", "bus"}}. `nics`: by name.
    """
    cluster = plan.interfaces.cluster
    mac, bus = _recorded(identity)
    if not mac:
        return GuardVerdict(False, "no-identity", f"it is not recorded which NIC {cluster} is; apply the plan again")
    nic = nics.get(cluster)
    meant = [
        n for n in nics.values() if (n.permanent_mac, n.bus) == (mac, bus) and n.kind not in _VIRTUAL_KINDS and n != nic
    ]
    if nic is None:
        if not meant:
            return GuardVerdict(False, "nic-gone", f"{cluster} is not there")
        reason = f"{cluster} ({mac}) is now called {meant[0].name}; apply the plan with that name"
        return GuardVerdict(False, "renamed", reason, tripped=True, grace=GRACE_S)
    if nic.permanent_mac != mac:
        now = f", and the one that was meant is now called {meant[0].name}" if meant else ""
        reason = f"{cluster} is another NIC: expected {mac}, found {nic.permanent_mac or 'none'}{now}"
        return GuardVerdict(False, "other-nic", reason, tripped=True, grace=GRACE_S)
    if nic.bus != bus:
        where = f"expected at {bus or 'no bus'}, found at {nic.bus or 'no bus'}"
        reason = f"{cluster} ({mac}) is in another place: {where}; apply the plan if it may stay there"
        return GuardVerdict(False, "other-nic", reason, tripped=True, grace=GRACE_S)
    return HOLDS


def _recorded(identity: Identity) -> tuple[str, str]:
    known = identity.get("cluster", {})
    return str(known.get("mac", "")), str(known.get("bus", ""))


def check_nic(plan: Plan, nics: Mapping[str, Nic], routed: Collection[str], corporate: str = "") -> GuardVerdict:
    """The cluster NIC has carrier and no default route, and it alone has the gateway's address.

    `nics`: by name, the cluster's must be there. `routed`: the names of NICs that carry a default route. `corporate`:
    the NIC of the corporate wire now, where the plan follows the default route and there is one.
    """
    cluster, net = plan.interfaces.cluster, plan.network
    corporate = corporate or plan.interfaces.corporate
    if cluster in routed:
        reason = f"a default route leads over {cluster}: that is no cluster"
        return GuardVerdict(False, "default-route", reason, tripped=True)
    nic = nics[cluster]
    if nic.master:
        other = nics.get(corporate)
        if nic.master == corporate or (other is not None and other.master == nic.master):
            reason = f"{cluster} and {corporate} are joined in {nic.master}: the company's network and the cluster"
            return GuardVerdict(False, "one-wire", reason, tripped=True)
        if nic.master in routed:
            reason = f"{cluster} was put into {nic.master}, which has the default route: the company's network"
            return GuardVerdict(False, "one-wire", reason, tripped=True)
        return GuardVerdict(False, "enslaved", f"{cluster} was put into {nic.master}")
    if not nic.up:
        return GuardVerdict(False, "no-carrier", f"{cluster} is set down")
    if not nic.carrier:
        return GuardVerdict(False, "no-carrier", f"{cluster} has no link: no cable, or nothing at its other end")
    ours = str(net.gateway)
    holders = {n.name for n in nics.values() for a in n.addresses if str(a.network.ip) == ours}
    if holders != {cluster}:
        where = ", ".join(sorted(holders)) or "no NIC"
        return GuardVerdict(False, "address", f"{ours} should be on {cluster} alone; it is on {where}")
    if all(str(a.network) != f"{ours}/{net.cidr.prefixlen}" for a in nic.addresses):
        return GuardVerdict(False, "address", f"{ours} should be on {cluster} with the prefix /{net.cidr.prefixlen}")
    return HOLDS
