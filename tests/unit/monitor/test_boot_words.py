"""What is said of boots: durations, changes between two looks, a row of signs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from wizard.monitor.boot_stages import Boot
from wizard.monitor.boot_words import changes, clock, signs, stage_words, took
from wizard.plan.netboot import Stage

START = datetime(2026, 12, 1, 10, 0, 0).astimezone()
AT = START.timestamp()
ARMED = Boot("node1", "debian12", "once", START.isoformat())
ON_ITS_WAY = replace(ARMED, stages={Stage.OFFERED: AT + 2, Stage.SCRIPT: AT + 3, Stage.KERNEL: AT + 45.6})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (187, "3:07 min"),
        (3731, "1:02:11 h"),
        (99 * 3600, "99:00:00 h"),
        (100 * 3600, "4 d"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert took(seconds) == said


def test_times_of_another_day_have_that_day() -> None:
    assert clock(AT, AT + 60) == "10:00:00"
    assert clock(AT, AT + 86400) == "01 Dec 10:00"


def test_a_stage_in_words() -> None:
    first, _, last = ON_ITS_WAY.timeline
    assert stage_words(first, AT) == "offered 10:00:02"
    assert stage_words(last, AT) == "kernel 10:00:45 (+42 s)"


def test_what_changed() -> None:
    assert changes([], [ARMED], AT) == ("10:00:00  node1: armed with debian12, once",)
    assert changes([ARMED], [ON_ITS_WAY], AT) == (
        "10:00:02  node1: offered",
        "10:00:03  node1: script after 1 s",
        "10:00:45  node1: kernel after 42 s",
    )
    stuck = replace(ON_ITS_WAY, hint="it has the kernel")
    assert changes([ON_ITS_WAY], [stuck], AT + 600) == ("10:10:00  node1: stuck: it has the kernel",)
    assert changes([stuck], [stuck], AT + 601) == ()
    # An address is offered to everybody.
    assert changes([Boot("node1")], [Boot("node1", stages={Stage.OFFERED: AT})], AT) == ()


def test_what_reported_was_disarmed_after_it() -> None:
    done = Boot("node1", stages={**ON_ITS_WAY.stages, Stage.REPORTED: AT + 50})
    assert changes([ON_ITS_WAY], [done], AT + 51) == (
        "10:00:50  node1: reported after 4 s",
        "10:00:51  node1: disarmed",
    )


def test_another_boot_is_told_from_its_start() -> None:
    again = replace(ON_ITS_WAY, times="always", stages={Stage.OFFERED: AT + 99})
    before = replace(ON_ITS_WAY, times="always")
    assert changes([before], [again], AT + 99) == ("10:01:39  node1: offered",)
    assert changes(
        [ARMED], [replace(ARMED, since=datetime.fromtimestamp(AT + 5).astimezone().isoformat())], AT + 9
    ) == ("10:00:05  node1: armed with debian12, once",)


@pytest.mark.parametrize(
    ("boot", "row"),
    [
        (Boot("node1"), ""),
        (Boot("node1", stages={Stage.OFFERED: AT}), ""),
        (ARMED, "○○○○○○○○"),
        (ON_ITS_WAY, "●·●●○○○○"),
        (replace(ON_ITS_WAY, hint="stuck"), "●·●●!○○○"),
        (Boot("node1", stages=dict.fromkeys(Stage, AT)), "●●●●●●●●"),
    ],
)
def test_a_row_of_signs(boot: Boot, row: str) -> None:
    assert signs(boot) == row
