"""What was typed is never lost: the draft is kept where the next start finds it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.timer import Timer

from wizard.plan.findings import WizardError
from wizard.widgets.modal import Question
from wizard.widgets.page import plural

if TYPE_CHECKING:
    from wizard.app.shell import PageShell
    from wizard.plan.draft.check import DraftCheck
    from wizard.plan.draft.model import Draft
    from wizard.plan.model import Plan
    from wizard.screens.shell import LeftOver, PreparedApply

SAVE_AFTER_S = 0.05


class DraftAutosave:
    """`draft` is what was typed; `begun_with` is where it began, which needs no keeping.

    Two wizards of one person have one place for their drafts: each forgets only what it answers for itself.
    """

    def __init__(
        self,
        shell: PageShell,
        plan_text: str | None,
        taken: Callable[[], None],
        applied_since: Callable[[datetime], bool],
    ) -> None:
        """`plan_text` was given at the start; `taken` is called when an earlier draft takes the place of this one."""
        self._shell = shell
        self._taken = taken
        self._applied_since = applied_since
        # There is one once the machine has been looked at; before, no page asks for it.
        self._draft = cast("Draft", None)
        self.begun_with: Draft | None = None
        self.begun_from: tuple[Plan | None, str] = (None, "")
        """The plan that `begun_with` is made of, and where that is from; None where it is suggested."""
        self.original = plan_text
        """The text that the draft began with, whose comments are kept."""
        self.prepared: PreparedApply | None = None
        """What the review made of it."""
        self.latest_check: DraftCheck | None = None
        """Of a draft so large that it is checked in a thread."""
        self.name = "draft"
        if plan_text is not None:
            # What was made of one given plan is no draft of another.
            self.name = f"draft-{hashlib.sha256(plan_text.encode()).hexdigest()[:8]}"
        self._timer: Timer | None = None
        self._wrote: str | None = None
        """What this run wrote last."""
        self._took: str | None = None
        """What it found and answers for, as long as it has written nothing over that."""

    @property
    def draft(self) -> Draft:
        return self._draft

    @draft.setter
    def draft(self, draft: Draft) -> None:
        """Several changes at once are saved as one."""
        changed, self._draft = draft != self._draft, draft
        if changed and self._timer is None:
            self._timer = self._shell.set_timer(SAVE_AFTER_S, self._save)

    @property
    def changed(self) -> bool:
        """Whether anything was typed since it was begun."""
        return self.draft != self.begun_with

    @property
    def saving(self) -> bool:
        """Whether what was typed is still to be saved."""
        return self._timer is not None

    @property
    def kept(self) -> bool:
        """Whether something was typed in this run that was not applied, and is there for the next one."""
        return self._wrote is not None and self.changed and self._there() == self._wrote

    def begin(self, draft: Draft, plan: Plan | None, source: str) -> None:
        """Begin with `draft`, made of `plan` from `source`; None where it is suggested."""
        self.begun_from = (plan, source) if plan is not None else (None, "")
        self.begun_with = draft
        self.draft = draft

    def left_over(self) -> LeftOver | None:
        """What an earlier run has left, if it is something to go on with. May block."""
        from wizard.plan.draft.model import load_draft
        from wizard.screens.shell import LeftOver

        saved = self._shell.services.read_draft(self.name)
        draft = load_draft(saved[0]) if saved else None
        if saved is None or draft is None or draft in (self.begun_with, self.draft):
            return None
        when = saved[1].astimezone().strftime("%d %B, %H:%M")
        nodes = plural(len(draft.nodes), "node")
        said = f"your changes of {when} are still here: {nodes}, subnet {draft.cidr[:40]}"
        return LeftOver(draft, *saved, said)

    def offer(self) -> None:
        """Ask whether to go on with what an earlier run left, if it left anything."""
        left = self.left_over()
        if left is None:
            return
        text = f"{left.said[0].upper()}{left.said[1:]}."
        if self._applied_since(left.at):
            text += " Another plan was applied since then: Review shows the difference."
        question = Question("Resume where you left off?", text, "[ Resume ]", "[ Start over ]", True, no_acts=True)
        self._shell.push_screen(question, partial(self.answer, left))

    def answer(self, left: LeftOver, taken: bool | None) -> None:
        """Go on with what was left, or forget it; None does neither."""
        if taken is not None:
            self._took = left.text
        if taken:
            self.draft = left.draft
            self._taken()
        elif taken is False:
            self.forget()

    def answer_for_found(self) -> None:
        """A change that was found under way is what an earlier run typed: its end is the end of that too."""
        self._took = self._there()

    def applied(self) -> None:
        """The draft is in force: there is nothing more to keep of it."""
        self.begun_with = self.draft
        self.forget()

    def _save(self) -> None:
        from wizard.plan.draft.model import dump_draft

        self._timer = None
        try:
            if self.changed:
                text = dump_draft(self.draft)
                self._shell.services.save_draft(self.name, text)
                self._wrote, self._took = text, None
            elif self._wrote is not None:
                # Not before: what an earlier run left may still be waiting to be asked for.
                self._forget()
        except WizardError as error:
            self._shell.show_error(error)

    def _there(self) -> str | None:
        saved = self._shell.services.read_draft(self.name)
        return saved[0] if saved is not None else None

    def _forget(self) -> None:
        """What another wizard of the same person has written meanwhile is not ours to throw away."""
        there = self._there()
        if there is not None and there in (self._wrote, self._took):
            self._shell.services.forget_draft(self.name)

    def save_now(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._save()

    def forget(self) -> None:
        """What this run typed or took up is done with."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        try:
            self._forget()
        except WizardError as error:
            self._shell.show_error(error)
