"""systemd-networkd, by a .network file of our own. A trial's lies under /run, so that /etc stays as it is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from wizard.host import commands
from wizard.host.files import read_text, remove
from wizard.host.net.link_image import has_address
from wizard.host.net.managers.backend import TIMEOUT_S, KnownManager, NetworkBackend
from wizard.plan import paths
from wizard.plan.backends import Backend
from wizard.plan.findings import WizardError
from wizard.plan.machine import NicOwner
from wizard.plan.text import clean

PATIENCE_S = 10.0
_LINKS = "run/systemd/netif/links"
FROM_NETPLAN = "/run/systemd/network/10-netplan-"
_OURS = frozenset({paths.LIVE_NETWORKD_FILE, paths.NETWORKD_FILE, paths.NETPLAN_MAKES})


class Networkd(KnownManager, NetworkBackend):
    key = "networkd"
    backend = Backend.NETWORKD
    programs = ("networkctl",)
    applied_by: tuple[str, ...] = (paths.LIVE_NETWORKD_FILE, paths.NETWORKD_FILE)
    """The files by which networkd has configured a NIC that this backend has."""

    def is_active(self, processes: Collection[str], _root: Path, /) -> bool:
        # systemd-networkd, as the kernel cuts it.
        return "systemd-network" in processes

    def holds_lease(self, index: int, root: Path, /) -> bool:
        return (root / "run/systemd/netif/leases" / str(index)).exists()

    def owned(self, nics: Mapping[str, int], root: Path, /) -> list[NicOwner]:
        found = []
        for nic, index in nics.items():
            file = network_file(index, root)
            if file:
                found.append(NicOwner(nic, self.backend, f"systemd-networkd configures {nic} by {clean(file)}"))
        return found

    def make_way_commands(self, _nic: str) -> list[tuple[str, ...]]:
        return []

    def make_way(self, _nic: str) -> None:
        """A new file replaces another."""

    def bring_up_commands(self, nic: str, _cidr: str) -> list[tuple[str, ...]]:
        return [("networkctl", "reload"), ("networkctl", "reconfigure", nic)]

    def bring_up(self, nic: str) -> None:
        cidr = self._given()
        for argv in self.bring_up_commands(nic, cidr):
            commands.run(*argv, timeout=TIMEOUT_S)
        # networkctl does not wait.
        _wait_for(lambda: has_address(nic, cidr))

    def is_configured(self, nic: str) -> bool:
        return bool(self.configured_as(nic))

    def configured_as(self, nic: str) -> str:
        """The .network file that it has configured the NIC by, "" where it leaves the NIC alone or does not run."""
        index = _index(nic)
        return network_file(index, Path("/")) if index and _runs() else ""

    def ours(self, _nic: str) -> frozenset[str]:
        return _OURS

    def remedy_for_other(self, nic: str, configured_as: str) -> str:
        return (
            f"Change {configured_as} so that it does not match {nic}, then run 'sudo networkctl reload' and "
            f"'sudo networkctl reconfigure {nic}'."
        )

    def nic(self) -> str:
        return _value(read_text(self.file.live) or read_text(paths.NETWORKD_FILE) or "", "Name")

    def addresses(self) -> set[str]:
        texts = (read_text(path) or "" for path in (paths.LIVE_NETWORKD_FILE, paths.NETWORKD_FILE))
        return {address for text in texts if (address := _value(text, "Address"))}

    def _given(self) -> str:
        """The address that our configuration gives now, "" for none."""
        return _value(read_text(self.file.live) or read_text(paths.NETWORKD_FILE) or "", "Address")

    def release(self, nic: str) -> bool:
        return self.configured_as(nic) in _OURS

    def has_ours(self, nic: str) -> bool:
        return bool(nic) and self.configured_as(nic) in self.applied_by

    def withdraw(self, nic: str) -> bool:
        files = [path for path in (self.file.live, self.file.kept) if Path(path).exists()]
        has_ours = self.has_ours(nic)
        if not files and not has_ours:
            return False
        for path in files:
            remove(path)
        # To reconfigure flushes a NIC, and the name may be the corporate one's by now.
        self.reconfigure(nic if has_ours else "", "")
        return True

    def give_back(self, nic: str) -> None:
        # Without a reload, which would take up whatever else has changed since.
        commands.run("networkctl", "reconfigure", nic, timeout=TIMEOUT_S)
        cidr = self._given()
        _wait_for(lambda: has_address(nic, cidr))

    def reconfigure(self, nic: str, configured_as: str) -> list[str]:
        """By its files, which are as before."""
        if not _runs():
            return []
        try:
            commands.run("networkctl", "reload", timeout=TIMEOUT_S)
            if nic and _index(nic):
                commands.run("networkctl", "reconfigure", nic, timeout=TIMEOUT_S)
                # It flushes the NIC before; what is put back by hand comes after that.
                cidr = self._given()
                ours = bool(cidr) and configured_as in _OURS
                _wait_for(lambda: has_address(nic, cidr) if ours else self.configured_as(nic) not in _OURS)
        except WizardError as error:
            return [f"systemd-networkd did not configure {nic} as before: {error.message}"]
        return []


def network_file(index: int, root: Path) -> str:
    """The .network file by which networkd configures the NIC of that index; "" where it leaves the NIC alone.

    From its own state file, whose keys sd-network(3) reads.
    """
    state = _state(root / _LINKS / str(index))
    if state.get("ADMIN_STATE", "unmanaged") in ("unmanaged", ""):
        return ""
    return state.get("NETWORK_FILE", "")


def _state(path: Path) -> dict[str, str]:
    lines = (read_text(str(path)) or "").splitlines()
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _index(nic: str) -> int:
    text = read_text(f"/sys/class/net/{nic}/ifindex")
    return int(text) if text else 0


def _runs() -> bool:
    # Not networkctl: it lists the NICs without networkd too.
    return commands.works("systemctl", "is-active", "--quiet", "systemd-networkd", timeout=5)


def _value(text: str, key: str) -> str:
    """The first value of a key of a .network file, "" if it has none."""
    found = re.search(rf"^{key}=(\S+)$", text, re.MULTILINE)
    return found[1] if found else ""
