"""A person's files: read where they are named, and never written over unasked."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from wizard.host.files import write_atomic
from wizard.plan.findings import WizardError
from wizard.plan.machine_lists import decode, is_text
from wizard.plan.text import clean
from wizard.services.protocols import FileThere

LARGEST_LIST = 8 << 20
# File systems end at 255 bytes, and a file that is replaced has another name beside it for a moment.
_LONGEST_NAME = 240
# The kernel takes its last number for nobody's.
_NO_ID = (1 << 32) - 1
_LONGEST_ID = len(str(_NO_ID))


class HostFiles:
    """Remembers what it wrote in this run."""

    def __init__(self) -> None:
        self._saved: dict[Path, str] = {}

    def read_list(self, path: str) -> str:
        place = home_expanded(path)
        try:
            # Not Path.open(): that waits for somebody to write to a pipe, and may make a terminal ours.
            fd = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise WizardError(f"{clean(path)} is not a file.", "Write the path of a text file.")
            with os.fdopen(fd, "rb") as handle:
                raw = handle.read(LARGEST_LIST + 1)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "that is not a file name"
            raise WizardError(f"{clean(path)} cannot be read: {why}.", "Write the path of a text file.") from error
        text = decode(raw)
        if len(raw) > LARGEST_LIST or not is_text(text):
            what = "larger than 8 MiB" if len(raw) > LARGEST_LIST else "not text"
            raise WizardError(f"{clean(path)} is {what}.", "Save the list as CSV, one machine per line.")
        return text

    def save(self, path: str, text: str, over: bool = False) -> str:
        target, content = _place(path), _encoded(path, text)
        try:
            # What we wrote ourselves and nobody has changed since is ours to write again.
            _write(target, content, over or (target in self._saved and _holds(target, self._saved[target].encode())))
        except FileExistsError:
            if target.is_file() and not target.is_symlink():
                raise FileThere(target) from None
            raise WizardError(f"{target} already exists, and is not a regular file.", "Choose another name.") from None
        except OSError as error:
            raise WizardError(f"{target} cannot be written: {error.strerror}.", "Choose another place.") from error
        self._saved[target] = text
        return str(target)


def home_expanded(path: str) -> Path:
    """The path with `~` and `~user` replaced. Raises WizardError where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        owner = clean(path.partition("/")[0], 80)
        raise WizardError(f"{owner} is not a home directory here.", "Write a full path, from / on.") from None


def _place(path: str) -> Path:
    """Where a file of that name is. Raises WizardError where none can be."""
    try:
        if b"\0" in os.fsencode(path):
            raise ValueError
        target = home_expanded(path).absolute()
    except ValueError:
        raise WizardError(
            f"{clean(path)} cannot be written: that is not a file name.", "Choose another name."
        ) from None
    except FileNotFoundError:
        message = "The directory where the wizard was started is gone."
        raise WizardError(message, "Write a full path, from / on.") from None
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        raise WizardError(f"The name {clean(target.name, 60)} is too long.", "Choose a shorter name.")
    return target


def _encoded(path: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        message = f"{clean(path)} cannot be written: character {error.start + 1} of the text is invalid."
        raise WizardError(message, "Retype what shows a ? in place of a letter.") from None


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
