"""NetworkManager: recognized, not driven yet."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from wizard.host.net.managers.backend import KnownManager


class NetworkManager(KnownManager):
    name = "NetworkManager"

    def is_active(self, processes: Collection[str], _root: Path, /) -> bool:
        return "NetworkManager" in processes
