"""What each address has received and sent, and the rates between looks."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Mapping

import pytest

from wizard.host.net import nfnetlink
from wizard.host.net.netlink import attribute, nested
from wizard.host.net.nfnetlink import KernelRefused
from wizard.host.net.node_traffic import NodeTraffic, read_node_traffic
from wizard.host.net.traffic import LONGEST_GAP_S, Counters, Rate

NODE = "192.168.0.101"


def look(at: float, received: int, sent: int = 0) -> NodeTraffic:
    return NodeTraffic(at, True, {NODE: Counters(received, sent)})


def test_a_rate_is_in_bits_a_second() -> None:
    assert look(12, 3000, 500).after(look(10, 1000, 0)).rate_of(NODE) == Rate(8000.0, 2000.0)


def test_who_begins_to_speak_had_sent_nothing_before() -> None:
    assert look(11, 1000).after(NodeTraffic(10, True)).rate_of(NODE) == Rate(8000.0, 0.0)


def test_rules_that_were_loaded_anew_have_no_rate_yet() -> None:
    assert look(11, 10).after(look(10, 1000)).rate_of(NODE) is None


@pytest.mark.parametrize("at", [10 + LONGEST_GAP_S + 1, 10, 9])
def test_a_gap_is_no_rate(at: float) -> None:
    assert look(at, 2000).after(look(10, 1000)).rates == {}


def test_what_is_not_known_is_not_zero() -> None:
    unknown = NodeTraffic(11)
    assert unknown.of(NODE) is None
    assert unknown.after(look(10, 1000)).rate_of(NODE) is None
    assert look(12, 1000).after(unknown).rate_of(NODE) is None
    assert look(12, 1000).of("192.168.0.7") == Counters(0, 0)
    assert look(12, 1000).of("") is None


# What the kernel tells of a set: NFTA_SET_ELEM_LIST_ELEMENTS, and in each NFTA_SET_ELEM_KEY and _EXPR or _EXPRESSIONS.
KEY, EXPRESSION, EXPRESSIONS = 1, 7, 11


def element(ip: str, expression: bytes, many: bool = False) -> bytes:
    key = nested(KEY, attribute(1, socket.inet_aton(ip)))
    return nested(1, key + (nested(EXPRESSIONS, nested(1, expression)) if many else nested(EXPRESSION, expression)))


def counter(count: int) -> bytes:
    packets = attribute(2, struct.pack("!Q", 999))
    return attribute(1, b"counter\0") + nested(2, attribute(1, struct.pack("!Q", count)) + packets)


def kernel(monkeypatch: pytest.MonkeyPatch, sets: Mapping[str, list[bytes]]) -> None:
    """A kernel whose table has these sets, of which each reply has one list of elements."""

    def dump(_subsystem: int, _kind: int, _family: int, which: bytes) -> Iterator[dict[int, bytes]]:
        for name, replies in sets.items():
            if attribute(2, name.encode() + b"\0") in which:
                return iter([{3: reply} for reply in replies] or [{}])
        raise KernelRefused(errno.ENOENT)

    monkeypatch.setattr(nfnetlink, "dump", dump)


def test_the_kernels_counters_are_read_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    received = [element("192.168.0.101", counter(5_000_000_000)) + element("192.168.0.102", counter(7), many=True)]
    sent = [element("192.168.0.101", counter(3)), element("192.168.0.103", counter(9))]
    kernel(monkeypatch, {"node_received": received, "node_sent": sent})
    seen = read_node_traffic()
    assert seen.known
    assert seen.bytes == {
        "192.168.0.101": Counters(5_000_000_000, 3),
        "192.168.0.102": Counters(7, 0),
        "192.168.0.103": Counters(0, 9),
    }


def test_what_is_no_counter_of_an_address_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    other = attribute(1, b"quota\0") + nested(2, attribute(1, struct.pack("!Q", 1)))
    short = attribute(1, b"counter\0") + nested(2, attribute(1, b"\0\0"))
    ipv6 = nested(1, nested(KEY, attribute(1, bytes(16))) + nested(EXPRESSION, counter(1)))
    replies = [element("192.168.0.1", other), element("192.168.0.2", short), ipv6, b"\xff\xff", b""]
    kernel(monkeypatch, {"node_received": replies, "node_sent": []})
    assert read_node_traffic().bytes == {}
    assert read_node_traffic().known


def test_rules_without_these_sets_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel(monkeypatch, {"node_received": []})
    assert not read_node_traffic().known
