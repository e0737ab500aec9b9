"""An app that never loses what was typed: it keeps the draft where the next start finds it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.reactive import reactive
from textual.timer import Timer

from wizard.plan.findings import WizardError
from wizard.widgets.changing import ChangingApp
from wizard.widgets.modal import Question
from wizard.widgets.page import plural

if TYPE_CHECKING:
    from wizard.plan.draft import Draft

SAVE_AFTER_S = 0.05


class DraftingApp(ChangingApp):
    """`draft` is what was typed; `begun_with` is where it began, which needs no keeping."""

    # There is one once the machine has been looked at; before, no page asks for it.
    draft: reactive[Draft] = reactive(cast("Draft", None), init=False)
    begun_with: Draft | None = None

    _draft_name: str = "draft"
    _saving: Timer | None = None
    _saved: bool = False

    @property
    def kept(self) -> bool:
        """Whether something was typed in this run that was not applied, and is there for the next one."""
        return self._saved and self.draft != self.begun_with

    def name_draft(self, plan_text: str | None) -> None:
        """What was made of one given plan is no draft of another."""
        if plan_text is not None:
            self._draft_name = f"draft-{hashlib.sha256(plan_text.encode()).hexdigest()[:8]}"

    def begin_draft(self, draft: Draft) -> None:
        self.begun_with = draft
        self.draft = draft

    def draft_taken(self) -> None:
        """An earlier draft has taken the place of this one. Overridden by the app."""

    if TYPE_CHECKING:
        # The app's own: whether the plan in force is newer than that.
        def applied_since(self, moment: datetime) -> bool: ...

    def offer_draft(self) -> None:
        """Ask whether to go on with what an earlier run left, if it left anything."""
        from wizard.plan.draft import load

        saved = self.services.read_draft(self._draft_name)
        draft = load(saved[0]) if saved else None
        if saved is None or draft is None or draft == self.begun_with:
            return
        when = saved[1].astimezone().strftime("%d %B, %H:%M")
        text = (
            f"What you typed until {when} is still here: {plural(len(draft.nodes), 'node')}, subnet {draft.cidr[:40]}."
        )
        if self.applied_since(saved[1]):
            text += " Another plan was put in force since then: what Review shows is between the two."
        question = Question("Go on where you left off?", text, "[ Go on ]", "[ Start afresh ]", True, no_acts=True)
        self.push_screen(question, partial(self._offered, draft))

    def _offered(self, draft: Draft, taken: bool | None) -> None:
        if taken:
            self.draft = draft
            self.draft_taken()
        elif taken is False:
            self.forget_draft()

    def watch_draft(self) -> None:
        """Several changes at once are saved as one."""
        if self._saving is None:
            self._saving = self.set_timer(SAVE_AFTER_S, self._save)

    def _save(self) -> None:
        from wizard.plan.draft import dump

        self._saving = None
        try:
            if self.draft != self.begun_with:
                self.services.save_draft(self._draft_name, dump(self.draft))
                self._saved = True
            elif self._saved:
                # Not before: what an earlier run left may still be waiting to be asked for.
                self.services.forget_draft(self._draft_name)
        except WizardError as error:
            self.complain(error)

    def save_draft_now(self) -> None:
        if self._saving is not None:
            self._saving.stop()
            self._save()

    def forget_draft(self) -> None:
        if self._saving is not None:
            self._saving.stop()
            self._saving = None
        try:
            self.services.forget_draft(self._draft_name)
        except WizardError as error:
            self.complain(error)
