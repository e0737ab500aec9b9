"""Compares the draft with this machine for the review page, and starts its apply."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.plan.model import Plan
from wizard.screens.controller import Controller, handles, words_of
from wizard.screens.review import messages
from wizard.screens.review.screen import ReviewPage
from wizard.screens.shell import PreparedApply

if TYPE_CHECKING:
    from wizard.deploy.apply.preview import StepPreview
    from wizard.deploy.file_changes import FileChange


class ReviewController(Controller):
    def open(self) -> ReviewPage:
        return ReviewPage(self.shell.drafts.draft, self.shell.state.facts, self.shell.drafts.latest_check)

    def shown(self) -> None:
        from wizard.plan.file.write import dump_plan

        page, drafts, services = self.shell.page, self.shell.drafts, self.shell.services
        plan, original = drafts.draft.to_plan(), drafts.original
        if not isinstance(page, ReviewPage) or not isinstance(plan, Plan):
            return

        def compare() -> tuple[str, tuple[FileChange, ...]]:
            text = dump_plan(plan, original)
            return text, services.changes(plan, text)

        def compared(found: tuple[str, tuple[FileChange, ...]]) -> None:
            drafts.prepared, page.changes = PreparedApply(found[0], stop=page.stop), found[1]

        def not_compared(error: WizardError) -> None:
            page.trouble = error

        self.shell.calls.call("changes", compare, compared, not_compared)

    def facts_read(self) -> None:
        self.shell.go("review")

    @handles(messages.StepsRequested)
    def preview(self, message: messages.StepsRequested) -> None:
        page, drafts, plan = message.page, self.shell.drafts, self.shell.drafts.draft.to_plan()
        text = drafts.prepared.plan_text if drafts.prepared is not None else ""
        drafts.prepared = PreparedApply(text, stop=page.stop)
        if isinstance(plan, tuple):
            return

        def come(steps: tuple[StepPreview, ...]) -> None:
            drafts.prepared = PreparedApply(text, steps, page.stop)
            page.coming = steps

        def cannot(error: WizardError) -> None:
            page.no_commands = words_of(error)

        preview = partial(self.shell.services.preview_steps, plan, text, page.stop)
        self.shell.calls.call("coming", preview, come, cannot)

    @handles(messages.PlanSaveRequested)
    def save(self, message: messages.PlanSaveRequested) -> None:
        from wizard.plan.file.write import dump_plan

        plan = self.shell.drafts.draft.to_plan()
        if isinstance(plan, Plan):
            self.shell.saver.save(message.path, dump_plan(plan, self.shell.drafts.original))
        else:
            self.shell.set_status("This is not a valid plan yet: fix the ✗ fields first.", "error")

    @handles(messages.StopAgreed)
    def agree(self, message: messages.StopAgreed) -> None:
        self.agree_to_stop([message.unit])
        self.shell.go("review")

    @handles(messages.ApplyRequested)
    def apply(self, _message: messages.ApplyRequested) -> None:
        self.shell.changes.when_privileged(partial(self.shell.go, "apply"))
