"""The worker: the engine's second process. It takes the trial's steps, then waits to take over from the watchman.

`engine.Engine` forks it. Where the watchman dies the worker executes `engine takeover`, which reverts.
"""

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
_MAX_RESULT_BYTES = 60_000


class TrialOutcome(StrEnum):
    """The outcome of a trial's steps. The values go through the pipe."""

    HOLDS = "y"
    FAILED = "n"
    REFUSED = "r"


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of a worker's task. `reason`: for people, "" where it holds."""

    outcome: TrialOutcome
    reason: str = ""

    def encode(self) -> bytes:
        return f"{self.outcome}{self.reason}".encode()[:_MAX_RESULT_BYTES]

    @staticmethod
    def decode(raw: bytes) -> TrialResult | None:
        """None for bytes that no worker sends, such as b"" of one that died."""
        text = raw.decode("utf-8", "replace")
        try:
            return TrialResult(TrialOutcome(text[:1]), text[1:])
        except ValueError:
            return None


WorkerTask = Callable[[Callable[[], bool]], TrialResult]
"""A worker's task. Its argument returns True once the watchman has died."""


class Worker:
    """A forked child that runs `task`, sends its result, and waits until it is released.

    Where the watchman dies it takes over and reverts. `event_files`: where that writes its events.
    """

    def __init__(self, lock: ChangeLock, task: WorkerTask, event_files: Sequence[str]) -> None:
        release_read, self._release_fd = os.pipe()
        self._result_fd, result_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for fd in (lock.fd, self._release_fd, self._result_fd):
                os.close(fd)
            _run_worker(task, release_read, result_write, event_files)
        os.close(release_read)
        os.close(result_write)
        os.set_blocking(self._result_fd, False)

    def wait_for_outcome(self, give_up: Callable[[], bool]) -> TrialResult | None:
        """Wait for the task's result; None where the worker died, or was killed because `give_up` returned True."""
        while not give_up():
            try:
                return TrialResult.decode(os.read(self._result_fd, _MAX_RESULT_BYTES))
            except BlockingIOError:
                time.sleep(_POLL_S)
        self.kill()
        return None

    def alive(self) -> bool:
        """Whether it lives. Leaves a dead one to be reaped by `release` or `kill`."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def release(self) -> None:
        """Have it end by itself, and reap it. May be called again, also once it is dead."""
        if self._release_fd < 0:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._release_fd, b".")
        self._collect()

    def kill(self) -> None:
        """Kill it now, and reap it. A command that it had started may run on: see `lock.wait_for_orphans`."""
        if self._release_fd < 0:
            return
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
        self._collect()

    def _collect(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self._release_fd)
        os.close(self._result_fd)
        self._release_fd = -1


def _run_worker(task: WorkerTask, release_read: int, result_write: int, event_files: Sequence[str]) -> None:
    """The worker process; never returns."""
    watchman = os.getppid()
    try:
        marker = BusyMarker()
        result = task(lambda: os.getppid() != watchman)
        # The watchman may have died.
        with contextlib.suppress(BrokenPipeError):
            os.write(result_write, result.encode())
        # Blocks until the watchman writes a byte, which releases the worker, or dies, which ends the pipe.
        released = os.read(release_read, 1) != b""
        marker.remove()
        if not released:
            os.execv(sys.executable, runtime_state.engine_command("takeover", *event_files))  # noqa: S606
        os._exit(0)
    finally:
        # Only reached by a bug: log it; the watchman reverts.
        traceback.print_exc()
        os._exit(70)
