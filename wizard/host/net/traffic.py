"""What goes over NICs: the kernel's byte counters, and the rates between looks at them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psutil

MOST_RATES = 120
# Whoever did not look for so long has a gap, not a rate.
LONGEST_GAP_S = 10.0
_UNITS = ("b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s")


@dataclass(frozen=True, slots=True)
class Counters:
    """Bytes since the NIC came to be."""

    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """The counters of some NICs at one moment; `at` in seconds of a clock that only goes forward."""

    at: float
    nics: Mapping[str, Counters]


@dataclass(frozen=True, slots=True)
class Rate:
    """Bits per second."""

    received: float = 0.0
    sent: float = 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """The last rates of each NIC, the oldest first; () for a NIC that is not there or was looked at only once."""

    last: TrafficSample | None = None
    rates: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)

    def after(self, look: TrafficSample) -> Traffic:
        """With one look more. A NIC that went away, or whose counters began anew, begins anew here as well."""
        before = self.last
        if before is None or not 0 < look.at - before.at <= LONGEST_GAP_S:
            return Traffic(look)
        rates: dict[str, tuple[Rate, ...]] = {}
        for nic, now in look.nics.items():
            rate = _rate(before.nics.get(nic), now, look.at - before.at)
            rates[nic] = (*self.rates.get(nic, ()), rate)[-MOST_RATES:] if rate is not None else ()
        return Traffic(look, rates)


def read_traffic(nics: Iterable[str]) -> TrafficSample:
    """The counters of those of `nics` that are there."""
    # Not psutil's sum over wraps and replugged NICs: a NIC that comes back begins anew.
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


def _rate(before: Counters | None, now: Counters, seconds: float) -> Rate | None:
    if before is None or now.received < before.received or now.sent < before.sent:
        return None
    return Rate((now.received - before.received) * 8 / seconds, (now.sent - before.sent) * 8 / seconds)
