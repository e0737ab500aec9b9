"""The first page: the system, missing programs, conflicts, and what an earlier run left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.reactive import reactive
from textual.widget import Widget

from wizard.plan.findings import WizardError
from wizard.screens.welcome import messages
from wizard.widgets.page import LEAVE, ROOMY, Page, plain
from wizard.widgets.plain_text import PlainText
from wizard.widgets.spinner import Spinner

if TYPE_CHECKING:
    from wizard.plan.machine import Nic
    from wizard.plan.welcome import WelcomeLine, WelcomeReport

_QUESTION = "This machine becomes the gateway of your cluster. Nothing changes yet."
_SAYS = {
    "applied": "Gateway is running on this machine.",
    "tripped": "The guard stopped the gateway, so that it does not answer the wrong network.",
    "interrupted": "A change was interrupted. Undo it first: nothing of it will be left.",
}
_LABEL = 13
WIDE = 110
MOST_NICS = 10
_PICTURE = """\
  company network            this machine                your cluster
 ┌────────────────┐     ┌───────────────────────┐     ┌──────────────────┐
 │ stays as it is ├─NIC─┤ NAT · forwards · DHCP ├─NIC─┤ switch, nodes,   │
 │ its own DHCP   │     │ DNS · guard           │     │ virtual machines │
 └────────────────┘     └───────────────────────┘     └──────────────────┘"""
# The ways on from each state; what is to be done first has enter.
_WAYS = {
    "absent": ("begin",),
    "interrupted": ("recover", "anyway", "reset"),
    "applied": ("dashboard", "edit", "reset"),
    "tripped": ("dashboard", "edit", "reset"),
}


class WelcomePage(Page):
    TITLE = "Welcome"
    QUESTION = _QUESTION
    HELP = (
        "What the wizard found on this machine, without changing anything: the system, missing programs (with the "
        "command that installs them), other DNS or DHCP servers here, and what an earlier run has left.\n\n"
        "✓ is fine, ✗ must be fixed before an apply, ! is worth a look, · is good to know. You can plan in any case: "
        "enter continues."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#found"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+n", "way('begin')", "begin"),
        Binding("enter,ctrl+n", "way('resume')", "resume"),
        Binding("n", "way('afresh')", "start over"),
        Binding("enter,ctrl+n", "way('recover')", "undo it"),
        Binding("s", "way('anyway')", "set up again"),
        Binding("enter,ctrl+n", "way('dashboard')", "dashboard"),
        Binding("e", "way('edit')", "edit plan"),
        Binding("r", "way('reset')", "reset"),
        Binding("ctrl+r", "look_again", "look again"),
        LEAVE,
    ]

    report: reactive[WelcomeReport | None] = reactive(None)
    busy: reactive[str] = reactive("")
    """What the wizard is doing, "" for nothing."""
    trouble: reactive[WizardError | None] = reactive(None)

    def body(self) -> Iterable[Widget]:
        yield Spinner("Looking at this machine…", id="working")
        yield PlainText(id="trouble")
        with VerticalScroll(id="found"):
            yield PlainText(id="machine")
            yield PlainText(id="needs")
            yield PlainText(id="earlier")
            yield PlainText(_PICTURE, id="picture")

    def cannot_look(self, error: WizardError) -> None:
        self.trouble = error

    def watch_trouble(self) -> None:
        self.redraw()

    def watch_busy(self) -> None:
        self.redraw()

    def watch_report(self) -> None:
        self.redraw()

    def draw(self) -> None:
        report, working = self.report, self.query_one("#working", Spinner)
        nics = self._nics()
        working.display = bool(self.busy) or (self.trouble is None and report is None)
        working.set_text(self.busy or "Looking at this machine…")
        said = self.query_one("#trouble", PlainText)
        said.display = self.trouble is not None
        if self.trouble is not None:
            text = f"{self.trouble.message} {self.trouble.remedy}"
            said.update(Text.assemble(("✗ ", "bold")).append_text(plain(text, limit=900)))
        if report is not None:
            question = _SAYS.get(report.state, _QUESTION)
            self.set_prompt("Resume where you left off?" if report.draft and report.state == "absent" else question)
            for name, lines in (("machine", report.machine), ("needs", report.needs), ("earlier", report.found)):
                listed = nics if name == "machine" else ()
                self.query_one(f"#{name}", PlainText).update(_table(lines, listed, len(report.nics) - len(nics)))
        # The last row is for how many more there are.
        self.query_one("#picture").display = self._room() - len(nics) - 1 > _PICTURE.count("\n")
        self.refresh_bindings()

    def _nics(self) -> Sequence[Nic]:
        """The NICs that there is room for, one by one."""
        if self.report is None or self.size.width < WIDE or self.size.height < ROOMY:
            return ()
        from wizard.screens.nic_words import table_order

        return sorted(self.report.nics, key=table_order)[: min(MOST_NICS, max(self._room(), 0))]

    def _room(self) -> int:
        """Rows that what was found leaves, above the keys and under the head and the question."""
        report = self.report
        if report is None:
            return 0
        lines = (*report.machine, *report.needs, *report.found)
        return self.size.height - 4 - 3 - sum(2 if line.remedy else 1 for line in lines)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action != "way":
            return super().check_action(action, parameters)
        report = self.report
        if report is None or self.busy:
            return False
        if report.state == "absent" and report.draft:
            return parameters[0] in ("resume", "afresh")
        return parameters[0] in _WAYS.get(report.state, ("begin",))

    def action_way(self, way: str) -> None:
        if way in ("dashboard", "edit", "reset"):
            self.post_message(Page.PageRequested(way))
        else:
            self.post_message(messages.WayChosen("begin" if way == "anyway" else way))


def _table(lines: Sequence[WelcomeLine], nics: Sequence[Nic] = (), more: int = 0) -> Table:
    """`nics` stand below the line that counts them; there are so many `more`."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(width=_LABEL)
    table.add_column(ratio=1)
    for line in lines:
        text = plain(line.text, limit=300)
        if line.remedy:
            # A command stands alone on its line, to be copied.
            text.append("\n").append_text(plain(line.remedy, "bold", limit=300))
        table.add_row(Text(line.sign, "bold"), plain(line.label, limit=_LABEL), text)
        if nics and line.label == "NICs":
            table.add_row("", "", _one_by_one(nics))
            if more:
                table.add_row("", "", f"… and {more} more")
    return table


def _one_by_one(nics: Sequence[Nic]) -> Table:
    from wizard.screens.nic_words import all_telling, link

    table = Table.grid(padding=(0, 2), expand=True)
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1, no_wrap=True)
    for nic in nics:
        addresses = [str(address.network) for address in nic.addresses if address.network.version == 4]
        what = " · ".join(dict.fromkeys(plain(part, limit=24).plain for part in (nic.vendor, nic.driver) if part))
        telling = ", ".join(all_telling(nic))
        table.add_row(plain(nic.name, limit=15), link(nic), addresses[0] if addresses else "–", what, telling)
    return table
