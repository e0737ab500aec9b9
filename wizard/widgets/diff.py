"""A unified diff, its lines told apart by their sign first and by colour second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from wizard.plan.text import clean
from wizard.widgets.words import Words

LONGEST_LINE = 2000
MOST_LINES = 5000


class DiffView(VerticalScroll, inherit_bindings=False, can_focus=True):
    """Scrolls up and down only: left and right belong to the page."""

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
        self._text = Words()

    def compose(self) -> Iterable[Words]:
        yield self._text

    def show(self, diff: str) -> None:
        """Show a diff from its beginning; the two lines that name the files are left out."""
        lines = [line for line in diff.splitlines() if not line.startswith(("--- ", "+++ "))]
        more = len(lines) - MOST_LINES
        drawn = [_line(line) for line in lines[:MOST_LINES]]
        if more > 0:
            drawn.append(Text(f"… and {more} lines more"))
        self._text.update(Text("\n", overflow="fold").join(drawn))
        self.scroll_home(animate=False)


def _line(line: str) -> Text:
    sign = line[:1]
    style = {"+": "bold", "-": "dim", "@": "dim"}.get(sign, "")
    if sign == "@":
        return Text(clean(line, LONGEST_LINE), style)
    return Text(f"{sign} {clean(line[1:].expandtabs(4), LONGEST_LINE)}", style)
