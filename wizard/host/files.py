"""Writes files atomically, and captures and restores what stood at a path."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wizard.plan.findings import WizardError

# Hidden, and without a letter that `source interfaces.d/*` would match.
_TEMPORARY = ".{name}.ciao-tmp"


def read_text(path: str) -> str | None:
    """The text of a file; None if it does not exist, or we may not read it."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            # Links that lead to one another.
            return None
        raise


def refuse_others_directory(directory: Path) -> None:
    """Raises WizardError if the path is not a directory, or others can write to it: root runs the files in it."""
    try:
        info = directory.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise WizardError(
            f"{directory} is not a directory that only root can write to",
            f"Look at 'ls -ld {directory}': root runs files from there. Move it away, or make it root's alone.",
        )


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: Path, mode: int = 0o755) -> list[str]:
    """Make a directory and its parents. Returns those that were missing, outermost first."""
    made = [p for p in (path, *path.parents) if not p.exists()]
    for directory in reversed(made):
        try:
            directory.mkdir(mode=mode)
        except FileExistsError:
            if not directory.is_dir():
                raise
            # Somebody made it at the same time.
            continue
        directory.chmod(mode)
        sync_directory(directory.parent)
    return [str(p) for p in reversed(made)]


def blocked(path: str) -> str:
    """Why no file can be created at `path`, even by root: a directory is there, or a parent is not a directory or is a
    dangling link; else ""."""
    try:
        if Path(path).is_dir() and not Path(path).is_symlink():
            return f"{path} is a directory"
        for parent in reversed(Path(path).parents):
            if parent.is_dir():
                continue
            if parent.is_symlink():
                return f"{parent} is a link to {os.readlink(parent)}, where no directory is"
            if os.path.lexists(parent):
                return f"{parent} is no directory"
    except PermissionError:
        # We may not look there; root will find it.
        return ""
    return ""


def write_atomic(path: str, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Replace a file in one step and make it last. A symbolic link itself is replaced, not what it points to.

    Raises WizardError if the disk is full or the directory cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(_TEMPORARY.format(name=target.name))
    try:
        temporary.unlink(missing_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as handle:
            handle.write(content)
            if owner is not None:
                os.fchown(handle.fileno(), *owner)
            os.fchmod(handle.fileno(), mode)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)
        sync_directory(target.parent)
    except OSError as error:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass
        raise WizardError(f"{path}: {error.strerror}", _remedy(error)) from error


def write_below(top: Path, path: str, content: bytes, mode: int) -> None:
    """Write a file at `path` below the directory `top`, which is made if it is missing.

    No link below `top` is followed: it may be another user's, who could have root write elsewhere. Raises WizardError.
    """
    *parents, name = path.strip("/").split("/")
    at = top
    fd = -1
    try:
        top.mkdir(parents=True, exist_ok=True)
        fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for parent in parents:
            at /= parent
            with contextlib.suppress(FileExistsError):
                os.mkdir(parent, 0o755, dir_fd=fd)
            inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = inner
        at /= name
        temporary = _TEMPORARY.format(name=name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=fd)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=fd), "wb") as handle:
            handle.write(content)
            os.fchmod(handle.fileno(), mode)
        # Replaces what is there, a link too.
        os.replace(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
    except OSError as error:
        raise WizardError(
            f"{at}: {error.strerror}", "Give a directory that you may write to, with no link in it."
        ) from error
    finally:
        if fd >= 0:
            os.close(fd)


def _remedy(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "Make room on that disk and run it again."
    if error.errno == errno.EROFS:
        return "That filesystem is read-only; mount it writable and run it again."
    return "Nothing was changed by this step; see to it and run it again."


class PreImages:
    """Images of what was at paths before a change, to restore it exactly. `root` (mode 0700) holds each content once,
    under its SHA-256.

    Besides the copy a file gets a hard link there, or in `near` if `root` is on another disk: restoring that one takes
    no space and keeps the inode, so it works on a full disk.
    """

    def __init__(self, root: Path, near: Path | None = None) -> None:
        self.root = root
        self.near = near

    def capture(self, path: str) -> dict[str, Any]:
        """The image of `path`: kind "absent", "file", "link" or "other", with everything that restores it."""
        try:
            info = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return {"path": path, "kind": "absent", "missing_parents": _missing_parents(path)}
        base: dict[str, Any] = {
            "path": path,
            "mode": stat.S_IMODE(info.st_mode),
            "owner": [info.st_uid, info.st_gid],
            "mtime_ns": info.st_mtime_ns,
        }
        if stat.S_ISLNK(info.st_mode):
            return base | {"kind": "link", "target": os.readlink(path)}
        if not stat.S_ISREG(info.st_mode):
            return base | {"kind": "other"}
        content = Path(path).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        stored = self.root / digest
        make_directory(self.root, 0o700)
        if digest_of(str(stored)) != digest:
            write_atomic(str(stored), content, 0o600)
        twin = self._second_name(path, digest)
        return base | {"kind": "file", "digest": digest, "xattrs": _read_xattrs(path), "twin": twin}

    def _second_name(self, path: str, digest: str) -> str:
        """Make a hard link to the file at `path`. Returns its path, "" if neither directory is on the same disk."""
        for directory in (self.root, self.near):
            if directory is None:
                continue
            twin = directory / f"twin-{digest[:16]}-{time.monotonic_ns()}"
            try:
                make_directory(directory, 0o700)
                os.link(path, twin, follow_symlinks=False)
                sync_directory(directory)
                return str(twin)
            except OSError:
                continue
        return ""

    def prune(self, needed: object) -> None:
        """Remove what no image in `needed` (records with images anywhere inside) refers to."""
        wanted = set(_names(needed))
        for directory in (self.root, self.near):
            for entry in directory.iterdir() if directory is not None and directory.is_dir() else ():
                if entry.name not in wanted:
                    entry.unlink()

    def content(self, image: Mapping[str, Any]) -> bytes:
        """The stored bytes. Raises WizardError if they are gone or damaged."""
        stored = self.root / str(image["digest"])
        try:
            content = stored.read_bytes()
        except OSError as error:
            raise WizardError(f"the stored copy of {image['path']} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != image["digest"]:
            raise WizardError(f"the stored copy of {image['path']} is damaged")
        return content

    def restore(self, image: Mapping[str, Any]) -> None:
        """Restore what `capture` saw. Idempotent. Raises WizardError or OSError."""
        path = str(image["path"])
        kind = image["kind"]
        remove_temporary(path)
        if kind == "absent":
            remove(path)
            for directory in reversed(image.get("missing_parents", [])):
                _remove_if_empty(Path(directory))
        elif kind == "link" and not (os.path.islink(path) and os.readlink(path) == image["target"]):
            remove(path)
            make_directory(Path(path).parent)
            os.symlink(image["target"], path)
            os.lchown(path, *image["owner"])
            sync_directory(Path(path).parent)
        elif kind == "file" and not _is_unchanged(image):
            make_directory(Path(path).parent)
            if not self._rename_back(image):
                self._write_back(image)

    def _rename_back(self, image: Mapping[str, Any]) -> bool:
        """Rename the hard link back to its path. False if it is gone, or was changed."""
        twin = str(image.get("twin") or "")
        if not twin or not _is_unchanged({**image, "path": twin}):
            return False
        try:
            Path(twin).replace(image["path"])
            # Two names of one file already: then replacing changes nothing, and the second name is still there.
            Path(twin).unlink(missing_ok=True)
            sync_directory(Path(image["path"]).parent)
        except OSError:
            return False
        return True

    def _write_back(self, image: Mapping[str, Any]) -> None:
        path = str(image["path"])
        owner = (int(image["owner"][0]), int(image["owner"][1]))
        write_atomic(path, self.content(image), int(image["mode"]), owner)
        for name, value in image.get("xattrs", {}).items():
            os.setxattr(path, name, bytes.fromhex(value))
        os.utime(path, ns=(int(image["mtime_ns"]), int(image["mtime_ns"])))


def _names(found: object) -> Iterator[str]:
    """Names of the stored files that images inside `found` need."""
    if isinstance(found, Mapping):
        yield from (Path(str(found[key])).name for key in ("digest", "twin") if found.get(key))
    if isinstance(found, Mapping | list | tuple):
        for inner in found.values() if isinstance(found, Mapping) else found:
            yield from _names(inner)


def _is_unchanged(image: Mapping[str, Any]) -> bool:
    """Whether a file is exactly as its image: owner, mode, time, content and xattrs."""
    path = str(image["path"])
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or [info.st_uid, info.st_gid] != list(image["owner"]):
            return False
        if (stat.S_IMODE(info.st_mode), info.st_mtime_ns) != (image["mode"], image["mtime_ns"]):
            return False
        return bool(digest_of(path) == image["digest"] and _read_xattrs(path) == image.get("xattrs", {}))
    except OSError:
        return False


def digest_of(path: str) -> str | None:
    """The SHA-256 of a file's content; None if it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def remove_temporary(path: str) -> None:
    """Remove the temporary file that a killed `write_atomic` may have left."""
    target = Path(path)
    try:
        target.with_name(_TEMPORARY.format(name=target.name)).unlink()
    except (FileNotFoundError, NotADirectoryError):
        pass


def remove(path: str) -> None:
    """Remove a file or link, and the temporary file of a killed `write_atomic`."""
    target = Path(path)
    try:
        target.unlink()
    except (FileNotFoundError, NotADirectoryError):
        pass
    remove_temporary(path)
    if target.parent.is_dir():
        sync_directory(target.parent)


def _missing_parents(path: str) -> list[str]:
    return [str(p) for p in reversed(Path(path).parents) if not p.exists()]


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR):
            raise


def _read_xattrs(path: str) -> dict[str, str]:
    try:
        return {name: os.getxattr(path, name).hex() for name in os.listxattr(path)}
    except OSError:
        return {}
