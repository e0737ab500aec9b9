"""A table whose rows are known by a key: it is brought up to date row by row and keeps its cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable
from textual.widgets.data_table import RowDoesNotExist

Cells = Sequence[Text]


class KeyedTable(DataTable[Text], inherit_bindings=False):
    """Rows are (key, cells). `columns` is (heading, width) for each. Enter is left to the page."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "up", show=False),
        Binding("down", "cursor_down", "down", show=False),
        Binding("pageup", "page_up", "page up", show=False),
        Binding("pagedown", "page_down", "page down", show=False),
        Binding("home", "scroll_top", "top", show=False),
        Binding("end", "scroll_bottom", "bottom", show=False),
    ]

    def __init__(self, columns: Sequence[tuple[str, int]], id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, cursor_type="row", zebra_stripes=False)
        for number, (heading, width) in enumerate(columns):
            self.add_column(Text(heading), width=width, key=str(number))

    @property
    def current(self) -> str | None:
        """The key of the row with the cursor."""
        if not self.is_valid_row_index(self.cursor_row):
            return None
        return self.coordinate_to_cell_key(Coordinate(self.cursor_row, 0)).row_key.value

    def point_at(self, key: str) -> None:
        """Move the cursor to a row, where there is one with that key."""
        try:
            self.move_cursor(row=self.get_row_index(key))
        except RowDoesNotExist:
            return

    def sync(self, rows: Sequence[tuple[str, Cells]]) -> None:
        """Make the table show exactly `rows`, in this order, touching only what differs."""
        current = self.current
        wanted = dict(rows)
        known = [row.key.value for row in self.ordered_rows]
        for key in known:
            if key is not None and key not in wanted:
                self.remove_row(key)
        for key, cells in rows:
            if key in known:
                self._update(key, cells)
            else:
                self.add_row(*cells, key=key)
        if [row.key.value for row in self.ordered_rows] != list(wanted):
            self._order(list(wanted))
        if current is not None:
            self.point_at(current)

    def _update(self, key: str, cells: Cells) -> None:
        for number, (old, new) in enumerate(zip(self.get_row(key), cells, strict=True)):
            if old != new:
                self.update_cell(key, str(number), new)

    def _order(self, keys: list[str]) -> None:
        # DataTable sorts by cells only, and hands them over in the order of its rows.
        place = {id(self.get_row(key)[0]): number for number, key in enumerate(keys)}
        self.sort("0", key=lambda cell: place[id(cell)])
