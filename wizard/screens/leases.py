"""Who has which address."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import DataTable

from wizard.plan.text import clean
from wizard.widgets.page import LEAVE, SHOWN_LOOK_AGAIN, Page, plain
from wizard.widgets.table import KeyedTable
from wizard.widgets.words import Words
from wizard.widgets.working import Working

if TYPE_CHECKING:
    from wizard.monitor.leases import Row

EVERY_S = 2
MOST_ROWS = 2000
COLUMNS = (("name", 13), ("role", 10), ("address", 15), ("MAC", 17), ("left", 6), ("state", 7))
_KINDS = {"node": "node", "vm": "VM", "stranger": "stranger"}


class LeasesPage(Page):
    TITLE = "Leases"
    QUESTION = "Who has which address. It looks again by itself."
    HELP = (
        "Every node of the plan has a row, whether it has its address or not; then VMs, then strangers that "
        "asked. 'here' means that the machine answered a moment ago.\n\n"
        "A missing node: is it switched on, and is its MAC the one in the plan?"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "dashboard"),
        SHOWN_LOOK_AGAIN,
        LEAVE,
    ]

    rows: reactive[tuple[Row, ...] | None] = reactive(None)

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now

    def body(self) -> Iterable[Widget]:
        yield Working("Reading the leases…", id="working")
        yield KeyedTable(COLUMNS, id="leases")
        yield Words(id="row")

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self.action_look_again)
        self.query_one("#leases", KeyedTable).focus()

    def watch_rows(self) -> None:
        self.redraw()

    def head_right(self) -> Text:
        rows = self.rows or ()
        leased = sum(row.kind == "node" and row.state == "leased" for row in rows)
        counts = [(sum(row.kind == kind for row in rows), word) for kind, word in _KINDS.items()]
        told = [f"{count} {word}" if count == 1 else f"{count} {word}s" for count, word in counts]
        told[0] = f"{leased} of {told[0]}"
        return Text(" · ".join(told)) if rows else Text()

    def draw(self) -> None:
        self.query_one("#working").display = self.rows is None
        rows = self.rows or ()
        table = self.query_one("#leases", KeyedTable)
        table.display = self.rows is not None
        shown = rows[:MOST_ROWS]
        table.sync([(_key(row), self._cells(row)) for row in shown])
        self._draw_row(rows)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._draw_row(self.rows or ())

    def _draw_row(self, rows: Sequence[Row]) -> None:
        """What the table has no room for, of the row with the cursor."""
        current = self.query_one("#leases", KeyedTable).current
        row = next((row for row in rows if _key(row) == current), None)
        panel = self.query_one("#row", Words)
        panel.display = row is not None
        if row is None:
            return
        said = [row.name or row.hostname or row.mac, row.vendor, row.state.replace("-", " "), row.reason]
        if row.hostname and row.hostname != row.name:
            said.insert(1, f'calls itself "{clean(row.hostname, 60)}"')
        more = f"\n… and {len(rows) - MOST_ROWS} rows more" if len(rows) > MOST_ROWS else ""
        panel.update(Text(" · ").join(plain(part, limit=200) for part in said if part).append(more))

    def _cells(self, row: Row) -> tuple[Text, ...]:
        return (
            plain(row.name or "–", limit=63),
            plain(row.role or row.kind, limit=30),
            plain(row.ip or "–", limit=15),
            plain(row.mac, limit=17),
            Text(_left(row, self._now())),
            plain(_state(row), limit=20),
        )


def _key(row: Row) -> str:
    return f"{row.kind} {row.mac} {row.name}"


def _left(row: Row, now: datetime) -> str:
    """Hours and minutes until the lease runs out."""
    if row.expires is None:
        return "ever" if row.state == "leased" else "–"
    minutes = max(int((row.expires - now).total_seconds()) // 60, 0)
    return f"{minutes // 60}:{minutes % 60:02d}"


def _state(row: Row) -> str:
    if row.state != "leased":
        return {"missing": "○ none", "wrong-address": "✗ wrong", "ignored": "ignored"}.get(row.state, row.state)
    if row.reachable is None:
        return "leased"
    return "● here" if row.reachable else "○ gone"
