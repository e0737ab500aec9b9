"""Asking who is there: how often, and what the answers and their absence mean."""

from __future__ import annotations

import pytest

from tests.unit.monitor.fakes import Wire
from wizard.host.net.prober import ProbeAnswer
from wizard.monitor.reachability import PERIOD_S, RATE, Reachability

HERE, A, B = "192.168.0.101", "02:00:00:00:00:0a", "02:00:00:00:00:0b"


class Asking:
    """Presence on a wire, with time that passes by `wait` alone."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wire = Wire()
        self.presence = Reachability(self.wire, lambda: self.now)
        self.presence.follow([HERE])

    def wait(self, seconds: float) -> set[str]:
        changed: set[str] = set()
        end = self.now + seconds
        while self.now < end:
            self.now += 0.25
            changed |= self.presence.poll()
        return changed


@pytest.fixture
def asking() -> Asking:
    return Asking()


def test_nothing_is_known_before_an_answer_could_be_there(asking: Asking) -> None:
    asking.presence.poll()
    assert asking.wire.asked == [HERE]
    assert asking.presence.is_reachable(HERE) is None
    assert asking.presence.is_reachable("192.168.0.9") is None


def test_silence_is_believed_after_a_second_question(asking: Asking) -> None:
    asking.wait(1.5)
    assert asking.presence.is_reachable(HERE) is None
    asking.wait(1)
    assert asking.presence.is_reachable(HERE) is False
    assert asking.wire.asked == [HERE, HERE]


def test_one_lost_answer_is_no_absence(asking: Asking) -> None:
    asking.wire.there[HERE] = [A]
    asking.wait(1)
    del asking.wire.there[HERE]
    asking.wait(PERIOD_S)
    asking.wire.there[HERE] = [A]
    asking.wait(3)
    assert asking.presence.is_reachable(HERE) is True


def test_whoever_is_overheard_is_there(asking: Asking) -> None:
    asking.wait(3)
    asking.wire.answers.append(ProbeAnswer(HERE, True, A, reply=False))
    assert asking.presence.poll() == {HERE}
    assert asking.presence.is_reachable(HERE) is True
    assert asking.presence.mac(HERE) == A


def test_hurrying_asks_at_once(asking: Asking) -> None:
    asking.wire.there[HERE] = [A]
    asking.wait(1)
    asked = len(asking.wire.asked)
    asking.presence.probe_now([HERE, "192.168.0.9"])
    asking.presence.poll()
    assert len(asking.wire.asked) == asked + 1


def test_who_is_forgotten_is_asked_no_more(asking: Asking) -> None:
    asking.wait(1)
    asking.presence.forget([HERE])
    asked = len(asking.wire.asked)
    asking.wait(30)
    assert len(asking.wire.asked) == asked
    assert asking.presence.is_reachable(HERE) is None


@pytest.mark.parametrize("step", [0.5, 1.1, 3.0])
def test_what_others_on_this_machine_ask_makes_no_clone(asking: Asking, step: float) -> None:
    """Another monitor, and the kernel: we hear the answers that they get."""
    asking.wire.there[HERE] = [A]
    for _ in range(40):
        asking.wire.answers += [ProbeAnswer(HERE, None), ProbeAnswer(HERE, True, A)]
        asking.wait(step)
    assert asking.presence.duplicate_mac(HERE) == ""


def test_a_clone_is_found_beside_such_others(asking: Asking) -> None:
    asking.wire.there[HERE] = [A, A]
    for _ in range(5):
        asking.wire.answers += [ProbeAnswer(HERE, None), ProbeAnswer(HERE, True, A), ProbeAnswer(HERE, True, A)]
        asking.wait(4)
    assert asking.presence.duplicate_mac(HERE) == A


def test_an_answer_that_came_twice_once_is_no_clone(asking: Asking) -> None:
    asking.wire.there[HERE] = [A, A]
    asking.presence.poll()
    asking.wire.there[HERE] = [A]
    asking.wait(20)
    assert asking.presence.duplicate_mac(HERE) == ""


def test_claimants_are_two_only_while_both_are(asking: Asking) -> None:
    asking.wire.there[HERE] = [A, B]
    asking.wait(10)
    assert asking.presence.claimants(HERE) == (A, B)
    asking.wire.there[HERE] = [B]
    asking.wait(60)
    assert asking.presence.claimants(HERE) == ()


def test_a_flood_of_made_up_macs_is_bounded(asking: Asking) -> None:
    for n in range(5000):
        asking.wire.answers.append(ProbeAnswer(HERE, True, f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", reply=False))
    asking.presence.poll()
    assert len(asking.presence.claimants(HERE)) < 20


def test_many_are_asked_one_after_the_other(asking: Asking) -> None:
    asking.presence.follow(f"192.168.{n >> 8}.{n & 255}" for n in range(5000))
    asking.wait(10)
    assert RATE * 5 <= len(asking.wire.asked) <= RATE * 11
    # And nobody is left out.
    asking.wait(250)
    assert len(set(asking.wire.asked)) == 5000
