"""An app that never loses what was typed: it keeps the draft where the next start finds it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
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
    from wizard.plan.draft.model import Draft
    from wizard.plan.model import Plan

SAVE_AFTER_S = 0.05


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What an earlier run has left: its file's text, when that was written, and what to say of it."""

    draft: Draft
    text: str
    at: datetime
    said: str


class DraftingApp(ChangingApp):
    """`draft` is what was typed; `begun_with` is where it began, which needs no keeping.

    Two wizards of one person have one place for their drafts: each forgets only what it answers for itself.
    """

    # There is one once the machine has been looked at; before, no page asks for it.
    draft: reactive[Draft] = reactive(cast("Draft", None), init=False)
    begun_with: Draft | None = None
    begun_from: tuple[Plan | None, str] = (None, "")
    """The plan that `begun_with` is made of, and where that is from; None where it is suggested."""

    _draft_name: str = "draft"
    _save_timer: Timer | None = None
    _wrote: str | None = None
    """What this run wrote last."""
    _took: str | None = None
    """What it found and answers for, as long as it has written nothing over that."""

    @property
    def kept(self) -> bool:
        """Whether something was typed in this run that was not applied, and is there for the next one."""
        return self._wrote is not None and self.draft != self.begun_with and self._there() == self._wrote

    def name_draft(self, plan_text: str | None) -> None:
        """What was made of one given plan is no draft of another."""
        if plan_text is not None:
            self._draft_name = f"draft-{hashlib.sha256(plan_text.encode()).hexdigest()[:8]}"

    def begin_draft(self, draft: Draft, plan: Plan | None, source: str) -> None:
        """Begin with `draft`, made of `plan` from `source`; None where it is suggested."""
        self.begun_from = (plan, source) if plan is not None else (None, "")
        self.begun_with = draft
        self.draft = draft

    def draft_taken(self) -> None:
        """An earlier draft has taken the place of this one. Overridden by the app."""

    if TYPE_CHECKING:
        # The app's own: whether the plan in force is newer than that.
        def applied_since(self, moment: datetime) -> bool: ...

    def left_over(self) -> LeftOver | None:
        """What an earlier run has left, if it is something to go on with."""
        from wizard.plan.draft.model import load_draft

        saved = self.services.read_draft(self._draft_name)
        draft = load_draft(saved[0]) if saved else None
        if saved is None or draft is None or draft in (self.begun_with, self.draft):
            return None
        when = saved[1].astimezone().strftime("%d %B, %H:%M")
        nodes = plural(len(draft.nodes), "node")
        said = f"what you typed until {when} is still here: {nodes}, subnet {draft.cidr[:40]}"
        return LeftOver(draft, *saved, said)

    def offer_draft(self) -> None:
        """Ask whether to go on with what an earlier run left, if it left anything."""
        left = self.left_over()
        if left is None:
            return
        text = f"{left.said[0].upper()}{left.said[1:]}."
        if self.applied_since(left.at):
            text += " Another plan was put in force since then: what Review shows is between the two."
        question = Question("Go on where you left off?", text, "[ Go on ]", "[ Start afresh ]", True, no_acts=True)
        self.push_screen(question, partial(self._offered, left))

    def answer_for_draft(self) -> None:
        """A change that was found under way is what an earlier run typed: its end is the end of that too."""
        self._took = self._there()

    def _offered(self, left: LeftOver, taken: bool | None) -> None:
        if taken is not None:
            self._took = left.text
        if taken:
            self.draft = left.draft
            self.draft_taken()
        elif taken is False:
            self.forget_draft()

    def watch_draft(self) -> None:
        """Several changes at once are saved as one."""
        if self._save_timer is None:
            self._save_timer = self.set_timer(SAVE_AFTER_S, self._save)

    @property
    def is_saving(self) -> bool:
        """Whether what was typed is still to be written."""
        return self._save_timer is not None

    def _save(self) -> None:
        from wizard.plan.draft.model import dump_draft

        self._save_timer = None
        try:
            if self.draft != self.begun_with:
                text = dump_draft(self.draft)
                self.services.save_draft(self._draft_name, text)
                self._wrote, self._took = text, None
            elif self._wrote is not None:
                # Not before: what an earlier run left may still be waiting to be asked for.
                self._forget()
        except WizardError as error:
            self.complain(error)

    def _there(self) -> str | None:
        saved = self.services.read_draft(self._draft_name)
        return saved[0] if saved is not None else None

    def _forget(self) -> None:
        """What another wizard of the same person has written meanwhile is not ours to throw away."""
        there = self._there()
        if there is not None and there in (self._wrote, self._took):
            self.services.forget_draft(self._draft_name)

    def save_draft_now(self) -> None:
        if self._save_timer is not None:
            self._save_timer.stop()
            self._save()

    def forget_draft(self) -> None:
        """What this run typed or took up is done with."""
        if self._save_timer is not None:
            self._save_timer.stop()
            self._save_timer = None
        try:
            self._forget()
        except WizardError as error:
            self.complain(error)
