"""The gateway's address on the cluster wire, guarded as RFC 5227 (2.4) has it: defended once, then given up. No I/O."""

from __future__ import annotations

DEFEND_INTERVAL_S = 10.0
QUIET_S = 10.0
"""Without a claim for so long, the other one is gone."""
LOOK_EVERY_S = 3.0
_ALREADY_UNDER_WAY_S = 0.3


class AddressDefence:
    """What others say of one address. Times are of any one clock, in seconds."""

    def __init__(self) -> None:
        self.rival = ""
        self.given_up = False
        self._defended_at: float | None = None
        self._claimed_at = 0.0
        self._looked_at = 0.0

    def note_claim(self, mac: str, now: float, may_defend: bool) -> bool:
        """Note that another machine says that it has the address; whether to say now that it is ours.

        Where it is not proven that this is our wire, the other one may be right: nothing is defended there.
        """
        self.rival, self._claimed_at = mac, now
        if self.given_up:
            return False
        since = now - self._defended_at if self._defended_at is not None else DEFEND_INTERVAL_S + 1
        if may_defend and since > DEFEND_INTERVAL_S:
            self._defended_at = now
            return True
        # What it sent before it can have heard us is no second claim.
        self.given_up = not may_defend or since > _ALREADY_UNDER_WAY_S
        return False

    def is_over(self, now: float) -> bool:
        """Whether an address that was given up is ours again; told once."""
        if not self.given_up or now - self._claimed_at <= QUIET_S:
            return False
        self.given_up, self.rival, self._defended_at = False, "", None
        return True

    def probe_is_due(self, now: float) -> bool:
        """Whether to ask now who has the address: after a claim, until the wire has been quiet for long enough."""
        if not self.rival or now - self._looked_at < LOOK_EVERY_S or now - self._claimed_at < LOOK_EVERY_S:
            return False
        if not self.given_up and now - self._claimed_at > QUIET_S:
            self.rival = ""
            return False
        self._looked_at = now
        return True
