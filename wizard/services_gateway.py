"""What the pages of a gateway in force ask of the machine, and the small resets that they start."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wizard.host.files import write_atomic
from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.services_nodes import home_expanded

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.net.traffic import TrafficSample
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.monitor.overview import Overview, RowReader
    from wizard.services import Run

# File systems end at 255 bytes, and a file that is replaced has another name beside it for a moment.
_LONGEST_NAME = 240
# The kernel takes its last number for nobody's.
_NO_ID = (1 << 32) - 1
_LONGEST_ID = len(str(_NO_ID))


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

    def overview(self, rows: tuple[LeaseRow, ...] | None = None) -> Overview:
        """`rows` are those of a lease monitor that is open already; without them one of its own is asked."""
        ...

    def traffic(self, nics: tuple[str, ...]) -> TrafficSample: ...
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
    _rows_watch: RowReader | None
    _saved: dict[Path, str]

    def status(self) -> Status: ...
    def start_change(self, *words: str) -> Run: ...


class HostGateway:
    """The real machine; the services it is part of have the rest."""

    _rows_watch: RowReader | None = None

    def overview(self: _Machine, rows: tuple[LeaseRow, ...] | None = None) -> Overview:
        from wizard.host.plan_in_force import Unreadable, running_plan
        from wizard.monitor.overview import RowReader, read_overview
        from wizard.plan.addresses import SubnetFull, assign

        plan = running_plan(Unreadable.SKIP)
        try:
            plan = assign(plan) if plan is not None else None
        except SubnetFull:
            # Applied it cannot have been; what is there is shown all the same.
            pass
        if rows is None:
            self._rows_watch = self._rows_watch or RowReader()
            rows = self._rows_watch.rows()
        return read_overview(self.status(), plan, rows)

    def traffic(self, nics: tuple[str, ...]) -> TrafficSample:
        from wizard.host.net.traffic import read_traffic

        return read_traffic(nics)

    def hand_overs(self) -> tuple[HandOver, ...]:
        from wizard.host.facts.reader import read_facts
        from wizard.host.plan_in_force import Unreadable, running_plan
        from wizard.plan.export.about import ABOUT
        from wizard.plan.export.formats import FORMATS, corporate_side, export

        plan = running_plan(Unreadable.SKIP)
        if plan is None:
            return ()
        around = corporate_side(plan, read_facts())
        return tuple(HandOver(form, *ABOUT[form], export(plan, form, around)) for form in FORMATS)

    def save_plan(self: _Machine, path: str, plan_text: str, over: bool = False) -> str:
        target, content = _place(path), _encoded(path, plan_text)
        try:
            # What we wrote ourselves and nobody has changed since is ours to write again.
            _write(target, content, over or (target in self._saved and _holds(target, self._saved[target].encode())))
        except FileExistsError:
            if target.is_file() and not target.is_symlink():
                raise FileThere(target) from None
            raise WizardError(f"{target} is there already, and is no plain file.", "Choose another name.") from None
        except OSError as error:
            raise WizardError(f"{target} cannot be written: {error.strerror}.", "Choose another place.") from error
        self._saved[target] = plan_text
        return str(target)

    def start_renew(self: _Machine, part: str) -> Run:
        return self.start_change("reset", "--only", part, "--yes")


def _place(path: str) -> Path:
    """Where a file of that name is. Raises WizardError where none can be."""
    try:
        if b"\0" in os.fsencode(path):
            raise ValueError
        target = home_expanded(path).absolute()
    except ValueError:
        raise WizardError(f"{clean(path)} cannot be written: that is no file name.", "Choose another name.") from None
    except FileNotFoundError:
        told = "The directory in which the wizard was started is gone."
        raise WizardError(told, "Write the whole path, from / on.") from None
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        raise WizardError(f"The name {clean(target.name, 60)} is too long.", "Choose a shorter name.")
    return target


def _encoded(path: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        told = f"{clean(path)} cannot be written: character {error.start + 1} of the text is none."
        raise WizardError(told, "Type anew what has a ? in the place of a letter.") from None


def _holds(target: Path, content: bytes) -> bool:
    """Whether there is a plain file that says just this. Waits for nobody, whatever is there."""
    try:
        # Without O_NONBLOCK the opening of a pipe waits for somebody to write to it.
        handle = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            return stat.S_ISREG(os.fstat(handle).st_mode) and file.read(len(content) + 1) == content
    except OSError:
        return False


def _write(target: Path, content: bytes, over: bool) -> None:
    """Raises FileExistsError unless `over`. What root makes for somebody who came by sudo is that person's."""
    there = target.lstat() if over and os.path.lexists(target) else None
    if there is not None:
        if not stat.S_ISREG(there.st_mode):
            # Over a link root would write wherever it leads.
            raise FileExistsError
        owner = (there.st_uid, there.st_gid) if os.geteuid() == 0 else None
        write_atomic(str(target), content, stat.S_IMODE(there.st_mode), owner)
        return
    person = _sudo_person() if os.geteuid() == 0 else None
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            if person is not None:
                os.fchown(handle, *person)
            file.write(content)
    except OSError:
        # Half a file must not look like one.
        target.unlink(missing_ok=True)
        raise


def _sudo_person() -> tuple[int, int] | None:
    """User and group of whoever came by sudo; None where it names nobody."""
    found = [os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID")]
    if not all(number.isascii() and number.isdecimal() and len(number) <= _LONGEST_ID for number in found):
        return None
    user, group = (int(number) for number in found)
    return (user, group) if max(user, group) < _NO_ID else None
