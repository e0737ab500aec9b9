"""Every moment of an apply, a re-apply and a reset, and everyone who can be killed then."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.lab.cycles import CHANGES, RESET, apply, other_plan, strike_re_applies
from tests.lab.striking import (
    APPLY,
    Machine,
    ciao,
    interrupted,
    kill_engine,
    kill_tree,
    kill_watchman,
    kill_worker,
    moments,
    paused,
    strike_all,
)
from tests.needs import unavailable
from wizard.lab.control import Laboratory
from wizard.lab.preflight import missing

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if hindrances := missing():
        unavailable("no laboratory here: " + "; ".join(hindrances))
    held = Machine()
    yield held
    held.drop()


@pytest.fixture(scope="module")
def apply_moments(machine: Machine) -> list[str]:
    found = moments(machine.lab, *APPLY)
    assert ciao(machine.lab, *RESET).returncode == 0
    # After that it is applied, and stays so.
    return [moment for moment in found if moment != "applied"]


@pytest.mark.parametrize("strike", [kill_watchman, kill_engine, kill_tree])
def test_killed_at_every_moment(
    machine: Machine, apply_moments: list[str], strike: Callable[[Laboratory], None]
) -> None:
    assert strike_all(machine.lab, machine.before, apply_moments, strike) == {}


def test_the_worker_killed_at_every_moment_of_the_trial(machine: Machine, apply_moments: list[str]) -> None:
    trial = apply_moments[1 : apply_moments.index("kept")]
    assert strike_all(machine.lab, machine.before, trial, kill_worker) == {}


def test_a_reset_killed_at_every_moment(machine: Machine) -> None:
    lab = machine.lab
    apply(lab)
    for place in moments(lab, *RESET):
        apply(lab)
        with paused(lab, place, *RESET):
            kill_tree(lab)
        assert interrupted(lab), place
        assert ciao(lab, "rollback").returncode == 0, place
        assert machine.left() == [], place


def test_a_re_apply_killed_at_every_moment(machine: Machine) -> None:
    lab = machine.lab
    apply(lab)
    found = moments(lab, *other_plan(lab, *CHANGES), "--yes")
    apply(lab)
    assert strike_re_applies(lab, [moment for moment in found if moment != "applied"]) == {}
    assert ciao(lab, *RESET).returncode == 0
    assert machine.left() == []
