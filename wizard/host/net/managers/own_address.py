"""No network manager: the address is set over the kernel, by an apply, and by the guard at boot."""

from __future__ import annotations

import re
from pathlib import Path

from wizard.host import commands
from wizard.host.files import read_text, remove
from wizard.host.net.link_image import add_address_command, link_state
from wizard.host.net.managers.backend import TIMEOUT_S, NetworkBackend, withdraw_address
from wizard.plan.backends import Backend
from wizard.plan.findings import WizardError


class OwnAddress(NetworkBackend):
    backend = Backend.NONE

    def make_way_commands(self, nic: str) -> list[tuple[str, ...]]:
        has = {a["cidr"] for a in link_state(nic).get("addresses", [])} if self.is_configured(nic) else set()
        return [("ip", "addr", "del", cidr, "dev", nic) for cidr in sorted(has & self.addresses())]

    def make_way(self, nic: str) -> None:
        self.release(nic)

    def bring_up_commands(self, nic: str, cidr: str) -> list[tuple[str, ...]]:
        has = {a["cidr"] for a in link_state(nic).get("addresses", [])}
        add = [add_address_command(nic, cidr)] if cidr not in has else []
        return [("ip", "link", "set", "dev", nic, "up"), *add]

    def bring_up(self, nic: str) -> None:
        self._refuse_another(nic)
        for cidr in self._given():
            for argv in self.bring_up_commands(nic, cidr):
                commands.run(*argv, timeout=TIMEOUT_S)

    def _refuse_another(self, nic: str) -> None:
        """Raises WizardError where the NIC of this name is not the one that the file was written for."""
        wanted = re.search(r"^mac ([0-9a-f:]{17})$", self._text(), re.MULTILINE)
        link = link_state(nic)
        if wanted and link["present"] and wanted[1] not in link["macs"]:
            raise WizardError(
                f"{nic} is not the NIC that was given the gateway's address: that had the MAC {wanted[1]}",
                "Look at 'ciao-wizard check', and apply again.",
            )

    def is_configured(self, nic: str) -> bool:
        return bool(self.configured_as(nic))

    def configured_as(self, nic: str) -> str:
        return nic if nic and self.nic() == nic else ""

    def ours(self, _nic: str) -> frozenset[str]:
        """No network manager has a NIC by it."""
        return frozenset()

    def nic(self) -> str:
        found = re.search(r"^nic (\S+)$", self._text(), re.MULTILINE)
        return found[1] if found else ""

    def addresses(self) -> set[str]:
        return {*_addresses(read_text(self.file.live) or ""), *_addresses(read_text(self.file.kept) or "")}

    def _given(self) -> list[str]:
        return _addresses(self._text())

    def _text(self) -> str:
        return read_text(self.file.live) or read_text(self.file.kept) or ""

    def release(self, nic: str) -> bool:
        return self.is_configured(nic) and withdraw_address(nic, self.addresses())

    def has_ours(self, nic: str) -> bool:
        return self.is_configured(nic)

    def withdraw(self, nic: str) -> bool:
        files = [path for path in (self.file.live, self.file.kept) if Path(path).exists()]
        if not files:
            return False
        withdraw_address(self.nic() or nic, self.addresses())
        for path in files:
            remove(path)
        return True

    def reconfigure(self, nic: str, configured_as: str) -> list[str]:
        if nic and configured_as:
            self.bring_up(nic)
        return []


def _addresses(text: str) -> list[str]:
    return re.findall(r"^address (\S+/\d+)$", text, re.MULTILINE)
