"""The plan in force has one reader; what an unreadable file comes to is the caller's choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.host.plan_in_force import RUNNING_OR_KEPT, Unreadable, read_plan_in_force
from wizard.monitor.file_followers import PlanFollower
from wizard.plan import paths
from wizard.plan.file.read import PlanUnreadable

SAMPLE = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text()


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, str]:
    return str(tmp_path / "live.toml"), str(tmp_path / "kept.toml")


def test_what_runs_comes_before_what_is_kept() -> None:
    assert RUNNING_OR_KEPT == (paths.LIVE_PLAN, paths.PLAN_IN_FORCE)


def test_the_first_file_that_is_there_is_the_plan(places: tuple[str, str]) -> None:
    assert read_plan_in_force(places) is None

    Path(places[1]).write_text(SAMPLE)
    kept = read_plan_in_force(places)
    Path(places[0]).write_text(SAMPLE.replace("ciao.lan", "other.lan"))
    running = read_plan_in_force(places)

    assert kept is not None
    assert running is not None
    assert (kept.path, kept.text) == (places[1], SAMPLE)
    assert (running.path, running.plan.network.domain) == (places[0], "other.lan")


def test_a_file_that_holds_no_plan_is_an_error_or_passed_over(places: tuple[str, str]) -> None:
    Path(places[0]).write_text("no plan")

    assert read_plan_in_force(places, Unreadable.SKIP) is None
    with pytest.raises(PlanUnreadable) as raised:
        read_plan_in_force(places, called="the plan")
    assert raised.value.source == "the plan"

    Path(places[1]).write_text(SAMPLE)
    passed_over = read_plan_in_force(places, Unreadable.SKIP)
    assert passed_over is not None
    assert passed_over.path == places[1]
    with pytest.raises(PlanUnreadable):
        read_plan_in_force(places)


def test_who_follows_the_plan_keeps_the_last_that_could_be_read(places: tuple[str, str]) -> None:
    file = PlanFollower(places)
    Path(places[0]).write_text("no plan")
    with pytest.raises(PlanUnreadable):
        file.read()

    Path(places[0]).write_text(SAMPLE)
    plan = file.read()
    Path(places[0]).write_text("no plan any more")

    assert plan is not None
    assert file.read() == plan
    Path(places[0]).unlink()
    assert file.read() is None
