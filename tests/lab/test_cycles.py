"""A short form of tests/soak/test_cycles.py."""

from __future__ import annotations

from tests.lab.cycles import others, run_cycles
from tests.lab.striking import prepare
from wizard.lab.control import Laboratory


def test_three_cycles_leave_nothing_and_touch_nobody(lab: Laboratory) -> None:
    prepare(lab)
    with others(lab):
        assert run_cycles(lab, 3) == 5
