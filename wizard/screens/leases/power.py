"""Wake, restart, power off: the dialogs of the leases page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget

from wizard.widgets.modal import Dialog
from wizard.widgets.page import plain, plural
from wizard.widgets.plain_text import PlainText

if TYPE_CHECKING:
    from wizard.monitor.lease_rows import LeaseRow

WORDS = {"wake": "Wake", "reboot": "Restart", "off": "Power off"}
DANGEROUS = ("reboot", "off")
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes that something can be done to: `said` is what they are called together."""

    said: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PowerChoice:
    """`action`: "wake", "reboot" or "off"."""

    action: str
    group: NodeGroup


def groups_of(row: LeaseRow | None, rows: Iterable[LeaseRow], marked: Sequence[str] = ()) -> tuple[NodeGroup, ...]:
    """The marked nodes, if there are any; the node of a row; those among `rows`, which are the ones shown, that share
    a role with it; all of `rows`.
    """
    roles = {each.name: each.role for each in rows if each.kind == "node"}
    found = [NodeGroup(f"the {plural(len(marked), 'marked node')}", tuple(marked))] if marked else []
    if row is not None and row.kind == "node":
        found.append(NodeGroup(row.name, (row.name,)))
        for role in filter(None, row.role.split(", ")):
            names = tuple(name for name, of in roles.items() if role in of.split(", "))
            found.append(NodeGroup(f"the {plural(len(names), f'{role} node')} shown", names))
    if roles:
        found.append(NodeGroup(f"the {plural(len(roles), 'node')} shown", tuple(roles)))
    kept: dict[tuple[str, ...], NodeGroup] = {}
    for group in found:
        kept.setdefault(group.names, group)
    return tuple(kept.values())


class PowerDialog(Dialog[PowerChoice | None]):
    """Which nodes, and what to do with them. Escape returns None."""

    TITLE: ClassVar[str | None] = "Power"
    AUTO_FOCUS: ClassVar[str | None] = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "choose('wake')", "wake"),
        Binding("r", "choose('reboot')", "restart"),
        Binding("o", "choose('off')", "power off"),
        Binding("a,space", "next_group", "others", key_display="a"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "w sends a magic packet (Wake-on-LAN) out of the cluster NIC. r and o ask the system there over your own ssh, "
        "or the BMC of a node that has one. a chooses the marked nodes, this one, those of its role that the table "
        "shows, or all that it shows: / narrows it."
    )

    def __init__(self, groups: Sequence[NodeGroup]) -> None:
        super().__init__()
        self._groups = groups
        self._at = 0

    @property
    def group(self) -> NodeGroup:
        return self._groups[self._at]

    def body(self) -> Iterable[Widget]:
        yield PlainText(id="power-groups")
        yield PlainText()
        yield PlainText(
            Text.assemble(
                ("w", "bold"), "  wake: a magic packet out of the cluster NIC\n",
                ("r", "bold"), "  restart: over your ssh, or by its BMC; asks first\n",
                ("o", "bold"), "  power off: the same; asks first",
            )
        )  # fmt: skip

    def on_mount(self) -> None:
        self._draw()

    def _draw(self) -> None:
        lines = []
        for number, group in enumerate(self._groups):
            chosen = number == self._at
            lines.append(plain(f"{'▸' if chosen else ' '} {group.said}", "bold" if chosen else "", limit=70))
        if len(self._groups) > 1:
            lines.append(Text("  a: the next of these", "dim"))
        self.query_one("#power-groups", PlainText).update(Text("\n").join(lines))

    def action_next_group(self) -> None:
        self._at = (self._at + 1) % len(self._groups)
        self._draw()

    def action_choose(self, action: str) -> None:
        self.dismiss(PowerChoice(action, self.group))

    def action_cancel(self) -> None:
        self.dismiss(None)


def question_text(choice: PowerChoice) -> str:
    """What is asked before nodes are restarted or powered off."""
    names = choice.group.names
    named = ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )
    told = [plain(named, limit=500).plain, "Everything running there stops."]
    if choice.action == "off":
        told.append("Only a node with a BMC, or with Wake-on-LAN switched on, can be woken from here again.")
    return "\n\n".join([*told, "y does it. Enter, n and esc change nothing."])
