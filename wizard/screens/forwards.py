"""Which ports of the gateway lead to which node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import DataTable, Input

from wizard.plan.draft import Draft, ForwardText
from wizard.plan.findings import Severity
from wizard.plan.judge import check_forward
from wizard.plan.machine import Facts
from wizard.plan.model import Role
from wizard.widgets.field import Field, field_id
from wizard.widgets.modal import Dialog
from wizard.widgets.page import BACK, LOOK_AGAIN, NEXT, StepPage, finding_text, plain
from wizard.widgets.table import KeyedTable
from wizard.widgets.words import Words

COLUMNS = (("port", 8), ("protocol", 8), ("to", 22), ("its port", 8), ("who may", 22))
# The ports of ciao's guide: its web interface and API, and Keystone's two.
CIAO_PORTS = ("8889", "35357", "5000")
_KEYS = ("port", "to", "to_port", "protocol", "from")
_NAMES = {
    "forward.port": "Port",
    "forward.to": "To",
    "forward.to_port": "Its port",
    "forward.protocol": "Protocol",
    "forward.from": "Who may",
}


class ForwardsPage(StepPage):
    TITLE = "Forwards"
    STEP = "forwards"
    FIELDS = "forwards"
    QUESTION = "Which ports of this machine lead to a node? All others stay closed."
    HELP = (
        "The company network reaches the nodes through these ports alone. A forward leads from a port of this "
        "machine to a node, by name or address.\n\n"
        "f4 puts in ciao's three: 8889 (web interface and API), 35357 and 5000 (Keystone), to the controller. "
        "None at all is right too."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "change", "change"),
        Binding("f2", "add", "add"),
        Binding("delete", "remove", "remove", show=False),
        Binding("f4", "ciao", "ciao's"),
        NEXT,
        BACK,
        LOOK_AGAIN,
        Binding("ctrl+z", "undo", "undo", show=False),
    ]

    def __init__(self, draft: Draft, facts: Facts | None, field: str = "") -> None:
        super().__init__(draft, facts, field)
        self._before: list[tuple[ForwardText, ...]] = []

    def body(self) -> Iterable[Widget]:
        yield KeyedTable(COLUMNS, id="forwards")

    def draw(self) -> None:
        super().draw()
        wrong = {f.field.partition(".")[0] for f in self.findings() if f.severity is Severity.ERROR}
        rows = [
            (str(number), _cells(forward, f"forwards[{number}]" in wrong))
            for number, forward in enumerate(self.draft.forwards)
        ]
        self.query_one("#forwards", KeyedTable).sync(rows)

    def point_at(self, field: str) -> None:
        self.query_one("#forwards", KeyedTable).point_at(field.removeprefix("forwards[").partition("]")[0])

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_change()

    def action_add(self) -> None:
        new = ForwardText(to=self._controller())
        dialog = ForwardDialog("A new forward", self.draft, len(self.draft.forwards), new)
        self.app.push_screen(dialog, self._added)

    def action_change(self) -> None:
        number = self._current()
        if number is None:
            self.action_add()
            return
        dialog = ForwardDialog("This forward", self.draft, number, self.draft.forwards[number])
        self.app.push_screen(dialog, lambda new: self._changed(number, new))

    def action_remove(self) -> None:
        number = self._current()
        if number is not None:
            forwards = list(self.draft.forwards)
            gone = forwards.pop(number)
            self._set(forwards)
            port = plain(gone.port, limit=20).plain
            self.notify(f"Port {port} stays closed now. ctrl+z brings it back.", markup=False)

    def action_undo(self) -> None:
        if self._before:
            self.edit(replace(self.draft, forwards=self._before.pop()))

    def action_ciao(self) -> None:
        """ciao's three ports, those that are not there yet."""
        held = {forward.port.strip() for forward in self.draft.forwards}
        new = [ForwardText(port, self._controller()) for port in CIAO_PORTS if port not in held]
        if new:
            self._set([*self.draft.forwards, *new])
        else:
            self.notify("ciao's three ports are all there.", markup=False)

    def _added(self, forward: ForwardText | None) -> None:
        if forward is not None:
            self._set([*self.draft.forwards, forward])
            self.query_one("#forwards", KeyedTable).point_at(str(len(self.draft.forwards) - 1))

    def _changed(self, number: int, forward: ForwardText | None) -> None:
        if forward is not None:
            forwards = list(self.draft.forwards)
            forwards[number] = forward
            self._set(forwards)

    def _set(self, forwards: Sequence[ForwardText]) -> None:
        if tuple(forwards) != self.draft.forwards:
            self._before.append(self.draft.forwards)
            self.edit(replace(self.draft, forwards=tuple(forwards)))

    def _current(self) -> int | None:
        key = self.query_one("#forwards", KeyedTable).current
        return int(key) if key is not None else None

    def _controller(self) -> str:
        nodes = self.draft.nodes
        return next((node.name for node in nodes if Role.CONTROLLER.value in node.role), "controller")


class ForwardDialog(Dialog[ForwardText | None]):
    """Gives back the forward as typed, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "take"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "Port: of this machine, as the company network sees it. To: a node by name, or an address in the cluster's "
        "subnet. Its port: where it leads there.\n\n"
        "Who may: networks with commas between, such as 10.0.0.0/8; blank lets the whole company network in."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#field-forward-port Input"

    def __init__(self, title: str, draft: Draft, number: int, forward: ForwardText) -> None:
        """`number` is the place in `draft` that the forward has or will have."""
        super().__init__()
        self._draft = draft
        self._number = number
        self.title = title
        self._forward = forward

    def body(self) -> Iterable[Widget]:
        forward = self._forward
        yield Field("forward.port", "Port", forward.port, "8889", "of this machine")
        yield Field("forward.to", "To", forward.to, "controller", "a node's name, or an address")
        yield Field("forward.to_port", "Its port", forward.to_port, "", "blank: the same")
        yield Field("forward.protocol", "Protocol", forward.protocol, "tcp", "tcp or udp")
        yield Field("forward.from", "Who may", forward.sources, "corporate", "blank: the company network")
        yield Words(id="dialog-findings")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_accept()

    def action_accept(self) -> None:
        """Refused while a text is no value of its field."""
        value = [self.query_one("#" + field_id(f"forward.{key}"), Field).value.strip() for key in _KEYS]
        forward = ForwardText(value[0], value[1], value[2], value[3] or "tcp", value[4])
        problems = check_forward(forward, "forward", self._draft, self._number)
        wrong = {problem.field for problem in problems}
        for field in self.query(Field):
            field.mark(field.key in wrong)
        lines = [finding_text(problem, _NAMES.get(problem.field, "")) for problem in problems]
        self.query_one("#dialog-findings", Words).update(Text("\n").join(lines))
        if problems:
            self.query_one("#" + field_id(problems[0].field), Field).point()
        else:
            self.dismiss(forward)

    def action_cancel(self) -> None:
        self.dismiss(None)


def _cells(forward: ForwardText, wrong: bool) -> tuple[Text, ...]:
    return (
        Text.assemble(("✗ " if wrong else "", "bold")).append_text(plain(forward.port, limit=20)),
        plain(forward.protocol, limit=20),
        plain(forward.to, limit=63),
        plain(forward.to_port or "the same", limit=20),
        plain(forward.sources or "company network", limit=80),
    )
