"""Changes of this machine: another process each, which outlives the terminal, followed through its events file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.services.host_drafts import unwritable

if TYPE_CHECKING:
    from wizard.services.protocols import ChangeProcess

CONFIRM_WITHIN_S = 120
_MOST_READ = 1 << 20
_RUN = "run-"
# A change is over by then, and whoever wanted to see why it failed has looked.
TIDY_AFTER_S = 24 * 3600


@dataclass(slots=True)
class HostChangeProcess:
    """A process of ours and the events file that it writes; `process` is None for one started earlier."""

    events: Path
    output: Path
    process: subprocess.Popen[bytes] | None = None
    _read: int = field(default=0, repr=False)

    def lines(self) -> list[str]:
        try:
            with self.events.open("rb") as handle:
                handle.seek(self._read)
                raw = handle.read(_MOST_READ)
        except OSError:
            return []
        whole, newline, _ = raw.rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return whole.decode("utf-8", "replace").splitlines() if newline else []

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log_path(self) -> str:
        return str(self.events if self.process is None else self.output)

    def output_tail(self) -> str:
        try:
            raw = self.output.read_bytes()[-2000:]
        except OSError:
            return ""
        lines = [clean(line, 300) for line in raw.decode("utf-8", "replace").splitlines()]
        return "\n".join([line for line in lines if line.strip()][-4:])


class HostChanges:
    """`state` is the wizard's directory of this person; each change has one of its own in it."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def may_change(self) -> bool:
        from wizard.host import commands

        return os.geteuid() == 0 or commands.works("sudo", "-n", "true")

    def ask_password(self) -> bool:
        from wizard.host import commands

        sudo = commands.find("sudo")
        if sudo is None:
            raise WizardError(
                "changing this machine needs root, and sudo is not installed", "Start the wizard as root."
            )
        return subprocess.run([sudo, "-v"], check=False).returncode == 0

    def start_apply(self, plan_text: str, stop: Sequence[str] = ()) -> ChangeProcess:
        stopped = [f"--stop={unit}" for unit in stop]
        return self._apply(plan_text, "--confirm-within", str(CONFIRM_WITHIN_S), *stopped)

    def start_adopt(self, plan_text: str) -> ChangeProcess:
        return self._apply(plan_text, "--yes")

    def _apply(self, plan_text: str, *words: str) -> ChangeProcess:
        place = self._run_directory()
        plan = _written(place / "plan.toml", plan_text)
        return _start(place, "apply", "-c", str(plan), *words)

    def start_reset(self, forget_leases: bool, forget_images: bool) -> ChangeProcess:
        leases, images = ["--forget-leases"] * forget_leases, ["--forget-images"] * forget_images
        return self._start("reset", "--yes", *leases, *images)

    def start_renew(self, part: str) -> ChangeProcess:
        return self._start("reset", "--only", part, "--yes")

    def _start(self, *words: str) -> ChangeProcess:
        return _start(self._run_directory(), *words)

    def pending(self) -> ChangeProcess:
        from wizard.deploy import runtime_state
        from wizard.deploy.shapes import EngineState

        # Its first events file lies open to everybody.
        files = (runtime_state.running_engine() or EngineState()).get("events") or [os.devnull]
        return HostChangeProcess(Path(str(files[0])), Path(os.devnull))

    def confirm(self) -> None:
        self._run("confirm")

    def rollback(self) -> None:
        self._run("rollback")

    def _run_directory(self) -> Path:
        """A private place for one change's files: two wizards of one person must not mix theirs up."""
        try:
            self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
            place = Path(tempfile.mkdtemp(prefix=_RUN, dir=self._state))
        except OSError as error:
            raise unwritable(self._state, error) from error
        self._tidy(place)
        return place

    def _tidy(self, place: Path) -> None:
        for old in self._state.glob(f"{_RUN}*"):
            try:
                aged = time.time() - max(each.stat().st_mtime for each in (old, *old.iterdir())) > TIDY_AFTER_S
            except OSError:
                continue
            if old != place and aged:
                shutil.rmtree(old, ignore_errors=True)

    def _run(self, word: str) -> None:
        from wizard.host import commands

        commands.run(*wizard_command(), word, timeout=CONFIRM_WITHIN_S)


def _start(place: Path, *words: str) -> ChangeProcess:
    # Made by us, so that we can read what root writes into it.
    events = _written(place / "events.jsonl", "")
    output = _written(place / "output.log", "")
    root = os.geteuid() == 0
    argv = [*wizard_command(), *words, "--events", str(events)]
    with output.open("ab") as sink:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            # Away from the terminal's hang-up. sudo keeps its ticket within the session only.
            start_new_session=root,
            process_group=None if root else 0,
        )
    return HostChangeProcess(events, output, process)


def _written(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def wizard_command() -> list[str]:
    """How the wizard is started for a change: as root, or through sudo without a question."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return [*prefix, sys.executable, "-P", "-m", "wizard"]
