"""Debian's ifup and ifdown."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from wizard.host import commands
from wizard.host.files import read_text
from wizard.host.net.link_image import link_state, remove_address
from wizard.host.net.managers.backend import NetworkBackend, none_installed
from wizard.host.net.managers.ifupdown import ifstate, own_stanza
from wizard.plan import paths
from wizard.plan.findings import WizardError

_TIMEOUT_S = 30


class Ifupdown(NetworkBackend):
    """A trial gives ifup a file under /run, so that /etc stays as it is."""

    name = "ifupdown"

    def is_active(self, _processes: Collection[str], _root: Path, /) -> bool:
        return self.is_installed()

    def is_installed(self) -> bool:
        return commands.find("ifup") is not None

    def bring_up_command(self, nic: str, config: str) -> tuple[str, ...]:
        return "ifup", "--interfaces", config, nic

    def bring_up(self, nic: str, config: str) -> None:
        Path(ifstate.DIRECTORY).mkdir(parents=True, exist_ok=True)
        commands.run(*self.bring_up_command(nic, config), timeout=_TIMEOUT_S)

    def bring_down_command(self, nic: str, config: str) -> tuple[str, ...]:
        return "ifdown", "--force", "--interfaces", config, nic

    def bring_down(self, nic: str, config: str) -> None:
        commands.run(*self.bring_down_command(nic, config), timeout=_TIMEOUT_S)

    def is_configured(self, nic: str) -> bool:
        return bool(self.configured_as(nic))

    def configured_as(self, nic: str) -> str:
        return ifstate.raised_as(nic)

    def config_in_use(self) -> str:
        return paths.LIVE_INTERFACES if Path(paths.LIVE_INTERFACES).exists() else paths.INTERFACES_MAIN

    def state_file(self, nic: str) -> str:
        return ifstate.own_file(nic)

    def nic_of(self, config: str) -> str:
        return own_stanza.nic_of(read_text(config) or "")

    def addresses_of(self, config: str) -> set[str]:
        return set(own_stanza.addresses_in(read_text(config) or ""))

    def release(self, nic: str, config: str) -> bool:
        if not self.is_configured(nic):
            return False
        if not _is_another_nic(nic, read_text(config) or ""):
            with contextlib.suppress(WizardError):
                self.bring_down(nic, config)
        ifstate.record(nic, "")
        return True

    def withdraw(self, config: str) -> bool:
        text = read_text(config) or ""
        nic = own_stanza.nic_of(text)
        cidr = next(iter(own_stanza.addresses_in(text)), "")
        configured = bool(nic) and self.release(nic, config)
        if configured and not (read_text(ifstate.own_file(nic)) or "x").strip():
            # ifdown leaves an empty line in it.
            Path(ifstate.own_file(nic)).unlink()
        if any(a["cidr"] == cidr for a in link_state(nic).get("addresses", [])):
            problems: list[str] = []
            remove_address(problems, nic, cidr)
            if problems:
                raise WizardError("; ".join(problems))
            return True
        return configured

    def reconfigure(self, nic: str, config: str, configured_as: str) -> list[str]:
        stanza = configured_as
        try:
            if not self.is_installed():
                raise none_installed()
            self.bring_up(nic if stanza in ("", nic) else f"{nic}={stanza}", config)
        except WizardError as error:
            ifstate.record(nic, stanza or nic)
            if "unknown interface" in error.message:
                return [f"ifupdown no longer knows {nic}"]
            return [f"ifup did not raise {nic}: {error.message}"]
        return []


def _is_another_nic(nic: str, config: str) -> bool:
    """Whether the name belongs to another NIC by now than the one that our text `config` is for."""
    mac = own_stanza.checked_mac(config, nic)
    now = link_state(nic)
    return bool(mac) and bool(now["present"]) and mac not in now["macs"]
