"""What the screens may ask of a machine, and the plain data that they are given.

Nothing here changes the machine by itself: what does runs as a process of its own, which outlives the terminal.
Unless it says otherwise a call may block for as long as the machine takes, and may raise WizardError.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wizard.plan.findings import WizardError

if TYPE_CHECKING:
    from wizard.actions.boot import ArmOrder
    from wizard.actions.outcome import NodeOutcome
    from wizard.deploy.apply.preview import StepPreview
    from wizard.deploy.file_changes import FileChange
    from wizard.deploy.status import Status
    from wizard.host.dhcp.discovery import DiscoveredMachine
    from wizard.host.facts.nic_watch import NicEvent
    from wizard.host.net.traffic import Rate, TrafficSample
    from wizard.monitor.boot_board import BootBoard
    from wizard.monitor.forward_checks import ForwardCheck
    from wizard.monitor.instances import CnciReading, GatewayContext
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.monitor.lease_view import LeaseQuery
    from wizard.monitor.lease_watch import LeaseSnapshot
    from wizard.monitor.overview import Overview
    from wizard.plan.machine import Facts
    from wizard.plan.model import Plan
    from wizard.plan.welcome import Installer


# Plain data


@dataclass(frozen=True, slots=True)
class CablingReport:
    """What both networks answered, in words. `fine`: the gateway could serve on them.

    `stop`: it would do damage, and nobody may go on. `swap_helps`: the roles may just be exchanged.
    `answers` are (NIC, what its network answered in a few words).
    """

    fine: bool
    title: str
    text: str
    remedy: str
    stop: bool = False
    swap_helps: bool = False
    answers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HostEnvironment:
    """What the facts do not have: programs that are missing, who installs them here, and whether we are root."""

    missing: tuple[str, ...] = ()
    installer: Installer | None = None
    root: bool = True


@dataclass(frozen=True, slots=True)
class NicActivity:
    """What has happened to the NICs, and the traffic of each in bytes a second, the latest last."""

    news: tuple[NicEvent, ...] = ()
    rates: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """The plan in one of the formats of `export`: `text` is whole, `file` a name that suits it."""

    form: str
    file: str
    about: str
    text: str


class FileThere(WizardError):
    """There is a file at `path` that the wizard has not written in this run."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} already exists.", "Choose another name.")
        self.path = path


# What stays open


class ChangeProcess(Protocol):
    """A change of the machine under way in another process. No call blocks or raises."""

    def lines(self) -> list[str]:
        """The lines of its events file since the last call; only whole ones."""
        ...

    def alive(self) -> bool:
        """Whether the process that we started still is. The change may go on without it."""
        ...

    def output_tail(self) -> str:
        """The end of what it wrote to its standard error, a few lines, safe to show."""
        ...

    def log_path(self) -> str:
        """The path of the full log."""
        ...


class LeaseFeed(Protocol):
    """The leases as they change, open until it is closed. May be asked from any thread."""

    def poll(self, query: LeaseQuery) -> LeaseSnapshot: ...
    def close(self) -> None: ...


# The services


class MachineServices(Protocol):
    """What is on this machine."""

    def now(self) -> datetime:
        """The time in UTC; does not block."""
        ...

    def facts(self) -> Facts: ...
    def environment(self) -> HostEnvironment: ...
    def vendors(self, macs: tuple[str, ...]) -> dict[str, str]: ...


class CablingServices(Protocol):
    """What the NICs and the networks behind them say."""

    def probe_cabling(self, corporate: str, cluster: str, stop: threading.Event) -> CablingReport | None:
        """What both networks say; None where we may not ask them. Takes seconds; ends early once `stop` is set."""
        ...

    def watch_nics(self, stop: threading.Event, tell: Callable[[NicActivity], None]) -> None:
        """Report NIC events at once and traffic once a second, until `stop` is set."""
        ...

    def listen(self, nic: str, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
        """Report machines that ask for an address behind a NIC until `stop` is set; an empty report once it listens.

        Raises NeedsRoot where a password would have to be asked for it.
        """
        ...


class ChangeServices(Protocol):
    """What a change would do, and the processes that do it."""

    def changes(self, plan: Plan, plan_text: str) -> tuple[FileChange, ...]: ...
    def preview_steps(self, plan: Plan, plan_text: str, stop: Sequence[str] = ()) -> tuple[StepPreview, ...]:
        """The steps that an apply of this plan would take here, and what each runs; `stop` as in `start_apply`."""
        ...

    def may_change(self) -> bool:
        """Whether a change can start without a password being asked."""
        ...

    def ask_password(self) -> bool:
        """Have sudo ask on the terminal, which must be free of the screen. Whether it was given."""
        ...

    def start_apply(self, plan_text: str, stop: Sequence[str] = ()) -> ChangeProcess:
        """Apply a plan; `stop` are the services that the person agreed to have stopped for it."""
        ...

    def start_adopt(self, plan_text: str) -> ChangeProcess:
        """Apply a plan that has a node more, and keep it once every verification holds."""
        ...

    def start_reset(self, forget_leases: bool, forget_images: bool) -> ChangeProcess: ...
    def start_renew(self, part: str) -> ChangeProcess:
        """Re-apply one part only: "rules", "nodes", "dhcp" or "leases"."""
        ...

    def pending_change(self) -> ChangeProcess:
        """An apply that was started earlier, perhaps by somebody else."""
        ...

    def confirm(self) -> None: ...
    def rollback(self) -> None: ...


class GatewayServices(Protocol):
    """A gateway in force."""

    def status(self) -> Status: ...
    def plan_in_force(self) -> str | None: ...
    def overview(self, rows: tuple[LeaseRow, ...] | None = None) -> Overview:
        """`rows` are those of a lease feed that is open already; without them one of its own is asked."""
        ...

    def traffic(self, nics: tuple[str, ...]) -> TrafficSample: ...
    def exported_files(self) -> tuple[ExportedFile, ...]:
        """The plan in force in every format; () where there is none."""
        ...


class LeaseServices(Protocol):
    """Who has which address, and whether what is forwarded answers."""

    def open_leases(self) -> LeaseFeed: ...
    def held_back(self) -> str:
        """Why the guard lets nobody have an address now, "" where it does or where that is not known; quick."""
        ...

    def plan_to_adopt_into(self) -> str:
        """The text of the plan in force. Raises WizardError where that was edited and not applied since."""
        ...

    def release(self, mac: str, ip: str) -> bool:
        """Have dnsmasq forget a lease; whether it has. The machine itself learns nothing of it."""
        ...

    def forwards(self) -> tuple[ForwardCheck, ...]:
        """Whether what is forwarded answers, at the node and through the gateway; some seconds."""
        ...


class InstanceServices(Protocol):
    """The instances behind CNCIs."""

    def known_here(self) -> GatewayContext: ...
    def read_instances(
        self, cncis: Sequence[str], known: GatewayContext, user: str
    ) -> Iterator[tuple[int, CnciReading]]:
        """The place of a CNCI and what it says, whoever answers first first. WizardError for what is no machine."""
        ...


class NodeServices(Protocol):
    """What is done to nodes. Nothing of this machine is changed."""

    def act_on_nodes(self, action: str, names: Sequence[str]) -> Iterator[NodeOutcome]:
        """Wake nodes ("wake"), restart them ("reboot") or power them off ("off"); each outcome as it is known.

        Wake needs root, or sudo without a password.
        """
        ...


class BootServices(Protocol):
    """Nodes that boot an image over the network. Arming changes who may, and nothing else; all but one need root."""

    def boots(self) -> BootBoard:
        """How far each node of the plan in force has come; up to a second."""
        ...

    def usual_key_files(self) -> tuple[str, ...]:
        """The paths of the person's public keys; () where the plan in force names some."""
        ...

    def arm_nodes(self, names: Sequence[str], order: ArmOrder) -> None:
        """Arm all of them or, where it is refused, none."""
        ...

    def disarm_nodes(self, names: Sequence[str]) -> None: ...


class FileServices(Protocol):
    """A person's files."""

    def read_list(self, path: str) -> str:
        """The text of a file of nodes."""
        ...

    def save_file(self, path: str, text: str, over: bool = False) -> str:
        """Write a file; its full path. Over one that others wrote only if `over`: else FileThere."""
        ...


class DraftServices(Protocol):
    """What was typed, from one run to the next. None of it is the machine's; each call is quick."""

    def read_draft(self, name: str) -> tuple[str, datetime] | None:
        """A draft that an earlier run left, and when it was last changed."""
        ...

    def save_draft(self, name: str, text: str) -> None: ...
    def forget_draft(self, name: str) -> None: ...


class Services(
    MachineServices,
    CablingServices,
    ChangeServices,
    GatewayServices,
    LeaseServices,
    InstanceServices,
    NodeServices,
    BootServices,
    FileServices,
    DraftServices,
    Protocol,
):
    """All of them."""
