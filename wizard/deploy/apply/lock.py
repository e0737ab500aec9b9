"""One change at a time. Used in engine processes, by `session`, `worker` and `reverter`.

ChangeLock is a flock that ends with its holder and that no child inherits. BusyMarker is one that every command
inherits, so that a process that takes over can wait for commands that outlive the one that ran them.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from pathlib import Path

from wizard.deploy.runtime_state import ENGINE_COMMAND, LOCK, run_directory
from wizard.host import commands, processes
from wizard.plan import paths
from wizard.plan.findings import WizardError

ROLLBACK_PURPOSE = "ciao-wizard rollback"
"""The purpose of a recovery: every other run waits for its end instead of refusing."""
LOCK_FILE = Path(LOCK)
_PATIENCE_S = 15.0
_LONGEST_COMMAND_S = 10.0
_POLL_S = 0.05


class ChangeLock:
    """The lock of this machine; `purpose` names its holder to others.

    Raises WizardError, naming the holder, where another process has it; waits 15 s for a recovery.
    """

    def __init__(self, purpose: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            fd, holder = _try_lock()
            if fd is not None:
                break
            if not holder.startswith(ROLLBACK_PURPOSE) or time.monotonic() > deadline:
                raise WizardError(
                    f"another change is under way: {holder or 'somebody'}",
                    "Wait for it, or answer it with 'ciao-wizard confirm' or 'ciao-wizard rollback'.",
                )
            time.sleep(_POLL_S)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{purpose} (process {os.getpid()})".encode(), 0)
        self.fd = fd

    def remove(self) -> None:
        """Remove the file, as the last act of a run that leaves nothing. The lock is still held."""
        LOCK_FILE.unlink(missing_ok=True)

    def release(self) -> None:
        """Let the next run begin. The kernel does this for a holder that is killed."""
        os.close(self.fd)


def _try_lock() -> tuple[int | None, str]:
    """(file descriptor, ""), or (None, the holder's purpose). Raises WizardError where the file cannot be opened."""
    while True:
        try:
            run_directory()
            # Mode 0600: whoever may open the file may also hold the lock.
            fd = os.open(LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            # A run that leaves nothing has just removed the directory.
            continue
        except OSError as error:
            raise WizardError(
                f"the lock {LOCK_FILE} cannot be opened: {error.strerror}",
                f"Look at 'ls -l {LOCK_FILE}', and remove it.",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 200, 0).decode("utf-8", "replace").strip()
            os.close(fd)
            return None, holder
        # A lock on a removed file excludes nobody.
        try:
            if os.fstat(fd).st_ino == LOCK_FILE.stat().st_ino:
                return fd, ""
        except FileNotFoundError:
            pass
        os.close(fd)


class BusyMarker:
    """A lock held by this process and by every command that it runs from now on, until `remove`."""

    def __init__(self) -> None:
        self.path = run_directory() / f"busy.{os.getpid()}"
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        me = processes.identify(os.getpid())
        os.pwrite(self.fd, json.dumps(me.as_json() if me else None).encode(), 0)
        self._inherited_fd = os.dup(self.fd)
        os.set_inheritable(self._inherited_fd, True)
        commands.inherit(self._inherited_fd)

    def remove(self) -> None:
        commands.inherit()
        self.path.unlink(missing_ok=True)
        os.close(self._inherited_fd)
        os.close(self.fd)


def wait_for_orphans(patience: float = _LONGEST_COMMAND_S) -> None:
    """Wait up to `patience` s for commands that killed runs had started: they must not act after the undo.

    Call it while holding the lock: any other process with a marker is then dead, or a worker without a watchman, which
    is killed.
    """
    deadline = time.monotonic() + patience
    for marker in Path(paths.RUN).glob("busy.*"):
        if marker.name == f"busy.{os.getpid()}":
            continue
        try:
            fd = os.open(marker, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            # A link or a directory is not a marker of ours.
            if marker.is_symlink():
                marker.unlink()
            continue
        try:
            processes.send(_owner(fd), signal.SIGKILL, ENGINE_COMMAND, "apply")
            while not _try_flock(fd) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        finally:
            os.close(fd)
        marker.unlink(missing_ok=True)


def _owner(fd: int) -> processes.Process | None:
    try:
        return processes.from_json(json.loads(os.pread(fd, 1000, 0)))
    except ValueError:
        return None


def _try_flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
