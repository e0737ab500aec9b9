"""A table of any length: only the rows in sight are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

Cells = Sequence[Text]
_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """`width` in cells at least; what is left over goes to the columns by their `grow`."""

    heading: str
    width: int
    grow: int = 0


class LongTable(ScrollView, inherit_bindings=False, can_focus=True):
    """Rows are known by keys; the cells of row `number` are asked for when it comes into sight. Enter is the page's."""

    DEFAULT_CSS = """
    LongTable { height: auto; max-height: 1fr; overflow-x: hidden; background: $background; }
    LongTable > .long-table--heading { text-style: bold; background: $panel; color: $foreground; }
    LongTable > .long-table--cursor { background: $surface-lighten-1; }
    LongTable:focus > .long-table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    LongTable:nocolor:focus > .long-table--cursor, LongTable:ansi:focus > .long-table--cursor { text-style: reverse; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"long-table--heading", "long-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor(-1)", "up", show=False),
        Binding("down", "cursor(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "end(False)", "top", show=False),
        Binding("end", "end(True)", "bottom", show=False),
    ]

    @dataclass
    class Chosen(Message):
        """The row with the cursor was clicked once more."""

        table: LongTable
        key: str

    @dataclass
    class Moved(Message):
        """The cursor is on another row now."""

        table: LongTable

    cursor: reactive[int] = reactive(0)

    def __init__(self, columns: Sequence[Column], id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._keys: list[str] = []
        self.cells: Callable[[int], Cells] = lambda _: ()

    @property
    def current(self) -> str | None:
        """The key of the row with the cursor."""
        return self._keys[self.cursor] if self.cursor < len(self._keys) else None

    def show(self, keys: Sequence[str], cells: Callable[[int], Cells]) -> None:
        """Show these rows from now on; the cursor stays on its row, or near where that was."""
        current = self.current
        self._keys, self.cells = list(keys), cells
        if current is not None and self.current != current and current in self._keys:
            self.cursor = self._keys.index(current)
        self.cursor = max(min(self.cursor, len(self._keys) - 1), 0)
        size = Size(0, len(self._keys) + 1)
        if size != self.virtual_size:
            self.virtual_size = size
            self.refresh(layout=True)
            self.call_after_refresh(self._into_sight)
        else:
            self.refresh()

    def point_at(self, key: str) -> None:
        """Move the cursor to a row, where there is one with that key."""
        if key in self._keys:
            self.cursor = self._keys.index(key)

    def watch_cursor(self) -> None:
        self._into_sight()
        self.refresh()
        self.post_message(self.Moved(self))

    def on_resize(self) -> None:
        self._into_sight()

    def _into_sight(self) -> None:
        # The heading takes the first line of what is in sight, wherever that is.
        rows = max(self.size.height - 1, 1)
        top = self.scroll_offset.y
        wanted = min(max(top, self.cursor - rows + 1), self.cursor)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False)

    def action_cursor(self, by: int) -> None:
        self.cursor = max(min(self.cursor + by, len(self._keys) - 1), 0)

    def action_page(self, way: int) -> None:
        self.action_cursor(way * max(self.size.height - 2, 1))

    def action_end(self, last: bool) -> None:
        self.cursor = max(len(self._keys) - 1, 0) if last else 0

    def on_click(self, event: events.Click) -> None:
        number = self.scroll_offset.y + event.y - 1
        if event.y < 1 or number >= len(self._keys):
            return
        if number == self.cursor:
            self.post_message(self.Chosen(self, self._keys[number]))
        self.cursor = number

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        widths = self._widths(width)
        if y == 0:
            heading = [Text(column.heading) for column in self._columns]
            return self._line(heading, widths, width, self.get_component_rich_style("long-table--heading"))
        number = self.scroll_offset.y + y - 1
        if number >= len(self._keys):
            return Strip.blank(width, self.rich_style)
        style = self.rich_style
        if number == self.cursor:
            style = self.get_component_rich_style("long-table--cursor")
        return self._line(self.cells(number), widths, width, style)

    def _widths(self, width: int) -> list[int]:
        spare = max(width - sum(column.width + _GAP for column in self._columns), 0)
        grow = sum(column.grow for column in self._columns)
        return [column.width + (spare * column.grow // grow if grow else 0) for column in self._columns]

    def _line(self, cells: Cells, widths: Sequence[int], width: int, style: Style) -> Strip:
        line = Text(" ")
        for cell, room in zip(cells, widths, strict=False):
            fitted = cell.copy()
            fitted.truncate(room, overflow="ellipsis", pad=True)
            line.append_text(fitted).append(" " * _GAP)
        return Strip(line.render(self.app.console)).adjust_cell_length(width, style).apply_style(style)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return len(self._keys) + 1
