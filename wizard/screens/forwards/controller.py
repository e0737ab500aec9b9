"""Opens the forwards page. It asks nothing of the machine but what every page of the draft does."""

from __future__ import annotations

from wizard.screens.controller import StepController
from wizard.screens.forwards.screen import ForwardsPage


class ForwardsController(StepController):
    def open_at(self, field: str) -> ForwardsPage:
        return ForwardsPage(self.shell.drafts.draft, field)
