"""The forwards page: which port of the gateway leads to which node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from wizard.plan.draft.model import Draft, ForwardText
from wizard.plan.draft.presets import PresetForward, first_node_name, port_label
from wizard.plan.findings import Severity
from wizard.plan.model import Protocol, Role
from wizard.screens.forwards.dialogs import ForwardDialog, PresetDialog
from wizard.widgets.hinting import HintingPage
from wizard.widgets.page import BACK, LOOK_AGAIN, NEXT, plain, plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.virtual_table import Column, VirtualKeyedTable

COLUMNS = (
    Column("port", 11),
    Column("to", 17, 1),
    Column("allowed from", 15, 1),
    Column("service", 26, 2),
)
MOST_UNDONE = 100


class ForwardsPage(HintingPage):
    TITLE = "Forwards"
    STEP = "forwards"
    FIELDS = "forwards"
    QUESTION = "Which ports of this machine lead to a node? All other ports stay closed."
    HELP = (
        "The company network reaches the nodes only through these ports. A forward leads from a port of this "
        "machine to a node, by name or address.\n\n"
        "f4 adds the ports of ciao, OpenStack, k3s, Proxmox or Talos. A port that a program on this machine uses "
        "cannot be forwarded: it is marked, and the program named. Having no forwards is fine too."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "change", "change"),
        Binding("f2", "add", "add"),
        Binding("delete", "remove", "remove", show=False),
        Binding("f4", "preset", "presets"),
        NEXT,
        BACK,
        LOOK_AGAIN,
        Binding("ctrl+z", "undo", "undo", show=False),
    ]

    def __init__(self, draft: Draft, field: str = "") -> None:
        super().__init__(draft, field)
        self._before: list[tuple[ForwardText, ...]] = []
        self._wrong: set[str] = set()
        self._ports: frozenset[str] = frozenset()

    def body(self) -> Iterable[Widget]:
        yield VirtualKeyedTable(COLUMNS, id="forwards")
        yield PlainText(
            "No forwards yet: f4 adds the ports of ciao, OpenStack, k3s, Proxmox or Talos; f2 adds one.", id="empty"
        )

    def draw(self) -> None:
        super().draw()
        self.query_one("#empty").display = not self.draft.forwards
        self._wrong = {f.field.partition(".")[0] for f in self.findings() if f.severity is Severity.ERROR}
        keys = [str(number) for number in range(len(self.draft.forwards))]
        self._ports = frozenset(forward.to_port or forward.port for forward in self.draft.forwards)
        self.query_one("#forwards", VirtualKeyedTable).show(keys, self._row)

    def _row(self, number: int) -> tuple[Text, ...]:
        forward = self.draft.forwards[number]
        to_port = f", port {forward.to_port}" if forward.to_port not in ("", forward.port) else ""
        tcp = forward.protocol.strip().lower() == Protocol.TCP.value
        return (
            Text.assemble(("✗ " if f"forwards[{number}]" in self._wrong else "", "bold")).append_text(
                plain(f"{forward.port}/{forward.protocol}", limit=20)
            ),
            plain(f"{forward.to}{to_port}", limit=80),
            plain(forward.sources or "company network", limit=80),
            Text(port_label(forward.to_port or forward.port, self._ports) if tcp else "", "dim"),
        )

    def point_at(self, field: str) -> None:
        self.query_one("#forwards", VirtualKeyedTable).point_at(field.removeprefix("forwards[").partition("]")[0])

    @on(VirtualKeyedTable.Chosen)
    def _change_chosen(self, event: VirtualKeyedTable.Chosen) -> None:
        event.stop()
        self.action_change()

    def action_add(self) -> None:
        new = ForwardText(to=self._controller())
        dialog = ForwardDialog("A new forward", self.draft, len(self.draft.forwards), new, self.facts)
        self.app.push_screen(dialog, self._added)

    def action_change(self) -> None:
        number = self._current()
        if number is None:
            self.action_add()
            return
        dialog = ForwardDialog("This forward", self.draft, number, self.draft.forwards[number], self.facts)
        self.app.push_screen(dialog, lambda new: self._changed(number, new))

    def action_remove(self) -> None:
        number = self._current()
        if number is not None:
            forwards = list(self.draft.forwards)
            gone = forwards.pop(number)
            self._set(forwards)
            port = plain(gone.port, limit=20).plain
            self.notify(f"Port {port} is closed now. ctrl+z restores it.", markup=False)

    def action_undo(self) -> None:
        if not self._before:
            self.set_hint("Nothing to undo on this page.")
            return
        was, forwards = self.draft.forwards, self._before.pop()
        self.edit(replace(self.draft, forwards=forwards))
        # To where it was done: the first row that is another one now.
        back = next((n for n, forward in enumerate(forwards) if n >= len(was) or was[n] != forward), None)
        if back is not None:
            self.query_one("#forwards", VirtualKeyedTable).point_at(str(back))

    def action_preset(self) -> None:
        self.app.push_screen(PresetDialog(self.draft, self.facts), self._preset)

    def _preset(self, found: tuple[PresetForward, ...] | None) -> None:
        """Add the ports of a preset that can be added."""
        if found is None:
            return
        new = [offer.forward for offer in found if not offer.against]
        if new:
            self._set([*self.draft.forwards, *new])
            self.query_one("#forwards", VirtualKeyedTable).point_at(str(len(self.draft.forwards) - 1))
        left = [offer.forward.port for offer in found if offer.against and not offer.there]
        there = sum(offer.there for offer in found)
        told = [f"{plural(len(new), 'port')} added"] if new else []
        told += [f"{there} already in the plan"] if there else []
        told += [f"skipped: {', '.join(left)}, in use on this machine; f2 adds it on another port"] if left else []
        self.notify(f"{'; '.join(told)}.", markup=False)

    def _added(self, forward: ForwardText | None) -> None:
        if forward is not None:
            self._set([*self.draft.forwards, forward])
            self.query_one("#forwards", VirtualKeyedTable).point_at(str(len(self.draft.forwards) - 1))

    def _changed(self, number: int, forward: ForwardText | None) -> None:
        if forward is not None:
            forwards = list(self.draft.forwards)
            forwards[number] = forward
            self._set(forwards)

    def _set(self, forwards: Sequence[ForwardText]) -> None:
        if tuple(forwards) != self.draft.forwards:
            self._before.append(self.draft.forwards)
            del self._before[:-MOST_UNDONE]
            self.edit(replace(self.draft, forwards=tuple(forwards)))

    def _current(self) -> int | None:
        key = self.query_one("#forwards", VirtualKeyedTable).current
        return int(key) if key is not None else None

    def _controller(self) -> str:
        return first_node_name(self.draft, Role.CONTROLLER)
