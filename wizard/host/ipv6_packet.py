"""What says that a network has a router or a DHCPv6 server, in Ethernet frames."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

ALL_NODES_MAC, _ALL_ROUTERS_MAC = bytes.fromhex("333300000001"), bytes.fromhex("333300000002")
_ALL_ROUTERS = IPv6Address("ff02::2").packed
_IPV6 = 0x86DD
_ICMP, _UDP = 58, 17
_ADVERTISEMENT, _SOLICITATION = 134, 133
_SERVER_PORT = 547
# ADVERTISE, REPLY, RECONFIGURE, RELAY-REPL (RFC 8415)
_FROM_A_SERVER = frozenset({2, 7, 10, 13})
_HEADER = struct.Struct("!IHBB16s16s")


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who spoke: a router that nodes are to use (`router`), else a DHCPv6 server. The MAC is the frame's source."""

    router: bool
    ip: str
    mac: str


def speaker_in(frame: bytes) -> Speaker | None:
    """The router or DHCPv6 server that speaks in an untagged Ethernet frame, or None. Never raises."""
    if len(frame) < 14 + _HEADER.size + 8 or int.from_bytes(frame[12:14], "big") != _IPV6:
        return None
    _, length, kind, hops, source, _ = _HEADER.unpack_from(frame, 14)
    payload = frame[14 + _HEADER.size :][:length]
    if len(payload) < 9:
        return None
    if kind == _ICMP and payload[0] == _ADVERTISEMENT and hops == 255:
        # A lifetime of zero: it tells of a network, and is nobody's way out of it.
        router = len(payload) >= 16 and any(payload[6:8])
    elif kind == _UDP and int.from_bytes(payload[:2], "big") == _SERVER_PORT and payload[8] in _FROM_A_SERVER:
        router = False
    else:
        return None
    if kind == _ICMP and not router:
        return None
    return Speaker(router, str(IPv6Address(source)), frame[6:12].hex(":"))


def build_solicitation(mac: bytes) -> bytes:
    """Asks every router to advertise itself, from nobody's address: the answer is for all."""
    message = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0)
    nobody = bytes(16)
    total = sum(struct.unpack("!24H", nobody + _ALL_ROUTERS + struct.pack("!II", len(message), _ICMP) + message))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    header = _HEADER.pack(6 << 28, len(message), _ICMP, 255, nobody, _ALL_ROUTERS)
    frame = _ALL_ROUTERS_MAC + mac + struct.pack("!H", _IPV6) + header
    return frame + message[:2] + struct.pack("!H", check) + message[4:]
