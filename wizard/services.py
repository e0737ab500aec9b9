"""All that the screens ask of the machine, behind one face. Nothing here changes the machine by itself:
what does runs as a process of its own, which outlives the terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.services_gateway import GatewayServices, HostGateway
from wizard.services_nodes import HostNodes, NodesServices
from wizard.services_setup import HostSetup, SetupServices
from wizard.services_setup import WiresSaid as WiresSaid
from wizard.services_watch import HostWatch, WatchServices

if TYPE_CHECKING:
    from wizard.deploy.file_changes import FileChange
    from wizard.deploy.status import Status
    from wizard.monitor.lease_file import LeaseFile
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.plan.machine import Facts
    from wizard.plan.model import Plan

CONFIRM_WITHIN_S = 120
_MOST_READ = 1 << 20
_RUN = "run-"
# A change is over by then, and whoever wanted to see why it failed has looked.
TIDY_AFTER_S = 24 * 3600


class Run(Protocol):
    """A change of the machine under way in another process."""

    def lines(self) -> list[str]:
        """The lines of its events file since the last call; only whole ones."""
        ...

    def alive(self) -> bool:
        """Whether the process that we started still is. The change may go on without it."""
        ...

    def said(self) -> str:
        """The end of what it wrote to its standard error, a few lines, safe to show."""
        ...

    def log(self) -> str:
        """The path of the file that has all that it said."""
        ...


class Services(SetupServices, GatewayServices, NodesServices, WatchServices, Protocol):
    """Calls may block (except `now` and a Run's) and raise WizardError."""

    def now(self) -> datetime: ...
    def facts(self) -> Facts: ...
    def status(self) -> Status: ...
    def plan_in_force(self) -> str | None: ...
    def changes(self, plan: Plan, plan_text: str) -> tuple[FileChange, ...]: ...
    def rows(self) -> tuple[LeaseRow, ...]: ...
    def vendors(self, macs: tuple[str, ...]) -> dict[str, str]: ...
    def may_change(self) -> bool:
        """Whether a change can start without a password being asked."""
        ...

    def ask_password(self) -> bool:
        """Have sudo ask on the terminal, which must be free of the screen. Whether it was given."""
        ...

    def start_apply(self, plan_text: str) -> Run: ...
    def start_reset(self, forget_leases: bool) -> Run: ...
    def pending_run(self) -> Run:
        """An apply that was started earlier, perhaps by somebody else."""
        ...

    def confirm(self) -> None: ...
    def rollback(self) -> None: ...
    def read_draft(self, name: str) -> tuple[str, datetime] | None:
        """A draft that an earlier run left, and when it was last changed."""
        ...

    def save_draft(self, name: str, text: str) -> None: ...
    def forget_draft(self, name: str) -> None: ...


@dataclass(slots=True)
class HostRun:
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

    def log(self) -> str:
        return str(self.events if self.process is None else self.output)

    def said(self) -> str:
        try:
            raw = self.output.read_bytes()[-2000:]
        except OSError:
            return ""
        lines = [clean(line, 300) for line in raw.decode("utf-8", "replace").splitlines()]
        return "\n".join([line for line in lines if line.strip()][-4:])


class HostServices(HostSetup, HostGateway, HostNodes, HostWatch):
    """The real machine."""

    def __init__(self) -> None:
        home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        self._state = Path(home) / "ciao-wizard"
        self._leases: LeaseFile | None = None
        self._saved: dict[Path, str] = {}

    def now(self) -> datetime:
        return datetime.now(UTC)

    def facts(self) -> Facts:
        from wizard.deploy import runtime_state
        from wizard.deploy.apply.engine import applied_cluster
        from wizard.host.facts.reader import read_facts

        return read_facts(applied_cluster=applied_cluster(), our_pids=runtime_state.own_pids())

    def status(self) -> Status:
        from wizard.deploy.status import read_status

        return read_status()

    def plan_in_force(self) -> str | None:
        from wizard.host.files import read_text

        return read_text(paths.PLAN_IN_FORCE)

    def changes(self, plan: Plan, plan_text: str) -> tuple[FileChange, ...]:
        from wizard.deploy.file_changes import file_changes

        return file_changes(plan, plan_text)

    def rows(self) -> tuple[LeaseRow, ...]:
        from wizard.monitor.lease_board import read_rows
        from wizard.monitor.lease_file import LeaseFile

        self._leases = self._leases or LeaseFile(paths.LEASES)
        return read_rows(self._leases)

    def vendors(self, macs: tuple[str, ...]) -> dict[str, str]:
        from wizard.host.facts.vendors import vendor_of

        return {mac: vendor_of(mac) for mac in macs}

    def may_change(self) -> bool:
        from wizard.host import commands

        return os.geteuid() == 0 or commands.works("sudo", "-n", "true")

    def ask_password(self) -> bool:
        from wizard.host import commands

        sudo = commands.find("sudo")
        if sudo is None:
            raise WizardError("changing this machine needs root, and sudo is not installed", "Start it again as root.")
        return subprocess.run([sudo, "-v"], check=False).returncode == 0

    def start_apply(self, plan_text: str) -> Run:
        return self.apply_plan(plan_text, "--confirm-within", str(CONFIRM_WITHIN_S))

    def apply_plan(self, plan_text: str, *words: str) -> Run:
        place = self._run_directory()
        plan = _written(place / "plan.toml", plan_text)
        return _start(place, "apply", "-c", str(plan), *words)

    def start_reset(self, forget_leases: bool) -> Run:
        return self.start_change("reset", "--yes", *(["--forget-leases"] if forget_leases else []))

    def start_change(self, *words: str) -> Run:
        return _start(self._run_directory(), *words)

    def pending_run(self) -> Run:
        from wizard.deploy import runtime_state
        from wizard.deploy.shapes import EngineState

        # Its first events file lies open to everybody.
        files = (runtime_state.running_engine() or EngineState()).get("events") or [os.devnull]
        return HostRun(Path(str(files[0])), Path(os.devnull))

    def confirm(self) -> None:
        self._run("confirm")

    def rollback(self) -> None:
        self._run("rollback")

    def read_draft(self, name: str) -> tuple[str, datetime] | None:
        path = self._state / f"{name}.json"
        try:
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            return path.read_text(encoding="utf-8", errors="replace"), changed
        except OSError:
            return None

    def save_draft(self, name: str, text: str) -> None:
        self._write(f"{name}.json", text)

    def forget_draft(self, name: str) -> None:
        try:
            (self._state / f"{name}.json").unlink(missing_ok=True)
        except OSError as error:
            raise WizardError(f"{error.filename}: {error.strerror}") from error

    def _write(self, name: str, text: str) -> Path:
        """Replace one of our own files. Not synced: it is to outlive the screen, not a power cut."""
        path = self._state / name
        temporary = self._state / f".{name}.{os.getpid()}"
        try:
            self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        return path

    def _run_directory(self) -> Path:
        """A private place for one change's files: two wizards of one person must not mix theirs up."""
        try:
            self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
            place = Path(tempfile.mkdtemp(prefix=_RUN, dir=self._state))
        except OSError as error:
            raise _unwritable(self._state, error) from error
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


def _start(place: Path, *words: str) -> Run:
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
    return HostRun(events, output, process)


def _written(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _unwritable(path: Path, error: OSError) -> WizardError:
    return WizardError(f"{path}: {error.strerror}", "Make it writable, or set XDG_STATE_HOME.")


def wizard_command() -> list[str]:
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return [*prefix, sys.executable, "-P", "-m", "wizard"]
