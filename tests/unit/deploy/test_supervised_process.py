"""A dnsmasq that keeps ending: how long it is left alone before it is started once more. The clock is the test's."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from wizard.deploy.guard import supervised_process
from wizard.deploy.guard.supervised_process import SupervisedProcess
from wizard.plan.findings import WizardError

GROWING = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


class Bench:
    """Starts what `supervised` wants started; `started` are the moments."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.started: list[float] = []
        self.refuses = False
        self.supervised = SupervisedProcess()

    def begin(self) -> subprocess.Popen[bytes]:
        self.started.append(self.now)
        if self.refuses:
            raise WizardError("no room", "Make some.")
        return subprocess.Popen(["sh", "-c", "read line; echo oops >&2; exit 3"], stdin=-1, stderr=-1)

    def look(self) -> bool:
        """What the guard does over and over; whether it found it well."""
        return self.supervised.keep_running(self.begin).ok

    def ends(self, after: float) -> None:
        """What runs ends by itself, so many seconds later."""
        process = self.supervised.process
        assert process is not None
        assert process.stdin is not None
        self.now += after
        process.stdin.close()
        process.stdin = None
        process.wait(10)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(supervised_process, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.mark.parametrize("refuses", [False, True], ids=["ends at once", "cannot be started"])
def test_the_pauses_grow_up_to_the_longest(bench: Bench, refuses: bool) -> None:
    bench.refuses = refuses
    for pause in GROWING:
        assert bench.look() is not refuses
        if not refuses:
            bench.ends(after=0.0)
        begun = len(bench.started)
        assert not bench.look()
        bench.now += pause * 0.99
        assert not bench.look(), "sooner than it may"
        assert len(bench.started) == begun
        bench.now += pause * 0.02
    bench.look()
    assert len(bench.started) == len(GROWING) + 1


def test_meanwhile_it_is_said_what_it_said_last(bench: Bench) -> None:
    bench.look()
    bench.ends(after=1)
    verdict = bench.supervised.keep_running(bench.begin)
    assert (verdict.code, verdict.tripped) == ("dnsmasq-dies", False)
    assert "oops" in verdict.reason


@pytest.mark.parametrize(("lived", "at_once"), [(29.0, False), (31.0, True)])
def test_one_that_was_well_is_started_again_at_once(bench: Bench, lived: float, at_once: bool) -> None:
    for _ in range(3):
        bench.look()
        bench.ends(after=0.0)
        bench.look()
        bench.now += 10
    bench.look()
    bench.ends(after=lived)
    assert bench.look() is at_once
    if at_once:
        bench.ends(after=0.0)
        bench.look()
        bench.now += GROWING[0] * 1.01
        assert bench.look(), "the pauses begin anew"


def test_once_something_was_changed_it_is_started_without_a_pause(bench: Bench) -> None:
    bench.refuses = True
    for _ in range(5):
        bench.look()
        bench.now += 10
    bench.look()
    bench.refuses = False
    assert not bench.look()
    bench.supervised.reset_backoff()
    assert bench.look()
    assert bench.supervised.failure == ""
    bench.ends(after=0.0)
