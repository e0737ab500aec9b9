"""A gateway in force on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wizard.services.protocols import ExportedFile

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.monitor.leases import Row
    from wizard.monitor.overview import Overview, RowsWatch


class HostGateway:
    """`status` reads what is applied."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self._rows_watch: RowsWatch | None = None

    def overview(self, rows: tuple[Row, ...] | None = None) -> Overview:
        from wizard.deploy.engine import plan_running
        from wizard.monitor.overview import RowsWatch, read_overview
        from wizard.plan.addresses import SubnetFull, assign

        plan = plan_running()
        try:
            plan = assign(plan) if plan is not None else None
        except SubnetFull:
            # Applied it cannot have been; what is there is shown all the same.
            pass
        if rows is None:
            self._rows_watch = self._rows_watch or RowsWatch()
            rows = self._rows_watch.rows()
        return read_overview(self._status(), plan, rows)

    def exported_files(self) -> tuple[ExportedFile, ...]:
        from wizard.deploy.engine import plan_running
        from wizard.host.facts import read_facts
        from wizard.plan.export import FORMATS, export, surroundings
        from wizard.plan.export_about import ABOUT

        plan = plan_running()
        if plan is None:
            return ()
        around = surroundings(plan, read_facts())
        return tuple(ExportedFile(form, *ABOUT[form], export(plan, form, around)) for form in FORMATS)
