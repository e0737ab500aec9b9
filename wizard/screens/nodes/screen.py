"""The nodes page: the machines of the cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget

from wizard.plan.draft.boot import images_of, with_images
from wizard.plan.draft.check import DraftCheck, check_node, macs_of
from wizard.plan.draft.model import Draft, NodeText, kind_of
from wizard.plan.draft.node_list import ImportedNodes, follow_renames, free_node_name, merge_nodes, suggest_role
from wizard.plan.findings import Finding, Severity
from wizard.plan.images import FROM_DISK
from wizard.plan.model import USUAL_ROLES, ClusterKind
from wizard.screens.nodes import messages
from wizard.screens.nodes.boot_dialog import BootDialog
from wizard.screens.nodes.dialogs import NodeDialog, PasteDialog
from wizard.screens.nodes.discovery import DiscoveryPanel, name_from
from wizard.widgets.hinting import HintingPage
from wizard.widgets.page import BACK, LOOK_AGAIN, NEXT, ROOMY, plain, plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.virtual_table import Column, VirtualKeyedTable

if TYPE_CHECKING:
    from wizard.host.dhcp.discovery import DiscoveredMachine

COLUMNS = (
    Column("role", 12, 1),
    Column("name", 13, 2),
    Column("MAC", 17),
    Column("vendor", 10, 3),
    Column("address", 15),
)
MOST_UNDONE = 100


class NodesPage(HintingPage):
    TITLE = "Nodes"
    STEP = "nodes"
    FIELDS = ("nodes", "seeds", "images")
    QUESTION = "Your machines: 1 controller, 1+ network, 1+ compute (one can be several)."
    HELP = (
        "A node is identified by the MAC of its NIC on the cluster's switch, and always gets the address shown here; "
        "in brackets: the lowest free one.\n\n"
        "f4 adds many at once: paste lines from a spreadsheet, an inventory or a dnsmasq configuration, or open a "
        "file. Skipped lines stay there with the reason.\n\n"
        "f5 listens on the cluster network and sends nothing: machines appear when they boot and ask for an address, "
        "or when they send ARP. An idle machine is silent: restart it. a adds the selected machine to the plan, with "
        "its current address; r changes the role it will get; tab switches between the lists.\n\n"
        "f6, if you like: images to boot over the network, and your ssh key."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "change", "change", show=False),
        Binding("f2", "add", "add"),
        Binding("delete", "remove", "remove", show=False),
        Binding("f4", "paste", "paste or import"),
        Binding("f5", "listen", "listen"),
        Binding("f6", "boot", "boot over the network", show=False),
        Binding("a", "adopt", "adopt", show=False),
        Binding("r", "other_role", "role of the next one", show=False),
        NEXT,
        BACK,
        LOOK_AGAIN,
        Binding("ctrl+z", "undo", "undo", show=False),
    ]

    vendors: reactive[dict[str, str]] = reactive(dict)

    def __init__(self, draft: Draft, field: str = "") -> None:
        super().__init__(draft, field)
        # Rows are known by a number of their own: everything in a row may change, and twice be the same.
        self._keys = [str(number) for number in range(len(draft.nodes))]
        self._next_key = len(self._keys)
        # An empty list is a beginning, not a mistake, until somebody wants to go on with it or was sent here for it.
        self._begun = bool(field)
        self._before: list[tuple[tuple[NodeText, ...], list[str]]] = []
        self._asked: set[str] = set()
        self._wanted: set[str] = set()
        self._shown: DraftCheck | None = None
        self._given: dict[str, str] = {}
        self._wrong: frozenset[str] = frozenset()
        self._stop: threading.Event | None = None
        self._hearing = False
        self._idle = False
        self._role = ""

    def question(self) -> str:
        kind = kind_of(self.draft)
        usual = f" Roles are labels, such as {' and '.join(USUAL_ROLES[kind])}." if USUAL_ROLES[kind] else ""
        return self.QUESTION if kind is ClusterKind.CIAO else f"Your machines.{usual}"

    def body(self) -> Iterable[Widget]:
        yield VirtualKeyedTable(COLUMNS, id="nodes")
        yield PlainText(
            "f2 adds one, f4 pastes or imports many, f5 listens for machines, f6: what they boot.",
            id="empty",
        )
        yield DiscoveryPanel(id="hearing")

    def on_unmount(self) -> None:
        self._end_listening()

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
        # While machines come up the room is theirs; what is no mistake can be read before and after.
        crowded = self._hearing and self.size.height < ROOMY
        self.show_findings(self.errors() if crowded else self.findings(), self.draft)
        self.query_one("#empty").display = not self.draft.nodes and not self._hearing
        self._take_up()
        table = self.query_one("#nodes", VirtualKeyedTable)
        table.show(self._keys, self._row)
        # Beside the other list it takes what that leaves; a share alone would leave nothing to it.
        table.styles.height = "1fr" if self._hearing else None
        table.styles.max_height = len(self._keys) + 1 if self._hearing else None
        panel = self.query_one("#hearing", DiscoveryPanel)
        if self._at_heard() and not self._hearing:
            self.query_one("#nodes", VirtualKeyedTable).focus()
        panel.display = self._hearing
        if self._hearing:
            known = {mac: node.name for node in self.draft.nodes for mac in macs_of(node.mac)}
            heard = panel.chosen
            if heard is not None and heard.mac in known:
                keys = "del removes it from the plan · f5 stops"
            else:
                keys = f"a adds it as {self._role_next() or 'a node'} · r changes the role · f5 stops"
            panel.show(self.draft.cluster, known, self.vendors, keys)
            self._want(panel.macs)

    def _take_up(self) -> None:
        """What was found of the nodes, by the keys of their rows: it stays true of a row while others come and go."""
        known = self.latest_check()
        if known is None or known is self._shown or known.draft is not self.draft:
            return
        self._shown = known
        self._given = dict(zip(self._keys, known.node_addresses, strict=True))
        numbers = {_number(f.field) for f in known.findings if f.severity is Severity.ERROR}
        self._wrong = frozenset(self._keys[n] for n in numbers if n is not None and n < len(self._keys))

    def _row(self, number: int) -> tuple[Text, ...]:
        node, key = self.draft.nodes[number], self._keys[number]
        mac, *others = macs_of(node.mac)
        self._want((mac,))
        address = node.ip or (f"({given})" if (given := self._given.get(key, "")) else "–")
        return (
            Text.assemble(("✗ " if key in self._wrong else "", "bold")).append_text(plain(node.role, limit=24)),
            plain(f"{node.name} ⇠ {node.image}" if node.image else node.name, limit=63),
            plain(f"{mac} +{len(others)}" if others else mac, limit=20),
            plain(self.vendors.get(mac, ""), limit=60),
            plain(address, limit=20),
        )

    def _want(self, macs: Iterable[str]) -> None:
        """Ask for the vendors of those in sight."""
        new = set(macs) - self._asked
        if new:
            self._asked |= new
            if not self._wanted:
                self.call_after_refresh(self._ask_vendors)
            self._wanted |= new

    def _ask_vendors(self) -> None:
        self.post_message(messages.VendorsRequested(tuple(sorted(self._wanted))))
        self._wanted.clear()

    def point_at(self, field: str) -> None:
        if field.startswith(("seeds", "images")):
            self.action_boot(field if field.startswith("seeds.") else "")
            return
        number = _number(field)
        if number is not None and number < len(self._keys):
            self.query_one("#nodes", VirtualKeyedTable).point_at(self._keys[number])

    @on(VirtualKeyedTable.Chosen)
    def _change_or_adopt(self, event: VirtualKeyedTable.Chosen) -> None:
        event.stop()
        if event.table.id == "nodes":
            self.action_change()
        else:
            self.action_adopt()

    @on(VirtualKeyedTable.KeyHighlighted)
    def _follow_cursor(self, event: VirtualKeyedTable.KeyHighlighted) -> None:
        event.stop()
        if event.table.id == "heard":
            # What the keys would do with it.
            self.redraw()

    # One node

    def action_add(self) -> None:
        new = NodeText(suggest_role(self.draft.nodes, kind=kind_of(self.draft)))
        self._ask("A new node", len(self.draft.nodes), new, self._added)

    def action_change(self) -> None:
        if self._at_heard():
            self.action_adopt()
            return
        number = self._current()
        if number is None:
            self.action_add()
            return
        node = self.draft.nodes[number]
        given = self._given.get(self._keys[number], "")
        self._ask("This node", number, node, lambda new: self._changed(number, new), given)

    def _ask(
        self, title: str, number: int, node: NodeText, take: Callable[[NodeText | None], None], given: str = ""
    ) -> None:
        """Ask for a node. What is on this machine it may boot too: the plan then gains that image."""
        stored = self.facts.boot.stored if self.facts is not None and self.facts.boot is not None else ()
        planned = [image.name for image in images_of(self.draft) or ()]
        names = list(dict.fromkeys([*planned, *(each.name for each in stored)]))
        draft = with_images(self.draft, stored, names)
        asked = [*names, FROM_DISK] if names or node.image else []

        def answered(new: NodeText | None) -> None:
            image = new.image if new is not None else ""
            if image in names and image not in planned:
                self.edit(with_images(self.draft, stored, [*planned, image]))
            take(new)

        self.app.push_screen(NodeDialog(title, draft, number, node, given, asked), answered)

    def action_boot(self, field: str = "") -> None:
        self.app.push_screen(BootDialog(self.draft, self.facts, field), self._take_boot)

    def _take_boot(self, draft: Draft | None) -> None:
        if draft is not None:
            self.edit(draft)

    def action_remove(self) -> None:
        number = self._current()
        if self._at_heard():
            heard = self.query_one("#hearing", DiscoveryPanel).chosen
            number = self._number_of(heard.mac) if heard is not None else None
            if number is None:
                self.set_hint("That machine is not in the plan. tab goes to the plan's nodes.")
        if number is not None:
            name = plain(self.draft.nodes[number].name, limit=40).plain
            nodes, keys = list(self.draft.nodes), list(self._keys)
            del nodes[number], keys[number]
            self._set(nodes, keys)
            self.notify(f"{name or 'The node'} was removed from the plan. ctrl+z restores it.", markup=False)

    def action_undo(self) -> None:
        if not self._before:
            self.set_hint("Nothing to undo on this page.")
            return
        was = dict(zip(self._keys, self.draft.nodes, strict=True))
        nodes, keys = self._before.pop()
        self._show(nodes, keys)
        back = next((key for key, node in zip(keys, nodes, strict=True) if was.get(key) != node), None)
        if back is not None:
            self.query_one("#nodes", VirtualKeyedTable).point_at(back)

    def _added(self, node: NodeText | None) -> None:
        if node is not None:
            self._append([node])

    def _changed(self, number: int, node: NodeText | None) -> None:
        if node is not None and node != self.draft.nodes[number]:
            nodes = list(self.draft.nodes)
            nodes[number] = node
            self._set(nodes, self._keys)

    # Many

    def action_paste(self, lines: str = "", reasons: str = "") -> None:
        self.app.push_screen(PasteDialog(self.draft.nodes, lines, reasons, kind_of(self.draft)), self._pasted)

    def _pasted(self, reading: ImportedNodes | None) -> None:
        if reading is None:
            return
        told = ""
        if reading.nodes:
            told = self._merge(reading)
            self.notify(told, markup=False)
        if reading.skipped_rows:
            count = len(reading.skipped_rows)
            were = f"{told} {plural(count, 'line')} {'was' if count == 1 else 'were'} skipped:".strip()
            self.action_paste(reading.rest, were)

    def _merge(self, reading: ImportedNodes) -> str:
        """Take the nodes of a reading; in words what became of the list."""
        result = merge_nodes(self.draft.nodes, reading)
        fresh = [str(self._next_key + number) for number in range(result.new)]
        self._next_key += result.new
        if result.new or result.changed:
            self._set(result.nodes, [*self._keys, *fresh])
        if fresh:
            self.query_one("#nodes", VirtualKeyedTable).point_at(fresh[-1])
        told = [f"{plural(result.new, 'node')} added"] if result.new or not (result.changed or result.same) else []
        told += [f"{result.changed} changed"] if result.changed else []
        told += [f"{result.same} unchanged"] if result.same else []
        return f"{', '.join(told)}."

    # Listening

    def action_listen(self) -> None:
        if self._stop is not None:
            self._end_listening()
            self.redraw()
        elif not self.draft.cluster:
            self.notify("Choose the cluster's NIC first, on the Interfaces screen.", severity="error", markup=False)
        else:
            self.set_status("")
            self._stop, self._idle = threading.Event(), True
            self.post_message(messages.ListenRequested(self, self.draft.cluster, self._stop))

    def _end_listening(self) -> None:
        if self._stop is not None:
            self._stop.set()
        self._stop, self._hearing = None, False

    def on_key(self) -> None:
        self._idle = False

    def add_machines(self, machines: tuple[DiscoveredMachine, ...], stop: threading.Event) -> None:
        """These have spoken just now, or none yet, for the one who listens until `stop`."""
        if stop is self._stop:
            self._hearing = True
            panel = self.query_one("#hearing", DiscoveryPanel)
            panel.add_machines(machines)
            self.redraw()
            if machines and self._idle:
                # Whoever waits for them wants to take them. Nobody's keys are turned from where they went.
                panel.query_one(VirtualKeyedTable).focus()
                panel.go_on()

    def _at_heard(self) -> bool:
        return self.focused is not None and self.focused.id == "heard"

    def discovery_stopped(self, why: str, stop: threading.Event) -> None:
        """Listening has ended by itself."""
        if stop is self._stop:
            self._end_listening()
            self.redraw()
            self.notify(why, severity="error", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("adopt", "other_role"):
            return self._hearing
        return super().check_action(action, parameters)

    def action_adopt(self) -> None:
        heard = self.query_one("#hearing", DiscoveryPanel).chosen
        if heard is None:
            self.set_hint("No machine found yet.")
            return
        known = self._number_of(heard.mac)
        if known is not None:
            name = plain(self.draft.nodes[known].name, limit=40).plain
            self.set_hint(f"That is {name}, which is already in the plan.")
            return
        role, names = self._role_next(), self._names()
        name = name_from(heard.host_name, names.__contains__) or free_node_name(role, names)
        node = NodeText(role, name, heard.mac, heard.ip)
        if heard.ip and check_node(node, "node", self.draft, len(self.draft.nodes)):
            # Of another network, or somebody else's in the plan.
            node = replace(node, ip="")
        self._role, self._idle = "", True
        self._append([node])
        self.query_one("#hearing", DiscoveryPanel).go_on()
        keeps = f" and keeps {node.ip}" if node.ip else ""
        self.notify(f"{name} was added as {role or 'a node'}{keeps}; ctrl+z removes it again.", markup=False)

    def action_other_role(self) -> None:
        roles = [str(role) for role in USUAL_ROLES[kind_of(self.draft)]] or [""]
        now = self._role_next()
        self._role = roles[(roles.index(now) + 1) % len(roles)] if now in roles else roles[0]
        self.redraw()

    def _role_next(self) -> str:
        """The role that `a` would give to the machine with the cursor."""
        heard = self.query_one("#hearing", DiscoveryPanel).chosen if self._hearing else None
        name = heard.host_name if heard is not None else ""
        return self._role or suggest_role(self.draft.nodes, name, kind_of(self.draft))

    # The list

    def _append(self, new: Sequence[NodeText]) -> None:
        keys = [str(self._next_key + number) for number in range(len(new))]
        self._next_key += len(new)
        self._set([*self.draft.nodes, *new], [*self._keys, *keys])
        self.query_one("#nodes", VirtualKeyedTable).point_at(keys[-1])

    def _set(self, nodes: Sequence[NodeText], keys: list[str]) -> None:
        self._before.append((self.draft.nodes, self._keys))
        del self._before[:-MOST_UNDONE]
        self._show(tuple(nodes), keys)

    def _show(self, nodes: tuple[NodeText, ...], keys: list[str]) -> None:
        was = dict(zip(self._keys, self.draft.nodes, strict=True))
        names = {was[key].name: node.name for key, node in zip(keys, nodes, strict=True) if key in was}
        names = {old: new for old, new in names.items() if old != new}
        self._keys = list(keys)
        self.edit(replace(self.draft, nodes=nodes, forwards=follow_renames(self.draft.forwards, names)))

    def _current(self) -> int | None:
        key = self.query_one("#nodes", VirtualKeyedTable).current
        return self._keys.index(key) if key in self._keys else None

    def _number_of(self, mac: str) -> int | None:
        return next((number for number, node in enumerate(self.draft.nodes) if mac in macs_of(node.mac)), None)

    def _names(self) -> frozenset[str]:
        return frozenset(node.name for node in self.draft.nodes)


def _number(field: str) -> int | None:
    """Which node a finding is about."""
    number = field.removeprefix("nodes[").partition("]")[0]
    return int(number) if number.isdecimal() else None
