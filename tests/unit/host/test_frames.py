"""The headers and checksums that every frame of ours has, and ARP."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wizard.host.net import frames
from wizard.host.net.frames import ARP, IPV4, NOBODY, TCP, ArpMessage, arp_request, checksum, find_ipv4, parse_arp

MAC, OTHER = bytes.fromhex("b8aeed7b5150"), bytes.fromhex("001b213c9d10")
OWN, GATEWAY = bytes((10, 0, 0, 9)), bytes((10, 0, 0, 1))
ADDRESSES = st.binary(min_size=4, max_size=4)
PORTS = st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2 ^ 0xFFFF
    assert checksum(b"\x01") == checksum(b"\x01\0") == 0xFEFF
    assert checksum(b"") == 0xFFFF


@given(ADDRESSES, ADDRESSES, PORTS, st.binary(max_size=80))
@example(bytes(4), bytes(4), (0, 0), b"")
def test_both_checksums_of_a_datagram_hold(source: bytes, to: bytes, ports: tuple[int, int], payload: bytes) -> None:
    packet = frames.udp(source, to, ports, payload)
    header, datagram = packet[:20], packet[20:]
    assert checksum(header) == 0
    assert int.from_bytes(header[2:4], "big") == len(packet)
    assert struct.unpack("!HHH", datagram[:6]) == (*ports, 8 + len(payload))
    assert datagram[6:8] != bytes(2), "zero is for a datagram without a checksum"
    assert checksum(source + to + struct.pack("!BBH", 0, 17, len(datagram)) + datagram) == 0


def test_a_checksum_of_zero_is_sent_as_ones() -> None:
    check = frames.udp(OWN, GATEWAY, (67, 68), bytes(2))[26:28]
    assert frames.udp(OWN, GATEWAY, (67, 68), check)[26:28] == b"\xff\xff"


def test_a_packet_says_what_it_is() -> None:
    packet = frames.ipv4(OWN, GATEWAY, TCP, bytes(20), 16, tos=0x10, flags=0)
    assert packet[:10] == bytes((0x45, 0x10, 0, 40, 0, 0, 0, 0, 64, TCP))
    assert packet[12:20] == OWN + GATEWAY
    assert frames.udp(OWN, GATEWAY, (1, 2), b"")[6:8] == b"\x40\0"
    assert frames.ethernet(OTHER, MAC, IPV4, packet) == OTHER + MAC + b"\x08\0" + packet


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (b"", (14, None)),
        (b"\x81\0\xe0\0", (18, None)),
        (b"\x88\xa8\0\x07\x81\0\0\x2a", (22, 7)),
        (b"\x81\0\0\0\x91\0\0\x2a", (22, 42)),
        (b"\x81\0\0\x01" * 4, (30, 1)),
        (b"\x81\0\0\x01" * 5, None),
        (b"\x86\xdd", None),
    ],
    ids=["untagged", "priority only", "two", "priority and VLAN", "four", "five", "IPv6"],
)
def test_an_ipv4_packet_is_found_behind_tags(tags: bytes, found: tuple[int, int | None] | None) -> None:
    assert find_ipv4(bytes(12) + tags + b"\x08\0" + bytes(20)) == found


@given(st.binary(max_size=60))
@example(bytes(12) + b"\x81\0")
@example(bytes(12) + b"\x81\0\0\x01")
@example(bytes(12) + b"\x08")
def test_nonsense_has_nothing_in_it_and_raises_nothing(noise: bytes) -> None:
    found = find_ipv4(noise)
    assert found is None or noise[found[0] - 2 : found[0]] == b"\x08\0"
    parse_arp(noise)
    parse_arp(bytes(12) + b"\x08\x06" + noise)


def test_an_arp_question_is_read_as_it_was_asked() -> None:
    frame = arp_request(MAC, OWN, GATEWAY)
    assert frame[:14] == b"\xff" * 6 + MAC + ARP.to_bytes(2, "big")
    assert len(frame) == 42
    assert parse_arp(frame) == ArpMessage(False, MAC, OWN, GATEWAY)
    assert parse_arp(arp_request(MAC, NOBODY, GATEWAY, OTHER)) == ArpMessage(False, MAC, NOBODY, GATEWAY)
    assert parse_arp(frame[:21] + b"\x02" + frame[22:]) == ArpMessage(True, MAC, OWN, GATEWAY)


@pytest.mark.parametrize(
    ("at", "value"), [(12, 0x09), (15, 6), (21, 3), (22, 0x01), (18, 8)], ids=["type", "hw", "op", "group", "length"]
)
def test_arp_that_is_none(at: int, value: int) -> None:
    frame = arp_request(MAC, OWN, GATEWAY)
    assert parse_arp(frame[:at] + bytes((value,)) + frame[at + 1 :]) is None
    assert parse_arp(frame[:41]) is None
    assert parse_arp(arp_request(bytes(6), OWN, GATEWAY)) is None
