"""A gateway in force on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wizard.services.protocols import ExportedFile

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.monitor.lease_watch import TrafficReader
    from wizard.monitor.overview import Overview, RowReader


class HostGateway:
    """`status` reads what is applied."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self._rows_watch: RowReader | None = None
        self._traffic: TrafficReader | None = None

    def overview(self, rows: tuple[LeaseRow, ...] | None = None) -> Overview:
        from wizard.host.plan_in_force import Unreadable, running_plan
        from wizard.monitor.lease_watch import TrafficReader
        from wizard.monitor.overview import RowReader, read_overview
        from wizard.plan.addresses import SubnetFull, assign

        plan = running_plan(Unreadable.SKIP)
        try:
            plan = assign(plan) if plan is not None else None
        except SubnetFull:
            # Applied it cannot have been; what is there is shown all the same.
            pass
        if rows is None:
            self._rows_watch = self._rows_watch or RowReader()
            rows = self._rows_watch.rows()
        self._traffic = self._traffic or TrafficReader()
        return read_overview(self._status(), plan, rows, self._traffic.read())

    def exported_files(self) -> tuple[ExportedFile, ...]:
        from wizard.host.facts.reader import read_facts
        from wizard.host.plan_in_force import Unreadable, running_plan
        from wizard.plan.export.about import ABOUT
        from wizard.plan.export.formats import corporate_side, exports

        plan = running_plan(Unreadable.SKIP)
        if plan is None:
            return ()
        around = corporate_side(plan, read_facts())
        return tuple(ExportedFile(form, *ABOUT[form], text) for form, text in exports(plan, around).items())
