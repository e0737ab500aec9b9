"""For the nodes page: listens on the cluster network, reads lists, looks up vendors of MACs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.screens.controller import StepController, handles, words_of
from wizard.screens.nodes import messages
from wizard.screens.nodes.screen import NodesPage

if TYPE_CHECKING:
    from wizard.host.dhcp.discovery import DiscoveredMachine


class NodesController(StepController):
    @property
    def page(self) -> NodesPage | None:
        page = self.shell.page
        return page if isinstance(page, NodesPage) else None

    def open_at(self, field: str) -> NodesPage:
        return NodesPage(self.shell.drafts.draft, field)

    @handles(messages.ListenRequested)
    def listen(self, message: messages.ListenRequested) -> None:
        # root hears at once; everybody else is asked for the password outside the screen first.
        self.shell.changes.when_privileged(partial(self._listen, message))

    def _listen(self, message: messages.ListenRequested) -> None:
        page, stop = message.page, message.until

        def heard(machines: tuple[DiscoveredMachine, ...]) -> None:
            if page is self.page:
                page.add_machines(machines, stop)

        def stopped(error: WizardError) -> None:
            page.discovery_stopped(words_of(error), stop)

        listen = partial(self.shell.services.listen, message.nic, stop)
        self.shell.calls.stream("listen", listen, heard, otherwise=stopped)

    @handles(messages.FileRequested)
    def read_file(self, message: messages.FileRequested) -> None:
        dialog = message.dialog
        read = partial(self.shell.services.read_list, message.path)
        self.shell.calls.call("list", read, dialog.opened, dialog.refused)

    @handles(messages.ParseRequested)
    def parse(self, message: messages.ParseRequested) -> None:
        self.shell.calls.call("lines", message.read, partial(message.dialog.take, message.text))

    @handles(messages.VendorsRequested)
    def find_vendors(self, message: messages.VendorsRequested) -> None:
        find = partial(self.shell.services.vendors, message.macs)
        self.shell.calls.call("vendors", find, self._take_vendors)

    def _take_vendors(self, vendors: dict[str, str]) -> None:
        if self.page is not None:
            self.page.vendors = {**self.page.vendors, **vendors}
