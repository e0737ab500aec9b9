"""Follows the default route where the plan says so: keeps the packet filter's set of uplinks and their forwarding.

Called by `daemon.Guard` in the guard's main thread, while an engine runs too. It decides by which NICs the cluster's
packets leave, and which one the guard takes for the corporate wire, whose silence and whose proof DHCP depends on.
"""

from __future__ import annotations

import logging
import time

from wizard.host.commands import CommandFailed
from wizard.host.facts.uplinks import read_route_facts
from wizard.host.net import forwarding, gateway_rules
from wizard.host.net.link import read_link
from wizard.plan import paths
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.uplinks import other_wires, uplinks

log = logging.getLogger("ciao-gateway")

LOOK_EVERY_S = 10.0
"""How often it looks besides the kernel's events: somebody may have changed the set."""
_NO_SOONER_S = 0.2


class UplinkWatch:
    """`corporate`: the NIC of the corporate wire now, "" where there is none. `wanted`: a look is due soon.

    `others`: see `plan.uplinks.other_wires`; () for a named corporate NIC.
    """

    def __init__(self) -> None:
        self.corporate = ""
        self.others: tuple[str, ...] = ()
        self.followed: tuple[str, ...] | None = None
        self.failure = ""
        self._looked_at = 0.0
        self.wanted = True

    def changed(self) -> None:
        """Links, addresses, routes or routing rules have changed: look at the next `follow`."""
        self.wanted = True

    def reload(self, plan: Plan) -> None:
        """Another plan is in force, or the same one was loaded again."""
        self.corporate, self.followed, self.wanted, self._looked_at = plan.interfaces.corporate, None, True, 0.0
        self.others = ()
        if plan.interfaces.follows_default_route:
            self.corporate = ""

    def follow(self, plan: Plan) -> bool:
        """Have the cluster's packets leave by the uplinks of now; whether that changed anything.

        A named corporate NIC stays the only one. Never raises CommandFailed: it tries again at the next look.
        """
        named = read_link(plan.interfaces.corporate) if not plan.interfaces.follows_default_route else None
        if not plan.interfaces.follows_default_route and (named is None or named.ethernet):
            self.others = ()
            return False
        age = time.monotonic() - self._looked_at
        # A VPN that comes up causes a storm of events.
        if age < (_NO_SOONER_S if self.wanted else LOOK_EVERY_S):
            return False
        self.wanted, self._looked_at = False, time.monotonic()
        facts = read_route_facts()
        self.others = other_wires(plan, facts)
        return plan.interfaces.follows_default_route and self._update(plan, facts)

    def _update(self, plan: Plan, facts: Facts) -> bool:
        names = uplinks(plan, facts)
        self.corporate = next(iter(names), "")
        loaded = gateway_rules.loaded_uplinks()
        # No set: the rules are not loaded, or an apply has just loaded those of another plan.
        if loaded is not None and (loaded != sorted(names) or any(forwarding.is_on(nic) is False for nic in names)):
            try:
                gateway_rules.follow_uplinks(paths.LIVE_SCRIPT, names)
                self.failure = ""
            except CommandFailed as error:
                self.wanted = True
                if str(error) != self.failure:
                    log.warning("the uplinks could not be set: %s", error)
                self.failure = str(error)
                return False
        moved = names != self.followed
        if moved:
            log.info("the nodes go out by %s", ", ".join(names) or "no NIC: there is no default route")
        self.followed = names
        return moved
