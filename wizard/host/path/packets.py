"""The frames of a made-up node, and parsers for what this machine answers. Parsers never raise."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wizard.host.net import frames
from wizard.host.net.frames import TCP, UDP

SYN, RST, ACK = 0x02, 0x04, 0x10
NOERROR, NXDOMAIN = 0, 3
A, NS = 1, 2
_RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def rcode_name(rcode: int) -> str:
    return _RCODES.get(rcode, f"error {rcode}")


@dataclass(frozen=True, slots=True)
class Ends:
    """Source and target of a packet: MACs (six bytes), IPv4 addresses (four bytes) and ports."""

    source_mac: bytes
    to_mac: bytes
    source: bytes
    to: bytes
    source_port: int
    to_port: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment or a UDP datagram that was found in a frame. `flags`, `sequence`, `acknowledged` are TCP's."""

    ends: Ends
    protocol: int
    flags: int = 0
    sequence: int = 0
    acknowledged: int = 0
    payload: bytes = b""


def udp(ends: Ends, payload: bytes) -> bytes:
    return _frame(ends, frames.udp(ends.source, ends.to, (ends.source_port, ends.to_port), payload))


def tcp(ends: Ends, flags: int, sequence: int) -> bytes:
    header = struct.pack("!HHIIBBHHH", ends.source_port, ends.to_port, sequence, 0, 0x50, flags, 64240, 0, 0)
    return _frame(ends, frames.ipv4(ends.source, ends.to, TCP, header, 16))


def _frame(ends: Ends, packet: bytes) -> bytes:
    return frames.ethernet(ends.to_mac, ends.source_mac, frames.IPV4, packet)


def parse_segment(frame: bytes) -> Segment | None:
    """The TCP or UDP in an untagged Ethernet frame. Checksums are not checked: the NIC fills them in later."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4:
        return None
    start = 14 + (frame[14] & 0x0F) * 4
    protocol = frame[23]
    if len(frame) < start + (20 if protocol == TCP else 8) or frame[20] & 0x1F or frame[21]:
        return None
    source_port, to_port = struct.unpack_from("!HH", frame, start)
    ends = Ends(frame[6:12], frame[:6], frame[26:30], frame[30:34], source_port, to_port)
    if protocol == UDP:
        return Segment(ends, protocol, payload=frame[start + 8 :])
    if protocol == TCP:
        sequence, acknowledged, _, flags = struct.unpack_from("!IIBB", frame, start + 4)
        return Segment(ends, protocol, flags, sequence, acknowledged)
    return None


def dns_query(number: int, name: str, kind: int) -> bytes:
    """A recursive DNS query as bytes; `name` is ASCII, "" for the root."""
    labels = b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.split(".") if label)
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """`addresses`: of the A records, four bytes each."""

    number: int
    rcode: int
    addresses: tuple[bytes, ...]


def parse_dns_answer(payload: bytes) -> DnsAnswer | None:
    """The answer in a UDP payload to a question of ours, which has one question."""
    try:
        number, flags, questions, answers = struct.unpack_from("!HHHH", payload)
        if not flags & 0x8000 or questions > 1:
            return None
        at = 12
        for _ in range(questions):
            at = _after_name(payload, at) + 4
        found = []
        for _ in range(answers):
            at = _after_name(payload, at)
            kind, _, _, length = struct.unpack_from("!HHIH", payload, at)
            at += 10
            if kind == A and length == 4:
                found.append(payload[at : at + 4])
            at += length
    except (struct.error, IndexError):
        return None
    return DnsAnswer(number, flags & 0x0F, tuple(found))


def _after_name(payload: bytes, at: int) -> int:
    while payload[at]:
        if payload[at] & 0xC0:
            return at + 2
        at += 1 + payload[at]
    return at + 1
