"""Byte counters of NICs, and the rates between looks."""

from __future__ import annotations

import pytest

from wizard.host.net.traffic import (
    LONGEST_GAP_S,
    MOST_RATES,
    Counters,
    Rate,
    Traffic,
    TrafficSample,
    bytes_words,
    rate_words,
    read_traffic,
)


def look(at: float, received: int, sent: int = 0, nic: str = "eth0") -> TrafficSample:
    return TrafficSample(at, {nic: Counters(received, sent)})


def test_the_loopback_counts_what_goes_over_it() -> None:
    found = read_traffic(["lo", "no-such-nic"])
    assert set(found.nics) == {"lo"}
    assert found.nics["lo"].received == found.nics["lo"].sent


def test_a_rate_is_in_bits_a_second() -> None:
    traffic = Traffic().after(look(10, 1000, 500)).after(look(12, 3000, 500))
    assert traffic.rates["eth0"] == (Rate(8000.0, 0.0),)


def test_one_look_is_no_rate() -> None:
    assert Traffic().after(look(10, 1000)).rates.get("eth0", ()) == ()


@pytest.mark.parametrize("later", [look(11, 999), look(11, 2000, nic="eth1"), TrafficSample(11, {})])
def test_a_nic_that_began_anew_or_went_has_no_old_rates(later: TrafficSample) -> None:
    traffic = Traffic().after(look(9, 0)).after(look(10, 1000)).after(later)
    assert traffic.rates.get("eth0", ()) == ()


@pytest.mark.parametrize("at", [10 + LONGEST_GAP_S + 1, 10, 9])
def test_a_gap_is_no_rate(at: float) -> None:
    """Nobody looked, or the clock is of another run."""
    traffic = Traffic().after(look(9, 0)).after(look(10, 1000)).after(look(at, 2000))
    assert traffic.rates == {}
    assert traffic.after(look(at + 1, 3000)).rates["eth0"] == (Rate(8000.0, 0.0),)


def test_no_more_is_kept_than_is_drawn() -> None:
    traffic = Traffic()
    for second in range(MOST_RATES * 2):
        traffic = traffic.after(look(second, second * second))
    rates = traffic.rates["eth0"]
    assert len(rates) == MOST_RATES
    assert rates[-1].received > rates[0].received


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, "0 b/s"),
        (999, "999 b/s"),
        (999.6, "1.0 kb/s"),
        (1_230_000, "1.2 Mb/s"),
        (9_940, "9.9 kb/s"),
        (9_960, "10 kb/s"),
        (12_000_000, "12 Mb/s"),
        (999_600_000, "1.0 Gb/s"),
        (5e15, "5000 Tb/s"),
    ],
)
def test_rates_in_words(bits: float, words: str) -> None:
    assert rate_words(bits) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_230_000, "1.2 MB"),
        (999_600_000, "1.0 GB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_amounts_in_words(count: int, words: str) -> None:
    assert bytes_words(count) == words
