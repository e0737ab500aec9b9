"""A table of as many rows as you like: only those in sight are ever looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Column:
    heading: str
    width: int
    right: bool = False


class BigTable(ScrollView, Generic[RowT], can_focus=True):
    """`cells` makes a row's cells, as many as there are columns. `current` is the row with the cursor."""

    DEFAULT_CSS = """
    BigTable { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; background: $background; padding: 0 1; }
    BigTable > .big-table--heading { text-style: bold; color: $foreground; background: $panel; }
    BigTable > .big-table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    BigTable > .big-table--resting { background: $surface; }
    BigTable:nocolor > .big-table--cursor, BigTable:ansi > .big-table--cursor { text-style: reverse; }
    BigTable:nocolor > .big-table--resting, BigTable:ansi > .big-table--resting { text-style: reverse; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"big-table--heading", "big-table--cursor", "big-table--resting"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "turn(-1)", "page up", show=False),
        Binding("pagedown", "turn(1)", "page down", show=False),
        Binding("home", "end(-1)", "top", show=False),
        Binding("end", "end(1)", "bottom", show=False),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on another row, or its row says something else; `by_hand`: somebody has moved it."""

        by_hand: bool = False

    def __init__(
        self,
        columns: Sequence[Column],
        cells: Callable[[RowT], Sequence[Text]],
        id: str | None = None,  # noqa: A002
        headed: bool = True,
    ) -> None:
        super().__init__(id=id)
        self._top = int(headed)
        self._columns = columns
        self.cells = cells
        self._rows: Sequence[RowT] = ()
        self._cursor = 0

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def current(self) -> RowT | None:
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    @property
    def columns(self) -> Sequence[Column]:
        return self._columns

    def set_columns(self, columns: Sequence[Column]) -> None:
        if columns != self._columns:
            self._columns = columns
            self.refresh()

    def show(self, rows: Sequence[RowT], cursor: int | None = None) -> None:
        """Show these rows; the cursor goes to `cursor`, or stays where it is."""
        self._rows = rows
        size = Size(0, len(rows) + self._top)
        if size != self.virtual_size:
            self.virtual_size = size
        before = self._cursor
        self._cursor = max(0, min(before if cursor is None else cursor, len(rows) - 1))
        if self._cursor != before:
            # A row that went elsewhere takes the window along, so that it stays under the eyes.
            self.scroll_to(y=max(0, self.scroll_offset.y + self._cursor - before), animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y < self._top:
            heading = self.get_component_rich_style("big-table--heading")
            return self._line([Text(column.heading) for column in self._columns], width, heading)
        place = self.scroll_offset.y + y - self._top
        if place >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        name = "cursor" if self.has_focus else "resting"
        style = self.get_component_rich_style(f"big-table--{name}") if place == self._cursor else self.rich_style
        return self._line(self.cells(self._rows[place]), width, style)

    def _line(self, cells: Sequence[Text], width: int, style: Style) -> Strip:
        line = Text(end="")
        for column, cell in zip(self._columns, cells, strict=True):
            shown = cell.copy()
            shown.truncate(column.width, overflow="ellipsis")
            shown.align("right" if column.right else "left", column.width)
            line.append_text(shown).append(" ")
        strip = Strip(line.render(self.app.console)).apply_style(style)
        return strip.adjust_cell_length(width, style)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: Click) -> None:
        place = self.scroll_offset.y + event.y - self._top
        if event.y >= self._top and place < len(self._rows):
            self.point_at(place)

    def point_at(self, place: int) -> None:
        """Put the cursor on a row and bring it into sight."""
        if not self._rows:
            return
        self._cursor = max(0, min(place, len(self._rows) - 1))
        above, room = self.scroll_offset.y, self._room
        if self._cursor < above:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif self._cursor >= above + room:
            self.scroll_to(y=self._cursor - room + 1, animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved(by_hand=True))

    @property
    def _room(self) -> int:
        return max(self.scrollable_content_region.height - self._top, 1)

    def action_move(self, by: int) -> None:
        self.point_at(self._cursor + by)

    def action_turn(self, by: int) -> None:
        self.point_at(self._cursor + by * self._room)

    def action_end(self, side: int) -> None:
        self.point_at(0 if side < 0 else len(self._rows) - 1)
