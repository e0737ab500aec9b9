"""systemd-networkd: recognized, not driven yet."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from wizard.host.net.managers.backend import KnownManager


class Networkd(KnownManager):
    name = "networkd"

    def is_active(self, processes: Collection[str], _root: Path, /) -> bool:
        # systemd-networkd, as the kernel cuts it.
        return "systemd-network" in processes

    def holds_lease(self, index: int, root: Path, /) -> bool:
        return (root / "run/systemd/netif/leases" / str(index)).exists()
