"""Dialogs: edit one node; import many from pasted lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Checkbox, Input, TextArea

from wizard.plan.draft.check import check_node, macs_of
from wizard.plan.draft.model import Draft, NodeText, kind_of
from wizard.plan.draft.node_list import ImportedNodes, free_node_name, read_nodes
from wizard.plan.findings import WizardError
from wizard.plan.images import FROM_DISK
from wizard.plan.model import USUAL_ROLES, ClusterKind
from wizard.screens.nodes import messages
from wizard.widgets.field import Field
from wizard.widgets.form_dialog import FormDialog
from wizard.widgets.inputs import SafeTextArea
from wizard.widgets.modal import Dialog
from wizard.widgets.page import plain
from wizard.widgets.plain_text import PlainText
from wizard.widgets.virtual_table import Column, VirtualKeyedTable

QUICK_LINES = 200
READ_AFTER_S = 0.15
_REASONS = (Column("line", 7), Column("why it was skipped (Enter goes there)", 44, 1))
_NAMES = {"node.name": "Name", "node.mac": "MAC", "node.ip": "Address", "node.role": "Roles", "node.image": "Image"}


class NodeDialog(FormDialog[NodeText]):
    """Returns the node as typed, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "ok"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "A node is identified by the MAC of its NIC on the cluster's switch: see the machine's label, or its boot "
        "menu. Several MACs, with commas between, are NICs of one machine, which share its address.\n\n"
        "Space ticks a role; a node may have several.\n\n"
        "If the name or the address is empty, the wizard chooses one.\n\n"
        "Image: what it boots over the network while it is armed (→ completes the name); empty for its disk."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#field-node-mac Input"
    PREFIX = "node"

    def __init__(
        self, title: str, draft: Draft, number: int, node: NodeText, given: str = "", images: Sequence[str] = ()
    ) -> None:
        """`number` is the place in `draft` that the node has or will have; `given` its address while it names none.

        `images`: the names that it may boot; () where it is not asked, as there is nothing but its disk.
        """
        super().__init__()
        self._given = given
        self._images = tuple(images)
        self.title = title
        self._draft = draft
        self._number = number
        self._node = node
        self._taken = frozenset(other.name for i, other in enumerate(draft.nodes) if i != number)

    def body(self) -> Iterable[Widget]:
        yield from self.role_boxes([role.strip() for role in self._node.role.split(",")], kind_of(self._draft))
        yield Field("node.mac", "MAC", self._node.mac, "aa:bb:cc:dd:ee:ff", "any notation")
        yield Field("node.name", "Name", self._node.name, self._free_name(), "empty = as shown")
        yield Field("node.ip", "Address", self._node.ip, self._given, "empty = automatic")
        if self._images:
            # What is wrong with one that was typed must be seen.
            image = Field(
                "node.image", "Image", self._node.image, FROM_DISK, plain(", ".join(self._images), limit=30).plain
            )
            image.suggest(self._images)
            yield image
        yield self.findings_panel()

    @on(Checkbox.Changed)
    def _suggest_name(self) -> None:
        self.query_one("#field-node-name Input", Input).placeholder = self._free_name(self.ticked_roles())

    def action_accept(self) -> None:
        """Refused while a text is no value of its field."""
        roles = self.ticked_roles()
        name = self.typed("name") or self._free_name(roles)
        node = replace(self._node, role=roles, name=name, mac=self.typed("mac"), ip=self.typed("ip"))
        if self._images:
            node = replace(node, image=self.typed("image"))
        problems = check_node(node, "node", self._draft, self._number)
        self.show_problems(problems, _NAMES)
        if not problems:
            self.dismiss(node)
        elif problems[0].field in _NAMES and problems[0].field != "node.role":
            self.point_at(problems[0].field)

    def _free_name(self, roles: str | None = None) -> str:
        role = (self._node.role if roles is None else roles).split(",")[0]
        most = USUAL_ROLES[kind_of(self._draft)][-1:]
        return free_node_name(role or "".join(most), self._taken)


class PasteDialog(Dialog[ImportedNodes | None]):
    """Returns the nodes of the pasted lines, or None. `lines` puts skipped lines back in."""

    TITLE: ClassVar[str | None] = "Many nodes at once"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "add these"),
        Binding("f3", "file", "open a file"),
        Binding("enter", "mend", "go to that line", show=False),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "One node per line: its MAC, and optionally its name, role and address, in any order, separated by spaces, "
        "commas, semicolons or tabs. Many lists work as they are: a spreadsheet, reservations or leases of dnsmasq, "
        "ISC dhcpd, Kea or OpenWrt, an Ansible inventory, the output of arp, ip neigh or nmap. Below a line of "
        "headings, the headings name the columns.\n\n"
        "f3 goes to the file field; Enter there appends the lines of that file.\n\n"
        "A line whose MAC is already in the plan changes that node. ctrl+n adds the lines that were understood. The "
        "others stay here, each with the reason: tab goes to the reasons, Enter there to the line."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#lines"

    def __init__(
        self, nodes: Sequence[NodeText], lines: str = "", reasons: str = "", kind: ClusterKind = ClusterKind.CIAO
    ) -> None:
        """`nodes` are those that there are already."""
        super().__init__()
        self._taken = frozenset(node.name for node in nodes)
        self._known = {mac: node for node in nodes for mac in (node.mac, *macs_of(node.mac))}
        self._kind = kind
        self._lines = lines
        self._reasons = reasons
        self._reading = ImportedNodes((), ())
        self._read_text = ""
        self._reader: Timer | None = None
        self._accepting = False

    def body(self) -> Iterable[Widget]:
        asked = "One node per line: its MAC, and optionally name, role and address, in any order."
        yield PlainText(plain(self._reasons or asked, "bold" if self._reasons else ""), id="many")
        lines = SafeTextArea(self._lines, id="lines")
        lines.show_line_numbers = True
        yield lines
        yield Field("list.path", "File", "", "~/nodes.csv", "f3, then Enter opens it")
        yield PlainText(id="understood")
        yield VirtualKeyedTable(_REASONS, id="reasons")

    def on_mount(self) -> None:
        self._read()

    @on(TextArea.Changed)
    def _read_typed(self) -> None:
        self._read()

    @on(Input.Submitted)
    def _open_file(self, event: Input.Submitted) -> None:
        event.stop()
        if path := event.value.strip():
            self.post_message(messages.FileRequested(self, path))

    def action_file(self) -> None:
        self.query_one(Field).point()

    def opened(self, text: str) -> None:
        """The lines of a file, below those that are here."""
        lines = self.query_one("#lines", SafeTextArea)
        held = lines.text.rstrip("\n")
        lines.load_text(f"{held}\n{text}" if held else text)
        self.query_one(Field).value = ""
        self.query_one(Field).mark(False)
        lines.focus()

    def refused(self, error: WizardError) -> None:
        self.query_one(Field).mark(True)
        told = Text.assemble(("✗ ", "bold")).append_text(plain(f"{error.message} {error.remedy}"))
        self.query_one("#understood", PlainText).update(told)

    def _read(self) -> None:
        """Of thousands of lines once nobody has typed for a moment, and off the keys' way."""
        lines = self.query_one("#lines", SafeTextArea)
        if self._reader is not None:
            self._reader.stop()
        if lines.document.line_count <= QUICK_LINES:
            self.take(lines.text, read_nodes(lines.text, self._taken, self._known, self._kind))
        else:
            self._reader = self.set_timer(READ_AFTER_S, self._have_read)

    def _have_read(self) -> None:
        text = self.query_one("#lines", SafeTextArea).text
        read = partial(read_nodes, text, self._taken, self._known, self._kind)
        self.post_message(messages.ParseRequested(self, text, read))

    def take(self, text: str, reading: ImportedNodes) -> None:
        """What `text` says, unless it is another one by now."""
        if self.query_one("#lines", SafeTextArea).text != text:
            return
        self._read_text, self._reading = text, reading
        self._draw_reading(reading)
        if self._accepting:
            self._accepting = False
            self.action_accept()

    def _draw_reading(self, reading: ImportedNodes) -> None:
        text = Text.assemble((f"{len(reading.nodes)} understood", "bold"))
        if reading.skipped_rows:
            text.append(f", {len(reading.skipped_rows)} skipped", "bold")
        if reading.nodes:
            last = reading.nodes[-1]
            text.append_text(plain(f"; the last one: {last.role} {last.name} {last.mac} {last.ip}", limit=120))
        self.query_one("#understood", PlainText).update(text)
        reasons = self.query_one("#reasons", VirtualKeyedTable)
        reasons.show([str(line.number) for line in reading.skipped_rows], self._reason)
        reasons.display = bool(reading.skipped_rows)

    def _reason(self, number: int) -> tuple[Text, ...]:
        line = self._reading.skipped_rows[number]
        return Text.assemble(("✗ ", "bold"), str(line.number)), plain(line.why, limit=300)

    @on(VirtualKeyedTable.Chosen)
    def _mend_chosen(self, event: VirtualKeyedTable.Chosen) -> None:
        event.stop()
        self.action_mend()

    def action_mend(self) -> None:
        """From a reason to the line that it is about."""
        number = self.query_one("#reasons", VirtualKeyedTable).current
        if number is not None:
            lines = self.query_one("#lines", SafeTextArea)
            lines.move_cursor(lines.document.end if int(number) > lines.document.line_count else (int(number) - 1, 0))
            lines.focus()

    def action_accept(self) -> None:
        if self.query_one("#lines", SafeTextArea).text != self._read_text:
            self._accepting = True
            self.query_one("#understood", PlainText).update(Text("Reading…", "bold"))
            return
        reading = self._reading
        if reading.nodes or not reading.skipped_rows:
            self.dismiss(reading)
        else:
            told = "No line describes a node yet; Enter goes to the line."
            self.query_one("#understood", PlainText).update(Text.assemble(("✗ ", "bold"), told))
            self.query_one("#reasons", VirtualKeyedTable).focus()

    def action_cancel(self) -> None:
        self.dismiss(None)
