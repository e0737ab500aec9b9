"""Asks the CNCIs, and gives the instances page each answer as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wizard.screens.controller import Controller, handles
from wizard.screens.instances import messages
from wizard.screens.instances.screen import InstancesPage

if TYPE_CHECKING:
    from wizard.monitor.instances import CnciReading, GatewayContext
    from wizard.screens.shell import Shell


class InstancesController(Controller):
    def __init__(self, shell: Shell) -> None:
        super().__init__(shell)
        self._known: GatewayContext | None = None

    @property
    def page(self) -> InstancesPage | None:
        page = self.shell.page
        return page if isinstance(page, InstancesPage) else None

    def open(self) -> InstancesPage:
        self.shell.after_refresh(self._read_known)
        return InstancesPage()

    def _read_known(self) -> None:
        self.shell.calls.call("known", self.shell.services.known_here, self._take_known)

    def _take_known(self, known: GatewayContext) -> None:
        self._known = known
        if self.page is not None:
            self.page.offer(tuple(vm.ip for vm in known.vms))

    @handles(messages.InstancesRequested)
    def read(self, message: messages.InstancesRequested) -> None:
        page, services = self.page, self.shell.services
        if page is None:
            return

        def read(tell: Callable[[tuple[int, CnciReading]], None]) -> None:
            known = self._known or services.known_here()
            for reading in services.read_instances(message.cncis, known, message.user):
                tell(reading)

        self.shell.calls.stream("instances", read, page.take, page.finish, page.refuse)
