"""The guard's child that writes the metrics: when it is started, ended and cleaned up after; and what it reads."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.waiting import wait_for
from wizard.deploy import runtime_state
from wizard.deploy.guard import metrics_file, path_report
from wizard.deploy.guard.metrics_file import MetricsWriter
from wizard.deploy.guard.path_report import PathReport
from wizard.deploy.shapes import GuardState
from wizard.host.net import gateway_rules
from wizard.monitor import metrics
from wizard.plan import paths
from wizard.plan.checks import FAILED, OK, Check
from wizard.plan.file.read import load_plan

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
OURS = "# written by ciao-wizard's guard\nciao 1\n"


class Child:
    """Stands in for the process."""

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        self.dead = False

    def poll(self) -> int | None:
        return 0 if self.dead else None

    def terminate(self) -> None:
        self.dead = True

    def wait(self, _seconds: float) -> int:
        assert self.dead
        return 0


@dataclass
class Here:
    """A state directory, what was started, and a clock that stands until it is set."""

    state: Path
    now: float = 1000.0
    started: list[Child] = field(default_factory=list)

    def file(self, name: str) -> Path:
        path = self.state.parent / name
        path.write_text(OURS)
        return path

    def note(self) -> str:
        path = self.state / metrics_file.NOTE
        return path.read_text().strip() if path.exists() else ""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(paths, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "RUN", str(tmp_path / "run"))
    found = Here(tmp_path / "state")

    def start(argv: list[str], **_: object) -> Child:
        found.started.append(Child(argv))
        return found.started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    return found


def test_one_child_writes_and_another_follows_it_after_a_while(here: Here) -> None:
    writer = MetricsWriter()
    writer.supervise()
    assert here.started == []
    path = str(here.file("ciao.prom"))
    writer.reload(path)
    for _ in range(3):
        writer.supervise()
    (child,) = here.started
    assert child.argv[-3:] == [metrics_file.WRITER_COMMAND, path, str(os.getpid())]
    # With the guard it goes in any case.
    assert child.argv[:2] == ["setpriv", "--pdeathsig=TERM"]
    assert here.note() == path
    child.dead = True
    here.now += 29
    writer.supervise()
    assert len(here.started) == 1
    here.now += 2
    writer.supervise()
    assert len(here.started) == 2


def test_with_the_child_goes_its_file(here: Here) -> None:
    writer, file = MetricsWriter(), here.file("ciao.prom")
    writer.reload(str(file))
    writer.supervise()
    writer.stop()
    assert here.started[0].dead
    assert (file.exists(), here.note()) == (False, "")


@pytest.mark.parametrize("moved", ["", "moved.prom"])
def test_another_plan_ends_the_child_and_begins_at_once(here: Here, moved: str) -> None:
    writer, file = MetricsWriter(), here.file("ciao.prom")
    writer.reload(str(file))
    writer.supervise()
    writer.reload(moved and str(here.file(moved)))
    writer.supervise()
    assert here.started[0].dead
    assert not file.exists()
    assert [child.argv[-2] for child in here.started[1:]] == ([str(here.state.parent / moved)] if moved else [])


def test_the_same_plan_again_disturbs_nothing(here: Here) -> None:
    writer, file = MetricsWriter(), here.file("ciao.prom")
    for _ in range(2):
        writer.reload(str(file))
        writer.supervise()
    assert (len(here.started), here.started[0].dead, file.exists()) == (1, False, True)


@pytest.mark.parametrize("now", ["", "other.prom"])
def test_what_a_killed_guard_left_is_removed(here: Here, now: str) -> None:
    left = here.file("left.prom")
    (here.state / metrics_file.NOTE).write_text(f"{left}\n")
    MetricsWriter().reload(now and str(here.state.parent / now))
    assert (left.exists(), here.note()) == (False, "")


def test_a_directory_that_takes_no_note_is_no_end_of_the_guard(here: Here, caplog: pytest.LogCaptureFixture) -> None:
    writer = MetricsWriter()
    (here.state / metrics_file.NOTE).mkdir()
    writer.path = "/nowhere/ciao.prom"
    writer.supervise()
    assert here.started == []
    assert "the metrics cannot be written" in caplog.text


# What is written


def test_what_is_read_of_the_guard_and_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    report = PathReport(
        460.0, 470.0, (Check("path-out", OK, ""),), (Check("path-rules", FAILED, ""), Check("range", FAILED, "")), True
    )
    guard: GuardState = {"mode": "muted", "trips": 3}
    monkeypatch.setattr(metrics, "running_plan", lambda _if_unreadable: PLAN)
    monkeypatch.setattr(runtime_state, "running_guard", lambda: guard)
    monkeypatch.setattr(runtime_state, "boottime", lambda: 500.0)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    monkeypatch.setattr(path_report, "read", lambda _guard: report)
    monkeypatch.setattr(metrics, "read_rows", lambda: ())
    monkeypatch.setattr(gateway_rules, "counters", lambda: {"muted": 4})
    seen = metrics.read_gateway()
    assert (seen.mode, seen.trips, dict(seen.counters)) == ("muted", 3, {"muted": 4})
    assert [check.name for check in seen.path] == ["path-out", "path-rules"]
    assert seen.path_at == 970.0
    # Its nodes have the addresses that they are given.
    assert seen.plan is not None
    assert all(node.ip is not None for node in seen.plan.nodes)
    monkeypatch.setattr(runtime_state, "running_guard", lambda: None)
    assert (metrics.read_gateway().mode, metrics.read_gateway().path_at) == ("absent", None)


def test_the_child_takes_its_file_along(tmp_path: Path) -> None:
    file = tmp_path / "ciao.prom"
    child = subprocess.Popen(metrics_file.writer_command(str(file), os.getpid()))
    try:
        wait_for(file.exists, "the file")
        child.terminate()
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
    assert list(tmp_path.iterdir()) == []
