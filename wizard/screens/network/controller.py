"""Opens the network page. It asks nothing of the machine but what every page of the draft does."""

from __future__ import annotations

from wizard.screens.controller import StepController
from wizard.screens.network.screen import NetworkPage


class NetworkController(StepController):
    def open_at(self, field: str) -> NetworkPage:
        return NetworkPage(self.shell.drafts.draft, field)
