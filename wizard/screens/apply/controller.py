"""Starts the apply that the review prepared, or joins a pending one, and sends the answer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from wizard.plan.findings import WizardError
from wizard.screens.apply import messages
from wizard.screens.apply.screen import ApplyPage
from wizard.screens.controller import Controller, change_under_way, handles
from wizard.screens.plan_change import PlanChange, outcome_of
from wizard.services.progress import SIGHT_LOST


class ApplyController(Controller):
    @property
    def page(self) -> ApplyPage | None:
        page = self.shell.page
        return page if isinstance(page, ApplyPage) else None

    def open(self) -> ApplyPage | None:
        if self.shell.changes.under_way:
            self.shell.show_error(change_under_way())
            return None
        prepared = self.shell.drafts.prepared
        return ApplyPage(self.shell.services.now, prepared.steps if prepared is not None else ())

    def shown(self) -> None:
        services, prepared = self.shell.services, self.shell.drafts.prepared
        if prepared is None:
            self.shell.changes.start(services.pending_change, outcome_of("", None), self._ended)
        else:
            start = partial(services.start_apply, stop=prepared.stop)
            change = PlanChange(services, start, prepared.plan_text)
            self.shell.changes.start(change.begin, change.outcome, self._ended)

    @handles(messages.TrialAnswered)
    def answer(self, message: messages.TrialAnswered) -> None:
        answer = self.shell.services.confirm if message.keep else self.shell.services.rollback
        self.shell.calls.call("answer", answer, lambda _: None, self._not_answered)

    @handles(messages.RetryRequested)
    def apply_again(self, message: messages.RetryRequested) -> None:
        drafts = self.shell.drafts
        self.agree_to_stop(message.units)
        if drafts.prepared is not None:
            drafts.prepared = replace(drafts.prepared, stop=(*drafts.prepared.stop, *message.units))
        self.shell.changes.when_privileged(partial(self.shell.go, "apply"))

    def _not_answered(self, error: WizardError) -> None:
        if self.page is not None:
            self.page.answer = None
        self.shell.show_error(error)

    def _ended(self) -> None:
        progress = self.shell.state.progress
        if progress.result != "kept":
            return
        self.shell.gateway_applied()
        self.shell.drafts.applied()
        if self.page is not None:
            self.shell.go("leases")
            if progress.reason in SIGHT_LOST.values():
                self.shell.set_status(progress.reason, "warning")
