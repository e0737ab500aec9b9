"""The boot loaders that firmware fetches first: iPXE, out of Debian's package, which is not installed."""

from __future__ import annotations

import os
from pathlib import Path

from wizard.deploy.images.package import members
from wizard.host.files import make_directory, write_atomic
from wizard.plan import paths
from wizard.plan.fields import printable
from wizard.plan.findings import WizardError
from wizard.plan.images import LOADERS_IN_PACKAGE

_DIRECTORY = "usr/lib/ipxe/"
_LARGEST = 16 << 20


def copy_loaders(package: Path) -> tuple[str, ...]:
    """Copy those that the package has, and return their names. Raises WizardError where it has none."""
    wanted = {f"{_DIRECTORY}{name}": loader for loader, names in LOADERS_IN_PACKAGE.items() for name in names}
    found: dict[str, bytes] = {}
    for member, content in members(package):
        loader = wanted.get(member.name.removeprefix("./"))
        # A link would have the file of somebody else copied, by root.
        if loader and member.isreg() and 0 < member.size <= _LARGEST:
            found[loader] = content.read(member.size)
    if not found:
        raise WizardError(f"{printable(package.name, 200)} has no boot loader", "Fetch it: apt-get download ipxe.")
    make_directory(Path(paths.BOOT_LOADERS), 0o755)
    for loader, data in found.items():
        write_atomic(f"{paths.BOOT_LOADERS}/{loader}", data, 0o644)
    return tuple(sorted(found))


def missing_loaders() -> tuple[str, ...]:
    return tuple(loader for loader in LOADERS_IN_PACKAGE if not Path(paths.BOOT_LOADERS, loader).is_file())


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
