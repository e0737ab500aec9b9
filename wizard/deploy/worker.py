"""The engine's second process: it takes the trial's steps, then waits to take the watchman's place."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from wizard.deploy import state
from wizard.deploy.lock import Lock, Mark

_POLL_S = 0.02
_LONGEST_WORD = 60_000


class Worker:
    """A forked child that does `task`, tells what came of it, and stays until it is let go.

    Where the watchman dies it becomes the one who takes everything back. The watchman hears of its death as an
    empty word.
    """

    def __init__(self, lock: Lock, task: Callable[[Callable[[], bool]], str], events: Sequence[str]) -> None:
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

    def word(self, give_up: Callable[[], bool]) -> str:
        """Wait for what came of the task; "" where the worker died, or was ended because of `give_up`."""
        while not give_up():
            try:
                said = os.read(self._said, _LONGEST_WORD)
                return said.decode("utf-8", "replace")
            except BlockingIOError:
                time.sleep(_POLL_S)
        self.end()
        return ""

    def alive(self) -> bool:
        """Whether it lives; where not, it is still to be waited for."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def let_go(self) -> None:
        """It is no longer needed: have it end by itself. May be called again, also once it is dead."""
        if self._gone < 0:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._gone, b".")
        self._collect()

    def end(self) -> None:
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


def _live(task: Callable[[Callable[[], bool]], str], gone_read: int, said_write: int, events: Sequence[str]) -> None:
    """The worker's whole life; never returns."""
    watchman = os.getppid()
    try:
        mark = Mark()
        said = task(lambda: os.getppid() != watchman)
        # Nobody reads it where the watchman died.
        with contextlib.suppress(BrokenPipeError):
            os.write(said_write, said.encode()[:_LONGEST_WORD])
        # Nothing is read until the watchman lets go: by a word when it is done, by its death else.
        let_go = os.read(gone_read, 1) != b""
        mark.remove()
        if not let_go:
            os.execv(sys.executable, state.engine_command("takeover", *events))  # noqa: S606
        os._exit(0)
    finally:
        # Only a bug comes here: it is told in the log, and the watchman reverts.
        traceback.print_exc()
        os._exit(70)
