"""What a node's shell is asked to do, run by a shell of this machine among programs that only tell."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from wizard.actions import shell
from wizard.host import ssh
from wizard.host.ssh import SshFailed, Target
from wizard.plan.addresses import assign
from wizard.plan.file.read import load_plan

pytestmark = pytest.mark.usefixtures("behind_the_cluster_nic")

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
PLAN = assign(load_plan(EXAMPLE.read_text(), "ciao.toml"))
NODE = PLAN.nodes[0]


@dataclass
class Machine:
    """A node's programs, in a directory that is its whole PATH. `told`: those that were run, a line each."""

    place: Path

    def has(self, name: str, body: str = "exit 0") -> None:
        file = self.place / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.place}/told\n{body}\n')
        file.chmod(0o755)

    def told(self) -> list[str]:
        file = self.place / "told"
        return [line for line in file.read_text().splitlines() if not line.startswith("id ")] if file.exists() else []

    def run_script(self, _target: Target, script: str, _seconds: float) -> str:
        done = subprocess.run(
            ["/bin/sh"], input=script, capture_output=True, text=True, check=False, env={"PATH": str(self.place)}
        )
        if done.returncode:
            error = SshFailed("failed", "ended", "")
            error.said, error.status_there = done.stderr, done.returncode
            raise error
        return done.stdout


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    monkeypatch.setattr(ssh, "run_script", found.run_script)
    return found


@pytest.mark.parametrize(("action", "word"), [("reboot", "reboot"), ("off", "poweroff")])
def test_root_asks_systemd_and_without_it_the_plain_program(machine: Machine, action: str, word: str) -> None:
    machine.has("id", "echo 0")
    machine.has(word)
    assert shell.order(PLAN, NODE, action).ok
    assert machine.told() == [f"{word} "]
    machine.has("systemctl")
    assert shell.order(PLAN, NODE, action).ok
    assert machine.told() == [f"{word} ", f"systemctl {word}"]


def test_who_is_not_root_does_it_by_sudo_without_a_password(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("true")
    machine.has("systemctl")
    machine.has("sudo", 'shift; exec "$@"')
    assert shell.order(PLAN, NODE, "off").ok
    assert machine.told()[-2:] == ["sudo -n systemctl poweroff", "systemctl poweroff"]


@pytest.mark.parametrize("sudo", ["echo 'sudo: a password is required' >&2; exit 1", ""])
def test_who_may_not_is_told_what_to_do_and_nothing_is_asked(machine: Machine, sudo: str) -> None:
    machine.has("id", "echo 1000")
    machine.has("systemctl")
    if sudo:
        machine.has("sudo", sudo)
    outcome = shell.order(PLAN, NODE, "off")
    assert not outcome.ok
    assert "may not use sudo there without a password" in outcome.detail
    assert "--user" in outcome.remedy
    assert "systemctl poweroff" not in machine.told()


def test_what_a_node_refuses_is_told_in_its_words(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("systemctl", "echo 'a user is logged in' >&2; exit 1")
    with pytest.raises(SshFailed) as refused:
        shell.order(PLAN, NODE, "off")
    assert refused.value.message == f"{NODE.name} refused: a user is logged in"


def test_a_connection_that_ends_with_the_machine_is_no_failure(machine: Machine) -> None:
    """It was asked, and was gone before it told how that ended."""
    machine.has("id", "echo 0")
    machine.has("systemctl", 'kill -9 "$PPID"')
    assert shell.order(PLAN, NODE, "reboot").ok


def test_a_connection_that_ends_before_it_was_asked_is_one(machine: Machine) -> None:
    machine.has("id", 'kill -9 "$PPID"')
    machine.has("systemctl")
    with pytest.raises(SshFailed):
        shell.order(PLAN, NODE, "reboot")
    assert machine.told() == []
