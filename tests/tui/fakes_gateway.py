"""A gateway in force, of plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wizard.host.net.traffic import Counters, TrafficSample
from wizard.monitor.overview import Overview
from wizard.plan.addresses import assign
from wizard.plan.export.about import ABOUT
from wizard.plan.export.formats import FORMATS, CorporateSide, export
from wizard.plan.file.read import load_plan
from wizard.services.protocols import ExportedFile

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.net.node_traffic import NodeTraffic
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.plan.model import Plan
    from wizard.services.protocols import ChangeProcess

LOOKED = datetime(2026, 3, 2, 14, 0, 23, tzinfo=UTC)


@dataclass(kw_only=True)
class FakeGateway:
    """Mixed into the services; `looks` counts how often the gateway was looked at. Bytes go by evenly."""

    looks: int = 0
    seconds: float = 0
    bytes_a_second: int = 150_000
    amount: int = 0

    if TYPE_CHECKING:
        did: list[str]
        in_force: str | None
        change: ChangeProcess
        counted: NodeTraffic

        def status(self) -> Status: ...
        def rows(self) -> tuple[LeaseRow, ...]: ...

    def _plan(self) -> Plan | None:
        return assign(load_plan(self.in_force, "gateway.toml")) if self.in_force else None

    def overview(self, rows: tuple[LeaseRow, ...] | None = None) -> Overview:
        self.looks += 1
        at = LOOKED + timedelta(seconds=self.looks)
        seen = self.rows() if rows is None else rows
        return Overview(at, self.status(), self._plan(), seen, "10.77.0.98", "10.77.0.1", traffic=self.counted)

    def traffic(self, nics: tuple[str, ...]) -> TrafficSample:
        self.seconds += 1
        self.amount += self.bytes_a_second
        return TrafficSample(
            self.seconds, {nic: Counters(self.amount * (n + 1), self.amount // 4) for n, nic in enumerate(nics)}
        )

    def exported_files(self) -> tuple[ExportedFile, ...]:
        plan = self._plan()
        if plan is None:
            return ()
        around = CorporateSide("10.77.0.98")
        return tuple(ExportedFile(form, *ABOUT[form], export(plan, form, around)) for form in FORMATS)

    def start_renew(self, part: str) -> ChangeProcess:
        self.did.append(f"renew {part}")
        return self.change
