"""What each address has received and sent, and the rates between looks."""

from __future__ import annotations

import pytest

from wizard.host.net.node_traffic import NodeTraffic
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
