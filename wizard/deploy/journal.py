"""The journal, /var/lib/ciao-wizard/journal: the pre-images of every change, so that any later process can undo it.

A line is a CRC-32 in hex, a space, and one JSON object (see `journal_schema`). It is synced before its change is made.
Engine processes write it; `installed_files`, `verify` and `status` read it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wizard.deploy.journal_schema import is_valid
from wizard.host.files import PreImages, make_directory, sync_directory
from wizard.host.processes import boot_id
from wizard.plan import paths
from wizard.plan.findings import WizardError

Record = dict[str, Any]

ENDED = ("applied", "reverted")
RESERVE_BYTES = 65536
"""Disk space held in reserve, and freed where a full disk would prevent the records of an undo."""
_KINDS = ("begin", "before", "done", "trial", "kept", "applied", "reverting", "reverted")


@dataclass(slots=True)
class Transaction:
    """The records of one apply or reset.

    `begin`: its first record. `steps`: (step, pre-image) in the order they were begun. `files`: what was kept,
    path -> SHA-256. `phase`: the kind of the last record that is not a step's.
    """

    number: int
    begin: Record
    steps: list[tuple[str, Record]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    phase: str = "begin"

    @property
    def open(self) -> bool:
        return self.phase not in ENDED

    @property
    def same_boot(self) -> bool:
        return bool(self.begin.get("boot") == boot_id())

    @property
    def is_reset(self) -> bool:
        return self.begin.get("kind") == "reset"


@dataclass(frozen=True, slots=True)
class JournalContents:
    """A journal as read. `torn`: a power loss cut the last line, which is harmless. `damage`: all else, for people."""

    transactions: tuple[Transaction, ...]
    torn: bool = False
    damage: tuple[str, ...] = ()

    @property
    def last(self) -> Transaction | None:
        return self.transactions[-1] if self.transactions else None

    @property
    def in_force(self) -> Transaction | None:
        """The last transaction that was applied and not reset since, or None."""
        for transaction in reversed(self.transactions):
            if transaction.is_reset and not transaction.open:
                return None
            if transaction.phase == "applied":
                return transaction
        return None

    @property
    def settled(self) -> bool:
        """Whether a transaction is in force and none is open."""
        return self.last is not None and not self.last.open and self.in_force is not None

    def first_images(self) -> list[tuple[str, Record]]:
        """(step, its first pre-image) for each step ever begun and not reverted, in order."""
        seen: dict[str, Record] = {}
        for transaction in self.transactions:
            if transaction.phase == "reverted":
                # It left the machine as it was, which may have changed since.
                continue
            for step, image in transaction.steps:
                seen.setdefault(step, image)
        return list(seen.items())

    def written(self) -> dict[str, str]:
        """The kept files as the last kept apply left them: path -> SHA-256."""
        kept = self.in_force
        return kept.files if kept is not None else {}


class Journal:
    """The journal of this machine. Root only: mode 0700, files 0600."""

    def __init__(self, root: str = paths.STATE) -> None:
        self.root = Path(root)
        self.path = self.root / "journal"
        self.reserve = self.root / "reserve"
        # Pre-images are hard links where possible; those of files under /run must lie on that filesystem.
        near = Path(paths.RUN) / "before" if root == paths.STATE else None
        self.images = PreImages(self.root / "before", near)

    def exists(self) -> bool:
        return self.root.exists()

    def begin(self, **fields: Any) -> None:
        """Begin a transaction, with disk space reserved for its end. Raises WizardError where it cannot be written."""
        record = {"t": "begin", "boot": boot_id(), **fields}
        try:
            if not self.root.exists():
                self._create(_line(record))
                return
            if not self.reserve.exists():
                _write_reserve(self.reserve)
        except OSError as error:
            self.remove_draft()
            raise self._unwritable(error) from error
        self.append(record)

    def _create(self, line: bytes) -> None:
        """Create the directory with its first record in one rename: one without a journal counts as damaged."""
        self.remove_draft()
        self._draft.mkdir(mode=0o700, parents=True)
        self._draft.chmod(0o700)
        _write_reserve(self._draft / self.reserve.name)
        fd = os.open(self._draft / self.path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(self._draft)
        self._draft.rename(self.root)
        sync_directory(self.root.parent)

    @property
    def _draft(self) -> Path:
        return self.root.with_name(f".{self.root.name}.new")

    def remove_draft(self) -> None:
        """Remove the leftovers of a run that was killed while it created or removed the directory."""
        shutil.rmtree(self._draft, ignore_errors=True)

    def append(self, record: Record) -> None:
        """Append one record and sync it to disk. Raises WizardError where that fails."""
        line = _line(record)
        try:
            make_directory(self.root, 0o700)
            try:
                self._write(line)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self.reserve.exists():
                    raise
                self.reserve.unlink()
                self._write(line)
        except OSError as error:
            raise self._unwritable(error) from error

    def _write(self, line: bytes) -> None:
        new = not self.path.exists()
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            size = _drop_torn_tail(fd)
            written = os.write(fd, line)
            if written != len(line):
                os.ftruncate(fd, size)
                raise OSError(errno.ENOSPC, "No space left on device")
            os.fsync(fd)
        finally:
            os.close(fd)
        if new:
            sync_directory(self.root)

    def _unwritable(self, error: OSError) -> WizardError:
        return WizardError(
            f"the journal {self.path} cannot be written: {error.strerror}",
            "Nothing is changed without it. Make room or make it writable, then run it again.",
        )

    def read(self) -> JournalContents:
        """Read every valid record. Never raises: what is wrong is in `damage`."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            damage = ("the journal is missing",) if self.exists() else ()
            return JournalContents((), damage=damage)
        except OSError as error:
            return JournalContents((), damage=(f"the journal cannot be read: {error.strerror}",))
        return parse(raw)

    def prune(self) -> None:
        """Remove the pre-images that no undo needs any more."""
        reading = self.read()
        if reading.settled and not reading.damage:
            # A leftover pre-image is harmless.
            with contextlib.suppress(OSError):
                self.images.prune(reading.first_images())

    def remove(self) -> None:
        """Remove the journal and its pre-images: the last act of a reset. Raises OSError."""
        self.remove_draft()
        if self.root.is_dir():
            # Renamed first, as a directory without a journal counts as damaged.
            self.root.rename(self._draft)
            sync_directory(self.root.parent)
        self.remove_draft()


def _line(record: Record) -> bytes:
    body = json.dumps(record, separators=(",", ":"), sort_keys=True)
    return f"{zlib.crc32(body.encode()):08x} {body}\n".encode()


def _write_reserve(file: Path) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # Written zeros take blocks; a hole would not.
        os.write(fd, bytes(RESERVE_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)


def _drop_torn_tail(fd: int) -> int:
    """Cut off a torn last line, so that the next record begins a line; returns the file's size then."""
    size = os.fstat(fd).st_size
    content = os.pread(fd, size, 0)
    tail = content[content.rfind(b"\n") + 1 :]
    if not tail:
        return size
    if _record(tail) is not None:
        os.write(fd, b"\n")
        return size + 1
    os.ftruncate(fd, size - len(tail))
    return size - len(tail)


def parse(raw: bytes) -> JournalContents:
    """Parse a journal's bytes. A line without a valid checksum or shape is left out and noted in `damage`."""
    records: list[Record] = []
    damage: list[str] = []
    torn = False
    lines = raw.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        record = _record(line)
        if record is not None and not is_valid(record):
            damage.append(f"line {number} of the journal is none that this version can act on")
        elif record is not None:
            records.append(record)
        elif number == len(lines):
            torn = True
        else:
            damage.append(f"line {number} of the journal is damaged")
    if raw and not records:
        damage.append("nothing in the journal can be read")
    if not raw:
        damage.append("the journal is empty")
    return JournalContents(tuple(_transactions(records, damage)), torn, tuple(damage))


def _record(line: bytes) -> Record | None:
    checksum, _, body = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("t") in _KINDS else None


def _transactions(records: Iterable[Mapping[str, Any]], damage: list[str]) -> list[Transaction]:
    found: list[Transaction] = []
    for record in records:
        kind = record["t"]
        if kind == "begin":
            found.append(Transaction(len(found) + 1, dict(record)))
            continue
        if not found or not found[-1].open:
            # Its "begin" is lost, and perhaps more.
            damage.append(f"the journal has no beginning for what follows transaction {len(found)}")
            found.append(Transaction(len(found) + 1, {"t": "begin"}))
        transaction = found[-1]
        if kind == "before":
            transaction.steps.append((record["step"], dict(record["image"])))
        elif kind == "done":
            if record["step"] not in dict(transaction.steps):
                damage.append(f"the journal does not say what was there before {record['step']}")
        else:
            transaction.phase = kind
            transaction.files |= {str(path): str(digest) for path, digest in dict(record.get("files", {})).items()}
    return found
