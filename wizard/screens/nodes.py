"""The machines of the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import DataTable

from wizard.plan import addresses
from wizard.plan.draft import Draft, NodeText
from wizard.plan.fields import format_mac, parse_mac, refusal
from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.nodelines import Reading
from wizard.screens.node_dialogs import NodeDialog, PasteDialog
from wizard.widgets.page import BACK, LOOK_AGAIN, NEXT, StepPage, plain, plural
from wizard.widgets.table import KeyedTable
from wizard.widgets.words import Words

COLUMNS = (("role", 12), ("name", 15), ("MAC", 17), ("vendor", 10), ("address", 14))


class NodesPage(StepPage):
    TITLE = "Nodes"
    STEP = "nodes"
    FIELDS = "nodes"
    QUESTION = "Your machines: one controller, at least one network and one compute node."
    HELP = (
        "Each node is known by the MAC of the NIC on the cluster's switch. It always gets the same address; a "
        "node without one here is given the next that is free (shown in brackets).\n\n"
        "f4 takes many at once: paste lines from a spreadsheet, an inventory or a dnsmasq configuration. What "
        "was not understood stays there with the reason."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "change", "change"),
        Binding("f2", "add", "add"),
        Binding("delete", "remove", "remove", show=False),
        Binding("f4", "paste", "paste"),
        NEXT,
        BACK,
        LOOK_AGAIN,
        Binding("ctrl+z", "undo", "undo", show=False),
    ]

    @dataclass
    class VendorsWanted(Message):
        """Whose are these MACs? The answer goes into `vendors`."""

        macs: tuple[str, ...]

    vendors: reactive[dict[str, str]] = reactive(dict)

    def __init__(self, draft: Draft, facts: Facts | None, field: str = "") -> None:
        super().__init__(draft, facts, field)
        # Rows are known by a number of their own: everything in a row may change, and twice be the same.
        self._keys = [str(number) for number in range(len(draft.nodes))]
        self._next_key = len(self._keys)
        # An empty list is a beginning, not a mistake, until somebody wants to go on with it or was sent here for it.
        self._begun = bool(field)
        self._before: list[tuple[tuple[NodeText, ...], list[str]]] = []
        self._asked: frozenset[str] = frozenset()

    def body(self) -> Iterable[Widget]:
        yield KeyedTable(COLUMNS, id="nodes")
        yield Words("f2 adds one, f4 pastes or imports many.", id="empty")

    def findings(self) -> tuple[Finding, ...]:
        """Before anything was typed there is nothing wrong yet."""
        return super().findings() if self.draft.nodes or self._begun else ()

    def action_next(self) -> None:
        self._begun = True
        self.redraw()
        super().action_next()

    def watch_vendors(self) -> None:
        self.redraw()

    def draw(self) -> None:
        super().draw()
        self.query_one("#empty").display = not self.draft.nodes
        given = self._given()
        wrong = {f.field.partition(".")[0] for f in self.findings() if f.severity is Severity.ERROR}
        rows = [
            (key, self._cells(node, given[number], f"nodes[{number}]" in wrong))
            for number, (key, node) in enumerate(zip(self._keys, self.draft.nodes, strict=True))
        ]
        self.query_one("#nodes", KeyedTable).sync(rows)
        macs = frozenset(_mac(node.mac) for node in self.draft.nodes)
        if new := macs - self._asked:
            self._asked |= new
            self.post_message(self.VendorsWanted(tuple(sorted(new))))

    def point_at(self, field: str) -> None:
        number = field.removeprefix("nodes[").partition("]")[0]
        if number.isdecimal() and int(number) < len(self._keys):
            self.query_one("#nodes", KeyedTable).point_at(self._keys[int(number)])

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_change()

    def action_add(self) -> None:
        new = NodeText(self._role_missing())
        dialog = NodeDialog("A new node", self.draft, len(self.draft.nodes), new)
        self.app.push_screen(dialog, self._added)

    def action_change(self) -> None:
        number = self._current()
        if number is None:
            self.action_add()
            return
        node = self.draft.nodes[number]
        dialog = NodeDialog("This node", self.draft, number, node)
        self.app.push_screen(dialog, lambda new: self._changed(number, new))

    def action_remove(self) -> None:
        number = self._current()
        if number is not None:
            name = plain(self.draft.nodes[number].name, limit=40).plain
            nodes, keys = list(self.draft.nodes), list(self._keys)
            del nodes[number], keys[number]
            self._set(nodes, keys)
            self.notify(f"{name or 'The node'} is out of the plan. ctrl+z brings it back.", markup=False)

    def action_undo(self) -> None:
        if self._before:
            nodes, keys = self._before.pop()
            self._show(nodes, keys)

    def action_paste(self, lines: str = "", reasons: str = "") -> None:
        self.app.push_screen(PasteDialog(self._names(), lines, reasons), self._pasted)

    def _added(self, node: NodeText | None) -> None:
        if node is not None:
            self._append([node])

    def _changed(self, number: int, node: NodeText | None) -> None:
        if node is not None and node != self.draft.nodes[number]:
            nodes = list(self.draft.nodes)
            nodes[number] = node
            self._set(nodes, self._keys)

    def _pasted(self, reading: Reading | None) -> None:
        if reading is None:
            return
        if reading.nodes:
            self._append(reading.nodes)
            self.notify(f"{plural(len(reading.nodes), 'node')} taken.", markup=False)
        if reading.not_understood:
            lines = "\n".join(line.line for line in reading.not_understood)
            count = len(reading.not_understood)
            were = f"{plural(count, 'line')} {'was' if count == 1 else 'were'} not understood; the others are taken."
            self.action_paste(lines, were)

    def _append(self, new: Sequence[NodeText]) -> None:
        keys = [str(self._next_key + number) for number in range(len(new))]
        self._next_key += len(new)
        self._set([*self.draft.nodes, *new], [*self._keys, *keys])
        self.query_one("#nodes", KeyedTable).point_at(keys[-1])

    def _set(self, nodes: Sequence[NodeText], keys: list[str]) -> None:
        self._before.append((self.draft.nodes, self._keys))
        self._show(tuple(nodes), keys)

    def _show(self, nodes: tuple[NodeText, ...], keys: list[str]) -> None:
        self._keys = list(keys)
        self.edit(replace(self.draft, nodes=nodes))

    def _current(self) -> int | None:
        key = self.query_one("#nodes", KeyedTable).current
        return self._keys.index(key) if key in self._keys else None

    def _names(self) -> frozenset[str]:
        return frozenset(node.name for node in self.draft.nodes)

    def _role_missing(self) -> str:
        """The role that a new node most likely has."""
        held = {role.strip() for node in self.draft.nodes for role in node.role.split(",")}
        return next((role for role in ("controller", "network") if role not in held), "compute")

    def _given(self) -> list[str]:
        """The addresses as they will be, in brackets where the wizard chose them."""
        plan = self.draft.to_plan()
        if isinstance(plan, Plan):
            try:
                assigned = addresses.assign(plan)
            except WizardError:
                return [node.ip for node in self.draft.nodes]
            return [node.ip or f"({given.ip})" for node, given in zip(self.draft.nodes, assigned.nodes, strict=True)]
        return [node.ip for node in self.draft.nodes]

    def _cells(self, node: NodeText, address: str, wrong: bool) -> tuple[Text, ...]:
        mac = _mac(node.mac)
        role = Text.assemble(("✗ " if wrong else "", "bold"))
        return (
            role.append_text(plain(node.role, limit=24)),
            plain(node.name, limit=63),
            plain(mac, limit=17),
            plain(self.vendors.get(mac, ""), limit=30),
            plain(address or "–", limit=20),
        )


def _mac(text: str) -> str:
    """One notation for all MACs; what is none stays as it is."""
    return format_mac(parse_mac(text)) if refusal(parse_mac, text) is None else text
