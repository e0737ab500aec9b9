"""Answers in pieces, answers of our own that come back, and what IPv6 says of a network; byte by byte."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.host.dhcp_frames import MAC, OFFER, answer, bootp, offer_to_us
from wizard.host.dhcp.own_replies import OwnReplyFilter
from wizard.host.dhcp.packet import parse_reply
from wizard.host.net.fragments import FragmentReassembler
from wizard.host.net.ipv6_packet import Ipv6Server, build_solicitation, server_in

ROUTER = bytes.fromhex("001b21000066")


def pieces(frame: bytes, size: int, at: int = 14) -> list[bytes]:
    """A frame's datagram in fragments that carry `size` bytes each."""
    header, payload = frame[at : at + 20], frame[at + 20 :]
    found = []
    for offset in range(0, len(payload), size):
        part = payload[offset : offset + size]
        more = 0x2000 if offset + size < len(payload) else 0
        head = header[:2] + struct.pack("!HHH", 20 + len(part), 7, more | offset // 8) + header[8:]
        found.append(frame[:at] + head + part)
    return found


@pytest.mark.parametrize("size", [8, 64, 256])
@pytest.mark.parametrize("tags", [b"", b"\x81\x00\x00\x2a"], ids=["untagged", "tagged"])
def test_an_answer_in_pieces_is_one_in_whatever_order_they_come(size: int, tags: bytes) -> None:
    parts = pieces(answer(bootp(), tags=tags), size, 14 + len(tags))
    random.Random(size).shuffle(parts)  # noqa: S311 - the same each time
    known = FragmentReassembler()
    wholes = [known.add(part) for part in parts]
    assert wholes[:-1] == [None] * (len(parts) - 1)
    assert wholes[-1] is not None
    found = offer_to_us(wholes[-1])
    assert found is not None
    assert (found.server_id, found.vlan) == (OFFER.server_id, 42 if tags else None)


def test_a_piece_alone_is_nothing_and_is_not_kept_for_ever() -> None:
    known = FragmentReassembler()
    first, *rest = pieces(answer(), 64)
    assert known.add(first) is None
    for number in range(100):
        assert known.add(first[:26] + bytes((10, 0, 0, number)) + first[30:]) is None
    assert [known.add(part) for part in rest] == [None] * len(rest), "the first has been forgotten"


def test_more_pieces_than_anybody_sends_come_to_nothing() -> None:
    known = FragmentReassembler()
    parts = pieces(answer(bootp() + bytes(600)), 8)
    assert {known.add(part) for part in parts} == {None}


@given(st.lists(st.binary(max_size=80), max_size=20), st.integers(0, 60))
@example([], 0)
def test_no_pieces_raise(noise: list[bytes], cut: int) -> None:
    known = FragmentReassembler()
    for part in [*pieces(answer(), 64), *noise]:
        known.add(part[:cut] + (noise[0] if noise else b""))
        known.add(part)


def test_our_own_answer_that_comes_back_is_known_and_a_copy_of_our_mac_is_not() -> None:
    replies, ours = OwnReplyFilter(MAC), answer()
    assert replies.parse_foreign(ours) == parse_reply(ours)
    replies.record(ours)
    assert replies.parse_foreign(ours) is None
    other = answer(bootp(offered="10.77.0.99"))
    assert replies.parse_foreign(other) == parse_reply(other)
    for number in range(1000):
        replies.record(answer(bootp(offered=f"10.77.{number >> 8}.{number & 255}")))
    assert replies.parse_foreign(ours) is not None, "the oldest are forgotten"


def ipv6(kind: int, payload: bytes, hops: int = 255) -> bytes:
    source, to = bytes.fromhex("fe80" + "00" * 13 + "01"), bytes.fromhex("ff02" + "00" * 13 + "01")
    header = struct.pack("!IHBB", 6 << 28, len(payload), kind, hops) + source + to
    return b"\x33\x33\0\0\0\1" + ROUTER + b"\x86\xdd" + header + payload


def advertisement(lifetime: int = 1800, hops: int = 255) -> bytes:
    return ipv6(58, struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, lifetime, 0, 0), hops)


def dhcp6(message: int, port: int = 547) -> bytes:
    return ipv6(17, struct.pack("!HHHH", port, 546, 12, 0) + bytes((message, 1, 2, 3)), 1)


def test_a_router_and_a_dhcpv6_server_are_told() -> None:
    assert server_in(advertisement()) == Ipv6Server(True, "fe80::1", "00:1b:21:00:00:66")
    assert server_in(dhcp6(2)) == server_in(dhcp6(7)) == Ipv6Server(False, "fe80::1", "00:1b:21:00:00:66")


@pytest.mark.parametrize(
    "frame",
    [
        advertisement(lifetime=0),
        advertisement(hops=64),
        advertisement()[:60],
        dhcp6(1),
        dhcp6(2, port=546),
        build_solicitation(MAC),
        b"",
        answer(),
    ],
    ids=["no default router", "from far away", "cut short", "a client", "another port", "a question", "none", "IPv4"],
)
def test_what_is_no_router_and_no_server_is_passed_over(frame: bytes) -> None:
    assert server_in(frame) is None


def test_the_question_for_routers_has_a_checksum_that_holds() -> None:
    frame = build_solicitation(MAC)
    message = frame[54:]
    total = sum(struct.unpack("!24H", frame[22:54] + struct.pack("!II", len(message), 58) + message))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


@given(st.binary(max_size=120))
def test_no_ipv6_raises(noise: bytes) -> None:
    server_in(noise)
    server_in(advertisement()[:54] + noise)
