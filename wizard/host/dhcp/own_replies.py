"""Distinguishes a foreign DHCP answer from one of ours that a switch loop sends back.

A source MAC proves nothing: a server may use ours. So what left by this NIC is remembered.
"""

from __future__ import annotations

from collections import OrderedDict

from wizard.host.dhcp.packet import Reply, parse_reply

_REMEMBERED = 512


class OwnReplyFilter:
    """The last 512 answers that left by a NIC with this MAC."""

    def __init__(self, mac: bytes) -> None:
        self.mac = mac
        self._sent: OrderedDict[Reply, None] = OrderedDict()

    def record(self, frame: bytes) -> Reply | None:
        """Remember an answer that leaves and return it; None if the frame is no answer."""
        reply = parse_reply(frame)
        if reply is not None:
            self._sent[reply] = None
            if len(self._sent) > _REMEMBERED:
                self._sent.popitem(last=False)
        return reply

    def parse_foreign(self, frame: bytes) -> Reply | None:
        """The answer in a frame that came in; None if there is none, or if it is one of ours."""
        reply = parse_reply(frame)
        return None if reply is None or reply in self._sent else reply
