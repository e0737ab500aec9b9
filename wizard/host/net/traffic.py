"""The kernel's byte counters of NICs, and the rates between two samples."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MOST_RATES = 120
# Samples further apart are a gap, not a rate.
LONGEST_GAP_S = 10.0
_UNITS = ("b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s")
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class Counters:
    """Bytes since the NIC appeared."""

    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """The counters of some NICs at one moment; `at` in seconds, monotonic."""

    at: float
    nics: Mapping[str, Counters]


@dataclass(frozen=True, slots=True)
class Rate:
    """Bits per second."""

    received: float = 0.0
    sent: float = 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """The last rates of each NIC, oldest first; () for a NIC that is absent or has one sample only."""

    last: TrafficSample | None = None
    rates: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)

    def after(self, sample: TrafficSample) -> Traffic:
        """Add a sample. The rates of a NIC that was away, or whose counters restarted, start over."""
        before = self.last
        if before is None or not 0 < sample.at - before.at <= LONGEST_GAP_S:
            return Traffic(sample)
        rates: dict[str, tuple[Rate, ...]] = {}
        for nic, now in sample.nics.items():
            rate = rate_between(before.nics.get(nic), now, sample.at - before.at)
            rates[nic] = (*self.rates.get(nic, ()), rate)[-MOST_RATES:] if rate is not None else ()
        return Traffic(sample, rates)


def read_traffic(nics: Iterable[str]) -> TrafficSample:
    """The counters of those of `nics` that exist."""
    import psutil

    # nowrap=False: psutil would add up the counters of a NIC that comes back.
    found = psutil.net_io_counters(pernic=True, nowrap=False)
    seen = {nic: Counters(found[nic].bytes_recv, found[nic].bytes_sent) for nic in nics if nic in found}
    return TrafficSample(time.monotonic(), seen)


def rate_words(bits: float) -> str:
    """A rate as people write it: "0 b/s", "950 kb/s", "1.2 Mb/s"."""
    for unit in _UNITS:
        if bits < 999.5 or unit == _UNITS[-1]:
            break
        bits /= 1000
    return f"{bits:.1f} {unit}" if 0 < bits < 9.95 and unit != _UNITS[0] else f"{bits:.0f} {unit}"


def bytes_words(count: int) -> str:
    """An amount as people write it: "0 B", "950 kB", "1.2 GB"."""
    amount: float = count
    for unit in _SIZES:
        if amount < 999.5 or unit == _SIZES[-1]:
            break
        amount /= 1000
    return f"{amount:.1f} {unit}" if 0 < amount < 9.95 and unit != _SIZES[0] else f"{amount:.0f} {unit}"


def rate_between(before: Counters | None, now: Counters, seconds: float) -> Rate | None:
    """The rate between two looks; None where there was none before, or a counter began anew since."""
    if before is None or now.received < before.received or now.sent < before.sent:
        return None
    return Rate((now.received - before.received) * 8 / seconds, (now.sent - before.sent) * 8 / seconds)
