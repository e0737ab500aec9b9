"""One change at a time: a lock that dies with its holder and that no child inherits; and a mark that every
command inherits, so that whoever takes over can wait for those that outlive the one who ran them."""

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
"""The purpose of one who takes back what a killed run left: everybody waits for that."""
LOCK_FILE = Path(LOCK)
_PATIENCE_S = 15.0
_LONGEST_COMMAND_S = 10.0
_POLL_S = 0.05


class ChangeLock:
    """The lock of this machine. Raises WizardError, naming the holder, where somebody else has it."""

    def __init__(self, purpose: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            fd, holder = _try()
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
        """Take the file away, as the last thing of a run that leaves nothing. It is held to the end all the same."""
        LOCK_FILE.unlink(missing_ok=True)


def _try() -> tuple[int | None, str]:
    """The lock, or None and the words of its holder."""
    while True:
        try:
            run_directory()
            # For root alone: whoever may open it may also hold it.
            fd = os.open(LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            # Its directory was taken away at this very moment, by a run that leaves nothing.
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
        # A lock on a file that is no longer there locks nobody out.
        try:
            if os.fstat(fd).st_ino == LOCK_FILE.stat().st_ino:
                return fd, ""
        except FileNotFoundError:
            pass
        os.close(fd)


class BusyMarker:
    """Held by this process and by every command it runs from now on."""

    def __init__(self) -> None:
        self.path = run_directory() / f"busy.{os.getpid()}"
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        me = processes.identify(os.getpid())
        os.pwrite(self.fd, json.dumps(me.as_json() if me else None).encode(), 0)
        self._theirs = os.dup(self.fd)
        os.set_inheritable(self._theirs, True)
        commands.inherit(self._theirs)

    def remove(self) -> None:
        commands.inherit()
        self.path.unlink(missing_ok=True)
        os.close(self._theirs)
        os.close(self.fd)


def wait_for_orphans(patience: float = _LONGEST_COMMAND_S) -> None:
    """Wait for what runs that were killed had begun: what it still does would come after what is undone.

    Only while holding the lock, so that a mark which is not our own is that of somebody who is dead, or who has
    lost his watchman and must not go on.
    """
    deadline = time.monotonic() + patience
    for mark in Path(paths.RUN).glob("busy.*"):
        if mark.name == f"busy.{os.getpid()}":
            continue
        try:
            fd = os.open(mark, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            # A link, or a directory: no run of ours made it.
            if mark.is_symlink():
                mark.unlink()
            continue
        try:
            processes.send(_owner(fd), signal.SIGKILL, ENGINE_COMMAND, "apply")
            while not _free(fd) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        finally:
            os.close(fd)
        mark.unlink(missing_ok=True)


def _owner(fd: int) -> processes.Process | None:
    try:
        return processes.from_json(json.loads(os.pread(fd, 1000, 0)))
    except ValueError:
        return None


def _free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
