"""Reassembles fragmented IPv4 datagrams, as their receiver's kernel would."""

from __future__ import annotations

import struct

from wizard.host.net.frames import find_ipv4

_MOST_AT_ONCE, _MOST_PIECES, _LONGEST = 32, 100, 8192

Key = tuple[bytes, int, int]


class FragmentReassembler:
    """Fragments of up to 32 unfinished datagrams; the oldest are dropped. Never raises."""

    def __init__(self) -> None:
        self._pieces: dict[Key, dict[int, tuple[bytes, bool]]] = {}
        self._heads: dict[Key, tuple[bytes, bytes]] = {}

    def add(self, frame: bytes) -> bytes | None:
        """Take a fragment. The whole frame if it was the last one missing, else None."""
        found = find_ipv4(frame)
        if found is None:
            return None
        head, packet = frame[: found[0]], frame[found[0] :]
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return None
        header = (packet[0] & 0x0F) * 4
        total, number, flags = struct.unpack_from("!HHH", packet, 2)
        offset, more = (flags & 0x1FFF) * 8, bool(flags & 0x2000)
        if not 20 <= header < total <= len(packet) or not (offset or more):
            return None
        key = packet[12:20], number, packet[9]
        if key not in self._pieces and len(self._pieces) >= _MOST_AT_ONCE:
            self._forget(next(iter(self._pieces)))
        pieces = self._pieces.setdefault(key, {})
        pieces[offset] = packet[header:total], more
        if not offset:
            self._heads[key] = head, packet[:header]
        if len(pieces) > _MOST_PIECES:
            self._forget(key)
            return None
        payload = _joined(pieces)
        if payload is None or key not in self._heads:
            return None
        head, begun = self._heads[key]
        self._forget(key)
        length = struct.pack("!H", len(begun) + len(payload))
        return head + begun[:2] + length + begun[4:6] + bytes(2) + begun[8:] + payload

    def _forget(self, key: Key) -> None:
        self._pieces.pop(key, None)
        self._heads.pop(key, None)


def _joined(pieces: dict[int, tuple[bytes, bool]]) -> bytes | None:
    payload, more = b"", True
    while more:
        # Fragments that overlap are an attack; the kernel drops them too.
        if len(payload) not in pieces or len(payload) > _LONGEST:
            return None
        piece, more = pieces[len(payload)]
        if more and not piece:
            return None
        payload += piece
    return payload
