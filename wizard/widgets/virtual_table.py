"""Tables of any length that make only the rows in sight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

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
RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Column:
    """`width` in cells at least; spare width goes to the columns in proportion to `grow`."""

    heading: str
    width: int
    grow: int = 0
    right: bool = False


class VirtualTable(ScrollView, inherit_bindings=False, can_focus=True):
    """A heading and rows, drawn as they come into sight; one row has the cursor. Enter is left to the page.

    Subclasses say what a row is. `cells_at` makes the cells of one, as many as there are columns.
    """

    DEFAULT_CSS = """
    VirtualTable { overflow-x: hidden; background: $background; }
    VirtualTable > .virtual-table--heading { text-style: bold; color: $foreground; background: $panel; }
    VirtualTable > .virtual-table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    VirtualTable:nocolor > .virtual-table--cursor, VirtualTable:ansi > .virtual-table--cursor { text-style: reverse; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "virtual-table--heading",
        "virtual-table--cursor",
        "virtual-table--resting",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "move_to_end(-1)", "top", show=False),
        Binding("end", "move_to_end(1)", "bottom", show=False),
    ]
    INDENT: ClassVar[int] = 0
    """Blank cells before the first column."""
    GAP: ClassVar[int] = 1
    """Blank cells after each column."""
    PAGE_OVERLAP: ClassVar[int] = 0
    """Rows of the page before that a page shows again."""

    def __init__(self, columns: Sequence[Column], id: str | None = None, headed: bool = True) -> None:  # noqa: A002
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._top = int(headed)

    @property
    def row_count(self) -> int:
        raise NotImplementedError

    @property
    def cursor_row(self) -> int:
        """The number of the row with the cursor."""
        raise NotImplementedError

    def cells_at(self, number: int) -> Cells:
        raise NotImplementedError

    def move_to(self, number: int) -> None:
        """Move the cursor to row `number`, or to the end that this is beyond."""
        raise NotImplementedError

    @property
    def columns(self) -> Sequence[Column]:
        return self._columns

    def set_columns(self, columns: Sequence[Column]) -> None:
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self.refresh()

    def row_at(self, y: int) -> int | None:
        """The number of the row in line `y` of the widget; None where there is none."""
        number = self.scroll_offset.y + y - self._top
        return number if y >= self._top and number < self.row_count else None

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y < self._top:
            heading = self.get_component_rich_style("virtual-table--heading")
            return self._line([Text(column.heading) for column in self._columns], width, heading)
        number = self.row_at(y)
        if number is None:
            return Strip.blank(width, self.rich_style)
        style = self.rich_style
        if number == self.cursor_row:
            style = self.get_component_rich_style(f"virtual-table--{'cursor' if self.has_focus else 'resting'}")
        return self._line(self.cells_at(number), width, style)

    def _line(self, cells: Cells, width: int, style: Style) -> Strip:
        line = Text(" " * self.INDENT, end="")
        for column, room, cell in zip(self._columns, self._widths(width), cells, strict=True):
            shown = cell.copy()
            shown.truncate(room, overflow="ellipsis")
            shown.align("right" if column.right else "left", room)
            line.append_text(shown).append(" " * self.GAP)
        strip = Strip(line.render(self.app.console)).apply_style(style)
        return strip.adjust_cell_length(width, style)

    def _widths(self, width: int) -> list[int]:
        spare = max(width - sum(column.width + self.GAP for column in self._columns), 0)
        grow = sum(column.grow for column in self._columns)
        return [column.width + (spare * column.grow // grow if grow else 0) for column in self._columns]

    @property
    def rows_in_sight(self) -> int:
        return max(self.scrollable_content_region.height - self._top, 1)

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor_row + by)

    def action_page(self, way: int) -> None:
        self.move_to(self.cursor_row + way * max(self.rows_in_sight - self.PAGE_OVERLAP, 1))

    def action_move_to_end(self, way: int) -> None:
        self.move_to(0 if way < 0 else self.row_count - 1)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()


class VirtualRowTable(VirtualTable, Generic[RowT]):
    """Rows are values; `cells` makes those of one. The cursor stays at its place: the caller says where it goes."""

    DEFAULT_CSS = """
    VirtualRowTable { height: 1fr; scrollbar-size-vertical: 1; padding: 0 1; }
    VirtualRowTable > .virtual-table--resting { background: $surface; }
    VirtualRowTable:nocolor > .virtual-table--resting { text-style: reverse; }
    VirtualRowTable:ansi > .virtual-table--resting { text-style: reverse; }
    """

    @dataclass
    class RowHighlighted(Message):
        """The cursor is on another row, or its row has other values; `by_hand`: a person moved it."""

        by_hand: bool = False

    def __init__(
        self,
        columns: Sequence[Column],
        cells: Callable[[RowT], Cells],
        id: str | None = None,  # noqa: A002
        headed: bool = True,
    ) -> None:
        super().__init__(columns, id, headed)
        self.cells = cells
        self._rows: Sequence[RowT] = ()
        self._cursor = 0

    @property
    def row_count(self) -> int:
        return len(self._rows)

    @property
    def cursor_row(self) -> int:
        return self._cursor

    @property
    def current(self) -> RowT | None:
        """The row with the cursor."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    def cells_at(self, number: int) -> Cells:
        return self.cells(self._rows[number])

    def show(self, rows: Sequence[RowT], cursor: int | None = None) -> None:
        """Show these rows; the cursor goes to `cursor`, or stays where it is."""
        self._rows = rows
        size = Size(0, len(rows) + self._top)
        if size != self.virtual_size:
            self.virtual_size = size
        before = self._cursor
        self._cursor = max(0, min(before if cursor is None else cursor, len(rows) - 1))
        if self._cursor != before:
            # Scroll with a row that went elsewhere, so that it stays at its height on the screen.
            self.scroll_to(y=max(0, self.scroll_offset.y + self._cursor - before), animate=False, force=True)
        self.refresh()
        self.post_message(self.RowHighlighted())

    def move_to(self, number: int) -> None:
        if not self._rows:
            return
        self._cursor = max(0, min(number, len(self._rows) - 1))
        above, room = self.scroll_offset.y, self.rows_in_sight
        if self._cursor < above:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif self._cursor >= above + room:
            self.scroll_to(y=self._cursor - room + 1, animate=False, force=True)
        self.refresh()
        self.post_message(self.RowHighlighted(by_hand=True))

    def on_click(self, event: events.Click) -> None:
        number = self.row_at(event.y)
        if number is not None:
            self.move_to(number)


class VirtualKeyedTable(VirtualTable):
    """Rows are known by keys, and the cursor follows its key. `cells` makes those of row `number`."""

    DEFAULT_CSS = """
    VirtualKeyedTable { height: auto; max-height: 1fr; }
    VirtualKeyedTable > .virtual-table--resting { background: $surface-lighten-1; }
    """
    INDENT = 1
    GAP = 2
    PAGE_OVERLAP = 1

    @dataclass
    class Chosen(Message):
        """The row with the cursor was clicked again."""

        table: VirtualKeyedTable
        key: str

    @dataclass
    class KeyHighlighted(Message):
        """The cursor is on another row."""

        table: VirtualKeyedTable

    cursor: reactive[int] = reactive(0)

    def __init__(self, columns: Sequence[Column], id: str | None = None) -> None:  # noqa: A002
        super().__init__(columns, id)
        self._keys: list[str] = []
        self.cells: Callable[[int], Cells] = lambda _: ()

    @property
    def row_count(self) -> int:
        return len(self._keys)

    @property
    def cursor_row(self) -> int:
        return self.cursor

    @property
    def current(self) -> str | None:
        """The key of the row with the cursor."""
        return self._keys[self.cursor] if self.cursor < len(self._keys) else None

    def cells_at(self, number: int) -> Cells:
        return self.cells(number)

    def show(self, keys: Sequence[str], cells: Callable[[int], Cells]) -> None:
        """Show these rows from now on; the cursor stays on its row, or near its place."""
        current = self.current
        self._keys, self.cells = list(keys), cells
        if current is not None and self.current != current and current in self._keys:
            self.cursor = self._keys.index(current)
        self.cursor = max(min(self.cursor, len(self._keys) - 1), 0)
        size = Size(0, len(self._keys) + self._top)
        if size != self.virtual_size:
            self.virtual_size = size
            self.refresh(layout=True)
            self.call_after_refresh(self._scroll_to_cursor)
        else:
            self.refresh()

    def point_at(self, key: str) -> None:
        """Move the cursor to the row with that key, if there is one."""
        if key in self._keys:
            self.cursor = self._keys.index(key)

    def move_to(self, number: int) -> None:
        self.cursor = max(min(number, len(self._keys) - 1), 0)

    def watch_cursor(self) -> None:
        self._scroll_to_cursor()
        self.refresh()
        self.post_message(self.KeyHighlighted(self))

    def on_resize(self) -> None:
        self._scroll_to_cursor()

    def _scroll_to_cursor(self) -> None:
        # The heading takes the first line of what is in sight, wherever that is.
        rows = max(self.size.height - self._top, 1)
        top = self.scroll_offset.y
        wanted = min(max(top, self.cursor - rows + 1), self.cursor)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False)

    def on_click(self, event: events.Click) -> None:
        number = self.row_at(event.y)
        if number is None:
            return
        if number == self.cursor:
            self.post_message(self.Chosen(self, self._keys[number]))
        self.cursor = number

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return len(self._keys) + self._top
