"""Defends the gateway's address as RFC 5227 (2.4) requires: once in ten seconds, then gives it up. No I/O.

`link_listener.LinkListener` feeds it the claims that it hears, and sends what it asks for.
"""

from __future__ import annotations

DEFEND_INTERVAL_S = 10.0
QUIET_S = 10.0
"""A rival that has claimed nothing for this long is gone."""
ARP_PROBE_EVERY_S = 3.0
_IN_FLIGHT_S = 0.3


class AddressDefence:
    """Rival claims to one address. `now` is in s, of any one clock. `rival`: the MAC of the last claim, or ""."""

    def __init__(self) -> None:
        self.rival = ""
        self.given_up = False
        self._defended_at: float | None = None
        self._claimed_at = 0.0
        self._probed_at = 0.0

    def note_claim(self, mac: str, now: float, may_defend: bool) -> bool:
        """Record a claim of another machine; True where the address is to be announced as ours now.

        Without a proof of the wire (`may_defend` is False) the other machine may be right: the address is given up.
        """
        self.rival, self._claimed_at = mac, now
        if self.given_up:
            return False
        since = now - self._defended_at if self._defended_at is not None else DEFEND_INTERVAL_S + 1
        if may_defend and since > DEFEND_INTERVAL_S:
            self._defended_at = now
            return True
        # A frame that was sent before our announcement arrived is no second claim.
        self.given_up = not may_defend or since > _IN_FLIGHT_S
        return False

    def is_over(self, now: float) -> bool:
        """True once, when the rival of a given-up address is gone."""
        if not self.given_up or now - self._claimed_at <= QUIET_S:
            return False
        self.given_up, self.rival, self._defended_at = False, "", None
        return True

    def probe_is_due(self, now: float) -> bool:
        """Whether to send an ARP request for the address now: every 3 s after a claim, until the rival is gone."""
        if not self.rival or now - self._probed_at < ARP_PROBE_EVERY_S or now - self._claimed_at < ARP_PROBE_EVERY_S:
            return False
        if not self.given_up and now - self._claimed_at > QUIET_S:
            self.rival = ""
            return False
        self._probed_at = now
        return True
