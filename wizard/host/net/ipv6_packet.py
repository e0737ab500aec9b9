"""Router advertisements and DHCPv6 servers' messages in Ethernet frames, and the solicitation that prompts them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

from wizard.host.net import frames

ALL_NODES_MAC, _ALL_ROUTERS_MAC = bytes.fromhex("333300000001"), bytes.fromhex("333300000002")
_ALL_ROUTERS = IPv6Address("ff02::2").packed
_ADVERTISEMENT, _SOLICITATION = 134, 133
_SERVER_PORT = 547
# ADVERTISE, REPLY, RECONFIGURE, RELAY-REPL (RFC 8415)
_FROM_A_SERVER = frozenset({2, 7, 10, 13})
_HEADER = struct.Struct("!IHBB16s16s")


@dataclass(frozen=True, slots=True)
class Ipv6Server:
    """The sender: a default router (`router`), else a DHCPv6 server. The MAC is the frame's source."""

    router: bool
    ip: str
    mac: str


def server_in(frame: bytes) -> Ipv6Server | None:
    """The router or DHCPv6 server that sent an untagged Ethernet frame, or None. Never raises."""
    if len(frame) < 14 + _HEADER.size + 8 or int.from_bytes(frame[12:14], "big") != frames.IPV6:
        return None
    _, length, kind, hops, source, _ = _HEADER.unpack_from(frame, 14)
    payload = frame[14 + _HEADER.size :][:length]
    if len(payload) < 9:
        return None
    if kind == frames.ICMPV6 and payload[0] == _ADVERTISEMENT and hops == 255:
        # A lifetime of zero: not a default router (RFC 4861, 4.2).
        router = len(payload) >= 16 and any(payload[6:8])
    elif kind == frames.UDP and int.from_bytes(payload[:2], "big") == _SERVER_PORT and payload[8] in _FROM_A_SERVER:
        router = False
    else:
        return None
    if kind == frames.ICMPV6 and not router:
        return None
    return Ipv6Server(router, str(IPv6Address(source)), frame[6:12].hex(":"))


def build_solicitation(mac: bytes) -> bytes:
    """A router solicitation as a frame. Its source is ::, so routers answer to all nodes."""
    message = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0)
    return frames.ethernet(_ALL_ROUTERS_MAC, mac, frames.IPV6, frames.icmpv6(bytes(16), _ALL_ROUTERS, message))
