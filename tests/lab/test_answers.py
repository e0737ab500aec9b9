"""Keep or go back: an apply on trial, who answers it and how, and what it tells of itself meanwhile."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from tests.lab.support import (
    EXAMPLE,
    await_nodes,
    await_status,
    ciao,
    ciao_json,
    differences,
    plan_with,
    reset,
    start_ciao,
    told_by_apply,
    whole,
)
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab

STEP_STATES = {"running", "done", "skipped", "failed", "undone"}
RESULTS = {"kept", "rolled-back", "refused", "failed"}


def finish(process: subprocess.Popen[str], timeout: float = 40) -> tuple[int, str]:
    """Exit status and what was said on stderr."""
    said = process.communicate(timeout=timeout)[1]
    return process.returncode, said


@pytest.fixture
def before(lab: Laboratory) -> dict[str, Any]:
    return whole(lab)


def etc(machine: dict[str, Any]) -> dict[str, Any]:
    return {path: entry for path, entry in machine["files"].items() if path.startswith("/etc/")}


def test_a_trial_serves_and_leaves_etc_alone_until_it_is_confirmed(lab: Laboratory, before: dict[str, Any]) -> None:
    with pending(lab) as process:
        await_nodes(lab)
        assert differences(etc(before), etc(whole(lab))) == []
        assert ciao(lab, "apply", "-c", str(EXAMPLE)).returncode == 1
        done = ciao(lab, "confirm")
        assert done.returncode == 0, done.stderr
        assert finish(process)[0] == 0
    assert await_status(lab, "applied")["drift"] == []
    assert ciao(lab, "diff").returncode == 0
    assert ciao(lab, "confirm").returncode == 3
    assert ciao(lab, "rollback").returncode == 3
    reset(lab)
    assert differences(before, whole(lab)) == []


@contextmanager
def pending(lab: Laboratory, *options: str) -> Iterator[subprocess.Popen[str]]:
    """An apply that waits for its answer, with no terminal."""
    process = start_ciao(lab, "apply", "-c", str(EXAMPLE), *options)
    try:
        seen = await_status(lab, "pending")
        assert seen["plan"] == str(EXAMPLE)
        assert ciao(lab, "status").returncode == 1
        yield process
    finally:
        process.kill()
        process.communicate()


def go_back_on_request(lab: Laboratory, process: subprocess.Popen[str]) -> None:
    done = ciao(lab, "rollback")
    assert done.returncode == 0, done.stderr


def go_back_without_whoever_asked(lab: Laboratory, process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    await_status(lab, "absent")


@pytest.mark.parametrize(
    ("within", "go_back"),
    [("60", go_back_on_request), ("10", go_back_without_whoever_asked)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_not_kept_goes_back(lab: Laboratory, before: dict[str, Any], within: str, go_back: Any) -> None:
    with pending(lab, "--confirm-within", within) as process:
        go_back(lab, process)
        status, said = finish(process)
        if go_back is not go_back_without_whoever_asked:
            assert status == 1
            assert "Traceback" not in said
    await_status(lab, "absent")
    assert differences(before, whole(lab)) == []


@pytest.mark.parametrize(
    ("key", "status", "state"), [("Yes\n", 0, "applied"), ("\n", 1, "absent")], ids=["yes", "Enter"]
)
def test_a_person_at_a_terminal_answers_with_a_key(
    lab: Laboratory, before: dict[str, Any], key: str, status: int, state: str
) -> None:
    ours, theirs = pty.openpty()
    process = start_ciao(lab, "apply", "-c", str(EXAMPLE), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        read_until(ours, "Keep it?")
        os.write(ours, key.encode())
        read_until(ours, "")
        assert process.wait(30) == status
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert await_status(lab, state)["state"] == state
    if state == "absent":
        assert differences(before, whole(lab)) == []


def read_until(terminal: int, words: str, seconds: float = 30) -> str:
    """What a terminal shows until these words come; for "", until its other end is closed."""
    said, deadline = "", time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            said += os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            break
        if words and words in said:
            return said
    assert not words, said
    return said


# Events


def events(lab: Laboratory, *argv: str, stdin: str | None = None) -> list[dict[str, Any]]:
    """Run an apply with --events, and check every line of it."""
    told = told_by_apply(lab, *argv, stdin=stdin)
    *steps, last = told
    for event in told:
        assert datetime.fromisoformat(event["at"]).tzinfo is not None
    for event in steps:
        assert event["state"] in STEP_STATES
        assert event["step"]
        assert isinstance(event["detail"], str)
    assert last["result"] in RESULTS
    assert isinstance(last["reason"], str)
    return told


def test_events_of_an_apply_that_is_kept(lab: Laboratory) -> None:
    told = events(lab, "-c", str(EXAMPLE), "--yes")
    assert told[-1]["result"] == "kept"
    *steps, _ = told
    begun = [event["step"] for event in steps if event["state"] == "running"]
    ended = [event["step"] for event in steps if event["state"] == "done"]
    assert set(begun) <= set(ended), "what was begun was ended"
    assert {event["state"] for event in steps} <= {"running", "done", "skipped"}
    again = events(lab, "-c", str(EXAMPLE), "--yes")
    assert again[-1]["result"] == "kept"

    # A trial over that goes back to it.
    applied = whole(lab)
    other = events(lab, "-c", "-", "--confirm-within", "1", stdin=plan_with(("port = 8889", "port = 8890")))
    assert other[-1]["result"] == "rolled-back"
    seen = ciao_json(lab, "status")
    assert (seen["state"], seen["healthy"], seen["drift"]) == ("applied", True, [])
    assert differences(applied["network"], whole(lab)["network"]) == []
    assert ciao(lab, "diff", "-c", str(EXAMPLE)).returncode == 0


def test_events_of_an_apply_that_goes_back_at_the_deadline(lab: Laboratory, before: dict[str, Any]) -> None:
    told = events(lab, "-c", str(EXAMPLE), "--confirm-within", "1")
    assert told[-1]["result"] == "rolled-back"
    done = [event["step"] for event in told[:-1] if event["state"] == "done"]
    undone = [event["step"] for event in told[:-1] if event["state"] == "undone"]
    assert undone
    assert undone == [step for step in reversed(done) if step in undone], "last first"
    assert differences(before, whole(lab)) == []


def test_a_step_that_fails_takes_everything_back(lab: Laboratory, before: dict[str, Any]) -> None:
    """dnsmasq of this laptop is broken: it says so and ends."""
    lab.run(
        [
            "sh",
            "-c",
            "printf '#!/bin/sh\\necho broken >&2; exit 5\\n' >/run/ciao-lab/broken; chmod +x /run/ciao-lab/broken",
        ]
    )
    dnsmasq = lab.run(["sh", "-c", "command -v dnsmasq"]).stdout.strip()
    lab.run(["mount", "--bind", "/run/ciao-lab/broken", dnsmasq])
    told = events(lab, "-c", str(EXAMPLE), "--yes")
    lab.run(["umount", dnsmasq])
    assert told[-1]["result"] == "failed"
    failed = [event["step"] for event in told if event.get("state") == "failed"]
    undone = [event["step"] for event in told if event.get("state") == "undone"]
    assert len(failed) == 1
    assert undone
    assert differences(before, whole(lab)) == []
