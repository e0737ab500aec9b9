"""The boot loaders that firmware fetches first, out of Debian's packages, which are not installed.

They are iPXE, the signed shim and GRUB, and the firmware of Raspberry Pis."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from wizard.deploy.images.package import members
from wizard.host.files import make_directory, write_atomic
from wizard.plan import paths
from wizard.plan.fields import printable
from wizard.plan.findings import WizardError
from wizard.plan.images import GRUB, IPXE_IN_PACKAGE, PI_FIRMWARE, PI_TREES, SHIM, SIGNED_REMEDY

_LARGEST = 16 << 20
_INSTALLERS = r"usr/lib/debian-installer/images/[^/]+/amd64/text/debian-installer/amd64"
_WANTED = {
    **{rf"usr/lib/ipxe/{re.escape(name)}": loader for loader, names in IPXE_IN_PACKAGE.items() for name in names},
    r"usr/lib/shim/shimx64\.efi\.signed": SHIM,
    r"usr/lib/grub/x86_64-efi-signed/grubnetx64\.efi\.signed": GRUB,
    rf"{_INSTALLERS}/bootnetx64\.efi": SHIM,
    rf"{_INSTALLERS}/grubx64\.efi": GRUB,
    **{rf"usr/lib/raspi-firmware/{re.escape(name)}": name for name in PI_FIRMWARE},
    **{rf"usr/lib/linux-image-[^/]+/broadcom/{re.escape(name)}": name for name in PI_TREES},
}
"""A file's path in a package, as an expression -> the name that it is served by."""
_PACKAGES = "ipxe; shim-signed and grub-efi-amd64-signed for Secure Boot; raspi-firmware for Raspberry Pis"


def copy_loaders(package: Path) -> tuple[str, ...]:
    """Copy those that a package has, or a directory under the names that they are served by, and return these names.

    Raises WizardError where it has none, OSError.
    """
    found = dict(_in_directory(package) if package.is_dir() else _in_package(package))
    if not found:
        raise WizardError(
            f"{printable(package.name, 200)} has no boot loader",
            f"'apt-get download' fetches those that do: {_PACKAGES}.",
        )
    make_directory(Path(paths.BOOT_LOADERS), 0o755)
    for loader, data in found.items():
        write_atomic(f"{paths.BOOT_LOADERS}/{loader}", data, 0o644)
    return tuple(sorted(found))


def _in_package(package: Path) -> Iterator[tuple[str, bytes]]:
    for member, content in members(package):
        path = member.name.removeprefix("./")
        loader = next((name for pattern, name in _WANTED.items() if re.fullmatch(pattern, path)), "")
        # A link would have the file of somebody else copied, by root.
        if loader and member.isreg() and 0 < member.size <= _LARGEST:
            yield loader, content.read(member.size)


def _in_directory(directory: Path) -> Iterator[tuple[str, bytes]]:
    for name in sorted(set(_WANTED.values())):
        try:
            fd = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and 0 < status.st_size <= _LARGEST:
                yield name, file.read(_LARGEST)


def missing_loaders() -> tuple[str, ...]:
    """Those of iPXE that are not here."""
    return _missing(IPXE_IN_PACKAGE)


def check_signed_loaders() -> None:
    """Raises WizardError where one is missing that Secure Boot needs."""
    if absent := _missing((SHIM, GRUB)):
        raise WizardError(
            f"no boot loader {', '.join(absent)} is here, which Secure Boot needs",
            SIGNED_REMEDY,
        )


def _missing(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not Path(paths.BOOT_LOADERS, name).is_file())


def refuse_links() -> None:
    """Raise WizardError where something among the loaders is a link: TFTP would send what it leads to."""
    for directory, subdirectories, files in os.walk(paths.BOOT_LOADERS):
        for name in (*subdirectories, *files):
            path = Path(directory, name)
            if path.is_symlink():
                raise WizardError(
                    f"{printable(str(path), 200)} is a link, and TFTP would send what it leads to",
                    "Remove it; nobody can boot over the network until then.",
                )
