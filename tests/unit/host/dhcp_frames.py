"""A DHCP server's answers as frames, and what is read out of one."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from wizard.host.dhcp.packet import Offer, parse_reply

MAC = bytes.fromhex("b8aeed7b5150")
XID = 0xDEADBEEF
NOWHERE = str(IPv4Address(0))
SERVER_MAC = bytes.fromhex("001b213c9d10")
OFFER = Offer("10.77.0.1", "10.77.0.2", "00:1b:21:3c:9d:10", "10.77.0.98", "", None)

TYPE_OFFER = b"\x35\x01\x02"
SERVER_ID = b"\x36\x04" + IPv4Address("10.77.0.1").packed
OPTIONS = TYPE_OFFER + SERVER_ID + b"\xff"


def bootp(
    options: bytes = OPTIONS,
    *,
    relay: str = NOWHERE,
    offered: str = "10.77.0.98",
    sname: bytes = b"",
    file: bytes = b"",
) -> bytes:
    head = struct.pack("!BBBBIHH", 2, 1, 6, 0, XID, 0, 0x8000) + bytes(4)
    head += IPv4Address(offered).packed + bytes(4) + IPv4Address(relay).packed
    return head + MAC.ljust(16, b"\0") + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + b"\x63\x82\x53\x63" + options


def answer(
    payload: bytes | None = None, *, tags: bytes = b"", ip_options: bytes = b"", ports: tuple[int, int] = (67, 68)
) -> bytes:
    payload = bootp() if payload is None else payload
    udp = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    first = 0x45 + len(ip_options) // 4
    ip = struct.pack("!BBHHHBBH", first, 0, 20 + len(ip_options) + len(udp), 1, 0x4000, 64, 17, 0)
    ip += IPv4Address("10.77.0.2").packed + b"\xff" * 4 + ip_options
    return b"\xff" * 6 + SERVER_MAC + tags + b"\x08\x00" + ip + udp


def offer_to_us(frame: bytes) -> Offer | None:
    """The answer to the question that was asked with our MAC in our transaction."""
    reply = parse_reply(frame)
    return reply.offer if reply is not None and (reply.xid, reply.mac) == (XID, MAC) else None
