"""The dialog for what few clusters need: another kind of cluster, and the sections that no page has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from wizard.plan.draft.check import draft_findings
from wizard.plan.draft.model import SECTION_FIELDS, Draft, field_label
from wizard.plan.file.read import load_sections
from wizard.plan.findings import Severity
from wizard.plan.machine import Facts
from wizard.plan.model import ClusterKind, RecordKind
from wizard.widgets.field import Field
from wizard.widgets.form_dialog import FormDialog
from wizard.widgets.inputs import SafeTextArea
from wizard.widgets.modal import Question
from wizard.widgets.plain_text import PlainText

_KINDS = ", ".join(ClusterKind)
_FIELDS = ("cluster.kind", "network.search", "network.mtu", "network.ntp")


class MoreDialog(FormDialog[Draft]):
    """Returns the draft with what was typed, or None."""

    TITLE: ClassVar[str | None] = "More settings"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "ok"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        f"Kind: {_KINDS}. ciao has its three roles; elsewhere a role is any word.\n"
        "Search: domains that nodes complete short names with; empty for the cluster's own.\n"
        "MTU: what nodes are told (DHCP option 26), where the way out is narrower than 1500.\n"
        "Time: auto (this laptop's chrony or ntpsec, else the company's servers), off, or addresses.\n\n"
        "Below, reached by Tab: sections of the plan file, as text. [bmc] and [metrics] belong in the file itself.\n"
        "[[devices]] name, mac, ip: a switch, a BMC or a printer gets its address and its name, and is watched.\n"
        f"[[records]] name and one of {', '.join(RecordKind)}: more names.\n"
        "[[dns]] domain, servers: who is asked for the names of another domain.\n"
        "[[options]] option (a name or a number), value, to (nodes or roles; all without it): DHCP options.\n\n"
        "    [[devices]]\n"
        '    name = "switch"\n'
        '    mac = "00:0c:42:00:00:01"'
    )
    AUTO_FOCUS: ClassVar[str | None] = "Input"

    def __init__(self, draft: Draft, facts: Facts | None) -> None:
        super().__init__()
        self._draft = draft
        self._facts = facts

    def body(self) -> Iterable[Widget]:
        yield Field("cluster.kind", "Kind", self._draft.kind, "ciao", "f1 lists them")
        yield Field("network.search", "Search", self._draft.search, self._draft.domain, "domains, with commas")
        yield Field("network.mtu", "MTU", self._draft.mtu, "", "empty = clients' own")
        yield Field("network.ntp", "Time", self._draft.ntp, "auto", "auto, off, or addresses")
        yield PlainText("Sections of the plan, such as [[devices]] (tab; f1 has an example):")
        sections = SafeTextArea(self._draft.sections, id="sections")
        sections.show_line_numbers = True
        yield sections
        yield self.findings_panel()

    def _typed(self, key: str) -> str:
        return self._field(key).value.strip()

    def _changed(self) -> Draft:
        return replace(
            self._draft,
            kind=self._typed("cluster.kind"),
            search=self._typed("network.search"),
            mtu=self._typed("network.mtu"),
            ntp=self._typed("network.ntp"),
            sections=self.query_one("#sections", SafeTextArea).text,
        )

    def action_cancel(self) -> None:
        if self._changed() == self._draft:
            self.dismiss(None)
            return
        text = "What you typed here would be lost.\n\ny discards it. Enter, n and esc go back to it."
        question = Question("Discard these changes?", text, "[ y  Discard ]", "[ n  Go back ]")

        def answered(sure: bool | None) -> None:
            if sure:
                self.dismiss(None)

        self.app.push_screen(question, answered)

    def action_accept(self) -> None:
        """Refused while a text is no value of its field, or the rules refuse it."""
        draft = self._changed()
        _, unread = load_sections(draft.sections)
        here = tuple(problem.key for problem in unread)
        problems = [
            finding
            for finding in draft_findings(draft, self._facts)
            if finding.severity is Severity.ERROR
            and (finding.field in here or finding.field.startswith((*SECTION_FIELDS, *_FIELDS)))
        ]
        self.show_problems(problems, {each.field: field_label(draft, each.field) for each in problems})
        if not problems:
            self.dismiss(draft)
        elif problems[0].field in _FIELDS:
            self.point_at(problems[0].field)
