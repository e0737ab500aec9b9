"""Which addresses are reachable: probes each every few seconds, rate-limited, without blocking."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wizard.host.net.prober import ProbeAnswer, Prober

PERIOD_S = 5.5
"""Between two probes of a machine that answers. With the tries below, one that is gone is noticed after 8 s."""
JITTER_S = 0.5
"""Added at random, so that two monitors never probe in step."""
GRACE_S = 0.1
"""How long answers to another process's probe may still arrive."""
WAIT_S = 1.0
TRIES = 2
RATE = 100.0
"""Probes a second in all; with more than 600 machines the period grows."""
MEMORY_S = 30.0
"""How long an observation counts towards an alarm."""
MOST_CLAIMANTS = 8


@dataclass(slots=True)
class _Target:
    """What is known of one address. Times are of `clock`, in s; `due`: when to act next.

    `tries`: probes since the last answer or timeout; `questions`: those and other processes', which `replies` are
    compared with. `claims`: (MAC, time) of each machine that answered, once there were two. `mac_changes`: when the
    answering MAC changed. `double_replies`: (time, MAC) of more replies than questions.
    """

    due: float
    asked_at: float = 0.0
    tries: int = 0
    questions: int = 0
    other_asked_at: float = float("-inf")
    answered_at: float | None = None
    reachable: bool | None = None
    replies: int = 0
    last_mac: str = ""
    # One target in a thousand has these; () costs nothing.
    claims: tuple[tuple[str, float], ...] = ()
    mac_changes: tuple[float, ...] = ()
    double_replies: tuple[tuple[float, str], ...] = ()


class Reachability:
    """Probes the addresses given to `follow`. Call `poll` often: it returns those where something is new."""

    def __init__(self, prober: Prober, clock: Callable[[], float] = time.monotonic) -> None:
        self.prober = prober
        self._clock = clock
        self._targets: dict[str, _Target] = {}
        self._queue: list[tuple[float, str]] = []
        self._random = random.SystemRandom()
        self._credit = RATE / 4
        self._credited = clock()

    def follow(self, ips: Iterable[str]) -> None:
        """Probe these addresses too, from now on."""
        now = self._clock()
        for ip in ips:
            if ip not in self._targets:
                self._targets[ip] = _Target(now)
                heapq.heappush(self._queue, (now, ip))

    def probe_now(self, ips: Iterable[str]) -> None:
        """Probe these at once, if followed: something has happened there."""
        now = self._clock()
        for ip in ips:
            target = self._targets.get(ip)
            if target is not None and target.tries == 0:
                target.due = now
                heapq.heappush(self._queue, (now, ip))

    def forget(self, ips: Iterable[str]) -> None:
        for ip in ips:
            self._targets.pop(ip, None)

    def poll(self) -> set[str]:
        """Take in answers and send the probes that are due. The addresses with an answer or another state."""
        now = self._clock()
        changed = set()
        for answer in self.prober.collect():
            target = self._targets.get(answer.ip)
            if target is not None and self._take_answer(target, answer, now):
                changed.add(answer.ip)
        self._credit = min(self._credit + (now - self._credited) * RATE, RATE)
        self._credited = now
        while self._queue and self._queue[0][0] <= now and self._credit >= 1:
            due, ip = heapq.heappop(self._queue)
            target = self._targets.get(ip)
            # Forgotten, or scheduled again since.
            if target is None or target.due != due:
                continue
            if self._ask_or_give_up(target, ip, now):
                changed.add(ip)
            heapq.heappush(self._queue, (target.due, ip))
        return changed

    def is_reachable(self, ip: str) -> bool | None:
        """Whether a machine has this address; None where that is not known (yet)."""
        target = self._targets.get(ip)
        return None if target is None else target.reachable

    def mac(self, ip: str) -> str:
        """The MAC that answered last at an address; "" where none is known."""
        target = self._targets.get(ip)
        return "" if target is None else target.last_mac

    def silent_for(self, ip: str) -> float | None:
        """Seconds since the last answer from an address; None where there never was one."""
        target = self._targets.get(ip)
        return None if target is None or target.answered_at is None else self._clock() - target.answered_at

    def claimants(self, ip: str) -> tuple[str, ...]:
        """The MACs that contend for an address; () where there is one at most."""
        target = self._targets.get(ip)
        if target is None or not target.mac_changes:
            return ()
        since = self._clock() - MEMORY_S
        # One change is an address that moved; back again means two machines have it.
        if sum(at >= since for at in target.mac_changes) < 2:
            return ()
        return tuple(sorted(mac for mac, at in target.claims if at >= since))

    def duplicate_mac(self, ip: str) -> str:
        """The MAC that repeatedly answers a probe twice, so that two machines have it; "" where none does."""
        target = self._targets.get(ip)
        since = self._clock() - MEMORY_S
        macs = [mac for at, mac in target.double_replies if at >= since] if target else []
        return next((mac for mac in macs if macs.count(mac) >= 2), "")

    def _jitter(self) -> float:
        return self._random.uniform(0, JITTER_S)

    def _ask_or_give_up(self, target: _Target, ip: str, now: float) -> bool:
        """Send a probe, or give up after TRIES until the next period. Whether its state changed by that."""
        if target.tries >= TRIES:
            before = target.reachable
            # Silence means absence only of who must answer, or has answered before.
            if self.prober.sure or target.answered_at is not None:
                target.reachable = False
            target.tries = 0
            target.due = now + PERIOD_S + self._jitter()
            return target.reachable is not before
        if target.tries == 0:
            target.replies = 0
            # Another process's probe of a moment ago may still be answered.
            target.questions = int(now - target.other_asked_at < GRACE_S)
        self._credit -= 1
        target.tries += 1
        target.questions += 1
        target.asked_at = now
        target.due = now + WAIT_S
        self.prober.ask(ip)
        return False

    def _take_answer(self, target: _Target, answer: ProbeAnswer, now: float) -> bool:
        before = (target.reachable, len(target.mac_changes), len(target.double_replies))
        if answer.present is None:
            target.questions += 1
            target.other_asked_at = now
            return False
        target.reachable = answer.present
        if answer.mac:
            self._note_mac(target, answer, now)
        if answer.present:
            target.answered_at = now
            if target.tries:
                target.tries = 0
                # What looks like two machines is probed again soon, to be sure.
                target.due = (
                    now + (WAIT_S if target.mac_changes or target.double_replies else PERIOD_S) + self._jitter()
                )
                heapq.heappush(self._queue, (target.due, answer.ip))
        return bool(answer.present) or before != (target.reachable, len(target.mac_changes), len(target.double_replies))

    def _note_mac(self, target: _Target, answer: ProbeAnswer, now: float) -> None:
        since = now - MEMORY_S
        if target.mac_changes or target.double_replies:
            target.mac_changes = tuple(at for at in target.mac_changes if at >= since)
            target.double_replies = tuple((at, mac) for at, mac in target.double_replies if at >= since)
        if target.last_mac not in ("", answer.mac):
            target.mac_changes = (*target.mac_changes[-MOST_CLAIMANTS:], now)
            others = dict(target.claims or ((target.last_mac, now),))
            others[answer.mac] = now
            target.claims = tuple(sorted(others.items(), key=lambda claim: claim[1])[-MOST_CLAIMANTS:])
            target.replies = 0
        elif target.claims:
            target.claims = tuple((mac, now if mac == answer.mac else at) for mac, at in target.claims if at >= since)
        target.last_mac = answer.mac
        # As many replies as questions are fine, whoever sent them.
        if answer.reply and now - target.asked_at <= WAIT_S:
            target.replies += 1
            if target.replies == target.questions + 1:
                target.double_replies = (*target.double_replies[-MOST_CLAIMANTS:], (now, answer.mac))
