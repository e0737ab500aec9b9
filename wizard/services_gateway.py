"""What the pages of a gateway in force ask of the machine, and the small resets that they start."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wizard.host.files import write_atomic
from wizard.plan.findings import WizardError
from wizard.services_nodes import home_expanded

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.traffic import Look
    from wizard.monitor.leases import Row
    from wizard.monitor.overview import Overview, RowsWatch
    from wizard.services import Run


@dataclass(frozen=True, slots=True)
class HandOver:
    """The plan in one of the formats of `export`: `text` is whole, `file` a name that suits it."""

    form: str
    file: str
    about: str
    text: str


class FileThere(WizardError):
    """There is a file at `path` that the wizard has not written in this run."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already.", "Choose another name.")
        self.path = path


class GatewayServices(Protocol):
    """Calls may block and raise WizardError."""

    def overview(self, rows: tuple[Row, ...] | None = None) -> Overview:
        """`rows` are those of a lease monitor that is open already; without them one of its own is asked."""
        ...

    def traffic(self, nics: tuple[str, ...]) -> Look: ...
    def hand_overs(self) -> tuple[HandOver, ...]:
        """The plan in force in every format; () where there is none."""
        ...

    def save_plan(self, path: str, plan_text: str, over: bool = False) -> str:
        """Write a file; its full path. Over one that others wrote only if `over`: else FileThere."""
        ...

    def start_renew(self, part: str) -> Run:
        """Bring one part of what is in force about anew: "rules", "nodes", "dhcp" or "leases"."""
        ...


class _Machine(Protocol):
    _rows_watch: RowsWatch | None
    _saved: dict[Path, str]

    def status(self) -> Status: ...
    def start_change(self, *words: str) -> Run: ...


class HostGateway:
    """The real machine; the services it is part of have the rest."""

    _rows_watch: RowsWatch | None = None

    def overview(self: _Machine, rows: tuple[Row, ...] | None = None) -> Overview:
        from wizard.deploy.engine import plan_running
        from wizard.monitor.overview import RowsWatch, read_overview
        from wizard.plan.addresses import SubnetFull, assign

        plan = plan_running()
        try:
            plan = assign(plan) if plan is not None else None
        except SubnetFull:
            # Applied it cannot have been; what is there is shown all the same.
            pass
        if rows is None:
            self._rows_watch = self._rows_watch or RowsWatch()
            rows = self._rows_watch.rows()
        return read_overview(self.status(), plan, rows)

    def traffic(self, nics: tuple[str, ...]) -> Look:
        from wizard.host.traffic import read_traffic

        return read_traffic(nics)

    def hand_overs(self) -> tuple[HandOver, ...]:
        from wizard.deploy.engine import plan_running
        from wizard.host.facts import read_facts
        from wizard.plan.export import FORMATS, export, surroundings
        from wizard.plan.export_about import ABOUT

        plan = plan_running()
        if plan is None:
            return ()
        around = surroundings(plan, read_facts())
        return tuple(HandOver(form, *ABOUT[form], export(plan, form, around)) for form in FORMATS)

    def save_plan(self: _Machine, path: str, plan_text: str, over: bool = False) -> str:
        target = home_expanded(path).absolute()
        try:
            # What we wrote ourselves and nobody has changed since is ours to write again.
            over = over or (target in self._saved and target.read_text(encoding="utf-8") == self._saved[target])
            _write(target, plan_text, over)
        except FileExistsError:
            if target.is_file() and not target.is_symlink():
                raise FileThere(target) from None
            raise WizardError(f"{target} is there already, and is no plain file.", "Choose another name.") from None
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text any more"
            raise WizardError(f"{target} cannot be written: {why}.", "Choose another place.") from error
        self._saved[target] = plan_text
        return str(target)

    def start_renew(self: _Machine, part: str) -> Run:
        return self.start_change("reset", "--only", part, "--yes")


def _write(target: Path, text: str, over: bool) -> None:
    """Raises FileExistsError unless `over`. What root makes for somebody who came by sudo is that person's."""
    there = target.lstat() if over and os.path.lexists(target) else None
    if there is not None:
        if not stat.S_ISREG(there.st_mode):
            # Over a link root would write wherever it leads.
            raise FileExistsError
        owner = (there.st_uid, there.st_gid) if os.geteuid() == 0 else None
        write_atomic(str(target), text.encode(), stat.S_IMODE(there.st_mode), owner)
        return
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_EXCL, 0o666)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        person = [os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID")]
        if os.geteuid() == 0 and all(number.isdigit() for number in person):
            os.fchown(handle, int(person[0]), int(person[1]))
        file.write(text)
