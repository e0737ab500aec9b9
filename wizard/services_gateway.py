"""What the pages of a gateway in force ask of the machine, and the small resets that they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.traffic import Look
    from wizard.monitor.overview import Overview, RowsWatch
    from wizard.services import Run


@dataclass(frozen=True, slots=True)
class HandOver:
    """The plan in one of the formats of `export`: `text` is whole, `file` a name that suits it."""

    form: str
    file: str
    about: str
    text: str


class GatewayServices(Protocol):
    """Calls may block and raise WizardError."""

    def overview(self) -> Overview: ...
    def traffic(self, nics: tuple[str, ...]) -> Look: ...
    def hand_overs(self) -> tuple[HandOver, ...]:
        """The plan in force in every format; () where there is none."""
        ...

    def start_renew(self, part: str) -> Run:
        """Bring one part of what is in force about anew: "rules", "nodes", "dhcp" or "leases"."""
        ...


class _Machine(Protocol):
    _rows_watch: RowsWatch | None

    def status(self) -> Status: ...
    def start_change(self, *words: str) -> Run: ...


class HostGateway:
    """The real machine; the services it is part of have the rest."""

    _rows_watch: RowsWatch | None = None

    def overview(self: _Machine) -> Overview:
        from wizard.deploy.engine import plan_running
        from wizard.monitor.overview import RowsWatch, read_overview
        from wizard.plan.addresses import SubnetFull, assign

        plan = plan_running()
        try:
            plan = assign(plan) if plan is not None else None
        except SubnetFull:
            # Applied it cannot have been; what is there is shown all the same.
            pass
        self._rows_watch = self._rows_watch or RowsWatch()
        return read_overview(self.status(), plan, self._rows_watch.rows())

    def traffic(self, nics: tuple[str, ...]) -> Look:
        from wizard.host.traffic import read_traffic

        return read_traffic(nics)

    def hand_overs(self) -> tuple[HandOver, ...]:
        from wizard.deploy.engine import plan_running
        from wizard.host.facts import read_facts
        from wizard.plan.export import FORMATS, export, surroundings
        from wizard.plan.export_about import ABOUT

        plan = plan_running()
        if plan is None:
            return ()
        around = surroundings(plan, read_facts())
        return tuple(HandOver(form, *ABOUT[form], export(plan, form, around)) for form in FORMATS)

    def start_renew(self: _Machine, part: str) -> Run:
        return self.start_change("reset", "--only", part, "--yes")
