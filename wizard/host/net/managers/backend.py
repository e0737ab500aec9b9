"""The interface to a network manager: what each must be able to do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from wizard.plan.findings import WizardError


class KnownManager(Protocol):
    """A network manager that is recognized. `name` is what `Facts.network_managers` calls it."""

    name: str

    @abstractmethod
    def is_active(self, processes: Collection[str], root: Path, /) -> bool:
        """Whether it is at work on this machine.

        `processes` are the names of those that run, cut by the kernel at 15 characters; `root` is where /etc and /run
        are looked for.
        """

    def holds_lease(self, _index: int, _root: Path, /) -> bool:
        """Whether it holds a DHCP lease for the NIC of that index that no process of a DHCP client shows."""
        return False


class NetworkBackend(KnownManager, Protocol):
    """A network manager that can configure the cluster NIC. `config` is the path of a configuration of ours.

    Every method but `withdraw` and `reconfigure` may raise CommandFailed.
    """

    @abstractmethod
    def is_installed(self) -> bool:
        """Whether its programs are here."""

    @abstractmethod
    def bring_up_command(self, nic: str, config: str) -> tuple[str, ...]:
        """The command that `bring_up` runs, for the preview."""

    @abstractmethod
    def bring_up(self, nic: str, config: str) -> None:
        """Bring the link up and give the NIC the address in `config`."""

    @abstractmethod
    def bring_down_command(self, nic: str, config: str) -> tuple[str, ...]:
        """The command that `bring_down` runs, for the preview."""

    @abstractmethod
    def bring_down(self, nic: str, config: str) -> None:
        """Remove that address again."""

    @abstractmethod
    def is_configured(self, nic: str) -> bool:
        """Whether the manager believes that it has configured the NIC, with our configuration or another."""

    @abstractmethod
    def configured_as(self, nic: str) -> str:
        """The profile or stanza that it has configured the NIC with, for `reconfigure`; "" where it has not."""

    @abstractmethod
    def config_in_use(self) -> str:
        """The configuration that the manager uses now: ours of a trial, else its own."""

    @abstractmethod
    def state_file(self, nic: str) -> str:
        """The file in which the manager remembers that it configured the NIC; the journal keeps an image of it."""

    @abstractmethod
    def nic_of(self, config: str) -> str:
        """The NIC that our configuration is for; "" if there is none."""

    @abstractmethod
    def addresses_of(self, config: str) -> set[str]:
        """The addresses that our configuration gives to its NIC, as "address/prefix"."""

    @abstractmethod
    def release(self, nic: str, config: str) -> bool:
        """Have the manager release a NIC, whatever it was configured with. Returns whether it had configured it.

        If the name now belongs to another NIC than the one that `config` is for, or if the manager fails or is gone,
        only its record is removed; what the NIC still has, the caller removes over the kernel.
        """

    @abstractmethod
    def withdraw(self, config: str) -> bool:
        """Remove what our configuration gave to its NIC, whoever applied it. Returns whether there was anything.

        Raises WizardError if the kernel refuses.
        """

    @abstractmethod
    def reconfigure(self, nic: str, config: str, configured_as: str) -> list[str]:
        """Have the manager configure a NIC as it had before. Returns what failed, in words.

        Its record says "configured" in any case, as before.
        """


def none_installed() -> WizardError:
    """For a machine without any backend of ours."""
    return WizardError(
        "no network manager that ciao-wizard can work with: ifup is not installed",
        "Install it beside the one you have: sudo apt install ifupdown",
    )
