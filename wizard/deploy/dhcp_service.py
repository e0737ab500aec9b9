"""Whether everybody who is to have an address gets one: what is left of the range, and whom the DHCP server refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from wizard.host.dhcp.dnsmasq_log import RANGE_FULL, DnsmasqLog
from wizard.plan import paths
from wizard.plan.addresses import SubnetFull, assign, range_use
from wizard.plan.checks import FAILED, OK, Check
from wizard.plan.fields import format_mac
from wizard.plan.lease_parser import Lease
from wizard.plan.model import Machine, Plan
from wizard.plan.text import clean

RANGE, SERVED = "range", "served"
"""The slugs of the two checks."""
RECENT = timedelta(minutes=10)
"""Who has not asked for so long may be switched off: the last refusal is no news then."""
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class DhcpService:
    """The state of the service. `free` of `size`: addresses of the range; `reserved`: those of the plan's own machines.
    `in_vain`: MACs that found none there.

    `unserved`: machines of the plan by name, and why each does not get its address. `ignored`: MACs that got no answer,
    known or not. The last three of late alone.
    """

    size: int
    free: int
    in_vain: tuple[str, ...] = ()
    unserved: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    reserved: int = 0

    def checks(self) -> list[Check]:
        return [self._range(), self._served()]

    def _range(self) -> Check:
        detail = f"{self.free} of {self.size} addresses free"
        if self.free or (self.size == self.reserved and not self.in_vain):
            return Check(RANGE, OK, detail)
        if self.in_vain:
            detail += f"; asked in vain: {_listed(self.in_vain)}"
        remedy = (
            "Enlarge network.dhcp_slice or dhcp_range, shorten network.lease_time, or release leases that nobody uses "
            "(x on the page Leases)."
        )
        return Check(RANGE, FAILED, detail, remedy)

    def _served(self) -> Check:
        if self.unserved:
            detail = _listed([f"{name} does not get its address: {why}" for name, why in self.unserved], "; ")
            remedy = (
                f"'ciao-wizard leases' names who has that address: free it. What the server said is in "
                f"{paths.DNSMASQ_LOG}."
            )
            return Check(SERVED, FAILED, detail, remedy)
        if self.ignored:
            return Check(SERVED, OK, f"no machine of the plan was refused; ignored as unknown: {_listed(self.ignored)}")
        return Check(SERVED, OK, "no machine of the plan was refused")


def judge_service(plan: Plan, leases: Iterable[Lease], log: DnsmasqLog, now: datetime, since: datetime) -> DhcpService:
    """The state by the lease file and the log. What the log says of before `since` does not count."""
    since = max(since, now - RECENT)
    try:
        plan = assign(plan)
    except SubnetFull:
        # Those without an address are told in other checks.
        pass
    live = [lease for lease in leases if lease.expires is None or lease.expires > now]
    holders = {lease.ip: lease for lease in live}
    use = range_use(plan, holders)
    asked = {mac for mac, (_, at) in log.request_times.items() if at >= since}
    unserved = [
        (machine.name, why) for machine in plan.machines if (why := _why_unserved(machine, holders, log, asked))
    ]
    return DhcpService(
        use.size,
        use.free,
        tuple(mac for mac, why in log.reasons.items() if why == RANGE_FULL and mac in asked),
        tuple(unserved),
        tuple(mac for mac in log.ignored if mac in asked),
        use.reserved,
    )


def _why_unserved(machine: Machine, holders: dict[str, Lease], log: DnsmasqLog, asked: set[str]) -> str:
    macs = [format_mac(mac) for mac in machine.macs]
    holder = holders.get(str(machine.ip))
    if holder is not None and holder.mac not in macs:
        return f"{machine.ip} is leased to {clean(holder.hostname, 64) or holder.mac}"
    for mac in macs:
        if mac in asked and mac in log.reasons:
            return log.reasons[mac]
        if mac in asked and mac in log.ignored:
            return "it was ignored"
    return ""


def _listed(texts: Iterable[str], between: str = ", ") -> str:
    texts = list(texts)
    more = len(texts) - _MOST_NAMED
    return between.join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
