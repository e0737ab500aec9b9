"""An apply that waits for its answer: whoever goes away, it goes back by itself; whoever answers, is the only one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.striking import (
    APPLY,
    Machine,
    at_rest,
    ciao,
    engines,
    kill,
    paused,
    processes,
    running,
    status,
    watchman,
    worker,
)
from wizard.lab.control import Laboratory

RESET = ("reset", "--yes", "--forget-leases")
PLAN = APPLY[1:3]


def pending(lab: Laboratory) -> dict[str, Any]:
    """Wait until an apply waits for its answer; what `status` says then."""

    def waits() -> dict[str, Any] | None:
        said = status(lab)
        return said if said["state"] == "pending" and said["remaining_s"] is not None else None

    said = lab.wait_for(waits, 60, "a pending apply")
    assert said is not None
    return said


@contextmanager
def waiting(lab: Laboratory, seconds: float = 60) -> Iterator[subprocess.Popen[str]]:
    """An apply that waits for its answer."""
    with running(lab, "apply", *PLAN, "--confirm-within", str(seconds)) as front:
        pending(lab)
        yield front


def said(front: subprocess.Popen[str]) -> str:
    assert front.stdout is not None
    return front.stdout.read()


def reset(lab: Laboratory) -> None:
    assert ciao(lab, *RESET).returncode == 0


# Who goes away


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # The tests may run under nohup, or in the background of a shell, and these be ignored.
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    """A terminal with a command of ciao-wizard at it."""

    def __init__(self, lab: Laboratory, *argv: str) -> None:
        self.ours, theirs = pty.openpty()
        self.front = lab.popen(
            ["ciao-wizard", *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_the_terminal,
        )
        os.close(theirs)
        self.text = ""

    def see(self, words: str, seconds: float = 60) -> str:
        """Read until these words are on the screen."""
        end = time.monotonic() + seconds
        while words not in self.text:
            left = end - time.monotonic()
            assert left > 0, f"no {words!r} in {self.text!r}"
            if select.select([self.ours], [], [], left)[0]:
                self.text += os.read(self.ours, 65536).decode("utf-8", "replace")
        return self.text

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def close(self) -> None:
        """What a closed window or a cut SSH line does."""
        if self.ours >= 0:
            os.close(self.ours)
            self.ours = -1

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.front.kill()
        self.front.wait()


def test_a_killed_front_changes_nothing_and_it_goes_back_by_itself(machine: Machine) -> None:
    lab = machine.lab
    with running(lab, "apply", *PLAN, "--confirm-within", "3") as front:
        left = pending(lab)["remaining_s"]
        front.kill()
        assert 0 <= left <= 3
        begun = time.monotonic()
        at_rest(lab)
        assert time.monotonic() - begun < left + 5
    assert status(lab)["state"] == "absent"


def test_a_closed_terminal_changes_nothing_and_another_session_may_still_keep_it(machine: Machine) -> None:
    lab = machine.lab
    with Terminal(lab, "apply", *PLAN) as terminal:
        terminal.see("is undone in 120 s")
        terminal.close()
        assert terminal.front.wait(10) != 0
    assert pending(lab)["healthy"]
    done = ciao(lab, "confirm")
    assert done.returncode == 0, done.stderr
    assert status(lab)["state"] == "applied"
    assert ciao(lab, "confirm").returncode == 3
    reset(lab)


def test_ctrl_c_leaves_and_says_that_it_goes_on(machine: Machine) -> None:
    lab = machine.lab
    with Terminal(lab, "apply", *PLAN) as terminal:
        terminal.see("is undone in")
        # Not by the key: what is between us and the front would hear it too, and may take the front with it.
        kill(lab, *(p.pid for p in processes(lab, "wizard apply")), signal="INT")
        terminal.see("continues without this terminal")
        assert terminal.front.wait(10) in (128 + signal.SIGINT, -signal.SIGINT)
    assert pending(lab)
    assert ciao(lab, "rollback").returncode == 0


@pytest.mark.parametrize(
    ("typed", "state"), [("y\n", "applied"), ("yes\n", "applied"), ("\n", "absent"), ("what?\n", "absent")]
)
def test_a_key_answers(machine: Machine, typed: str, state: str) -> None:
    lab = machine.lab
    with Terminal(lab, "apply", *PLAN) as terminal:
        terminal.see("Keep it?")
        terminal.type(typed)
        assert terminal.front.wait(60) == (0 if state == "applied" else 1)
    assert status(lab)["state"] == state
    if state == "applied":
        reset(lab)


def test_what_was_typed_before_the_question_is_no_answer(machine: Machine) -> None:
    """A yes that somebody typed while the wires were asked."""
    with Terminal(machine.lab, "apply", *PLAN, "--confirm-within", "2") as terminal:
        terminal.see("both networks")
        terminal.type("y\ny\n")
        terminal.see("Keep it?")
        assert terminal.front.wait(60) == 1
    assert status(machine.lab)["state"] == "absent"


def test_the_engine_is_deaf_to_what_a_session_says_at_its_end(machine: Machine) -> None:
    lab = machine.lab
    with waiting(lab):
        for number in ("HUP", "INT", "TERM"):
            kill(lab, *(e.pid for e in engines(lab)), signal=number)
        assert pending(lab)["healthy"]
        assert ciao(lab, "rollback").returncode == 0


def test_a_second_process_is_always_there(machine: Machine) -> None:
    """Killed while everybody waits, the worker is replaced; and the new one takes the watchman's place."""
    lab = machine.lab
    with waiting(lab) as front:
        first = worker(lab)
        kill(lab, first.pid)
        second = lab.wait_for(lambda: [e for e in engines(lab) if e.parent == watchman(lab).pid and e != first])
        assert len(second) == 1
        kill(lab, watchman(lab).pid)
        at_rest(lab)
        assert front.wait(60) == 1
        assert "what a killed run had left is undone" in said(front)


def test_whoever_waits_hears_of_the_guards_recovery(machine: Machine) -> None:
    """Both processes killed at once: the guard starts the recovery, and its events reach the terminal."""
    lab = machine.lab
    with waiting(lab) as front:
        kill(lab, watchman(lab).pid, worker(lab).pid)
        assert front.wait(60) == 1
        assert "what a killed run had left is undone" in said(front)
    at_rest(lab)


# Who answers


def test_status_says_what_waits_and_how_long(machine: Machine) -> None:
    lab = machine.lab
    with waiting(lab, 60) as front:
        told = pending(lab)
        assert 40 < told["remaining_s"] <= 60
        assert told["healthy"]
        assert told["checks"]
        assert "goes back by itself in" in told["reason"]
        assert ciao(lab, "status").returncode == 1
        assert ciao(lab, "rollback").returncode == 0
        assert front.wait(10) == 1
        assert "taken back on request" in said(front)
    assert ciao(lab, "rollback").returncode == 3


def test_an_answer_in_the_last_moment_is_given_once(machine: Machine) -> None:
    """Two people and the deadline at the same time: one of them wins, and everybody is told the same."""
    lab = machine.lab
    with paused(lab, "waiting", "apply", *PLAN, "--confirm-within", "0.1") as front:
        both = [lab.popen(["ciao-wizard", word], stderr=subprocess.PIPE) for word in ("confirm", "rollback")]
        lab.wait_for(lambda: list_of_decisions(lab), what="an answer")
        kill(lab, watchman(lab).pid, signal="CONT")
        kept, taken_back = (process.wait(30) for process in both)
        front.wait(60)
    for process in both:
        process.stderr.close() if process.stderr else None
    state = status(lab)["state"]
    assert (kept == 0, taken_back == 0, front.returncode == 0) in ((True, False, True), (False, True, False))
    assert state == ("applied" if kept == 0 else "absent")
    if kept == 0:
        reset(lab)


def list_of_decisions(lab: Laboratory) -> list[str]:
    return lab.run(["sh", "-c", "ls /run/ciao-wizard/decision.* 2>/dev/null"], check=False).stdout.split()


def test_an_address_that_was_taken_while_it_waited_is_not_kept(machine: Machine) -> None:
    """And the guard does not interfere with an apply that is under way."""
    lab = machine.lab
    with waiting(lab) as front:
        lab.run(["ip", "addr", "del", "192.168.0.200/24", "dev", "eth1"])
        lab.wait_for(lambda: not status(lab)["healthy"], what="a status that tells")
        ciao(lab, "confirm")
        assert front.wait(60) == 1
        told = said(front)
    assert "not kept, as it no longer holds: address: 192.168.0.200/24 should be on eth1 alone; no NIC has it" in told
    assert status(lab)["state"] == "absent"


def test_a_late_answer_is_none(machine: Machine) -> None:
    lab = machine.lab
    with waiting(lab, 5) as front:
        assert front.wait(60) == 1
        assert "no answer within 5 s" in said(front)
    assert [ciao(lab, word).returncode for word in ("confirm", "rollback")] == [3, 3]


# Who comes in between


def test_what_waits_does_not_block_the_next_run(machine: Machine) -> None:
    lab = machine.lab
    with waiting(lab) as front:
        refused = ciao(lab, "apply", *PLAN)
        assert refused.returncode == 1
        assert "ciao-wizard confirm" in refused.stderr
        assert pending(lab)
        assert ciao(lab, *APPLY).returncode == 0
        assert front.wait(10) == 1
    assert status(lab)["state"] == "applied"
    reset(lab)


def test_of_twenty_at_once_one_runs_and_the_rest_name_it(machine: Machine) -> None:
    lab = machine.lab
    fronts = [lab.popen(["ciao-wizard", *APPLY], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(20)]
    words = [front.communicate(timeout=90)[1] for front in fronts]
    ran = [word for word in words if "applied and kept" in word]
    late = [word for word in words if "nothing to do" in word]
    named = [word for word in words if "another change is under way" in word]
    assert (len(ran), len(ran) + len(late) + len(named)) == (1, 20), words
    assert {f.returncode for f, w in zip(fronts, words, strict=True) if w in named} <= {1}
    assert not any("Traceback" in word for word in words)
    assert status(lab)["healthy"]
    reset(lab)


# What it tells


def test_events_may_go_to_stdout(machine: Machine) -> None:
    lab = machine.lab
    done = ciao(lab, "apply", *PLAN, "--confirm-within", "0.1", "--events", "-")
    told: Sequence[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[0]["step"] == "check"
    assert told[-1]["result"] == "rolled-back"
    assert [t["step"] for t in told if t.get("state") == "undone"][-1].startswith("wires:")


def test_an_engine_that_somebody_stopped_does_not_outlive_its_deadline(machine: Machine) -> None:
    """The guard sees that it sleeps, and ends it; what was on trial goes back."""
    lab = machine.lab
    with paused(lab, "waiting", "apply", *PLAN, "--confirm-within", "1"):
        lab.wait_for(lambda: status(lab)["state"] == "absent", 60, "the way back")
        at_rest(lab)
