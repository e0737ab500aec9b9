"""Whose a DHCP answer is that comes in by a NIC: a stranger's, or our own that a loop in a switch sends back.

A source MAC proves nothing: who answers with ours is to be heard. What left by this NIC is remembered instead.
"""

from __future__ import annotations

from collections import OrderedDict

from wizard.host.dhcp_packet import Reply, parse_reply

_REMEMBERED = 512


class OwnReplies:
    """The last answers that left by a NIC with this MAC."""

    def __init__(self, mac: bytes) -> None:
        self.mac = mac
        self._sent: OrderedDict[Reply, None] = OrderedDict()

    def note(self, frame: bytes) -> Reply | None:
        """Remember an answer that leaves; None where the frame is none."""
        reply = parse_reply(frame)
        if reply is not None:
            self._sent[reply] = None
            if len(self._sent) > _REMEMBERED:
                self._sent.popitem(last=False)
        return reply

    def foreign(self, frame: bytes) -> Reply | None:
        """The answer in a frame that came in, unless it is one of ours that came back."""
        reply = parse_reply(frame)
        return None if reply is None or reply in self._sent else reply
