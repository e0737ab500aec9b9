"""One node in a form; many nodes from pasted lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from wizard.plan.draft import Draft, NodeText
from wizard.plan.judge import check_node
from wizard.plan.model import Role
from wizard.plan.nodelines import Reading, free_name, read_lines
from wizard.widgets.entry import Lines
from wizard.widgets.field import Field, field_id
from wizard.widgets.modal import Dialog
from wizard.widgets.page import finding_text, plain
from wizard.widgets.tick import Tick
from wizard.widgets.words import Words

MOST_SHOWN = 4
# One row of the dialog.
LONGEST_REASON = 68
_NAMES = {"node.name": "Name", "node.mac": "MAC", "node.ip": "Address", "node.role": "Roles"}


class NodeDialog(Dialog[NodeText | None]):
    """Gives back the node as typed, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "take"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "A node is known by the MAC of its NIC on the cluster's switch: it is on the machine's label, or in its "
        "boot menu. Space ticks a role; a node may have several.\n\n"
        "A name or an address left blank is chosen by the wizard."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#field-node-mac Input"

    def __init__(self, title: str, draft: Draft, number: int, node: NodeText) -> None:
        """`number` is the place in `draft` that the node has or will have."""
        super().__init__()
        self.title = title
        self._draft = draft
        self._number = number
        self._node = node
        self._taken = frozenset(other.name for i, other in enumerate(draft.nodes) if i != number)

    def body(self) -> Iterable[Widget]:
        held = {role.strip() for role in self._node.role.split(",")}
        with Horizontal(classes="field"):
            yield Words("Roles", classes="label")
            yield Words(" ", classes="sign")
            for role in Role:
                yield Tick(role.value, role.value in held, id=f"role-{role.value}")
        yield Field("node.mac", "MAC", self._node.mac, "aa:bb:cc:dd:ee:ff", "any notation")
        yield Field("node.name", "Name", self._node.name, self._free_name(), "blank: as shown")
        yield Field("node.ip", "Address", self._node.ip, "", "blank: the next free one")
        yield Words(id="dialog-findings")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_accept()

    def on_checkbox_changed(self) -> None:
        self.query_one("#field-node-name Input", Input).placeholder = self._free_name(self._roles())

    def action_accept(self) -> None:
        """Refused while a text is no value of its field."""
        name = self._typed("name") or self._free_name(self._roles())
        node = NodeText(self._roles(), name, self._typed("mac"), self._typed("ip"))
        problems = check_node(node, "node", self._draft, self._number)
        wrong = {problem.field for problem in problems}
        for field in self.query(Field):
            field.mark(field.key in wrong)
        lines = [finding_text(problem, _NAMES.get(problem.field, "")) for problem in problems]
        self.query_one("#dialog-findings", Words).update(Text("\n").join(lines))
        if not problems:
            self.dismiss(node)
        elif problems[0].field in _NAMES and problems[0].field != "node.role":
            self.query_one("#" + field_id(problems[0].field), Field).point()

    def action_cancel(self) -> None:
        self.dismiss(None)

    def _typed(self, key: str) -> str:
        return self.query_one("#" + field_id(f"node.{key}"), Field).value.strip()

    def _roles(self) -> str:
        ticked = [role.value for role in Role if self.query_one(f"#role-{role.value}", Tick).value]
        return ", ".join(ticked)

    def _free_name(self, roles: str | None = None) -> str:
        role = (self._node.role if roles is None else roles).split(",")[0]
        return free_name(role or Role.COMPUTE.value, self._taken)


class PasteDialog(Dialog[Reading | None]):
    """Gives back what the pasted lines say, or None. Lines that say nothing go back in by `lines`."""

    TITLE: ClassVar[str | None] = "Many nodes at once"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "take"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "One node a line: its MAC, and as you have them its name, its role and its address, in any order, with "
        "blanks, commas, semicolons or tabs between. Lines of a spreadsheet, an inventory or a dnsmasq "
        "configuration will do.\n\n"
        "ctrl+n takes what was understood. The other lines stay here, each with the reason."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#lines"

    def __init__(self, taken: frozenset[str], lines: str = "", reasons: str = "") -> None:
        super().__init__()
        self._taken = taken
        self._lines = lines
        self._reasons = reasons

    def body(self) -> Iterable[Widget]:
        yield Words(
            self._reasons or "One node a line: its MAC, and as you have them its name, role and address, in any order.",
        )
        yield Lines(self._lines, id="lines")
        yield Words(id="reading")

    def on_mount(self) -> None:
        self._read()

    def on_text_area_changed(self) -> None:
        self._read()

    def _read(self) -> Reading:
        reading = read_lines(self.query_one("#lines", Lines).text, self._taken)
        text = Text.assemble((f"{len(reading.nodes)} understood", "bold"))
        if reading.nodes:
            last = reading.nodes[-1]
            text.append_text(plain(f"; the last as {last.role} {last.name} {last.mac} {last.ip}", limit=120))
        for line in reading.not_understood[:MOST_SHOWN]:
            text.append("\n✗ ", "bold")
            text.append_text(plain(f"line {line.number}: {line.why}", limit=LONGEST_REASON))
        if len(reading.not_understood) > MOST_SHOWN:
            text.append(f"\n  … and {len(reading.not_understood) - MOST_SHOWN} lines more not understood")
        self.query_one("#reading", Words).update(text)
        return reading

    def action_accept(self) -> None:
        reading = self._read()
        if reading.nodes or not reading.not_understood:
            self.dismiss(reading)

    def action_cancel(self) -> None:
        self.dismiss(None)
