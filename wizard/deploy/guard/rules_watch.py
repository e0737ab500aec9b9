"""Are our rules loaded, all of them, and do they guard the very user that our dnsmasq runs as?"""

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
LOOK_EVERY_S = 15.0
"""Beside the kernel's news of nftables and of forwarding: iptables-legacy tells nobody."""
_LOAD_NO_SOONER_S = 2.0


class RulesWatch:
    """`unguarded` is called as soon as they are seen to be away. `uid` is the user to run dnsmasq as. `guarded` is
    False from when that is in doubt until it is seen to be so."""

    def __init__(self, unguarded: Callable[[], None]) -> None:
        self.unguarded = unguarded
        self.uid = 0
        self.guarded = False
        self.script = ""
        self.expected = ""
        self.looked_at = self.loaded_at = 0.0
        self.is_news = True
        self.postponed = False
        self.begun = False

    def reload(self) -> None:
        """Go by the live nat.sh as it is now."""
        script = read_text(SCRIPT) or ""
        if script != self.script:
            self.script, self.expected = script, ""
        self.is_news = True

    def changed(self) -> None:
        """Somebody changed rules: ours too, perhaps."""
        self.is_news, self.postponed = True, False

    def due(self) -> bool:
        """Whether `hold` has put something off that it can do now."""
        return self.postponed and time.monotonic() - self.loaded_at > _LOAD_NO_SOONER_S

    def enforce(self) -> GuardVerdict:
        """Whether they stand; loads them where they do not. Raises WizardError where that cannot be seen or done."""
        every = LOOK_EVERY_S if self.guarded else _LOAD_NO_SOONER_S
        if not self.is_news and not self.due() and time.monotonic() - self.looked_at < every:
            return HOLDS if self.guarded else _unguarded()
        self.looked_at = time.monotonic()
        self.guarded = self.postponed = False
        uid = gateway_rules.guarded_uid(self.script)
        if uid is None:
            return GuardVerdict(False, "unguarded", f"{SCRIPT} names no user to guard; apply the plan again")
        # An apply under way loads rules itself; but who starts this guard to bring back what is kept waits for it.
        if not gateway_rules.guarded(uid):
            # What only they kept mute ends before they are brought back: that may take a while.
            self.unguarded()
        if runtime_state.running_engine() is None or not self.begun:
            self._mend()
        self.begun = True
        self.uid, self.guarded = uid, gateway_rules.guarded(uid)
        self.is_news = False
        return HOLDS if self.guarded else _unguarded()

    def _mend(self) -> None:
        """Load our rules again where somebody took them away or put new ones in their way (Docker started, …)."""
        wrong = gateway_rules.troubles(SCRIPT)
        if not self.expected:
            self.expected = gateway_rules.expected_table_text(SCRIPT)
        if gateway_rules.table_text() != self.expected:
            wrong.append("the table is not as rendered")
        if not wrong:
            return
        if time.monotonic() - self.loaded_at < _LOAD_NO_SOONER_S:
            self.postponed = True
            return
        self.loaded_at = time.monotonic()
        log.info("rules were not as they should be, loading them: %s", "; ".join(wrong))
        gateway_rules.load(SCRIPT)


def _unguarded() -> GuardVerdict:
    return GuardVerdict(False, "unguarded", "the packet filter does not guard our DHCP answers")
