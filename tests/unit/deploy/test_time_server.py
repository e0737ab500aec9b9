"""The steps that open this machine's time server: what it refuses fails no apply, and it is not left stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wizard.deploy.apply.context import ApplyContext
from wizard.deploy.apply.steps import time_server
from wizard.deploy.apply.steps.time_server import InstallTimeFile, RemoveTimeFile, ServeTime
from wizard.deploy.journal import Journal
from wizard.host import commands, systemd
from wizard.host.commands import CommandFailed
from wizard.host.net.managers import BACKENDS
from wizard.host.ntp import own_server
from wizard.host.ntp.query import NoTime
from wizard.plan.backends import Backend
from wizard.plan.file.read import load_plan
from wizard.plan.ntp import CHRONY, NTPSEC, TimeServer, TimeSource
from wizard.plan.render import File

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
GATEWAY = "192.168.0.200"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with systemd: the commands that were `told`, those that are `refused`, whether it `serves`."""
    seen = SimpleNamespace(told=[], refused=set(), serves=False)

    def run(*argv: str, **_: Any) -> str:
        seen.told.append(argv)
        if argv[:2] in seen.refused:
            raise CommandFailed(argv, 1, "501 Not authorised")
        return ""

    def ask(server: str) -> None:
        if not seen.serves:
            raise NoTime("does not answer")

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(systemd, "running", lambda: True)
    monkeypatch.setattr(own_server, "is_running", lambda _: True)
    monkeypatch.setattr(time_server, "ask", ask)
    monkeypatch.setattr(time_server, "is_here", lambda _: True)
    return seen


def context(tmp_path: Path, kind: str, former: bool = False) -> ApplyContext:
    server = TimeServer(kind, f"{kind}.service", str(tmp_path / "ciao-cluster.conf"))
    source, none = TimeSource((GATEWAY,), server), TimeSource()
    file = File(server.drop_in, "ours\n")
    found = ApplyContext(PLAN, (file,), file, BACKENDS[Backend.IFUPDOWN], 0, Journal(), time=source)
    return replace(found, time=none, former_time=source) if former else found


def server_of(found: ApplyContext) -> TimeServer:
    assert found.time.server is not None
    return found.time.server


def test_what_chrony_refuses_in_the_trial_is_said_and_fails_nothing(machine: Any, tmp_path: Path) -> None:
    machine.refused = {("chronyc", "allow")}
    found = context(tmp_path, CHRONY)
    said = ServeTime(found, server_of(found)).do()
    assert "not opened in the trial" in said
    assert "501 Not authorised" in said


@pytest.mark.parametrize("kind", [CHRONY, NTPSEC])
def test_a_server_that_does_not_restart_goes_on_without_our_file(machine: Any, tmp_path: Path, kind: str) -> None:
    machine.refused = {("systemctl", "try-restart")}
    found = context(tmp_path, kind)
    said = InstallTimeFile(found, server_of(found).drop_in).do()
    assert said.startswith("taken away again: ")
    assert said.endswith(f"{kind} goes by its own files, and the nodes get no time")
    assert not Path(server_of(found).drop_in).exists()
    assert machine.told[-1] == ("systemctl", "restart", f"{kind}.service")


def test_a_server_that_does_not_start_again_at_all_is_named(machine: Any, tmp_path: Path) -> None:
    machine.refused = {("systemctl", "try-restart"), ("systemctl", "restart")}
    found = context(tmp_path, NTPSEC)
    assert "ntpsec does not start by its own files either" in InstallTimeFile(found, server_of(found).drop_in).do()


def test_a_former_server_that_does_not_restart_fails_nothing(machine: Any, tmp_path: Path) -> None:
    machine.refused = {("systemctl", "try-restart")}
    found = context(tmp_path, NTPSEC, former=True)
    (tmp_path / "ciao-cluster.conf").write_text("ours\n")
    said = RemoveTimeFile(found, str(tmp_path / "ciao-cluster.conf")).do()
    assert said.startswith("removed, but: ")
    assert machine.told[-1] == ("systemctl", "restart", "ntpsec.service")


def test_a_chrony_that_serves_since_the_trial_is_not_restarted(machine: Any, tmp_path: Path) -> None:
    machine.serves = True
    found = context(tmp_path, CHRONY)
    InstallTimeFile(found, server_of(found).drop_in).do()
    assert machine.told == []


def test_a_chrony_that_was_restarted_since_the_trial_reads_our_file(machine: Any, tmp_path: Path) -> None:
    found = context(tmp_path, CHRONY)
    InstallTimeFile(found, server_of(found).drop_in).do()
    assert Path(server_of(found).drop_in).read_text() == "ours\n"
    assert machine.told == [("systemctl", "try-restart", "chrony.service")]


def test_a_server_that_ends_at_once_after_its_restart(
    machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = iter([True])
    monkeypatch.setattr(own_server, "is_running", lambda _: next(runs, False))
    monkeypatch.setattr(own_server, "STARTS_WITHIN_S", 0.0)
    found = context(tmp_path, NTPSEC)
    assert "does not run after its restart" in InstallTimeFile(found, server_of(found).drop_in).do()
