"""The files of the cluster NIC's address in a directory of the test's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wizard.plan import paths
from wizard.plan.backends import ADDRESS_FILES

_NAMES = (
    "INTERFACES_FILE",
    "NETWORKMANAGER_FILE",
    "NETWORKD_FILE",
    "NETPLAN_FILE",
    "NETPLAN_MAKES",
    "ADDRESS_FILE",
    "LIVE_INTERFACES",
    "LIVE_NETWORKMANAGER_FILE",
    "LIVE_NETWORKD_FILE",
    "LIVE_ADDRESS_FILE",
    "LIVE_IDENTITY",
    "IDENTITY",
)


def move_address_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each path of theirs, and of the recorded identity, lie under `root`, with its directory there."""

    def moved(path: str) -> str:
        return str(root / path.lstrip("/"))

    for name in _NAMES:
        new = moved(getattr(paths, name))
        Path(new).parent.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(paths, name, new)
    for kind, file in list(ADDRESS_FILES.items()):
        monkeypatch.setitem(ADDRESS_FILES, kind, replace(file, live=moved(file.live), kept=moved(file.kept)))
