"""netplan: recognized, not driven yet."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from wizard.host.net.managers.backend import KnownManager

_DIRECTORIES = ("etc/netplan", "run/netplan", "lib/netplan")


class Netplan(KnownManager):
    name = "netplan"

    def is_active(self, _processes: Collection[str], root: Path, /) -> bool:
        # It runs only while it hands over to one of the others.
        return any(_has_yaml(root / directory) for directory in _DIRECTORIES)


def _has_yaml(directory: Path) -> bool:
    try:
        return any(path.suffix == ".yaml" for path in directory.iterdir())
    except OSError:
        return False
