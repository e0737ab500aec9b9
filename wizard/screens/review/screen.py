"""The review page: findings, file diffs and commands, before anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, OptionList

from wizard.plan.boot_outline import NodeBoot, boots, outline
from wizard.plan.draft.check import DANGEROUS, DraftCheck, draft_findings
from wizard.plan.draft.model import SECTION_FIELDS, UNREADABLE, Draft, field_label
from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.images import ImageKind
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.text import clean
from wizard.screens.review import messages
from wizard.screens.review.diff import DiffView, LinesView
from wizard.screens.review.finding_list import FindingList
from wizard.screens.stop_question import stop_question
from wizard.services.progress import step_words
from wizard.widgets.inputs import SafeInput
from wizard.widgets.modal import Dialog
from wizard.widgets.page import BACK, LOOK_AGAIN, ROOMY, STEPS, Page, finding_text, plain, plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.save_dialog import SaveDialog
from wizard.widgets.spinner import Spinner

if TYPE_CHECKING:
    from wizard.deploy.apply.preview import StepPreview
    from wizard.deploy.file_changes import FileChange

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
MOST_ROWS = 8
_WITH_BOOTS = "Nothing has been changed yet. f8 shows what nodes can boot. What will change:"
_NOTHING = "Nothing has been changed yet. Everything that will change:"


class ReviewPage(Page):
    TITLE = "Review"
    STEP = "review"
    QUESTION = _NOTHING
    HELP = (
        "Above: findings on the plan. ✗ error: fix it before an apply; ! warning: worth a look; · note: good to know. "
        "Enter goes to the field, or asks whether the apply may stop a server that is in the way.\n"
        "Below: each file as a diff against this machine; + is added, - is removed. f7 shows the commands that will "
        "run, step by step; f7 again shows the files. f8 shows what nodes can boot over the network, if the plan has "
        "images.\n\n"
        "ctrl+a starts a trial: the changes are made and tested, and you are asked whether to keep them. Without "
        "an answer within two minutes every change is undone. If a warning may mean the wrong NIC, you type its name "
        "first."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "file(-1)", "file", key_display="◂ ▸"),
        Binding("right", "file(1)", "next file", show=False),
        Binding("f6", "save", "save plan"),
        Binding("f7", "commands", "commands"),
        Binding("f8", "boots", "network boot", show=False),
        Binding("ctrl+a", "apply", "apply"),
        Binding("enter", "mend", "go to the field", show=False),
        BACK,
        LOOK_AGAIN,
    ]

    changes: reactive[tuple[FileChange, ...] | None] = reactive(None)
    coming: reactive[tuple[StepPreview, ...] | None] = reactive(None)
    no_commands: reactive[str] = reactive("")
    commands_shown: reactive[bool] = reactive(False)
    boots_shown: reactive[bool] = reactive(False)
    trouble: reactive[WizardError | None] = reactive(None)

    def __init__(self, draft: Draft, facts: Facts | None, known: DraftCheck | None = None) -> None:
        super().__init__()
        self.draft = draft
        findings = known.findings if known and known.is_of(draft, facts) else draft_findings(draft, facts)
        self._findings = sorted(findings, key=lambda finding: _RANK[finding.severity])
        self._file = 0
        self._diff: str | None = None
        self._has_boots = False

    @property
    def blocked(self) -> bool:
        return any(finding.severity is Severity.ERROR for finding in self._findings)

    @property
    def stop(self) -> tuple[str, ...]:
        """The services that the apply stops, as agreed."""
        agreed = [each.stops[0] for each in self._findings if each.stops and each.severity is not Severity.ERROR]
        return tuple(dict.fromkeys(agreed))

    @property
    def readable(self) -> bool:
        """Whether the draft is a plan at all; only then can it be compared."""
        return not any(finding.code == UNREADABLE for finding in self._findings)

    def body(self) -> Iterable[Widget]:
        yield PlainText(_summary(self._findings), id="summary")
        yield FindingList(
            [finding_text(each, field_label(self.draft, each.field)) for each in self._findings], id="said"
        )
        yield Spinner("Comparing with this machine…", id="comparing")
        yield PlainText(id="files")
        yield DiffView(id="diff")
        yield LinesView(id="commands")
        yield LinesView(id="boots")

    def on_mount(self) -> None:
        self.query_one("#said").display = bool(self._findings)
        if isinstance(plan := self.draft.to_plan(), Plan) and plan.images:
            self._has_boots = True
            self.set_prompt(_WITH_BOOTS)
            self.query_one("#boots", LinesView).show_lines(boot_lines(plan))
        if self.blocked:
            errors = [finding for finding in self._findings if finding.severity is Severity.ERROR]
            if all(finding.stops for finding in errors):
                self.set_prompt("A server is in the way. Enter on its ✗ finding to have the apply stop it.")
            else:
                self.set_prompt("This plan cannot be applied yet: fix the ✗ findings first.")
        self.query_one("#said" if self.blocked else "#diff").focus()

    def watch_changes(self) -> None:
        self.redraw()
        if self.changes is not None:
            self.post_message(messages.StepsRequested(self))

    def watch_coming(self) -> None:
        if self.drawable:
            self.query_one("#commands", LinesView).show_lines(coming_lines(self.coming or ()))
        self.redraw()

    def watch_no_commands(self) -> None:
        self.redraw()

    def watch_commands_shown(self) -> None:
        self.redraw()

    def watch_boots_shown(self) -> None:
        self.redraw()

    def watch_trouble(self) -> None:
        self.redraw()

    def draw(self) -> None:
        changed = self._changed()
        comparing = self.readable and self.changes is None and self.trouble is None
        self.query_one("#comparing").display = comparing
        files = self.query_one("#files", PlainText)
        view, commands = self.query_one("#diff", DiffView), self.query_one("#commands", LinesView)
        files.display = self.readable and not comparing
        view.display = files.display and not self.commands_shown and not self.boots_shown
        commands.display = files.display and self.commands_shown and not self.boots_shown
        # In a small window the findings can be read before and after.
        crowded = self.boots_shown and self.size.height < ROOMY
        self.query_one("#said").display = bool(self._findings) and not crowded
        self.query_one("#boots").display = files.display and self.boots_shown
        if self.boots_shown:
            files.update(Text("Network boot: what nodes can boot once they are armed", "bold"))
        elif self.trouble is not None:
            files.update(
                Text.assemble(("✗ ", "bold")).append_text(plain(f"{self.trouble.message} {self.trouble.remedy}"))
            )
            self._show_diff("")
        elif self.commands_shown:
            files.update(self._commands_head())
        elif self.changes is not None and not changed:
            files.update(Text("No file changes."))
            self._show_diff("")
        elif changed:
            self._file %= len(changed)
            files.update(self._tabs(changed))
            self._show_diff(changed[self._file].diff)
        self.query_one("#said", FindingList).fit(MOST_ROWS if self.size.height < ROOMY else 2 * MOST_ROWS)
        self.refresh_bindings()

    def _show_diff(self, diff: str) -> None:
        # Its place in it is kept while it stays the same.
        if diff != self._diff:
            self._diff = diff
            self.query_one("#diff", DiffView).show(diff)

    def _commands_head(self) -> Text:
        if self.no_commands:
            return Text.assemble(("✗ ", "bold")).append_text(plain(self.no_commands))
        if self.coming is None:
            return Text("Listing the commands…")
        return Text.assemble((f"{len(self.coming)} steps, in this order", "bold"), "  ($ marks a command, run as root)")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "apply" and not self.blocked and self.changes is None:
            return None
        if action == "file" and (self.commands_shown or self.boots_shown or len(self._changed()) < 2):
            return None
        if action == "commands" and not self.readable:
            return None
        if action == "boots" and not self._has_boots:
            return False
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
            self.set_status(f"{plural(errors, 'error')} to fix first. Enter goes to the field.", "error")
            return
        dangers = [finding for finding in self._findings if finding.code in DANGEROUS]
        if dangers:
            self.app.push_screen(WordDialog(dangers, self.draft), self._worded)
        else:
            self.post_message(messages.ApplyRequested())

    def _worded(self, sure: bool | None) -> None:
        if sure:
            self.post_message(messages.ApplyRequested())

    def action_boots(self) -> None:
        self.boots_shown = not self.boots_shown
        self.query_one("#boots" if self.boots_shown else "#commands" if self.commands_shown else "#diff").focus()

    def action_commands(self) -> None:
        self.boots_shown = False
        self.commands_shown = not self.commands_shown
        self.query_one("#commands" if self.commands_shown else "#diff").focus()

    def action_back(self) -> None:
        if self.boots_shown:
            self.action_boots()
        elif self.commands_shown:
            self.action_commands()
        else:
            super().action_back()

    def action_save(self) -> None:
        about = "The plan as a file, for `ciao-wizard apply -c FILE`."
        self.app.push_screen(SaveDialog("Save the plan", "ciao.toml", about), self._save_to)

    def _save_to(self, path: str | None) -> None:
        if path:
            self.post_message(messages.PlanSaveRequested(path))

    def action_mend(self) -> None:
        self._lead_to(self.query_one("#said", OptionList).highlighted)

    @on(OptionList.OptionSelected)
    def _lead_to_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._lead_to(event.option_index)

    def _lead_to(self, number: int | None) -> None:
        if number is None:
            return
        finding = self._findings[number]
        if finding.stops and finding.severity is Severity.ERROR:
            self.app.push_screen(stop_question(finding.stops), partial(self._agree, finding.stops[0]))
            return
        field = finding.field
        step = next((step for step in STEPS if field.startswith(step)), None)
        if step is None and field.startswith(("seeds", "images")):
            step = "nodes"
        if step is None and field.startswith(("cluster", *SECTION_FIELDS)):
            step = "network"
        if step is None:
            self.notify("This is about the machine, not the plan: read the finding.", markup=False)
        else:
            self.post_message(Page.PageRequested(step, field))

    def _agree(self, unit: str, agreed: bool | None) -> None:
        if agreed:
            self.post_message(messages.StopAgreed(unit))

    def _changed(self) -> list[FileChange]:
        return [change for change in self.changes or () if change.diff]

    def _tabs(self, changed: list[FileChange]) -> Text:
        """The files in a row, the shown one in brackets; those that do not fit are counted."""
        text = Text(f"{self._file + 1}/{len(changed)} ")
        here = changed[self._file]
        what = "new" if here.before is None else "removed" if here.after is None else "changed"
        text.append_text(plain(here.path, "bold", limit=60))
        text.append(f"  ({what})", "dim")
        return text


class WordDialog(Dialog[bool]):
    """Has the name of the cluster NIC typed where a warning may mean that it is the wrong one; whether it was."""

    TITLE: ClassVar[str | None] = "Confirm the cluster NIC"
    HELP = (
        "This warning may mean that the NIC is the wrong one, or that DHCP would answer other people's machines. If "
        "you have read it and want to continue, type the name of the NIC that will serve DHCP."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel"),
        Binding("up", "scroll(-1)", "scroll", show=False),
        Binding("down", "scroll(1)", "scroll", show=False),
    ]
    AUTO_FOCUS: ClassVar[str | None] = "Input"

    def __init__(self, dangers: Sequence[Finding], draft: Draft) -> None:
        super().__init__()
        self._dangers = dangers
        self._draft = draft

    def body(self) -> Iterable[Widget]:
        lines = [finding_text(danger, field_label(self._draft, danger.field)) for danger in self._dangers]
        with VerticalScroll(id="dangers", can_focus=False):
            yield PlainText(Text("\n").join(lines))
        asked = f"{clean(self._draft.cluster, 20)} will serve DHCP. Type its name to continue:"
        yield PlainText(Text(f"\n{asked}", "bold"))
        yield SafeInput()
        yield PlainText(id="dialog-findings")

    @on(Input.Submitted)
    def _check_word(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() == self._draft.cluster.strip():
            self.dismiss(True)
        elif event.value.strip():
            said = f"That is not {self._draft.cluster}. esc goes back and changes nothing."
            self.query_one("#dialog-findings", PlainText).update(Text.assemble(("✗ ", "bold")).append_text(plain(said)))

    def action_scroll(self, lines: int) -> None:
        self.query_one("#dangers", VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_cancel(self) -> None:
        self.dismiss(False)


def _summary(findings: list[Finding]) -> Text:
    counts = [(severity, sum(f.severity is severity for f in findings)) for severity in Severity]
    words = [plural(count, severity.value) for severity, count in counts if count]
    return Text(", ".join(words) or "No problems found.", "bold")


def boot_lines(plan: Plan) -> list[Text]:
    """What each node can boot, and below it to whom what is open."""
    head = NodeBoot("node", "image", "kind", "seed", "overwritten as it boots")
    booting = [row for row in boots(plan) if row.kind != ImageKind.DISK]
    rows = [head, *booting]
    wide = [max(len(str(getattr(row, name))) for row in rows) + 2 for name in ("node", "image", "kind", "seed")]
    lines = []
    for number, row in enumerate(rows):
        cells = (row.node, row.image, row.kind, row.seed or "–")
        words = "".join(f"{cell:{width}}" for cell, width in zip(cells, wide, strict=True)) + row.loses
        lines.append(plain(words, "bold" if number == 0 else "", limit=300))
    others = len(plan.nodes) - len(booting)
    if others:
        lines.append(Text(f"{plural(others, 'other node')}: from the disk" if booting else "every node: from its disk"))
    return [*lines, Text(), *(plain(line, limit=2000) for line in outline(plan))]


def coming_lines(coming: Sequence[StepPreview]) -> list[Text]:
    """The steps in words, and under each what it does; the trial first."""
    lines: list[Text] = []
    for trial, head in ((True, "Trial: undone by a reboot, or if you do not keep it"), (False, "Once you keep it")):
        steps = [step for step in coming if step.trial is trial]
        if not steps:
            continue
        lines += [*([Text()] if lines else []), Text(head, "bold underline")]
        for step in steps:
            lines.append(plain(step_words(step.name), "bold", limit=200))
            if step.needed is False:
                lines.append(Text("    nothing to do", "dim"))
            else:
                lines += [plain(f"    {line}", limit=1000) for line in step.lines]
    return lines
