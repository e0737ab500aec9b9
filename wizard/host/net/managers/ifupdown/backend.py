"""Debian's ifup and ifdown."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

from wizard.host import commands
from wizard.host.files import read_text
from wizard.host.net.link_image import link_state
from wizard.host.net.managers.backend import TIMEOUT_S, KnownManager, NetworkBackend, withdraw_address
from wizard.host.net.managers.ifupdown import ifstate, own_stanza
from wizard.plan import paths
from wizard.plan.backends import Backend
from wizard.plan.findings import WizardError
from wizard.plan.machine import NicOwner
from wizard.plan.render import HEADER


class Ifupdown(KnownManager, NetworkBackend):
    """A trial gives ifup a file under /run, so that /etc stays as it is."""

    key = "ifupdown"
    backend = Backend.IFUPDOWN
    programs = ("ifup", "ifdown")

    def is_active(self, _processes: Collection[str], _root: Path, /) -> bool:
        return commands.find("ifup") is not None

    def owned(self, nics: Mapping[str, int], root: Path, /) -> list[NicOwner]:
        raised = [nic for nic in nics if root == Path("/") and self.is_configured(nic)]
        return [NicOwner(nic, self.backend, f"ifup has brought {nic} up") for nic in raised]

    def make_way_commands(self, nic: str) -> list[tuple[str, ...]]:
        return [_down(nic, _config_in_use())] if self.is_configured(nic) else []

    def make_way(self, nic: str) -> None:
        # With the configuration that it was set up from: an earlier plan's, or the person's own.
        self.release(nic)

    def bring_up_commands(self, nic: str, _cidr: str) -> list[tuple[str, ...]]:
        return [_up(nic, paths.LIVE_INTERFACES)]

    def bring_up(self, nic: str) -> None:
        Path(ifstate.DIRECTORY).mkdir(parents=True, exist_ok=True)
        config = paths.LIVE_INTERFACES if Path(paths.LIVE_INTERFACES).exists() else paths.INTERFACES_FILE
        commands.run(*_up(nic, config), timeout=TIMEOUT_S)

    def is_configured(self, nic: str) -> bool:
        return bool(self.configured_as(nic))

    def configured_as(self, nic: str) -> str:
        return ifstate.raised_as(nic)

    def state_file(self, nic: str) -> str:
        return ifstate.own_file(nic)

    def ours(self, nic: str) -> frozenset[str]:
        # It knows a NIC by the name of its stanza.
        return frozenset({nic})

    def nic(self) -> str:
        return own_stanza.nic_of(read_text(paths.INTERFACES_FILE) or "")

    def addresses(self) -> set[str]:
        texts = (read_text(path) or "" for path in (paths.LIVE_INTERFACES, paths.INTERFACES_FILE))
        return {address for text in texts for address in own_stanza.addresses_in(text)}

    def release(self, nic: str) -> bool:
        return _release(nic, _config_in_use())

    def has_ours(self, nic: str) -> bool:
        return bool(nic) and self.nic() == nic and self.is_configured(nic)

    def withdraw(self, _nic: str) -> bool:
        # Both: each may give an address that the other does not.
        found = [_withdraw(config) for config in (paths.LIVE_INTERFACES, paths.INTERFACES_FILE)]
        return any(found)

    def reconfigure(self, nic: str, configured_as: str) -> list[str]:
        """Its record says "configured" in any case, as before."""
        stanza = configured_as
        if not stanza:
            return []
        try:
            if commands.find("ifup") is None:
                raise WizardError("ifup is not installed", "Install it: sudo apt install ifupdown")
            wanted = nic if stanza == nic else f"{nic}={stanza}"
            Path(ifstate.DIRECTORY).mkdir(parents=True, exist_ok=True)
            commands.run(*_up(wanted, _config_in_use()), timeout=TIMEOUT_S)
        except WizardError as error:
            ifstate.record(nic, stanza)
            if "unknown interface" in error.message:
                return [f"ifupdown no longer knows {nic}"]
            return [f"ifup did not raise {nic}: {error.message}"]
        return []


def _config_in_use() -> str:
    """The configuration that ifupdown uses now: ours of a trial, else its own."""
    return paths.LIVE_INTERFACES if Path(paths.LIVE_INTERFACES).exists() else paths.INTERFACES_MAIN


def _up(nic: str, config: str) -> tuple[str, ...]:
    return "ifup", "--interfaces", config, nic


def _down(nic: str, config: str) -> tuple[str, ...]:
    return "ifdown", "--force", "--interfaces", config, nic


def _release(nic: str, config: str) -> bool:
    """Whatever it was configured with. If the name now belongs to another NIC than the one that `config` is for, or if
    ifdown fails or is gone, only its record is removed."""
    if not ifstate.raised_as(nic):
        return False
    if not _is_another_nic(nic, read_text(config) or ""):
        with contextlib.suppress(WizardError):
            commands.run(*_down(nic, config), timeout=TIMEOUT_S)
    ifstate.record(nic, "")
    return True


def _withdraw(config: str) -> bool:
    text = read_text(config) or ""
    if not text.startswith(HEADER):
        return False
    nic = own_stanza.nic_of(text)
    configured = bool(nic) and _release(nic, config)
    if configured and not (read_text(ifstate.own_file(nic)) or "x").strip():
        # ifdown leaves an empty line in it.
        Path(ifstate.own_file(nic)).unlink()
    return withdraw_address(nic, own_stanza.addresses_in(text)[:1]) or configured


def _is_another_nic(nic: str, config: str) -> bool:
    """Whether the name belongs to another NIC by now than the one that our text `config` is for."""
    mac = own_stanza.checked_mac(config, nic)
    now = link_state(nic)
    return bool(mac) and bool(now["present"]) and mac not in now["macs"]
