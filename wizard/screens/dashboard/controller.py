"""Reads the gateway's state and traffic for the dashboard."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.screens.controller import Controller, handles
from wizard.screens.dashboard import messages
from wizard.screens.dashboard.screen import DashboardPage

if TYPE_CHECKING:
    from wizard.host.net.traffic import Traffic, TrafficSample
    from wizard.screens.shell import Shell


class DashboardController(Controller):
    def __init__(self, shell: Shell) -> None:
        super().__init__(shell)
        self.counting = False
        self._traffic: Traffic | None = None

    @property
    def page(self) -> DashboardPage | None:
        page = self.shell.page
        return page if isinstance(page, DashboardPage) else None

    def open(self) -> DashboardPage:
        self.shell.gateway.drop_if_old()
        self.shell.gateway.look()
        return DashboardPage(self._traffic)

    def look_again(self) -> None:
        self.shell.gateway.look()

    @handles(messages.TrafficRequested)
    def count_traffic(self, _message: messages.TrafficRequested | None = None) -> None:
        """Read the traffic counters, unless a read is running."""
        overview = self.shell.state.overview
        plan = overview.plan if overview is not None else None
        if overview is None or plan is None or self.counting:
            return
        self.counting = True
        nics = (overview.corporate or plan.interfaces.corporate, plan.interfaces.cluster)
        count = partial(self.shell.services.traffic, nics)
        self.shell.calls.call("traffic", count, self._counted, self._not_counted)

    def _counted(self, look: TrafficSample) -> None:
        from wizard.host.net.traffic import Traffic

        self.counting = False
        self._traffic = (self._traffic or Traffic()).after(look)
        if self.page is not None:
            self.page.traffic = self._traffic

    def _not_counted(self, _error: WizardError) -> None:
        """Traffic is optional: without counters the page shows none."""
        self.counting = False
