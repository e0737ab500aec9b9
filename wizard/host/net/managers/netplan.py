"""netplan over systemd-networkd. Over NetworkManager, the profile is NetworkManager's own.

A trial is networkd's alone, and so is the running configuration until the next boot: `netplan apply` would reconfigure
every NIC. What is kept is netplan's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from wizard.host.files import read_text, remove
from wizard.host.net.managers.networkd import FROM_NETPLAN, Networkd, network_file
from wizard.plan import paths
from wizard.plan.backends import Backend
from wizard.plan.machine import NicOwner

_DIRECTORIES = ("etc/netplan", "run/netplan", "lib/netplan")


class Netplan(Networkd):
    key = "netplan"
    backend = Backend.NETPLAN
    applied_by = (paths.LIVE_NETWORKD_FILE, paths.NETPLAN_MAKES)

    def is_active(self, _processes: Collection[str], root: Path, /) -> bool:
        # It runs only while it hands over to one of the others.
        return any(_has_yaml(root / directory) for directory in _DIRECTORIES)

    def holds_lease(self, _index: int, _root: Path, /) -> bool:
        return False

    def owned(self, nics: Mapping[str, int], root: Path, /) -> list[NicOwner]:
        found = []
        kept = (root / self.file.kept.lstrip("/")).exists()
        for nic, index in nics.items():
            file = network_file(index, root)
            if file.startswith(FROM_NETPLAN) or (kept and file in self.applied_by):
                found.append(NicOwner(nic, self.backend, f"netplan has systemd-networkd configure {nic}"))
        return found

    def nic(self) -> str:
        found = re.search(r'^\s+name: "(\S+)"$', read_text(self.file.kept) or "", re.MULTILINE)
        return found[1] if found else super().nic()

    def addresses(self) -> set[str]:
        kept = self._kept_address()
        return super().addresses() | ({kept} if kept else set())

    def _given(self) -> str:
        return super()._given() or self._kept_address()

    def _kept_address(self) -> str:
        found = re.search(r'^\s+addresses: \["(\S+)"\]$', read_text(self.file.kept) or "", re.MULTILINE)
        return found[1] if found else ""

    def reconfigure(self, nic: str, configured_as: str) -> list[str]:
        if not Path(self.file.kept).exists():
            remove(paths.NETPLAN_MAKES)
        return super().reconfigure(nic, configured_as)


def _has_yaml(directory: Path) -> bool:
    try:
        return any(path.suffix == ".yaml" for path in directory.iterdir())
    except OSError:
        return False
