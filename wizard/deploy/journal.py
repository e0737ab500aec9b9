"""The journal: on disk before the first change, so that whoever comes next can undo what we did.

A line is a CRC-32 in hex, a space, and one JSON object. Each is synced before the change it speaks of.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wizard.host.files import PreImages, make_directory, sync_directory
from wizard.host.processes import boot_id
from wizard.plan import paths
from wizard.plan.findings import WizardError

Record = dict[str, Any]

ENDED = ("applied", "reverted")


@dataclass(slots=True)
class Transaction:
    """What the journal says of one apply. `steps` holds (step, pre-image) in the order they were begun."""

    number: int
    begin: Record
    steps: list[tuple[str, Record]] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    phase: str = "begin"

    @property
    def open(self) -> bool:
        return self.phase not in ENDED

    @property
    def same_boot(self) -> bool:
        return bool(self.begin.get("boot") == boot_id())

    @property
    def kept(self) -> bool:
        return self.phase in ("kept", "applied")


@dataclass(frozen=True, slots=True)
class Reading:
    """A journal as read. `torn`: the last line was cut by a power loss, which is harmless.
    `damage`: what else is wrong with it, in words."""

    transactions: tuple[Transaction, ...]
    torn: bool = False
    damage: tuple[str, ...] = ()

    @property
    def last(self) -> Transaction | None:
        return self.transactions[-1] if self.transactions else None

    @property
    def in_force(self) -> Transaction | None:
        """The last transaction that was kept to the end."""
        return next((t for t in reversed(self.transactions) if t.phase == "applied"), None)

    def first_images(self) -> list[tuple[str, Record]]:
        """For each step ever begun, what was there before the first of them; in order.

        A transaction that was reverted left things as they were, so a later one saw the same.
        """
        seen: dict[str, Record] = {}
        for transaction in self.transactions:
            for step, image in transaction.steps:
                seen.setdefault(step, image)
        return list(seen.items())


class Journal:
    """The journal of this machine. Root only: mode 0700, files 0600."""

    def __init__(self, root: str = paths.STATE) -> None:
        self.root = Path(root)
        self.path = self.root / "journal"
        self.images = PreImages(self.root / "before")

    def exists(self) -> bool:
        return self.root.exists()

    def append(self, record: Record) -> None:
        """Write one record and make it last. Raises WizardError when it cannot."""
        body = json.dumps(record, separators=(",", ":"), sort_keys=True)
        line = f"{zlib.crc32(body.encode()):08x} {body}\n".encode()
        try:
            make_directory(self.root, 0o700)
            new = not self.path.exists()
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            try:
                size = _drop_torn_tail(fd)
                written = os.write(fd, line)
                if written != len(line):
                    os.ftruncate(fd, size)
                    raise OSError(28, "No space left on device")
                os.fsync(fd)
            finally:
                os.close(fd)
            if new:
                sync_directory(self.root)
        except OSError as error:
            raise WizardError(
                f"the journal {self.path} cannot be written: {error.strerror}",
                "Nothing is changed without it. Make room or make it writable, then run it again.",
            ) from error

    def read(self) -> Reading:
        """All that can be trusted of the journal. Never raises for what is in it."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            damage = ("the journal is missing",) if self.exists() else ()
            return Reading((), damage=damage)
        except OSError as error:
            return Reading((), damage=(f"the journal cannot be read: {error.strerror}",))
        return parse(raw)

    def forget(self) -> None:
        """Remove the journal and everything it kept: the last act of a reset that left nothing behind."""
        for directory in (self.images.root, self.root):
            if not directory.is_dir():
                continue
            for entry in directory.iterdir():
                if not entry.is_dir():
                    entry.unlink()
            directory.rmdir()
        if self.root.parent.is_dir():
            sync_directory(self.root.parent)


def _drop_torn_tail(fd: int) -> int:
    """Cut off what a power loss left of a last line, so that the next one begins a line; the size then."""
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


def parse(raw: bytes) -> Reading:
    """Records -> transactions; what does not carry its checksum is left out and said."""
    records: list[Record] = []
    damage: list[str] = []
    torn = False
    lines = raw.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        record = _record(line)
        if record is not None:
            records.append(record)
        elif number == len(lines):
            torn = True
        else:
            damage.append(f"line {number} of the journal is damaged")
    if raw and not records:
        damage.append("nothing in the journal can be read")
    if not raw:
        damage.append("the journal is empty")
    return Reading(tuple(_transactions(records, damage)), torn, tuple(damage))


def _record(line: bytes) -> Record | None:
    checksum, _, body = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        record = json.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "t" in record else None


def _transactions(records: Iterable[Mapping[str, Any]], damage: list[str]) -> list[Transaction]:
    found: list[Transaction] = []
    for record in records:
        kind = record["t"]
        if kind == "begin":
            found.append(Transaction(len(found) + 1, dict(record)))
            continue
        if not found:
            damage.append("the journal does not begin with a beginning")
            found.append(Transaction(1, {"t": "begin"}))
        transaction = found[-1]
        if kind == "before":
            transaction.steps.append((str(record["step"]), dict(record["image"])))
        elif kind == "done":
            transaction.done.add(str(record["step"]))
        elif kind == "undone":
            transaction.undone.add(str(record["step"]))
        else:
            transaction.phase = kind
    return found
