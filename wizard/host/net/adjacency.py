"""Are two NICs on one network? Sends a marked frame from each and listens on the other.

Within a millisecond this shows what no DHCP probe can: that cluster and corporate are one network.
"""

from __future__ import annotations

import secrets
import select
import time

from wizard.host.net.bpf import ether_type
from wizard.host.net.link import LinkState, read_link
from wizard.host.net.packet_socket import PacketSocket

LOCAL_EXPERIMENTAL = 0x88B5
_SIGNATURE = b"ciao-wizard: are two NICs on one wire?"
_SERVING = b" this one is served"


def marked_frame(mac: bytes, token: bytes, serving: bool = False) -> bytes:
    """A broadcast frame that its sender recognises by `token` (16 bytes). `serving`: the sender serves this network."""
    payload = _SIGNATURE + _SERVING if serving else _SIGNATURE
    return b"\xff" * 6 + mac + LOCAL_EXPERIMENTAL.to_bytes(2, "big") + token + payload


def is_serving_marker(frame: bytes) -> bool:
    """True for the frame that a serving guard, on any machine, sends every second."""
    return int.from_bytes(frame[12:14], "big") == LOCAL_EXPERIMENTAL and _SIGNATURE + _SERVING in frame


def are_bridged(first: str, second: str, *, tries: int = 3, timeout: float = 0.5) -> bool | None:
    """True if frames from one NIC arrive at the other; False if they do not; None if that could not be tested.

    Takes at most `tries` x `timeout` seconds. Also True for one NIC named twice and for
    NICs that this machine itself joins (one bridge or bond, a macvlan and its NIC). None: a NIC is
    missing, not Ethernet, down or without carrier, before or after, or nothing could be sent.
    Raises NeedsRoot.
    """
    try:
        with PacketSocket(ether_type(LOCAL_EXPERIMENTAL)) as one, PacketSocket(ether_type(LOCAL_EXPERIMENTAL)) as other:
            link, peer = read_link(first), read_link(second)
            if link is None or peer is None:
                return None
            if _share_a_link(link, peer):
                return True
            if not (_can_exchange(link) and _can_exchange(peer)):
                return None
            one.listen(first)
            other.listen(second)
            if any(_exchange(one, other, link, peer, timeout) for _ in range(tries)):
                return True
            # If a cable was out in between, silence proves nothing.
            undisturbed = (read_link(first), read_link(second)) == (link, peer)
    except OSError:
        return None
    return False if undisturbed and tries > 0 else None


def _share_a_link(one: LinkState, other: LinkState) -> bool:
    above = one.master != 0 and one.master == other.master
    stacked = one.index in (other.master, other.lower) or other.index in (one.master, one.lower)
    return one.index == other.index or above or stacked


def _can_exchange(link: LinkState) -> bool:
    return link.ethernet and link.carrier and not link.dormant


def _exchange(one: PacketSocket, other: PacketSocket, link: LinkState, peer: LinkState, timeout: float) -> bool:
    marks = secrets.token_bytes(16), secrets.token_bytes(16)
    for tap, end, mark in zip((one, other), (link, peer), marks, strict=True):
        tap.send(marked_frame(end.mac, mark))
    wanted = {one: marks[1], other: marks[0]}
    until = time.monotonic() + timeout
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([one, other], [], [], left)
        for tap in ready:
            received = tap.receive(0)
            if received is not None and wanted[tap] in received[0]:
                return True
    return False
