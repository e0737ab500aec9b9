"""Starts the reset that is chosen on the reset page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.screens.controller import Controller, change_under_way, handles
from wizard.screens.reset import messages
from wizard.screens.reset.screen import ResetPage
from wizard.services.progress import Progress

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.screens.shell import Outcome
    from wizard.services.protocols import ChangeProcess


class ResetController(Controller):
    @property
    def page(self) -> ResetPage | None:
        page = self.shell.page
        return page if isinstance(page, ResetPage) else None

    def open(self) -> ResetPage | None:
        if self.shell.changes.under_way:
            # It would show the other change's end as its own.
            self.shell.show_error(change_under_way())
            return None
        self.shell.state = replace(self.shell.state, progress=Progress())
        self.shell.gateway.look()
        return ResetPage()

    def back(self) -> str:
        page = self.page
        undone = page is not None and self.shell.state.progress.result and page.part not in page.PARTS
        return "begin" if undone else ""

    @handles(messages.ResetRequested)
    def reset(self, message: messages.ResetRequested) -> None:
        begin = partial(self.shell.services.start_reset, message.forget_leases, message.forget_images)
        self._start(begin, _reset_outcome)

    @handles(messages.RenewRequested)
    def renew(self, message: messages.RenewRequested) -> None:
        self._start(partial(self.shell.services.start_renew, message.part), _renew_outcome)

    def _start(self, begin: Callable[[], ChangeProcess], outcome: Outcome) -> None:
        start = partial(self.shell.changes.start, begin, outcome, refused=self._refused)
        self.shell.changes.when_privileged(start, self._refused)

    def _refused(self, error: WizardError) -> None:
        if self.page is not None:
            self.page.running = False
        self.shell.show_error(error)


def _reset_outcome(status: Status, _plan_in_force: str | None) -> str:
    return "rolled-back" if status.state == "absent" else "failed"


def _renew_outcome(_status: Status, _plan_in_force: str | None) -> str:
    # Whether the part was restarted nobody can tell any more.
    return "failed"
