"""Watches that all our rules are loaded and guard the user that dnsmasq runs as; loads them again where not.

Called by `daemon.Guard` in the guard's main thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from wizard.deploy import runtime_state
from wizard.deploy.guard.preconditions import HOLDS, GuardVerdict
from wizard.host.files import read_text
from wizard.host.net import gateway_rules
from wizard.plan import paths

log = logging.getLogger("ciao-gateway")

SCRIPT = paths.LIVE_SCRIPT
CHECK_EVERY_S = 15.0
"""Check interval besides the kernel's events of nftables and forwarding: iptables-legacy causes none."""
_LOAD_EVERY_S = 2.0


class RulesWatch:
    """`unguarded` is called as soon as the rules are found missing. `uid`: the user to run dnsmasq as.

    `guarded`: whether the last check found the rules in force; False while a check is not complete.
    """

    def __init__(self, unguarded: Callable[[], None]) -> None:
        self.unguarded = unguarded
        self.uid = 0
        self.guarded = False
        self.script = ""
        self.expected = ""
        self.checked_at = self.loaded_at = 0.0
        self.is_dirty = True
        self.postponed = False
        self.checked_once = False

    def reload(self) -> None:
        """Read the live nat.sh; the next `enforce` checks against it."""
        script = read_text(SCRIPT) or ""
        if script != self.script:
            self.script, self.expected = script, ""
        self.is_dirty = True

    def changed(self) -> None:
        """Have the next `enforce` check the rules: some rule of this machine was changed."""
        self.is_dirty, self.postponed = True, False

    def due(self) -> bool:
        """Whether a load that `enforce` postponed is due."""
        return self.postponed and time.monotonic() - self.loaded_at > _LOAD_EVERY_S

    def enforce(self) -> GuardVerdict:
        """HOLDS where the rules are loaded; loads them where not. Raises WizardError where either fails."""
        every = CHECK_EVERY_S if self.guarded else _LOAD_EVERY_S
        if not self.is_dirty and not self.due() and time.monotonic() - self.checked_at < every:
            return HOLDS if self.guarded else _unguarded()
        self.checked_at = time.monotonic()
        self.guarded = self.postponed = False
        uid = gateway_rules.guarded_uid(self.script)
        if uid is None:
            return GuardVerdict(False, "unguarded", f"{SCRIPT} names no user to guard; apply the plan again")
        # A running apply loads the rules itself; but the first check must load them, for a recovery waits for it.
        if not gateway_rules.guarded(uid):
            # Loading may take a while: stop dnsmasq first, as nothing holds its answers back now.
            self.unguarded()
        if runtime_state.running_engine() is None or not self.checked_once:
            self._repair()
        self.checked_once = True
        self.uid, self.guarded = uid, gateway_rules.guarded(uid)
        self.is_dirty = False
        return HOLDS if self.guarded else _unguarded()

    def _repair(self) -> None:
        """Load our rules where others removed them or put rules in front of them (Docker started, …)."""
        wrong = gateway_rules.troubles(SCRIPT)
        if not self.expected:
            self.expected = gateway_rules.expected_table_text(SCRIPT)
        if gateway_rules.table_text() != self.expected:
            wrong.append("the table is not as rendered")
        if not wrong:
            return
        if time.monotonic() - self.loaded_at < _LOAD_EVERY_S:
            self.postponed = True
            return
        self.loaded_at = time.monotonic()
        log.info("rules were not as they should be, loading them: %s", "; ".join(wrong))
        gateway_rules.load(SCRIPT)


def _unguarded() -> GuardVerdict:
    return GuardVerdict(False, "unguarded", "the packet filter does not guard our DHCP answers")
