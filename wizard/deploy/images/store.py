"""The images of this machine: `IMAGES/NAME/`, files of an image and its manifest.

An image is there whole or not at all. It grows in `.adding-NAME`, which nobody serves, and gets its name by one
rename; it goes by one rename to `.gone-NAME`. World-readable, writable by root only.

The directory is not the journal's: that one is root's alone, and a reset removes it in one rename.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from wizard.deploy import failpoints
from wizard.deploy.images.sources import Part, Readable, Source
from wizard.host.files import make_directory, read_text, sync_directory, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.image_manifest import MANIFEST, Manifest, ManifestDamaged, StoredFile, dump_manifest, load_manifest

_ADDING, _GONE = ".adding-", ".gone-"
_CHUNK = 1 << 20
MARGIN_BYTES = 256 << 20
"""Left free on the disk: the journal and the leases need room too."""


class ImageState(StrEnum):
    """`INCOMPLETE`: an `image add` was stopped, and goes on where it was when it is run again."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    INCOMPLETE = "incomplete"


def forgotten(root: str = "") -> str:
    """Where the images of `root` are while they are removed altogether; there from a reset that was cut off, too."""
    path = Path(root or paths.IMAGES)
    return str(path.with_name(f".{path.name}.gone"))


@dataclass(frozen=True, slots=True)
class FileProblem:
    """What is wrong with a file of an image."""

    file: str
    problem: str


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image on this machine. `manifest` is None where it cannot be read; `size`: bytes on the disk."""

    name: str
    state: ImageState
    size: int
    manifest: Manifest | None = None
    problems: tuple[FileProblem, ...] = field(default=())


Told = Callable[[str, int, int], None]
"""Is told the file, the bytes that are done of the whole image, and all its bytes."""


def silent(_file: str, _done: int, _all: int) -> None:
    """Progress that nobody wants."""


class ImageStore:
    """The directory of images. All that changes it excludes one another."""

    def __init__(self, root: str | None = None) -> None:
        self.root = Path(root or paths.IMAGES)

    def directory(self, name: str) -> Path:
        return self.root / name

    # --- Looking.

    def images(self) -> tuple[StoredImage, ...]:
        """Every image, by name, its files looked at but not read. Raises WizardError where they may not be seen."""
        found: dict[str, StoredImage] = {}
        for entry in self._entries():
            if entry.name.startswith(_ADDING):
                name = entry.name.removeprefix(_ADDING)
                found.setdefault(name, StoredImage(name, ImageState.INCOMPLETE, _size_of(entry)))
            elif not entry.name.startswith("."):
                found[entry.name] = self._look(entry)
        return tuple(found[name] for name in sorted(found))

    def manifests(self) -> dict[str, Manifest]:
        """Those of the whole images, by name."""
        seen = self.images()
        return {each.name: each.manifest for each in seen if each.manifest and each.state is ImageState.WHOLE}

    def named(self, state: ImageState) -> tuple[str, ...]:
        """The names of those in this state."""
        return tuple(each.name for each in self.images() if each.state is state)

    def _entries(self) -> list[Path]:
        try:
            return [entry for entry in self.root.iterdir() if entry.is_dir() and not entry.is_symlink()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise WizardError(f"{self.root}: {error.strerror}", "Look as root, with sudo.") from error

    def _look(self, directory: Path) -> StoredImage:
        try:
            manifest = load_manifest(read_text(str(directory / MANIFEST)) or "")
        except ManifestDamaged as damage:
            problem = FileProblem(MANIFEST, damage.message)
            return StoredImage(directory.name, ImageState.DAMAGED, _size_of(directory), None, (problem,))
        found = [*_strangers(directory, manifest)]
        if manifest.name != directory.name:
            found.append(FileProblem(MANIFEST, f"it is of an image {manifest.name}"))
        for file in manifest.files:
            try:
                os.close(_open_stored(directory, file))
            except _Damaged as damage:
                found.append(FileProblem(file.path, str(damage)))
        state = ImageState.DAMAGED if found else ImageState.WHOLE
        return StoredImage(directory.name, state, _size_of(directory), manifest, tuple(found))

    def check(self, name: str, told: Told = silent) -> StoredImage:
        """The image with every file read and compared with its checksum. Raises WizardError where there is none."""
        directory = self.directory(name)
        if not directory.is_dir():
            raise self._not_here(name)
        seen = self._look(directory)
        if seen.manifest is None:
            return seen
        found = list(seen.problems)
        known = {problem.file for problem in found}
        total, done = seen.manifest.size, 0
        for file in seen.manifest.files:
            if file.path not in known:
                try:
                    digest = _digest(directory, file, lambda now: told(file.path, done + now, total))  # noqa: B023
                except _Damaged as damage:
                    found.append(FileProblem(file.path, str(damage)))
                else:
                    if digest != file.sha256:
                        found.append(FileProblem(file.path, "its content is not what was added"))
            done += file.size
        state = ImageState.DAMAGED if found else ImageState.WHOLE
        return StoredImage(name, state, seen.size, seen.manifest, tuple(found))

    def _not_here(self, name: str) -> WizardError:
        here = ", ".join(image.name for image in self.images())
        return WizardError(
            f"there is no image {name} on this machine", f"There are: {here}." if here else "There is none at all."
        )

    # --- Changing.

    def add(self, name: str, source: Source, told: Told = silent) -> Manifest:
        """Copy an image from its source. Goes on where a run that was stopped had come to.

        Raises WizardError: for a name that is taken, a disk without room, a source that cannot be read.
        """
        with self._locked():
            target = self.directory(name)
            if os.path.lexists(target):
                raise WizardError(
                    f"there is an image {name} already",
                    f"Remove it first: sudo ciao-wizard image remove {name}; or give another name.",
                )
            draft = self.root / f"{_ADDING}{name}"
            _make_draft(draft, source)
            failpoints.hit("image:begun")
            self._need_room(draft, source)
            try:
                files = self._copy(draft, source, told)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    shutil.rmtree(draft, ignore_errors=True)
                    raise WizardError(
                        f"no room is left on the disk of {self.root}",
                        "Nothing was kept of the image; make room and add it again.",
                    ) from error
                raise WizardError(
                    f"{source.label}: {error.strerror}",
                    "What was copied is kept: run it again to go on, or remove the image.",
                ) from error
            except WizardError:
                # The source is not what it should be: nothing of it is worth keeping.
                shutil.rmtree(draft, ignore_errors=True)
                raise
            manifest = Manifest(
                name,
                source.kind,
                source.architecture,
                files,
                source.kernel,
                source.initrd,
                source.script,
                source.iso,
                source.label,
                datetime.now(UTC).isoformat(timespec="seconds"),
            )
            write_atomic(str(draft / MANIFEST), dump_manifest(manifest).encode(), 0o644)
            failpoints.hit("image:manifest")
            draft.chmod(0o755)
            sync_directory(draft)
            draft.rename(target)
            failpoints.hit("image:named")
            sync_directory(self.root)
            return manifest

    def remove(self, name: str, armed_with: Sequence[str] = ()) -> int:
        """Remove an image, a whole one or what there is of it. Returns its bytes on the disk.

        `armed_with`: the nodes that are armed with it; with any of them it is refused. Raises WizardError.
        """
        if armed_with:
            nodes = ", ".join(armed_with)
            raise WizardError(
                f"the image {name} is armed for {nodes}", f"Disarm first: sudo ciao-wizard boot disarm {nodes}."
            )
        with self._locked():
            places = [place for place in (self.directory(name), self.root / f"{_ADDING}{name}") if place.is_dir()]
            if not places:
                raise self._not_here(name)
            size = sum(map(_size_of, places))
            for place in places:
                gone = self.root / f"{_GONE}{place.name.removeprefix('.')}"
                place.rename(gone)
                sync_directory(self.root)
                failpoints.hit("image:gone")
                shutil.rmtree(gone)
            failpoints.hit("image:removed")
            return size

    def remove_all(self) -> None:
        """Remove the directory with all images, as a reset that forgets them does: whole or gone.

        What one that was killed has left goes too. Raises WizardError, OSError.
        """
        gone = Path(forgotten(str(self.root)))
        # Of one that was killed. A link is somebody else's.
        if gone.is_dir() and not gone.is_symlink():
            shutil.rmtree(gone)
        if self.root.is_dir():
            with self._locked():
                failpoints.hit("images:forgetting")
                self.root.rename(gone)
                sync_directory(gone.parent)
                failpoints.hit("images:gone")
                shutil.rmtree(gone)
        failpoints.hit("images:forgotten")

    def _need_room(self, draft: Path, source: Source) -> None:
        here = sum(min(_file_size(draft / part.path), part.size) for part in source.parts)
        needed = sum(part.size for part in source.parts) - here
        disk = os.statvfs(self.root)
        free = disk.f_bavail * disk.f_frsize
        if needed + MARGIN_BYTES > free:
            if not here:
                shutil.rmtree(draft, ignore_errors=True)
            raise WizardError(
                f"the image takes {mebibytes(needed)}, and the disk of {self.root} has {mebibytes(free)} free",
                f"Make room, with {mebibytes(MARGIN_BYTES)} to spare; 'ciao-wizard image list' shows what others take.",
            )

    def _copy(self, draft: Path, source: Source, told: Told) -> tuple[StoredFile, ...]:
        total = sum(part.size for part in source.parts)
        stored: dict[str, StoredFile] = {}
        done = 0
        with contextlib.closing(source.contents()) as contents:
            for part, content in contents:
                start = done
                digest = _copy_part(part, content, draft, lambda now: told(part.path, start + now, total))  # noqa: B023
                stored[part.path] = StoredFile(part.path, part.size, digest)
                done += part.size
                failpoints.hit(f"image:copied:{part.path}")
        if missing := [part.path for part in source.parts if part.path not in stored]:
            raise WizardError(
                f"{source.label} changed while it was read: {missing[0]} is gone", "Add it again, from a file at rest."
            )
        # In the order in which people list them.
        return tuple(stored[part.path] for part in source.parts)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude every other change, and sweep what a removal that was killed has left. Raises WizardError."""
        try:
            make_directory(self.root, 0o755)
            _refuse_others(self.root)
            fd = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise WizardError(f"{self.root}: {error.strerror}", f"Look at 'ls -la {self.root}'.") from error
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WizardError("another image is being added or removed", "Wait for it, then try again.") from None
            for left in self.root.glob(f"{_GONE}*"):
                shutil.rmtree(left, ignore_errors=True)
            try:
                yield
            except OSError as error:
                raise WizardError(
                    f"{error.filename or self.root}: {error.strerror}", "See to it and try again."
                ) from error
        finally:
            os.close(fd)


def mebibytes(size: int) -> str:
    """A size for people: MiB, or GiB from ten of them on."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 10 << 30 else f"{-(-size // (1 << 20))} MiB"


class _Damaged(Exception):
    """Why a stored file cannot be served."""


def _refuse_others(root: Path) -> None:
    """Raises WizardError where others can write to the directory: what is in it runs on every node."""
    info = root.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (0, os.getuid()) or info.st_mode & 0o022:
        raise WizardError(
            f"{root} is not a directory that only root can write to",
            f"Look at 'ls -ld {root}': nodes boot what is in it. Move it away, or make it root's alone.",
        )


def _make_draft(draft: Path, source: Source) -> None:
    """The directory in which the image grows, without what is not of this source."""
    draft.mkdir(mode=0o700, exist_ok=True)
    draft.chmod(0o700)
    wanted = {part.path for part in source.parts}
    for entry in draft.iterdir():
        if entry.name not in wanted or entry.is_symlink() or not entry.is_file():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _copy_part(part: Part, content: Readable, draft: Path, told: Callable[[int], None]) -> str:
    """Copy one file to its end, synced, and return its SHA-256.

    What an earlier run has left is compared and not trusted: after a power cut it may hold zeros.
    """
    digest = hashlib.sha256()
    fd = os.open(draft / part.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        left = os.fstat(fd).st_size
        done = 0
        while chunk := content.read(_CHUNK):
            if done + len(chunk) > part.size:
                break
            if done >= left or os.pread(fd, len(chunk), done) != chunk:
                _write_all(fd, chunk, done)
            digest.update(chunk)
            done += len(chunk)
            told(done)
            failpoints.hit(f"image:copying:{part.path}")
        if done != part.size or chunk:
            raise WizardError(f"{part.path} changed while it was read", "Add it again, from a file at rest.")
        os.ftruncate(fd, part.size)
        os.fchmod(fd, 0o644)
        os.fsync(fd)
    finally:
        os.close(fd)
    return digest.hexdigest()


def _write_all(fd: int, chunk: bytes, at: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def _open_stored(directory: Path, file: StoredFile) -> int:
    """A descriptor of a stored file. Raises _Damaged where it is not as it was added."""
    try:
        fd = os.open(directory / file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise _Damaged("it is missing") from None
    except OSError as error:
        what = "it is a link" if error.errno == errno.ELOOP else f"it cannot be opened: {error.strerror}"
        raise _Damaged(what) from None
    info = os.fstat(fd)
    problem = ""
    if not stat.S_ISREG(info.st_mode):
        problem = "it is no regular file"
    elif info.st_size != file.size:
        problem = f"it has {info.st_size} bytes, not {file.size}"
    elif not info.st_mode & stat.S_IROTH:
        problem = "the netboot server may not read it"
    elif info.st_mode & 0o022:
        problem = "others may write to it"
    if problem:
        os.close(fd)
        raise _Damaged(problem)
    return fd


def _digest(directory: Path, file: StoredFile, told: Callable[[int], None]) -> str:
    with os.fdopen(_open_stored(directory, file), "rb") as handle:
        digest, done = hashlib.sha256(), 0
        try:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                told(done)
        except OSError as error:
            raise _Damaged(f"it cannot be read: {error.strerror}") from None
        return digest.hexdigest()


def _strangers(directory: Path, manifest: Manifest) -> Iterator[FileProblem]:
    known = {MANIFEST, *(file.path.split("/")[0] for file in manifest.files)}
    for name in sorted(entry.name for entry in directory.iterdir()):
        if name not in known:
            yield FileProblem(name, "it was not added with the image")


def _file_size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _size_of(directory: Path) -> int:
    """Bytes of the files in a directory, 0 of what may not be seen."""
    try:
        return sum(_file_size(path) for path in directory.rglob("*") if not path.is_dir())
    except OSError:
        return 0
