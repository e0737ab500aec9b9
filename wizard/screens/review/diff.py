"""Many lines to scroll through; a unified diff, its lines told apart by their sign first and by colour second."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from wizard.plan.text import clean

LONGEST_LINE = 2000


class LinesView(ScrollView, inherit_bindings=False, can_focus=True):
    """Scrolls up and down only: left and right belong to the page. Only the rows in sight are made."""

    DEFAULT_CSS = """
    LinesView { overflow-x: hidden; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "up", show=False),
        Binding("down", "scroll_down", "down", show=False),
        Binding("pageup", "page_up", "page up", show=False),
        Binding("pagedown", "page_down", "page down", show=False),
        Binding("home", "scroll_home", "top", show=False),
        Binding("end", "scroll_end", "bottom", show=False),
    ]

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines: Sequence[tuple[Text, str]] = ()
        self._rows: list[tuple[Text, str]] = []
        self._folded_at = 0

    def show_lines(self, lines: Sequence[Text], kinds: Sequence[str] = ()) -> None:
        """Show these from the first one on. What is longer than a row goes on in the next.

        `kinds` are names of component classes, "" for none: colours are looked up when they are drawn, as the theme
        may have changed by then.
        """
        self._lines, self._folded_at = list(zip(lines, kinds or repeat(""), strict=False)), 0
        self._fold()
        self.scroll_home(animate=False)
        self.refresh()

    def on_resize(self) -> None:
        self._fold()

    def _fold(self) -> None:
        # The bar may come only with the lines.
        width = self.size.width - self.styles.scrollbar_size_vertical
        if width <= 0 or width == self._folded_at:
            return
        self._folded_at = width
        self._rows = [(row, kind) for line, kind in self._lines for row in self._folded(line, width)]
        self.virtual_size = Size(width, len(self._rows))

    def _folded(self, line: Text, width: int) -> Sequence[Text]:
        return (line,) if line.cell_len <= width else list(line.wrap(self.app.console, width, overflow="fold"))

    def render_line(self, y: int) -> Strip:
        number, width = self.scroll_offset.y + y, self.size.width
        if number >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        # A Text's own style is drawn only where it is part of another.
        text, kind = self._rows[number]
        row = Strip(Text.assemble(text).render(self.app.console))
        style = self.get_component_rich_style(kind) if kind else self.rich_style
        return row.adjust_cell_length(width, self.rich_style).apply_style(style)


class DiffView(LinesView):
    """A diff."""

    DEFAULT_CSS = """
    DiffView > .diff--comes { color: $text-success; text-style: bold; }
    DiffView > .diff--goes { color: $text-error; }
    DiffView > .diff--place { text-style: dim; }
    DiffView:nocolor > .diff--goes, DiffView:ansi > .diff--goes { text-style: dim; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"diff--comes", "diff--goes", "diff--place"}
    _KINDS: ClassVar[dict[str, str]] = {"+": "diff--comes", "-": "diff--goes", "@": "diff--place"}

    def show(self, diff: str) -> None:
        """Show a diff from its beginning; the two lines that name the files are left out."""
        lines, kinds = [], []
        for line in diff.splitlines():
            if line.startswith(("--- ", "+++ ")):
                continue
            sign = line[:1]
            rest = line if sign == "@" else f"{sign} {line[1:].expandtabs(4)}"
            lines.append(Text(clean(rest, LONGEST_LINE)))
            kinds.append(self._KINDS.get(sign, ""))
        self.show_lines(lines, kinds)
