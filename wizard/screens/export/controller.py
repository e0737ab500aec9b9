"""Renders the plan in every format for the export page, and saves the chosen one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.screens.controller import Controller, handles
from wizard.screens.export import messages
from wizard.screens.export.screen import ExportPage

if TYPE_CHECKING:
    from wizard.services.protocols import ExportedFile


class ExportController(Controller):
    def open(self) -> ExportPage:
        self.shell.calls.call("export", self.shell.services.exported_files, self._take, self._failed)
        return ExportPage()

    def _take(self, files: tuple[ExportedFile, ...]) -> None:
        page = self.shell.page
        if isinstance(page, ExportPage):
            page.exported_files = files

    def _failed(self, error: WizardError) -> None:
        self._take(())
        self.shell.show_error(error)

    @handles(messages.ExportSaveRequested)
    def save(self, message: messages.ExportSaveRequested) -> None:
        self.shell.saver.save(message.path, message.text)
