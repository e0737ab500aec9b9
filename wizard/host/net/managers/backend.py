"""The interface to a network manager: what each must be able to do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from wizard.host.net.link_image import link_state, remove_address
from wizard.plan.backends import ADDRESS_FILES, NAMES, AddressFile, Backend
from wizard.plan.findings import WizardError
from wizard.plan.machine import NicOwner

TIMEOUT_S = 30


class KnownManager(Protocol):
    """A network manager that is recognized. `key` is what `Facts.network_managers` calls it."""

    key: str

    @abstractmethod
    def is_active(self, processes: Collection[str], root: Path, /) -> bool:
        """Whether it is at work on this machine.

        `processes` are the names of those that run, cut by the kernel at 15 characters; `root` is where /etc and /run
        are looked for.
        """

    def holds_lease(self, _index: int, _root: Path, /) -> bool:
        """Whether it holds a DHCP lease for the NIC of that index that no process of a DHCP client shows."""
        return False

    def answers(self) -> bool:
        """False where it is at work, and does not answer within seconds: what it manages is not known."""
        return True

    def owned(self, _nics: Mapping[str, int], _root: Path, /) -> list[NicOwner]:
        """Those of the NICs (name -> index) that it manages now. Asks it; called where `is_active`."""
        return []


class NetworkBackend(Protocol):
    """Whoever can configure the cluster NIC: a network manager, or we ourselves.

    Each has a live file (`file.live`), which the caller writes before `bring_up` and restores after `release`. Every
    method but `release`, `withdraw` and `reconfigure` may raise CommandFailed.
    """

    backend: Backend
    programs: tuple[str, ...] = ()
    """What it runs; each has its package in `plan.tools`."""

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return NAMES[self.backend]

    @property
    def file(self) -> AddressFile:
        return ADDRESS_FILES[self.backend]

    @abstractmethod
    def make_way_commands(self, nic: str) -> list[tuple[str, ...]]:
        """The commands that `make_way` runs, for the preview."""

    @abstractmethod
    def make_way(self, nic: str) -> None:
        """Before the live file changes: release the NIC, where `bring_up` cannot replace what it was configured with.

        This may take the link down, which ends a proof.
        """

    @abstractmethod
    def bring_up_commands(self, nic: str, cidr: str) -> list[tuple[str, ...]]:
        """The commands that `bring_up` runs once the live file is written, for the preview. `cidr`: what that gives."""

    @abstractmethod
    def bring_up(self, nic: str) -> None:
        """Bring the link up and give the NIC the address of the live file, at boot that of the kept one."""

    def give_back(self, nic: str) -> None:
        """Bring it up again from what the manager has read already; nothing else of its configuration is looked at."""
        self.make_way(nic)
        self.bring_up(nic)

    @abstractmethod
    def is_configured(self, nic: str) -> bool:
        """Whether it believes that it has configured the NIC, with our configuration or another."""

    @abstractmethod
    def configured_as(self, nic: str) -> str:
        """The profile or stanza that it has configured the NIC with, for `reconfigure`; "" where it has not."""

    def state_file(self, _nic: str) -> str:
        """The file in which it remembers that it configured the NIC, "" for none; the journal keeps an image of it."""
        return ""

    @abstractmethod
    def ours(self, nic: str) -> frozenset[str]:
        """What `configured_as` is of a NIC that a network manager has by our configuration, as this backend gives it.

        Whoever has the NIC by anything else has taken it from the gateway.
        """

    def remedy_for_other(self, _nic: str, _configured_as: str) -> str:
        """What a person can do where it has the NIC by another configuration than ours; commands in '…'."""
        return "Run 'sudo ciao-wizard apply'."

    @abstractmethod
    def nic(self) -> str:
        """The NIC that our configuration is for; "" if there is none."""

    @abstractmethod
    def addresses(self) -> set[str]:
        """The addresses that our configuration, live or kept, gives to its NIC, as "address/prefix"."""

    @abstractmethod
    def release(self, nic: str) -> bool:
        """Have it release a NIC that our configuration, or (ifupdown) another, was applied to. Returns whether it was.

        What the NIC still has, the caller removes over the kernel.
        """

    @abstractmethod
    def has_ours(self, nic: str) -> bool:
        """Whether it knows our configuration, of this NIC or (NetworkManager) of any, though its file may be gone."""

    @abstractmethod
    def withdraw(self, nic: str) -> bool:
        """Remove our files, and have the manager forget them at this NIC. Returns whether there was anything.

        May be killed at any point and run again. What the NIC still has, the caller removes over the kernel.
        """

    @abstractmethod
    def reconfigure(self, nic: str, configured_as: str) -> list[str]:
        """After the live file is as before: have it configure a NIC as it had (`configured_as`; "": it had not).

        `nic` "": the NIC is gone, or its name is
        another one's by now; it only reads its files again. Returns what failed, in words.
        """


def withdraw_address(nic: str, cidrs: Collection[str]) -> bool:
    """Remove these addresses from a NIC over the kernel; whether there was one. Raises WizardError if it refuses."""
    found = {a["cidr"] for a in link_state(nic).get("addresses", [])} & set(cidrs) if nic else set()
    problems: list[str] = []
    for cidr in found:
        remove_address(problems, nic, cidr)
    if problems:
        raise WizardError("; ".join(problems))
    return bool(found)
