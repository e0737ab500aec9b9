"""The file of metrics for node_exporter, and the process that writes it while the guard runs.

A note of its path lies in the state directory, so that a reset finds the file after a power cut too.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

from wizard.deploy import runtime_state
from wizard.host.commands import environment
from wizard.host.files import read_text, remove, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.render import HEADER

log = logging.getLogger("ciao-gateway")

WRITER_COMMAND = "metrics-textfile"
NOTE = "textfile"
_RESTART_EVERY_S = 30.0
_ENDS_WITHIN_S = 3.0
_OLD_S = 60.0


class MetricsWriter:
    """A child of the guard; called from its main thread. Never raises WizardError or OSError."""

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
            argv = [sys.executable, "-P", "-m", "wizard", WRITER_COMMAND, self.path]
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
                self.process.kill()
                self.process.wait()
            self.process = None
        if self.path:
            self._remove()

    def _remove(self) -> None:
        try:
            remove_noted()
        except OSError as error:
            log.warning("the metrics cannot be removed: %s", error)


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
    return (read_text(str(file)) or "").startswith(HEADER)


def remove_ours(file: Path) -> None:
    """Remove it, unless somebody else wrote it. Raises OSError."""
    if not file.is_symlink() and is_ours(file):
        remove(str(file))


def remove_noted() -> list[str]:
    """Remove the file that the note names, and the note; what was removed. Raises OSError."""
    removed = []
    for note in _notes():
        file = Path(_noted(note) or "/")
        if is_ours(file):
            remove_ours(file)
            removed.append(str(file))
        note.unlink(missing_ok=True)
    return removed


def _notes() -> list[Path]:
    return [note for place in (paths.STATE, paths.RUN) if (note := Path(place, NOTE)).exists()]


def _noted(note: Path) -> str:
    return (read_text(str(note)) or "").strip()


def _write_note(path: str) -> None:
    # Only `Journal` creates the state directory: one without a journal counts as damaged.
    place = Path(paths.STATE) if Path(paths.STATE).is_dir() else runtime_state.run_directory()
    write_atomic(str(place / NOTE), f"{path}\n".encode(), 0o644)
