"""Which machines are reachable: asks each every few seconds, rate-limited, without blocking."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wizard.host.net.prober import ProbeAnswer, Prober

PERIOD_S = 5.5
"""Between two questions to a machine that answers. With the tries below, one that is gone is known after 8 s."""
JITTER_S = 0.5
"""As much may come on top, so that two monitors never go in step."""
GRACE_S = 0.1
"""For so long answers to somebody else's question may be under way."""
WAIT_S = 1.0
TRIES = 2
RATE = 100.0
"""Questions a second for all together; with more than 600 machines the period grows."""
MEMORY_S = 30.0
"""For how long what was seen twice counts."""
MOST_CLAIMANTS = 8


@dataclass(slots=True)
class _Asked:
    """What is known of one address. Times are of the monotonic clock; `due` is when to act next."""

    due: float
    asked: float = 0.0
    tries: int = 0
    questions: int = 0
    others: float = float("-inf")
    answered: float | None = None
    here: bool | None = None
    replies: int = 0
    last_mac: str = ""
    # One in a thousand has these: () costs nothing.
    macs: tuple[tuple[str, float], ...] = ()
    flips: tuple[float, ...] = ()
    doubles: tuple[tuple[float, str], ...] = ()


class Reachability:
    """Give it the addresses of interest with `follow`, then `look` often; it tells what is new at which of them."""

    def __init__(self, prober: Prober, clock: Callable[[], float] = time.monotonic) -> None:
        self.prober = prober
        self._clock = clock
        self._asked: dict[str, _Asked] = {}
        self._queue: list[tuple[float, str]] = []
        self._chance = random.SystemRandom()
        self._credit = RATE / 4
        self._credited = clock()

    def follow(self, ips: Iterable[str]) -> None:
        """From now on these addresses too; asked at once."""
        now = self._clock()
        for ip in ips:
            if ip not in self._asked:
                self._asked[ip] = _Asked(now)
                heapq.heappush(self._queue, (now, ip))

    def probe_now(self, ips: Iterable[str]) -> None:
        """Ask these at once: something has happened there."""
        now = self._clock()
        for ip in ips:
            asked = self._asked.get(ip)
            if asked is not None and asked.tries == 0:
                asked.due = now
                heapq.heappush(self._queue, (now, ip))

    def forget(self, ips: Iterable[str]) -> None:
        for ip in ips:
            self._asked.pop(ip, None)

    def look(self) -> set[str]:
        """Take the answers, ask who is due; the addresses that somebody answered at, or that changed."""
        now = self._clock()
        changed = set()
        for answer in self.prober.collect():
            asked = self._asked.get(answer.ip)
            if asked is not None and self._take(asked, answer, now):
                changed.add(answer.ip)
        self._credit = min(self._credit + (now - self._credited) * RATE, RATE)
        self._credited = now
        while self._queue and self._queue[0][0] <= now and self._credit >= 1:
            due, ip = heapq.heappop(self._queue)
            asked = self._asked.get(ip)
            # One that was forgotten, or has been given another time since.
            if asked is None or asked.due != due:
                continue
            if self._act(asked, ip, now):
                changed.add(ip)
            heapq.heappush(self._queue, (asked.due, ip))
        return changed

    def is_reachable(self, ip: str) -> bool | None:
        """Whether somebody is at an address; None where nobody can know (yet)."""
        asked = self._asked.get(ip)
        return None if asked is None else asked.here

    def mac(self, ip: str) -> str:
        """Who answered last at an address; "" where that was not told."""
        asked = self._asked.get(ip)
        return "" if asked is None else asked.last_mac

    def silent_for(self, ip: str) -> float | None:
        """Seconds since somebody answered at an address; None where nobody ever did."""
        asked = self._asked.get(ip)
        return None if asked is None or asked.answered is None else self._clock() - asked.answered

    def claimants(self, ip: str) -> tuple[str, ...]:
        """The MACs of several machines that all say that an address is theirs; () where it is one."""
        asked = self._asked.get(ip)
        if asked is None or not asked.flips:
            return ()
        since = self._clock() - MEMORY_S
        # From one to another once is an address that moved. Back again is two who have it.
        if sum(at >= since for at in asked.flips) < 2:
            return ()
        return tuple(sorted(mac for mac, at in asked.macs if at >= since))

    def duplicate_mac(self, ip: str) -> str:
        """The MAC that answers for an address twice, time and again: two machines have it; "" where none does."""
        asked = self._asked.get(ip)
        since = self._clock() - MEMORY_S
        macs = [mac for at, mac in asked.doubles if at >= since] if asked else []
        return next((mac for mac in macs if macs.count(mac) >= 2), "")

    def _jitter(self) -> float:
        return self._chance.uniform(0, JITTER_S)

    def _act(self, asked: _Asked, ip: str, now: float) -> bool:
        """What is due at an address: ask, ask again, or give up for this time. Whether its state changed by that."""
        if asked.tries >= TRIES:
            before = asked.here
            # Silence. Whoever has answered before, or must answer, is gone.
            if self.prober.sure or asked.answered is not None:
                asked.here = False
            asked.tries = 0
            asked.due = now + PERIOD_S + self._jitter()
            return asked.here is not before
        if asked.tries == 0:
            asked.replies = 0
            # What another asked a moment ago may be answered yet.
            asked.questions = int(now - asked.others < GRACE_S)
        self._credit -= 1
        asked.tries += 1
        asked.questions += 1
        asked.asked = now
        asked.due = now + WAIT_S
        self.prober.ask(ip)
        return False

    def _take(self, asked: _Asked, answer: ProbeAnswer, now: float) -> bool:
        before = (asked.here, len(asked.flips), len(asked.doubles))
        if answer.present is None:
            asked.questions += 1
            asked.others = now
            return False
        asked.here = answer.present
        if answer.mac:
            self._claim(asked, answer, now)
        if answer.present:
            asked.answered = now
            if asked.tries:
                asked.tries = 0
                # Somebody who seems to be two is asked again soon, to be sure.
                asked.due = now + (WAIT_S if asked.flips or asked.doubles else PERIOD_S) + self._jitter()
                heapq.heappush(self._queue, (asked.due, answer.ip))
        return bool(answer.present) or before != (asked.here, len(asked.flips), len(asked.doubles))

    def _claim(self, asked: _Asked, answer: ProbeAnswer, now: float) -> None:
        since = now - MEMORY_S
        if asked.flips or asked.doubles:
            asked.flips = tuple(at for at in asked.flips if at >= since)
            asked.doubles = tuple((at, mac) for at, mac in asked.doubles if at >= since)
        if asked.last_mac not in ("", answer.mac):
            asked.flips = (*asked.flips[-MOST_CLAIMANTS:], now)
            others = dict(asked.macs or ((asked.last_mac, now),))
            others[answer.mac] = now
            asked.macs = tuple(sorted(others.items(), key=lambda claim: claim[1])[-MOST_CLAIMANTS:])
            asked.replies = 0
        elif asked.macs:
            asked.macs = tuple((mac, now if mac == answer.mac else at) for mac, at in asked.macs if at >= since)
        asked.last_mac = answer.mac
        # Two questions may well have two answers, whoever put them.
        if answer.reply and now - asked.asked <= WAIT_S:
            asked.replies += 1
            if asked.replies == asked.questions + 1:
                asked.doubles = (*asked.doubles[-MOST_CLAIMANTS:], (now, answer.mac))
