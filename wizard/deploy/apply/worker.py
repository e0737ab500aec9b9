"""The engine's second process: it takes the trial's steps, then waits to take the watchman's place."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wizard.deploy import runtime_state
from wizard.deploy.apply.lock import BusyMarker, ChangeLock

_POLL_S = 0.02
_LONGEST_RESULT = 60_000


class TrialOutcome(StrEnum):
    """What came of a trial's steps. The values are what goes through the pipe."""

    HOLDS = "y"
    FAILED = "n"
    REFUSED = "r"


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a worker's task came to; `reason` is for people, "" where it holds."""

    outcome: TrialOutcome
    reason: str = ""

    def encode(self) -> bytes:
        return f"{self.outcome}{self.reason}".encode()[:_LONGEST_RESULT]

    @staticmethod
    def decode(raw: bytes) -> TrialResult | None:
        """None for what no worker says, such as the nothing of one that died."""
        text = raw.decode("utf-8", "replace")
        try:
            return TrialResult(TrialOutcome(text[:1]), text[1:])
        except ValueError:
            return None


WorkerTask = Callable[[Callable[[], bool]], TrialResult]
"""What a worker does. It is given a function that says whether the watchman has died."""


class Worker:
    """A forked child that does `task`, tells its result, and stays until it is let go.

    Where the watchman dies it becomes the one who takes everything back.
    """

    def __init__(self, lock: ChangeLock, task: WorkerTask, events: Sequence[str]) -> None:
        gone_read, self._gone = os.pipe()
        self._said, said_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for fd in (lock.fd, self._gone, self._said):
                os.close(fd)
            _live(task, gone_read, said_write, events)
        os.close(gone_read)
        os.close(said_write)
        os.set_blocking(self._said, False)

    def wait_for_outcome(self, give_up: Callable[[], bool]) -> TrialResult | None:
        """Wait for the task's result; None where the worker died, or was ended because of `give_up`."""
        while not give_up():
            try:
                return TrialResult.decode(os.read(self._said, _LONGEST_RESULT))
            except BlockingIOError:
                time.sleep(_POLL_S)
        self.kill()
        return None

    def alive(self) -> bool:
        """Whether it lives; where not, it is still to be waited for."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def release(self) -> None:
        """It is no longer needed: have it end by itself. May be called again, also once it is dead."""
        if self._gone < 0:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._gone, b".")
        self._collect()

    def kill(self) -> None:
        """End it now. What it had begun may run on for a moment: see lock.await_orphans."""
        if self._gone < 0:
            return
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
        self._collect()

    def _collect(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self._gone)
        os.close(self._said)
        self._gone = -1


def _live(task: WorkerTask, gone_read: int, said_write: int, events: Sequence[str]) -> None:
    """The worker's whole life; never returns."""
    watchman = os.getppid()
    try:
        mark = BusyMarker()
        result = task(lambda: os.getppid() != watchman)
        # Nobody reads it where the watchman died.
        with contextlib.suppress(BrokenPipeError):
            os.write(said_write, result.encode())
        # Nothing is read until the watchman lets go: by a word when it is done, by its death else.
        let_go = os.read(gone_read, 1) != b""
        mark.remove()
        if not let_go:
            os.execv(sys.executable, runtime_state.engine_command("takeover", *events))  # noqa: S606
        os._exit(0)
    finally:
        # Only a bug comes here: it is told in the log, and the watchman reverts.
        traceback.print_exc()
        os._exit(70)
