"""All that will be changed, before it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from wizard.plan.draft import UNREADABLE, Draft, field_name
from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.judge import judge
from wizard.plan.machine import Facts
from wizard.widgets.diff import DiffView
from wizard.widgets.entry import Entry
from wizard.widgets.modal import Dialog
from wizard.widgets.page import LOOK_AGAIN, SHOWN_BACK, STEPS, Page, finding_text, plain, plural
from wizard.widgets.words import Words
from wizard.widgets.working import Working

if TYPE_CHECKING:
    from wizard.deploy.changes import Change

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
_NOTHING = "Nothing has been changed yet. This is all that will be."


class ReviewPage(Page):
    TITLE = "Review"
    STEP = "review"
    QUESTION = _NOTHING
    HELP = (
        "Above: what there is to say of the plan. ✗ must be mended before anything is applied; ! is worth a look; "
        "· is good to know. Enter leads to the field.\n"
        "Below: every file as it will differ from what is there now; + comes, - goes.\n\n"
        "ctrl+a starts a trial: the changes are made and tested, and you are asked whether to keep them. Without "
        "an answer within two minutes everything goes back by itself."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "file(-1)", "file", key_display="◂ ▸"),
        Binding("right", "file(1)", "next file", show=False),
        Binding("f6", "save", "save plan"),
        Binding("ctrl+a", "apply", "apply"),
        Binding("enter", "mend", "mend", show=False),
        SHOWN_BACK,
        LOOK_AGAIN,
    ]

    class ApplyAsked(Message):
        """Do it."""

    @dataclass
    class SaveAsked(Message):
        """Write the plan to a file."""

        path: str

    changes: reactive[tuple[Change, ...] | None] = reactive(None)
    trouble: reactive[WizardError | None] = reactive(None)

    def __init__(self, draft: Draft, facts: Facts | None) -> None:
        super().__init__()
        self.draft = draft
        self._findings = sorted(judge(draft, facts), key=lambda finding: _RANK[finding.severity])
        self._file = 0

    @property
    def blocked(self) -> bool:
        return any(finding.severity is Severity.ERROR for finding in self._findings)

    @property
    def readable(self) -> bool:
        """Whether the draft is a plan at all; only then can it be compared."""
        return not any(finding.code == UNREADABLE for finding in self._findings)

    def body(self) -> Iterable[Widget]:
        yield Words(_summary(self._findings), id="summary")
        yield OptionList(*[self._option(finding) for finding in self._findings], id="said", compact=True)
        yield Working("Comparing with what is on this machine…", id="comparing")
        yield Words(id="files")
        yield DiffView(id="diff")

    def _option(self, finding: Finding) -> Option:
        return Option(finding_text(finding, field_name(self.draft, finding.field)))

    def on_mount(self) -> None:
        self.query_one("#said").display = bool(self._findings)
        if self.blocked:
            self.say("This plan cannot be applied yet: see what is marked ✗.")
        self.query_one("#said" if self.blocked else "#diff").focus()

    def watch_changes(self) -> None:
        self.redraw()

    def watch_trouble(self) -> None:
        self.redraw()

    def draw(self) -> None:
        changed = self._changed()
        comparing = self.readable and self.changes is None and self.trouble is None
        self.query_one("#comparing").display = comparing
        files = self.query_one("#files", Words)
        view = self.query_one("#diff", DiffView)
        files.display = view.display = self.readable and not comparing
        if self.trouble is not None:
            files.update(
                Text.assemble(("✗ ", "bold")).append_text(plain(f"{self.trouble.message} {self.trouble.remedy}"))
            )
            view.show("")
        elif self.changes is not None and not changed:
            files.update(Text("Every file is as the plan wants it."))
            view.show("")
        elif changed:
            self._file %= len(changed)
            files.update(self._tabs(changed))
            view.show(changed[self._file].diff)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "apply" and not self.blocked and self.changes is None:
            return None
        if action == "file" and len(self._changed()) < 2:
            return None
        return super().check_action(action, parameters)

    def action_file(self, step: int) -> None:
        self._file += step
        self.draw()

    def action_apply(self) -> None:
        errors = sum(finding.severity is Severity.ERROR for finding in self._findings)
        if errors:
            # The errors come first in the list.
            said = self.query_one("#said", OptionList)
            said.highlighted = 0
            said.focus()
            self.tell(f"{plural(errors, 'error')} first. Enter leads to the field.", "error")
            return
        self.post_message(self.ApplyAsked())

    def action_save(self) -> None:
        self.app.push_screen(SaveDialog(), self._save_to)

    def _save_to(self, path: str | None) -> None:
        if path:
            self.post_message(self.SaveAsked(path))

    def action_mend(self) -> None:
        self._lead_to(self.query_one("#said", OptionList).highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._lead_to(event.option_index)

    def _lead_to(self, number: int | None) -> None:
        if number is None:
            return
        field = self._findings[number].field
        step = next((step for step in STEPS if field.startswith(step)), None)
        if step is None:
            self.notify("This is for the machine, not for the plan: see what it says.", markup=False)
        else:
            self.post_message(Page.Go(step, field))

    def _changed(self) -> list[Change]:
        return [change for change in self.changes or () if change.diff]

    def _tabs(self, changed: list[Change]) -> Text:
        """The files in a row, the shown one in brackets; those that do not fit are counted."""
        text = Text(f"{self._file + 1}/{len(changed)} ")
        here = changed[self._file]
        what = "new" if here.before is None else "removed" if here.after is None else "changed"
        text.append_text(plain(here.path, "bold", limit=60))
        text.append(f"  ({what})", "dim")
        return text


class SaveDialog(Dialog[str | None]):
    """Asks where to; gives back a path, or None."""

    TITLE: ClassVar[str | None] = "Save the plan"
    HELP = "Enter saves. What the wizard wrote itself in this run it may write again; it overwrites nothing else."
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]
    AUTO_FOCUS: ClassVar[str | None] = "Input"

    def body(self) -> Iterable[Widget]:
        yield Words("The plan as a file, for `ciao-wizard apply -c FILE` on another day.")
        yield Entry("ciao.toml")
        yield Words(plain(f"In the directory {Path.cwd()}, unless you write another.", limit=300))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip() or None)

    def action_cancel(self) -> None:
        self.dismiss(None)


def _summary(findings: list[Finding]) -> Text:
    counts = [(severity, sum(f.severity is severity for f in findings)) for severity in Severity]
    words = [plural(count, severity.value) for severity, count in counts if count]
    return Text(", ".join(words) or "Nothing speaks against this plan.", "bold")
