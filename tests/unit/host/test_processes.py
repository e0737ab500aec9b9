"""Processes: nobody is touched who is not exactly the one that was meant."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.waiting import wait_for
from wizard.host import processes
from wizard.host.processes import Process, alive, from_json, identify, send, stop

WORD = "ciao-test-marker"
DEAF = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process with WORD in its command line."""
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", WORD])
    yield process
    process.kill()
    process.wait()


def known(process: subprocess.Popen[bytes]) -> Process:
    # Empty while the kernel is not quite done with its start.
    wait_for(lambda: processes.command_line(process.pid), "a process that has started")
    found = identify(process.pid)
    assert found is not None
    return found


def test_a_process_is_known_by_pid_start_boot_and_words(child: subprocess.Popen[bytes]) -> None:
    who = known(child)
    assert alive(who)
    assert alive(who, WORD, "signal.pause")
    assert from_json(who.as_json()) == who


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ("another word",)),
        ({}, (WORD, "another word")),
        ({"started": 1}, (WORD,)),
        ({"boot": "00000000-0000-0000-0000-000000000000"}, (WORD,)),
        ({"pid": os.getpid()}, (WORD,)),
    ],
)
def test_who_differs_in_anything_is_left_alone(
    child: subprocess.Popen[bytes], change: dict[str, Any], words: tuple[str, ...]
) -> None:
    """A pid that was given to somebody else, a boot ago, a pid file that lies."""
    who = replace(known(child), **change)
    assert not alive(who, *words)
    assert stop(who, *words), "whoever was meant is gone"
    assert not send(who, signal.SIGKILL, *words)
    assert child.poll() is None


def test_a_recycled_pid_between_the_look_and_the_signal_is_left_alone(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([True, False, True, False])
    monkeypatch.setattr(processes, "alive", lambda *_: next(looks))
    assert stop(known(child), WORD)
    assert not send(known(child), signal.SIGKILL, WORD)
    assert list(looks) == []
    assert child.poll() is None


def test_ending_is_waited_for(child: subprocess.Popen[bytes]) -> None:
    assert stop(known(child), WORD)
    assert child.wait(0) == -signal.SIGTERM


def test_who_does_not_listen_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF, WORD], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        begun = time.monotonic()
        assert stop(known(deaf), WORD, patience=0.3)
        assert time.monotonic() - begun < 3
        assert deaf.wait(0) == -signal.SIGKILL


def test_a_zombie_is_nobody() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", WORD])
    who = known(process)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not alive(who)
    assert stop(who)
    assert not send(who, signal.SIGTERM)
    process.wait()
    assert identify(process.pid) is None
    assert stop(who)


def test_nobody_at_all() -> None:
    assert not alive(None)
    assert stop(None)
    assert not send(None, signal.SIGKILL)


@pytest.mark.parametrize("name", ["a) R 1 (b", "x y", ") Z 0 0 (", "((("])
def test_a_name_that_looks_like_the_rest_of_the_line_does_not_confuse(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            who = known(process)
            assert alive(who, "60")
            assert abs(who.started / os.sysconf("SC_CLK_TCK") - time.clock_gettime(time.CLOCK_BOOTTIME)) < 30
        finally:
            process.kill()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["pid", "started", "boot"]) | st.text(), inner),
    max_leaves=10,
)


@given(ANYTHING)
@example({"pid": float("inf")})
def test_whatever_a_file_says_no_process_comes_of_rubbish(data: object) -> None:
    found = from_json(data)
    assert found is None or isinstance(found.pid, int)
