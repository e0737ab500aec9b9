"""Whether a switch passes frames on by the port that leads to us, told from what comes in by it. Pure.

A bridge that runs a spanning tree holds a fresh port back for two times its forward delay, 30 s by default. It says so:
it sends BPDUs by that port, at least every ten seconds and by default every two.
"""

from __future__ import annotations

import math

from wizard.host.net.bpf import LONGEST_8023

_CISCO_GROUP = bytes.fromhex("01000ccccccd")
"""Per-VLAN spanning trees."""
_LINK_LOCAL = bytes.fromhex("0180c2000000")
"""IEEE 802.1D: frames to this MAC, and to the 15 after it, come from the other end of the cable."""
_CISCO_NEIGHBOURS = bytes.fromhex("01000ccccccc")
_LLC = bytes.fromhex("424203")
_SNAP = bytes.fromhex("aaaa0300000c010b")
_LOOPBACK_TEST = 0x9000
"""Configuration Testing Protocol: switches send it to themselves."""
_RAPID_VERSION, _RAPID_TYPE = 2, 2
_FORWARDING = 0x20
HEAD = 64
"""Bytes of a frame that suffice here."""

NO_BPDU_S = 5.0
"""A port that is held back has sent two BPDUs by then, at the default hello time."""


def parse_bpdu(frame: bytes) -> bool | None:
    """None where the frame is no BPDU, else whether it says that its sender's port forwards.

    False too for the classic spanning tree, which does not say it.
    """
    if int.from_bytes(frame[12:14], "big") > LONGEST_8023:
        return None
    if frame[:6] == _LINK_LOCAL and frame[14:17] == _LLC:
        body = frame[17:]
    elif frame[:6] == _CISCO_GROUP and frame[14:22] == _SNAP:
        body = frame[22:]
    else:
        return None
    if len(body) < 4 or body[:2] != b"\0\0":
        return None
    return body[2] >= _RAPID_VERSION and body[3] == _RAPID_TYPE and len(body) > 4 and bool(body[4] & _FORWARDING)


def _is_rapid(frame: bytes) -> bool:
    body = frame[17:] if frame[:6] == _LINK_LOCAL else frame[22:]
    return body[2] >= _RAPID_VERSION


class PortEvidence:
    """When to stop listening by a link whose carrier has just come up; times in s since then.

    `settled`: how long to listen to a port that forwards; `patience`: how long to one that never shows it.

    A port forwards once a frame of another machine came in by it, or a rapid spanning tree says so. Where that runs,
    its word alone counts: between it and us there may be a switch whose machines we hear. Without a BPDU there is no
    spanning tree.
    """

    def __init__(self, own_mac: bytes, settled: float, patience: float) -> None:
        self._own_mac, self._settled, self._patience = own_mac, settled, patience
        self._bpdu = self._rapid = False
        self._senders: set[bytes] = set()
        self._foreign_at = self._forwarding_at = math.inf

    @property
    def forwarding_at(self) -> float | None:
        """Since when the port is known to forward, or None."""
        at = self._forwarding_at if self._rapid else self._foreign_at
        return None if math.isinf(at) else at

    def add(self, frame: bytes, now: float, vlan: int | None = None) -> None:
        """Take in a frame that was received `now`; its first HEAD bytes suffice. `vlan`: its tag, or None."""
        says = parse_bpdu(frame)
        if says is not None:
            self._bpdu = True
            self._senders.add(frame[6:11])
            if vlan is None and _is_rapid(frame):
                self._rapid = True
                # Another port of that tree may go back to being held.
                self._forwarding_at = min(self._forwarding_at, now) if says else math.inf
        elif vlan is None and self._is_passed_on(frame):
            self._foreign_at = min(self._foreign_at, now)

    def _is_passed_on(self, frame: bytes) -> bool:
        """Whether a switch may only have received this frame by another port: not one of its own."""
        to, source = frame[:6], frame[6:12]
        kind = int.from_bytes(frame[12:14], "big")
        if len(frame) < 14 or source == self._own_mac or source[:5] in self._senders or kind == _LOOPBACK_TEST:
            return False
        from_the_other_end = to[:5] == _LINK_LOCAL[:5] and to[5] < 16
        return not from_the_other_end and to not in (_CISCO_NEIGHBOURS, _CISCO_GROUP)

    def listen_until(self) -> float:
        """The end of listening, by what is known now; a later frame may move it either way."""
        at = self.forwarding_at
        if at is not None:
            return at + self._settled
        return self._patience if self._bpdu else NO_BPDU_S + self._settled
