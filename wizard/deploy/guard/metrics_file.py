"""The file of metrics for node_exporter, and the process that writes it while the guard runs.

A note of its path lies in the state directory, so that a reset finds the file after a power cut too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

from wizard.deploy import runtime_state
from wizard.host.commands import environment
from wizard.host.files import read_text, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.render import HEADER

log = logging.getLogger("ciao-gateway")

WRITER_COMMAND = "metrics-textfile"
NOTE = "textfile"
_RESTART_EVERY_S = 30.0
_ENDS_WITHIN_S = 3.0
_OLD_S = 60.0
_REMOVED_WITHIN_S = 3.0


class MetricsWriter:
    """A child of the guard; called from its main thread. Never raises WizardError or OSError, and never waits long."""

    def __init__(self) -> None:
        self.path = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at = 0.0

    def reload(self, path: str) -> None:
        """Write to this path from now on; "" for none."""
        if path != self.path:
            self.stop()
            self.path, self.start_at = path, 0.0
        if any(_noted(note) != path for note in _notes()):
            # Of a guard that was killed, with another plan.
            self._remove()

    def supervise(self) -> None:
        """Start it where it does not run; not more often than every 30 s."""
        now = time.monotonic()
        running = self.process is not None and self.process.poll() is None
        if not self.path or running or now < self.start_at:
            return
        self.start_at = now + _RESTART_EVERY_S
        try:
            _write_note(self.path)
            argv = writer_command(self.path, os.getpid())
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment(),
                cwd="/",
            )
        except (WizardError, OSError) as error:
            log.warning("the metrics cannot be written: %s", error)

    def stop(self) -> None:
        """End it and remove its file."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                # On a mount whose server is gone it cannot end yet.
                self.process.kill()
            self.process = None
        if self.path:
            self._remove()

    def _remove(self) -> None:
        for left in remove_noted():
            log.warning("%s", left)


def writer_command(path: str, guard: int) -> list[str]:
    """What a guard starts. `guard`: its process, without which the writer ends."""
    return [sys.executable, "-P", "-m", "wizard", WRITER_COMMAND, path, str(guard)]


def is_writer(line: list[str]) -> bool:
    """Whether this is the command line of a writer."""
    return line[-5:-2] == writer_command("", 0)[-5:-2]


def write(path: str, text: str) -> None:
    """Replace the file in one step, readable by all. Raises WizardError where it is somebody else's."""
    target = Path(path)
    if target.is_symlink() or (target.exists() and not is_ours(target)):
        raise WizardError(f"{path} was not written by ciao-wizard", "Name another file in [metrics] of the plan.")
    if not target.parent.is_dir():
        raise WizardError(
            f"{target.parent} is no directory", "Is node_exporter installed, and does it read that directory?"
        )
    write_atomic(path, text.encode(), 0o644)


def written_lately(path: str) -> bool:
    """Whether the file is ours, and not so old that nobody writes it any more."""
    try:
        age = time.time() - Path(path).stat().st_mtime
    except OSError:
        return False
    return age < _OLD_S and is_ours(Path(path))


def is_ours(file: Path) -> bool:
    """Whether this is a file with our header: no link, no pipe, no device. Others may write its directory."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(handle).st_mode) and os.read(handle, len(HEADER)) == HEADER.encode()
    except OSError:
        return False
    finally:
        os.close(handle)


def remove_ours(file: Path) -> None:
    """Remove it, unless somebody else wrote it. Raises OSError."""
    if is_ours(file):
        file.unlink(missing_ok=True)


def remove_noted(last: bool = False) -> list[str]:
    """Remove the file that the note names, then the note. What is left, in sentences; its note stays, unless `last`.

    A file of metrics is never a reason not to revert: no error is raised, and nobody waits long.
    """
    left: list[str] = []
    for note in _notes():
        file = _noted(note)
        why: list[str] = ["its file system does not answer"]
        # A thread, as a mount whose server is gone may not answer for ever.
        at_work = threading.Thread(target=_try_remove, args=(Path(file or "/"), why), daemon=True)
        at_work.start()
        at_work.join(_REMOVED_WITHIN_S)
        left += [f"the metrics in {file} are left: {reason}" for reason in why]
        if last or not why:
            with contextlib.suppress(OSError):
                note.unlink(missing_ok=True)
    return left


def _try_remove(file: Path, why: list[str]) -> None:
    try:
        remove_ours(file)
        why.clear()
    except OSError as error:
        why[:] = [error.strerror or str(error)]


def _notes() -> list[Path]:
    return [note for place in (paths.STATE, paths.RUN) if (note := Path(place, NOTE)).exists()]


def _noted(note: Path) -> str:
    return (read_text(str(note)) or "").strip()


def _write_note(path: str) -> None:
    # Only `Journal` creates the state directory: one without a journal counts as damaged.
    place = Path(paths.STATE) if Path(paths.STATE).is_dir() else runtime_state.run_directory()
    write_atomic(str(place / NOTE), f"{path}\n".encode(), 0o644)
