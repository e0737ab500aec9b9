"""The review and the apply, as the app sees them: what they are told, and what is done for them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from textual import on
from textual.reactive import reactive

from wizard import screens
from wizard.plan.findings import WizardError
from wizard.screens import messages
from wizard.widgets.page import Page
from wizard.widgets.speaking import SpeakingApp

if TYPE_CHECKING:
    from wizard.deploy.preview import Coming
    from wizard.deploy.status import Status
    from wizard.plan.machine import Facts
    from wizard.services.protocols import ChangeProcess, Services


class ReviewPages(SpeakingApp):
    """Review and Apply."""

    services: Services
    facts: reactive[Facts | None]

    _original: str | None = None
    """The text that the draft began with, whose comments are kept."""
    _plan_text: str = ""
    _before: Status | None = None
    """What was in force before the change that is under way."""
    _to_come: tuple[Coming, ...] = ()

    if TYPE_CHECKING:
        # The app's own.
        def _show(self, page: Page) -> None: ...
        def save_file(self, path: str, text: str, over: bool = False) -> None: ...

    def _review(self) -> None:
        from wizard.plan import planfile
        from wizard.plan.model import Plan

        page = screens.ReviewPage(self.draft, self.facts)
        self._show(page)
        plan = self.draft.to_plan()
        if not isinstance(plan, Plan):
            return

        def compare() -> tuple[str, Any]:
            text = planfile.dump(plan, self._original)
            return text, self.services.changes(plan, text)

        self.ask("changes", compare, partial(self._compared, page), partial(setattr, page, "trouble"))

    def _compared(self, page: screens.ReviewPage, found: tuple[str, Any]) -> None:
        self._plan_text, page.changes = found

    @on(messages.CommandsWanted)
    def _preview_commands(self, message: messages.CommandsWanted) -> None:
        page, plan = message.page, self.draft.to_plan()
        self._to_come = ()
        if isinstance(plan, tuple):
            return

        def come(found: tuple[Coming, ...]) -> None:
            self._to_come = page.coming = found

        def cannot(error: WizardError) -> None:
            page.no_commands = f"{error.message} {error.remedy}".strip()

        self.ask("coming", partial(self.services.preview_steps, plan, self._plan_text), come, cannot)

    @on(messages.ApplyOpened)
    def _show_commands_to_come(self, message: messages.ApplyOpened) -> None:
        message.page.coming = self._to_come

    @on(messages.PlanSaveAsked)
    def _save_plan(self, message: messages.PlanSaveAsked) -> None:
        from wizard.plan import planfile
        from wizard.plan.model import Plan

        plan = self.draft.to_plan()
        if not isinstance(plan, Plan):
            self.notify("This is no plan yet: see what is marked ✗.", severity="error", markup=False)
            return
        self.save_file(message.path, planfile.dump(plan, self._original))

    @on(messages.ApplyAsked)
    def _apply_privileged(self) -> None:
        self.when_privileged(self._apply)

    def _apply(self) -> None:
        if self.changing:
            self.change_refused(WizardError("A change is under way already.", "Wait for its end."))
            return
        self._show(screens.ApplyPage(self.services.now))

        def start() -> ChangeProcess:
            self._before = self.services.status()
            return self.services.start_apply(self._plan_text)

        self.change(start)

    @on(messages.TrialAnswered)
    def _answer_trial(self, message: messages.TrialAnswered) -> None:
        answer = self.services.confirm if message.keep else self.services.rollback
        self.ask("answer", answer, lambda _: None, self._not_answered)

    def _not_answered(self, error: WizardError) -> None:
        if isinstance(self._page, screens.ApplyPage):
            self._page.answer = None
        self.complain(error)
