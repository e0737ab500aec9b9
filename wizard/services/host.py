"""The services of this machine, put together from their parts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.plan import paths
from wizard.services.host_boot import HostBoot
from wizard.services.host_cabling import HostCabling
from wizard.services.host_changes import HostChanges
from wizard.services.host_drafts import HostDrafts
from wizard.services.host_files import HostFiles
from wizard.services.host_gateway import HostGateway
from wizard.services.host_leases import HostLeases
from wizard.services.protocols import HostEnvironment

if TYPE_CHECKING:
    from wizard.actions.boot import ArmOrder
    from wizard.actions.outcome import NodeOutcome
    from wizard.deploy.apply.preview import StepPreview
    from wizard.deploy.file_changes import FileChange
    from wizard.deploy.status import Status
    from wizard.host.dhcp.discovery import DiscoveredMachine
    from wizard.host.net.traffic import TrafficSample
    from wizard.monitor.boot_board import BootBoard
    from wizard.monitor.forward_checks import ForwardCheck
    from wizard.monitor.instances import CnciReading, GatewayContext
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.monitor.overview import Overview
    from wizard.plan.machine import Facts
    from wizard.plan.model import Plan
    from wizard.services.protocols import CablingReport, ChangeProcess, ExportedFile, LeaseFeed, NicActivity


class HostServices:
    """Implements `protocols.Services`."""

    def __init__(self) -> None:
        home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        state = Path(home) / "ciao-wizard"
        self._boot = HostBoot()
        self._cabling = HostCabling(self.facts)
        self._changes = HostChanges(state)
        self._drafts = HostDrafts(state)
        self._files = HostFiles()
        self._gateway = HostGateway(self.status)
        self._leases = HostLeases(self.plan_in_force)

    # The machine

    def now(self) -> datetime:
        return datetime.now(UTC)

    def facts(self) -> Facts:
        from wizard.deploy import runtime_state
        from wizard.deploy.apply.engine import applied_cluster
        from wizard.deploy.images.here import read_boot_here
        from wizard.host.facts.reader import read_facts

        return read_facts(None, applied_cluster(), runtime_state.own_pids(), time=True, boot=read_boot_here())

    def environment(self) -> HostEnvironment:
        from wizard.host import commands
        from wizard.plan.tools import NEEDED
        from wizard.plan.welcome import INSTALLERS

        missing = tuple(tool for tool in NEEDED if commands.find(tool) is None)
        installer = next((INSTALLERS[name] for name in INSTALLERS if commands.find(name)), None)
        return HostEnvironment(missing, installer, os.geteuid() == 0)

    def vendors(self, macs: tuple[str, ...]) -> dict[str, str]:
        from wizard.host.facts.vendors import vendor_of

        return {mac: vendor_of(mac) for mac in macs}

    # The cables

    def probe_cabling(self, corporate: str, cluster: str, stop: threading.Event) -> CablingReport | None:
        return self._cabling.probe(corporate, cluster, stop)

    def watch_nics(self, stop: threading.Event, tell: Callable[[NicActivity], None]) -> None:
        self._cabling.watch_nics(stop, tell)

    def listen(self, nic: str, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
        from wizard.services.host_listening import listen

        listen(nic, stop, tell)

    # Changes

    def changes(self, plan: Plan, plan_text: str) -> tuple[FileChange, ...]:
        from wizard.deploy.file_changes import file_changes
        from wizard.host.net.managers import backend_for

        return file_changes(plan, plan_text, backend_for(plan))

    def preview_steps(self, plan: Plan, plan_text: str, stop: Sequence[str] = ()) -> tuple[StepPreview, ...]:
        from wizard.deploy.apply import preview

        return preview.preview_steps(plan, plan_text, stop)

    def may_change(self) -> bool:
        return self._changes.may_change()

    def ask_password(self) -> bool:
        return self._changes.ask_password()

    def start_apply(self, plan_text: str, stop: Sequence[str] = ()) -> ChangeProcess:
        return self._changes.start_apply(plan_text, stop)

    def start_adopt(self, plan_text: str) -> ChangeProcess:
        return self._changes.start_adopt(plan_text)

    def start_reset(self, forget_leases: bool, forget_images: bool) -> ChangeProcess:
        return self._changes.start_reset(forget_leases, forget_images)

    def start_renew(self, part: str) -> ChangeProcess:
        return self._changes.start_renew(part)

    def pending_change(self) -> ChangeProcess:
        return self._changes.pending()

    def confirm(self) -> None:
        self._changes.confirm()

    def rollback(self) -> None:
        self._changes.rollback()

    # The gateway

    def status(self) -> Status:
        from wizard.deploy.status import read_status

        return read_status()

    def plan_in_force(self) -> str | None:
        from wizard.host.files import read_text

        return read_text(paths.PLAN_IN_FORCE)

    def overview(self, rows: tuple[LeaseRow, ...] | None = None) -> Overview:
        return self._gateway.overview(rows)

    def traffic(self, nics: tuple[str, ...]) -> TrafficSample:
        from wizard.host.net.traffic import read_traffic

        return read_traffic(nics)

    def exported_files(self) -> tuple[ExportedFile, ...]:
        return self._gateway.exported_files()

    # Leases and instances

    def open_leases(self) -> LeaseFeed:
        return self._leases.open()

    def held_back(self) -> str:
        return self._leases.held_back()

    def plan_to_adopt_into(self) -> str:
        return self._leases.plan_to_adopt_into()

    def release(self, mac: str, ip: str) -> bool:
        return self._leases.release(mac, ip)

    def forwards(self) -> tuple[ForwardCheck, ...]:
        return self._leases.forwards()

    def known_here(self) -> GatewayContext:
        from wizard.monitor.lease_board import read_gateway_context

        return read_gateway_context()

    def read_instances(
        self, cncis: Sequence[str], known: GatewayContext, user: str
    ) -> Iterator[tuple[int, CnciReading]]:
        from wizard.host.ssh import Target, parse_target
        from wizard.monitor.instances import HERE, parse_user, read_cncis

        targets = [Target(text) if text in HERE else parse_target(text) for text in cncis]
        return read_cncis(targets, known, parse_user(user))

    def act_on_nodes(self, action: str, names: Sequence[str]) -> Iterator[NodeOutcome]:
        from wizard.services.host_nodes import act_on_nodes

        return act_on_nodes(action, names)

    # Booting over the network

    def boots(self) -> BootBoard:
        return self._boot.look()

    def usual_key_files(self) -> tuple[str, ...]:
        return self._boot.usual_key_files()

    def arm_nodes(self, names: Sequence[str], order: ArmOrder) -> None:
        self._boot.arm(names, order)

    def disarm_nodes(self, names: Sequence[str]) -> None:
        self._boot.disarm(names)

    # Files

    def read_list(self, path: str) -> str:
        return self._files.read_list(path)

    def save_file(self, path: str, text: str, over: bool = False) -> str:
        return self._files.save(path, text, over)

    def read_draft(self, name: str) -> tuple[str, datetime] | None:
        return self._drafts.read(name)

    def save_draft(self, name: str, text: str) -> None:
        self._drafts.save(name, text)

    def forget_draft(self, name: str) -> None:
        self._drafts.forget(name)
