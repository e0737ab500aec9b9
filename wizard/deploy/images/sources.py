"""What a person has -> the files of an image: files of their own, an ISO, or a Debian package.

Nothing is unpacked: a source says which files an image takes from it and how large each is, and reads them out.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wizard.plan.fields import FieldError, printable
from wizard.plan.findings import WizardError
from wizard.plan.image_fields import parse_image_file
from wizard.plan.image_manifest import MANIFEST
from wizard.plan.images import KINDS, Architecture, ImageKind

_HEAD = 0x8006
"""Bytes of a file by which its kind is known: an ISO says it in its seventeenth sector."""
_LONGEST_LOOK = 512 << 20
_MEDIUM = b"X_INSTALLATION_MEDIUM="


class Readable(Protocol):
    """What a file's content is read from."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A file that an image takes: its name in the image, and its size in bytes."""

    path: str
    size: int


Contents = Generator[tuple[Part, Readable], None, None]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image comes from. `contents` reads out each part once, in any order; read one before the next.

    `kernel`, `initrd`, `script`, `iso` name parts; `label` is the source's own name, for people.
    """

    label: str
    kind: ImageKind
    architecture: Architecture
    parts: tuple[Part, ...]
    contents: Callable[[], Contents]
    kernel: str = ""
    initrd: tuple[str, ...] = ()
    script: str = ""
    iso: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What a person named: an archive, or files; and what they say it is, None where they leave that to us."""

    archive: str = ""
    kernel: str = ""
    initrd: tuple[str, ...] = ()
    script: str = ""
    kind: ImageKind | None = None
    architecture: Architecture | None = None


def open_source(given: Given) -> Source:
    """The source of an image. Raises WizardError with what is missing, or what the archive is not."""
    if given.kind is ImageKind.DISK:
        raise WizardError(
            "an image of kind disk has no files: the machine boots from its own disk",
            'Nothing is to be added; write image = "disk" at the node.',
        )
    files = bool(given.kernel or given.initrd or given.script)
    if given.archive and files:
        raise WizardError(
            f"{printable(given.archive, 300)} is given, and files besides",
            "Give one archive, or --kernel and --initrd, or --script.",
        )
    if given.archive:
        return _of_archive(given)
    return _of_files(given)


def _of_archive(given: Given) -> Source:
    path = regular_file(given.archive)
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if head.startswith(b"!<arch>\ndebian-binary"):
        from wizard.deploy.images.package import read_package

        return checked(read_package(path, given))
    if head[0x8001:0x8006] == b"CD001":
        from wizard.deploy.images.iso import read_iso

        return checked(read_iso(path, given))
    raise WizardError(
        f"{printable(given.archive, 300)} is neither a Debian package nor an ISO",
        "Give one of these, or single files: --kernel FILE --initrd FILE.",
    )


def _of_files(given: Given) -> Source:
    kind = given.kind or ImageKind.CUSTOM
    if given.script:
        if given.kernel or given.initrd or kind is not ImageKind.CUSTOM:
            raise WizardError("a script is an image of kind custom alone", "Give --script without other files.")
        script = regular_file(given.script)
        with script.open("rb") as handle:
            if not handle.read(6).startswith(b"#!ipxe"):
                raise WizardError(
                    f"{printable(given.script, 300)} is no script of iPXE", 'Its first line must be "#!ipxe".'
                )
        part = _part(script)
        architecture = given.architecture or Architecture.AMD64
        return Source(script.name, kind, architecture, (part,), _reader([script], [part]), script=part.path)
    if not given.kernel:
        raise WizardError(f"an image of kind {kind} needs a kernel", f"Give {KINDS[kind].source}.")
    if kind is ImageKind.UBUNTU:
        raise WizardError(
            "an image of kind ubuntu needs its ISO: the installer fetches it whole", f"Give {KINDS[kind].source}."
        )
    if not given.initrd and kind in (ImageKind.DEBIAN, ImageKind.RESCUE, ImageKind.TALOS):
        raise WizardError(f"an image of kind {kind} needs an initrd", "Give --initrd FILE.")
    paths = [regular_file(name) for name in (given.kernel, *given.initrd)]
    parts = [_part(path) for path in paths]
    names = [part.path for part in parts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise WizardError(f"two of the files are called {twice}", "Give each another name first.")
    with paths[0].open("rb") as handle:
        seen = kernel_architecture(handle.read(_HEAD))
    if kind is not ImageKind.CUSTOM and seen is None:
        raise WizardError(
            f"{printable(given.kernel, 300)} is no kernel that is known here",
            "Give the kernel with --kernel and the initrd with --initrd, or --kind custom.",
        )
    architecture = _agreed(given.architecture, seen, given.kernel)
    contents = _reader(paths, parts)
    return checked(Source(names[0], kind, architecture, tuple(parts), contents, names[0], tuple(names[1:])))


def _agreed(asked: Architecture | None, seen: Architecture | None, name: str) -> Architecture:
    if asked is not None and seen is not None and asked is not seen:
        raise WizardError(f"{printable(name, 300)} is of {seen}, not {asked}", f"Write --arch {seen}, or leave it out.")
    return asked or seen or Architecture.AMD64


def _part(path: Path) -> Part:
    return Part(image_file_name(path.name), path.stat().st_size)


def image_file_name(name: str) -> str:
    """The name of a file in an image. Raises WizardError where it cannot be one."""
    try:
        if name == MANIFEST:
            raise FieldError(name, "is the name of the image's own list of files", "Give the file another name first.")
        return parse_image_file(name)
    except FieldError as error:
        raise WizardError(error.message, error.remedy) from None


def _reader(paths: Sequence[Path], parts: Sequence[Part]) -> Callable[[], Contents]:
    def contents() -> Contents:
        for path, part in zip(paths, parts, strict=True):
            with path.open("rb") as handle:
                yield part, handle

    return contents


def regular_file(name: str) -> Path:
    """The path of a file that a person named. Raises WizardError, status 2, where it cannot be read."""
    shown = printable(name, 300)
    try:
        # A FIFO would wait for a writer.
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise _unreadable(f"{shown} is no regular file")
        finally:
            os.close(fd)
    except OSError as error:
        raise _unreadable(f"{shown}: {error.strerror}") from None
    except ValueError:
        raise _unreadable(f"{shown}: not a file path") from None
    return Path(name)


def _unreadable(message: str) -> WizardError:
    error = WizardError(message, "Give the path of a file that is on this machine: nothing is downloaded.")
    error.status = 2
    return error


def kernel_architecture(head: bytes) -> Architecture | None:
    """What a kernel's first bytes say it is made for; None where they are no kernel's that is known here.

    See Documentation/arch/x86/boot.rst and arm64/booting.rst of Linux; an EFI program says it in its PE header.
    """
    if head[0x202:0x206] == b"HdrS":
        return Architecture.AMD64
    if head[0x38:0x3C] == b"ARMd":
        return Architecture.ARM64
    header = int.from_bytes(head[0x3C:0x40], "little")
    if head[:2] == b"MZ" and head[header : header + 4] == b"PE\0\0":
        machine = int.from_bytes(head[header + 4 : header + 6], "little")
        return {0x8664: Architecture.AMD64, 0xAA64: Architecture.ARM64}.get(machine)
    return None


def checked(source: Source) -> Source:
    """The source, once its initrd is one that can be booted over the network. Raises WizardError."""
    if source.kind not in (ImageKind.DEBIAN, ImageKind.RESCUE):
        return source
    with contextlib.closing(source.contents()) as contents:
        for part, content in contents:
            if part.path == source.initrd[0]:
                medium = installer_medium(content)
                if medium not in ("", "netboot"):
                    raise WizardError(
                        f"the installer in {printable(source.label, 300)} looks for its packages on a {medium}",
                        f"A machine that boots over the network has none: give {KINDS[ImageKind.DEBIAN].source}, "
                        "or the mini.iso of Debian's netboot installer.",
                    )
                break
    return source


def installer_medium(initrd: Readable) -> str:
    """Where a Debian installer looks for its packages, as its lsb-release says: "netboot", "cdrom", …; "" unknown."""
    unpacking = zlib.decompressobj(31)
    tail, seen = b"", 0
    try:
        while (packed := initrd.read(1 << 20)) and seen < _LONGEST_LOOK:
            # Bounded: a few bytes may unpack to gigabytes.
            while packed:
                plain = unpacking.decompress(packed, 4 << 20)
                packed = unpacking.unconsumed_tail
                seen += len(plain)
                found = (tail + plain).partition(_MEDIUM)[2]
                word = found[:40].split(b"\n")[0]
                if b"\n" in found[:40] and word.replace(b"-", b"").isalnum():
                    return word.decode("ascii")
                tail = (tail + plain)[-64:]
                if seen >= _LONGEST_LOOK or unpacking.eof:
                    return ""
    except zlib.error:
        # Not gzip: nothing is known of it.
        return ""
    return ""
