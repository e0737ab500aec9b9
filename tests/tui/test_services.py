"""The real services as far as they need no root: files of our own, another process, what it tells."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.unit.tiny_disk import on_tiny_disk
from tests.waiting import wait_for
from wizard.cli import main
from wizard.deploy.status import Status
from wizard.plan.findings import WizardError
from wizard.services import host_changes as module
from wizard.services.host import HostServices
from wizard.services.host_changes import HostChangeProcess
from wizard.services.progress import Progress, follow
from wizard.services.protocols import ChangeProcess, FileThere


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostServices:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return HostServices()


def test_a_line_is_given_once_and_only_whole(tmp_path: Path) -> None:
    events = tmp_path / "events"
    run = HostChangeProcess(events, tmp_path / "output")
    assert run.lines() == []
    events.write_text('{"a": 1}\n{"b"')
    assert run.lines() == ['{"a": 1}']
    assert run.lines() == []
    with events.open("a") as handle:
        handle.write(": 2}\n")
    assert run.lines() == ['{"b": 2}']
    assert not run.alive()


def test_a_draft_is_kept_and_forgotten(host: HostServices) -> None:
    assert host.read_draft("draft") is None
    host.save_draft("draft", "one")
    host.save_draft("draft", "two")
    found = host.read_draft("draft")
    assert found is not None
    assert found[0] == "two"
    host.forget_draft("draft")
    host.forget_draft("draft")
    assert host.read_draft("draft") is None


def test_a_draft_is_for_its_author_alone(host: HostServices, tmp_path: Path) -> None:
    host.save_draft("draft", "one")
    assert (tmp_path / "state" / "ciao-wizard").stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(WizardError) as raised:
        HostServices().save_draft("draft", "one")
    assert "XDG_STATE_HOME" in raised.value.remedy


def test_a_plan_is_saved_and_never_over_another(host: HostServices, tmp_path: Path) -> None:
    path = tmp_path / "ciao.toml"
    host.save_file(str(path), "version = 1\n")
    assert path.read_text() == "version = 1\n"
    with pytest.raises(WizardError, match="already exists"):
        HostServices().save_file(str(path), "version = 2\n")
    assert path.read_text() == "version = 1\n"
    with pytest.raises(WizardError, match="cannot be written"):
        host.save_file(str(tmp_path / "nowhere" / "x.toml"), "")


SCRIPT = """
import sys, json, os
words = sys.argv[1:]
events = words[words.index("--events") + 1]
plan = words[words.index("-c") + 1]
kept = [words[0], *(word for word in words if word.startswith("--stop"))]
print("\\x1b[31mnot for a terminal", file=sys.stderr)
with open(events, "a") as out:
    seen = open(plan).read() + repr(sys.stdin.read()) + str(os.getsid(0) == os.getpid())
    print(json.dumps({"at": "2026-03-02T14:00:00+00:00", "step": words[0], "state": "done", "detail": seen}), file=out)
    print(json.dumps({"at": "2026-03-02T14:00:01+00:00", "result": "kept", "reason": " ".join(kept)}), file=out)
"""


def test_an_apply_is_another_process_that_tells_a_file(host: HostServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wizard_command", lambda: [sys.executable, "-c", SCRIPT])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    run = host.start_apply("the plan", ("named.service", "kea.service"))
    progress = Progress()

    def ended() -> bool:
        nonlocal progress
        for line in run.lines():
            progress = follow(progress, line)
        return bool(progress.result)

    wait_for(ended)
    # The plan came as a file; its standard input is empty; it leads a session of its own, away from the terminal's.
    assert progress.steps[0].detail == "the plan''True"
    assert (progress.result, progress.reason) == ("kept", "apply --stop=named.service --stop=kea.service")
    wait_for(lambda: not run.alive())
    assert run.output_tail() == "?[31mnot for a terminal"


def test_a_second_run_does_not_read_the_first_ones_events(host: HostServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wizard_command", lambda: [sys.executable, "-c", SCRIPT])
    first = host.start_apply("one")
    wait_for(lambda: not first.alive())
    monkeypatch.setattr(module, "wizard_command", lambda: [sys.executable, "-c", "pass"])
    second: ChangeProcess = host.start_apply("two")
    wait_for(lambda: not second.alive())
    assert second.lines() == []


def test_two_wizards_of_one_person_do_not_mix_their_files(
    host: HostServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "wizard_command", lambda: [sys.executable, "-c", SCRIPT])
    one, two = host.start_apply("mine"), HostServices().start_apply("yours")
    for run, plan in ((one, "mine"), (two, "yours")):
        wait_for(partial(lambda run: not run.alive(), run))
        assert [json.loads(line).get("detail", "").startswith(plan) for line in run.lines()] == [True, False]
    places = list((tmp_path / "state" / "ciao-wizard").glob("run-*"))
    assert len(places) == 2
    assert all(place.stat().st_mode & 0o077 == 0 for place in places)


def test_what_an_old_run_left_is_tidied(host: HostServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wizard_command", lambda: [sys.executable, "-c", "pass"])
    host.start_apply("old")
    state = tmp_path / "state" / "ciao-wizard"
    (old,) = state.glob("run-*")
    for path in (*old.iterdir(), old):
        os.utime(path, (1, 1))
    host.start_apply("new")
    assert not old.exists()
    host.start_apply("newer")
    assert len(list(state.glob("run-*"))) == 2


def test_what_we_saved_is_saved_again_unless_somebody_changed_it(host: HostServices, tmp_path: Path) -> None:
    path = tmp_path / "ciao.toml"
    assert host.save_file(str(path), "version = 1\n") == str(path)
    host.save_file(str(path), "version = 2\n")
    assert path.read_text() == "version = 2\n"
    path.write_text("mine\n")
    with pytest.raises(WizardError, match="already exists"):
        host.save_file(str(path), "version = 3\n")
    assert path.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (None, ""),
        ({"mode": "armed", "reason": ""}, ""),
        ({"mode": "tripped", "reason": "two wires"}, "The guard stopped the gateway: two wires"),
        ({"mode": "mute", "reason": "no carrier"}, "The guard blocks DHCP: no carrier"),
    ],
)
def test_why_nobody_gets_an_address(
    host: HostServices, monkeypatch: pytest.MonkeyPatch, told: dict[str, str] | None, said: str
) -> None:
    monkeypatch.setattr("wizard.deploy.runtime_state.running_guard", lambda: told)
    assert host.held_back() == said


def test_over_a_file_of_others_it_writes_only_where_that_was_said(host: HostServices, tmp_path: Path) -> None:
    path = tmp_path / "inventory.ini"
    path.write_text("mine\n")
    path.chmod(0o640)
    with pytest.raises(FileThere) as raised:
        host.save_file(str(path), "new\n")
    assert raised.value.path == path
    assert host.save_file(str(path), "new\n", over=True) == str(path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new\n", 0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(WizardError, match="is not a regular file"):
        host.save_file(str(link), "newer\n")
    with pytest.raises(WizardError, match="is not a regular file"):
        host.save_file(str(link), "newer\n", over=True)
    with pytest.raises(WizardError, match="is not a regular file"):
        host.save_file(str(tmp_path), "newer\n")
    assert path.read_text() == "new\n"


def test_a_full_disk_keeps_what_was_to_be_written_over() -> None:
    script = """
from wizard.plan.findings import WizardError
from wizard.services.host import HostServices
open(f"{DISK}/mine.ini", "w").write("mine")
fill()
try:
    HostServices().save_file(f"{DISK}/mine.ini", "new " * 3000, over=True)
except WizardError as error:
    say(error.message)
say(open(f"{DISK}/mine.ini").read(), sorted(os.listdir(DISK)))
"""
    assert on_tiny_disk(script).splitlines() == [
        "/mnt/mine.ini: No space left on device",
        "mine ['ballast', 'mine.ini']",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_sudo_saves_is_the_persons(host: HostServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "2345")
    path = tmp_path / "inventory.ini"
    host.save_file(str(path), "new\n")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)
    # Whose it is already, it stays.
    other = tmp_path / "other.ini"
    other.write_text("root's\n")
    host.save_file(str(other), "new\n", over=True)
    assert other.stat().st_uid == 0


def test_without_root_it_goes_through_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert module.wizard_command()[:3] == ["sudo", "-n", sys.executable]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert module.wizard_command() == [sys.executable, "-P", "-m", "wizard"]


def test_what_we_saved_may_have_become_anything(host: HostServices, tmp_path: Path) -> None:
    path, other = tmp_path / "ciao.toml", tmp_path / "other"
    other.write_text("one\n")
    changes: list[Callable[[], object]] = [lambda: os.mkfifo(path), lambda: path.symlink_to(other), path.mkdir]
    for change in changes:
        host.save_file(str(path), "one\n")
        path.unlink()
        change()
        # A pipe that nobody writes to must not be waited for.
        with pytest.raises(WizardError, match="is not a regular file"):
            host.save_file(str(path), "two\n")
        assert other.read_text() == "one\n"
        path.rmdir() if path.is_dir() else path.unlink()
    assert host.save_file(str(path), "three\n") == str(path)
    path.unlink()
    assert host.save_file(str(path), "four\n") == str(path)
    assert path.read_text() == "four\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a\0b", "x", "that is not a file name"),
        ("a\ud800b", "x", "that is not a file name"),
        ("~a\0b/c", "x", "that is not a file name"),
        ("plan", "x\ud800", "character 2 of the text is invalid"),
        ("a" * 300, "x", "too long"),
        # It would be written once, and never over: that takes a longer name for a moment.
        ("a" * 250, "x", "too long"),
        ("", "x", "is not a regular file"),
    ],
)
@pytest.mark.parametrize("over", [False, True])
def test_what_cannot_be_written_is_said_and_leaves_nothing(
    host: HostServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str, over: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WizardError, match=said) as raised:
        host.save_file(name, text, over)
    assert raised.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_is_saved_again(host: HostServices, tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120)
    for text in ("one", "two"):
        host.save_file(str(path), text)
    assert path.read_text() == "two"


def test_a_full_disk_is_left_without_half_a_file() -> None:
    script = """
from wizard.plan.findings import WizardError
from wizard.services.host import HostServices
fill()
try:
    HostServices().save_file(f"{DISK}/new.ini", "new " * 3000)
except WizardError as error:
    say(error.message)
say(sorted(os.listdir(DISK)))
"""
    assert on_tiny_disk(script).splitlines() == [
        "/mnt/new.ini cannot be written: No space left on device.",
        "['ballast']",
    ]


def test_a_file_in_a_directory_that_is_gone_is_refused(
    host: HostServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(WizardError, match="is gone"):
        host.save_file("ciao.toml", "x")


@pytest.mark.parametrize("number", ["²", "-1", "99999999999999", str((1 << 32) - 1), "9" * 5000, "me", ""])
def test_whoever_sudo_does_not_name_gets_the_file_of_the_caller(
    host: HostServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    monkeypatch.setenv("SUDO_UID", number)
    monkeypatch.setenv("SUDO_GID", "1")
    path = tmp_path / "ciao.toml"
    host.save_file(str(path), "x")
    assert (path.read_text(), path.stat().st_uid, path.stat().st_gid) == ("x", os.geteuid(), os.getegid())


@pytest.mark.parametrize(("since", "said"), [("2026-03-02T13:40:00+00:00", "2026-03-02 "), ("once\x1b[2J", "once?[2J")])
def test_since_when_a_plan_is_in_force_is_said_whatever_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], since: str, said: str
) -> None:
    told = Status("applied", True, "/etc/ciao-wizard/gateway.toml", since, (), ())
    monkeypatch.setattr("wizard.deploy.status.read_status", lambda: told)
    assert main(["status"]) == 0
    assert f"since {said}" in capsys.readouterr().out
