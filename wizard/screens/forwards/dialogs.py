"""Dialogs: edit one forward; add the ports of a preset."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from wizard.plan.draft.check import check_forward
from wizard.plan.draft.model import Draft, ForwardText
from wizard.plan.draft.presets import PRESETS, PresetForward, preset_forwards
from wizard.plan.findings import Finding
from wizard.plan.machine import Facts
from wizard.widgets.field import Field
from wizard.widgets.form_dialog import FormDialog
from wizard.widgets.modal import Dialog
from wizard.widgets.page import plain
from wizard.widgets.plain_text import PlainText
from wizard.widgets.virtual_table import Column, VirtualKeyedTable

_KEYS = ("port", "to", "to_port", "protocol", "from")
_NAMES = {
    "forward.port": "Port",
    "forward.to": "To",
    "forward.to_port": "Target port",
    "forward.protocol": "Protocol",
    "forward.from": "Allowed from",
}
_WHAT = 30
_PRESETS = (Column("ports for", 12), Column("description", 50, 1))


class ForwardDialog(FormDialog[ForwardText]):
    """Returns the forward as typed, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "ok"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "Port: the port of this machine that the company network connects to, or a range such as 30000-30100. To: a "
        "node's name, or an address in the cluster's subnet. Target port: the port there.\n\n"
        "Allowed from: networks separated by commas, such as 10.0.0.0/8; empty allows the whole company network."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#field-forward-port Input"
    PREFIX = "forward"

    def __init__(self, title: str, draft: Draft, number: int, forward: ForwardText, facts: Facts | None) -> None:
        """`number` is the place in `draft` that the forward has or will have."""
        super().__init__()
        self._facts = facts
        self._ignored: tuple[Finding, ...] = ()
        self._draft = draft
        self._number = number
        self.title = title
        self._forward = forward

    def body(self) -> Iterable[Widget]:
        forward = self._forward
        yield Field("forward.port", "Port", forward.port, "", "8889, or 8000-8010")
        yield Field("forward.to", "To", forward.to, "controller", "a node or an address")
        yield Field("forward.to_port", "Target port", forward.to_port, "", "empty = the same")
        yield Field("forward.protocol", "Protocol", forward.protocol, "tcp", "tcp or udp")
        yield Field("forward.from", "Allowed from", forward.sources, "corporate", "empty = company network")
        yield self.findings_panel()

    def action_accept(self) -> None:
        """Refuses invalid values; a conflict with the machine is shown once, and accepted the second time."""
        port, to, to_port, protocol, sources = (self.typed(key) for key in _KEYS)
        forward = ForwardText(port, to, to_port, protocol or "tcp", sources)
        refused = check_forward(forward, "forward", self._draft, self._number)
        problems = refused or check_forward(forward, "forward", self._draft, self._number, self._facts)
        hint = Text("  Press ctrl+n again to ignore this; fix it before an apply.", "bold")
        self.show_problems(problems, _NAMES, *([hint] if problems and not refused else []))
        if problems and (refused or problems != self._ignored):
            self._ignored = problems
            self.point_at(problems[0].field)
        else:
            self.dismiss(forward)


class PresetDialog(Dialog[tuple[PresetForward, ...] | None]):
    """Returns the forwards of the chosen preset, or None."""

    TITLE: ClassVar[str | None] = "Port presets"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "add these"),
        Binding("ctrl+n", "accept", "add these", show=False),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "Each preset has the ports that users of that cloud or cluster need. They lead to the first controller node. "
        "+ will be added. = is already in the plan, leads where the arrow shows, and is not changed. ✗ cannot be "
        "added, for the reason below it; use f2 to forward it from another port of this machine."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#presets"

    def __init__(self, draft: Draft, facts: Facts | None) -> None:
        super().__init__()
        self._offers = [preset_forwards(preset, draft, facts) for preset in PRESETS]

    def body(self) -> Iterable[Widget]:
        yield VirtualKeyedTable(_PRESETS, id="presets")
        with VerticalScroll(id="offered"):
            yield PlainText(id="ports")
        yield PlainText(id="adds")

    def on_mount(self) -> None:
        names = [preset.name for preset in PRESETS]
        table = self.query_one(VirtualKeyedTable)
        table.show(names, lambda number: (Text(names[number], "bold"), Text(PRESETS[number].about)))
        self._draw_offer()

    @on(VirtualKeyedTable.KeyHighlighted)
    def _show_preset(self, event: VirtualKeyedTable.KeyHighlighted) -> None:
        event.stop()
        self._draw_offer()

    @on(VirtualKeyedTable.Chosen)
    def _accept_preset(self, event: VirtualKeyedTable.Chosen) -> None:
        event.stop()
        self.action_accept()

    def _draw_offer(self) -> None:
        found = self._chosen
        self.query_one("#ports", PlainText).update(Text("\n").join(_offered(found)))
        self.query_one("#adds", PlainText).update(_adds(found))

    @property
    def _chosen(self) -> tuple[PresetForward, ...]:
        return self._offers[self.query_one(VirtualKeyedTable).cursor]

    def action_accept(self) -> None:
        self.dismiss(self._chosen)

    def action_cancel(self) -> None:
        self.dismiss(None)


def _offered(found: tuple[PresetForward, ...]) -> list[Text]:
    """A line per port: whether it will be added, its number, service and target; below it why it cannot be."""
    lines = []
    for offer in found:
        sign = "= " if offer.there else "✗ " if offer.against else "+ "
        line = Text.assemble((sign, "bold"), f"{offer.port.port:<6} {offer.port.what}")
        if offer.there or not offer.against:
            line.append(" " * max(_WHAT - len(offer.port.what), 0) + " → ").append_text(plain(offer.to, limit=22))
        lines.append(line)
        if offer.against and not offer.there:
            lines.append(Text(" " * 9).append_text(plain(offer.against, limit=160)))
    return lines


def _adds(found: tuple[PresetForward, ...]) -> str:
    """What Enter does, in one line."""
    there = sum(offer.there for offer in found)
    against = sum(bool(offer.against) and not offer.there for offer in found)
    if not there and not against:
        return f"Enter adds all {len(found)}."
    told = [f"Enter adds {len(found) - there - against or 'none'} of {len(found)}"]
    told += [f"{there} already in the plan (=)"] if there else []
    told += [f"{against} cannot be added (✗)"] if against else []
    return "; ".join(told) + "."
