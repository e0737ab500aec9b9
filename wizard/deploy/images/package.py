"""A Debian package -> the files of an image: Debian's netboot installer, or memtest86+."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from wizard.deploy.images.sources import Contents, Given, Part, Readable, Source
from wizard.host.commands import output_of
from wizard.plan.fields import printable
from wizard.plan.findings import WizardError
from wizard.plan.images import KINDS, Architecture, ImageKind

_INSTALLER = re.compile(
    r"usr/lib/debian-installer/images/[^/]+/(?P<arch>amd64|arm64)/text/debian-installer/(?P=arch)/"
    r"(?P<name>linux|initrd\.gz|(?:bootnet|grub)(?:x64|aa64)\.efi)"
)
"""Kernel, initrd, and the signed shim and grub for machines with Secure Boot."""
_MEMTEST = re.compile(r"boot/(?P<name>(?:memtest86\+|mt86\+)_?x(?:86_)?64(?:\.(?:bin|efi))?)")
_MOST_MEMBERS = 100_000


def read_package(path: Path, given: Given) -> Source:
    """The image in a Debian package. Raises WizardError."""
    found = _look(path)
    parts = tuple(Part(name, member.size) for name, (member, _) in found.items())
    architectures = {architecture for _, architecture in found.values()}
    label = printable(path.name, 200)
    if len(architectures) > 1:
        raise WizardError(f"{label} has installers of several architectures", "Give a package of one.")
    if "linux" in found and "initrd.gz" in found:
        (architecture,) = architectures
        kind = _kind(given, (ImageKind.DEBIAN, ImageKind.RESCUE), label)
        kernel = "linux"
    elif found and "linux" not in found and "initrd.gz" not in found:
        architecture = Architecture.AMD64
        kind = _kind(given, (ImageKind.MEMTEST,), label)
        kernel = min(found, key=lambda name: (name.endswith(".efi"), name))
    else:
        raise WizardError(
            f"{label} holds no image that is known here",
            f"'apt-get download' fetches {KINDS[ImageKind.DEBIAN].source} and {KINDS[ImageKind.MEMTEST].source}.",
        )
    if given.architecture not in (None, architecture):
        raise WizardError(f"{label} is of {architecture}, not {given.architecture}", f"Write --arch {architecture}.")
    taken = {member.name: part for part, (member, _) in zip(parts, found.values(), strict=True)}

    def contents() -> Contents:
        for member, content in members(path):
            if member.name in taken and member.isreg():
                yield taken[member.name], content

    initrd = ("initrd.gz",) if kernel == "linux" else ()
    return Source(label, kind, architecture, parts, contents, kernel, initrd)


def _kind(given: Given, possible: tuple[ImageKind, ...], label: str) -> ImageKind:
    if given.kind not in (None, *possible):
        raise WizardError(f"{label} is of kind {' or '.join(possible)}, not {given.kind}", "Leave --kind out.")
    return given.kind or possible[0]


def _look(path: Path) -> dict[str, tuple[tarfile.TarInfo, Architecture]]:
    """Name in the image -> the package's file. Raises WizardError for a package that is not what it should be."""
    found: dict[str, tuple[tarfile.TarInfo, Architecture]] = {}
    for number, (member, _) in enumerate(members(path)):
        name = member.name.removeprefix("./")
        if number > _MOST_MEMBERS:
            raise WizardError(f"{path.name} holds more than {_MOST_MEMBERS} files", _REMEDY)
        if name.startswith("/") or ".." in name.split("/"):
            raise WizardError(f"{path.name} has a file outside of its directory: {printable(name)}", _REMEDY)
        match = _INSTALLER.fullmatch(name) or _MEMTEST.fullmatch(name)
        if match is None:
            continue
        if not member.isreg():
            # A link would have the file of somebody else copied, by root.
            raise WizardError(f"in {path.name} {printable(name, 200)} is a link or a device, not a file", _REMEDY)
        if match["name"] in found:
            raise WizardError(f"{path.name} holds {printable(name, 200)} twice", _REMEDY)
        architecture = Architecture(match.groupdict().get("arch") or Architecture.AMD64)
        found[match["name"]] = (member, architecture)
    return found


_REMEDY = "It is no package of Debian's: fetch it with 'apt-get download', which checks the signature."


def members(path: Path) -> Iterator[tuple[tarfile.TarInfo, Readable]]:
    """Each member of the package with its content, to be read before the next."""
    # Absolute: a name that begins with "-" is no option then.
    with output_of("dpkg-deb", "--fsys-tarfile", str(path.absolute())) as output:
        try:
            with tarfile.open(fileobj=output, mode="r|") as archive:
                for member in archive:
                    # extractfile follows a link; who takes the content has looked at isreg.
                    content = archive.extractfile(member) if member.isreg() else None
                    yield member, cast(IO[bytes], content)
        except (tarfile.TarError, ValueError, LookupError, EOFError, OverflowError) as error:
            # Of a package that is damaged, or made to be.
            raise WizardError(f"{path.name} cannot be read: {error}", _REMEDY) from None
        while output.read(1 << 16):
            pass
