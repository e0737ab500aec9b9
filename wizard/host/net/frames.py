"""Ethernet frames as bytes: headers, checksums, and ARP. Pure; parsers never raise."""

from __future__ import annotations

import struct
from dataclasses import dataclass

BROADCAST_MAC = b"\xff" * 6
NOBODY = bytes(4)
"""No IPv4 address: the sender of an ARP probe (RFC 5227), which changes no ARP table."""
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
"""EtherTypes."""
TCP, UDP, ICMPV6 = 6, 17, 58
"""Protocols of IP."""
DONT_FRAGMENT = 0x4000

_VLAN_TYPES = frozenset({0x8100, 0x88A8, 0x9100})
_MOST_TAGS = 4
_ARP_HEADER = struct.pack("!HHBB", 1, IPV4, 6, 4)
_ARP_BODY = struct.Struct("!6s4s6s4s")
_REQUEST, _REPLY = 1, 2


def checksum(data: bytes) -> int:
    """The checksum of IP, UDP, TCP and ICMPv6 (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ethernet(to: bytes, source: bytes, kind: int, payload: bytes) -> bytes:
    """A frame without its checksum; MACs of six bytes, `kind` is the EtherType."""
    return to + source + struct.pack("!H", kind) + payload


def ipv4(
    source: bytes,
    to: bytes,
    protocol: int,
    segment: bytes,
    check_at: int,
    *,
    tos: int = 0,
    flags: int = DONT_FRAGMENT,
) -> bytes:
    """An IPv4 packet with both checksums filled in; the segment's goes into its bytes `check_at`, which are zero."""
    pseudo = source + to + struct.pack("!BBH", 0, protocol, len(segment))
    # Zero means "none" in UDP, and to TCP both are the same.
    segment = _with_checksum(segment, check_at, checksum(pseudo + segment) or 0xFFFF)
    header = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(segment), 0, flags, 64, protocol, 0) + source + to
    return _with_checksum(header, 10, checksum(header)) + segment


def udp(
    source: bytes, to: bytes, ports: tuple[int, int], payload: bytes, *, tos: int = 0, flags: int = DONT_FRAGMENT
) -> bytes:
    """An IPv4 packet with a UDP datagram; `ports` are the source's and the destination's."""
    header = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    return ipv4(source, to, UDP, header + payload, 6, tos=tos, flags=flags)


def icmpv6(source: bytes, to: bytes, message: bytes) -> bytes:
    """An IPv6 packet that no router passes on, its checksum filled in; addresses of 16 bytes."""
    pseudo = source + to + struct.pack("!II", len(message), ICMPV6)
    header = struct.pack("!IHBB", 6 << 28, len(message), ICMPV6, 255) + source + to
    return header + _with_checksum(message, 2, checksum(pseudo + message))


def _with_checksum(data: bytes, at: int, check: int) -> bytes:
    return data[:at] + struct.pack("!H", check) + data[at + 2 :]


def find_ipv4(frame: bytes) -> tuple[int, int | None] | None:
    """Where the IPv4 packet of a frame begins, and its outermost VLAN (None: none); None where there is no IPv4."""
    vlan: int | None = None
    for at in range(12, 12 + 4 * _MOST_TAGS + 1, 4):
        kind = int.from_bytes(frame[at : at + 2], "big")
        if kind == IPV4:
            return at + 2, vlan
        if kind not in _VLAN_TYPES or len(frame) < at + 4:
            return None
        number = int.from_bytes(frame[at + 2 : at + 4], "big") & 0x0FFF
        vlan = vlan or number or None  # 0 is a priority, not a network
    return None


def arp_request(mac: bytes, sender: bytes, target: bytes, to: bytes = BROADCAST_MAC) -> bytes:
    """The frame that asks who has the address `target`: everybody on the wire, or the machine with the MAC `to`.

    Both addresses are four bytes.
    """
    body = _ARP_BODY.pack(mac, sender, bytes(6), target)
    return ethernet(to, mac, ARP, _ARP_HEADER + struct.pack("!H", _REQUEST) + body)


@dataclass(frozen=True, slots=True)
class ArpMessage:
    """An ARP frame: `mac` claims `ip` (NOBODY in a probe), and asks for `target`, or answers it if `reply`.

    MACs are six bytes, addresses four.
    """

    reply: bool
    mac: bytes
    ip: bytes
    target: bytes


def parse_arp(frame: bytes) -> ArpMessage | None:
    """The ARP in an untagged Ethernet frame; None if it is not ARP, or its sender's MAC is a group's or zero."""
    if len(frame) < 42 or frame[12:20] != struct.pack("!H", ARP) + _ARP_HEADER:
        return None
    operation = int.from_bytes(frame[20:22], "big")
    mac, ip, _, target = _ARP_BODY.unpack_from(frame, 22)
    if operation not in (_REQUEST, _REPLY) or mac[0] & 1 or not any(mac):
        return None
    return ArpMessage(operation == _REPLY, mac, ip, target)
