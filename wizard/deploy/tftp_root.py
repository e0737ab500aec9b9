"""What armed nodes may fetch by TFTP: `paths.TFTP_ROOT`/ADDRESS for each, with links to files, and texts.

dnsmasq gives an address without a directory the root itself. There the loaders lie while machines in no plan are looked
for, unless a directory has more than loaders: its path could be asked for.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from wizard.host.files import make_directory
from wizard.plan import paths
from wizard.plan.images import IPXE_LOADERS
from wizard.plan.netboot import ArmedNode, Stage


def lay_down(armed: Collection[ArmedNode], *, for_strangers: bool = False) -> None:
    """Have the directories be those of `armed`, and no others. `for_strangers`: loaders for other addresses too.

    Raises OSError.
    """
    root = Path(paths.TFTP_ROOT)
    make_directory(root)
    wanted = {node.address: _content(node) for node in armed}
    only_loaders = all(each.stage is Stage.LOADER for node in armed for each in node.tftp.values())
    loaders = tuple(IPXE_LOADERS.values()) if for_strangers and only_loaders else ()
    for place in list(root.iterdir()):
        if place.name not in wanted and not (place.name in loaders and place.is_symlink()):
            _remove(place)
    for loader in loaders:
        if not (root / loader).is_symlink():
            (root / loader).symlink_to(f"{paths.BOOT_LOADERS}/{loader}")
    for address, content in wanted.items():
        place = root / address
        if _found(place) == content:
            continue
        draft = root / f"new-{address}"
        for path, (link, text) in content.items():
            file = draft / path
            make_directory(file.parent)
            if link:
                file.symlink_to(link)
            else:
                file.write_text(text)
                file.chmod(0o644)
        _remove(place)
        if content:
            draft.rename(place)


_Content = dict[str, tuple[str, str]]
"""Path -> the file that it leads to, or a text."""


def _content(node: ArmedNode) -> _Content:
    # A link that leads nowhere is as good as none, and a boot loader may still come.
    return {path: (each.file, each.text) for path, each in node.tftp.items()}


def _found(place: Path) -> _Content:
    found: _Content = {}
    for file in place.rglob("*"):
        path = str(file.relative_to(place))
        if file.is_symlink():
            found[path] = str(file.readlink()), ""
        elif file.is_file():
            found[path] = "", file.read_text()
    return found


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif os.path.lexists(place):
        place.unlink()
