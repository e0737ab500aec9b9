"""What is wrong with a screen as it is laid out: cut off, overlapping, scrolling sideways, too many keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path

from textual.geometry import Region
from textual.screen import Screen
from textual.scrollbar import ScrollBar
from textual.widget import Widget
from textual.widgets import DataTable, Footer, Input, Static, TextArea
from textual.widgets._footer import FooterKey

from tests.tui.driver import Driver

WIZARD = Path(__file__).parents[2] / "wizard"
MOST_KEYS = 5


def faults(driver: Driver, meant_cut: tuple[str, ...] = ()) -> list[str]:
    """A line for each thing that a person could not read; [] where all is well.

    `meant_cut`: beginnings of lines in which text may end in "…", since it is told in full elsewhere.
    """
    screen = driver.app.screen
    found = [*_outside(screen), *_overlapping(screen), *_sideways(screen), *_cut(screen), *_keys(screen)]
    return [*dict.fromkeys(found), *_ellipses(driver.text(), meant_cut)]


def _name(widget: Widget) -> str:
    return f"{type(widget).__name__}{f'#{widget.id}' if widget.id else ''}"


def _shown(screen: Screen[object]) -> Iterator[Widget]:
    for widget in screen.walk_children(Widget):
        if widget.is_on_screen and widget.visible and widget.region and not isinstance(widget, ScrollBar):
            yield widget


def _scrolls(widget: Widget) -> bool:
    """Whether what is below the widget's end can be scrolled to."""
    return any(
        isinstance(above, Widget) and above.allow_vertical_scroll and above.max_scroll_y > 0
        for above in widget.ancestors
    )


def _outside(screen: Screen[object]) -> Iterator[str]:
    everything = Region(0, 0, *screen.size)
    for widget in screen.walk_children(Widget):
        if not widget.display or isinstance(widget, ScrollBar) or any(not a.display for a in widget.ancestors):
            continue
        found = screen.find_widget(widget) if widget in screen._compositor.full_map else None
        if found is None or not found.region:
            continue
        region, clip = found.region, found.clip.intersection(everything)
        if region.x < clip.x or region.right > clip.right:
            yield f"{_name(widget)} is cut off at the side: {region} in {clip}"
        if (region.y < clip.y or region.bottom > clip.bottom) and not _scrolls(widget):
            yield f"{_name(widget)} is cut off at the top or bottom: {region} in {clip}"


def _overlapping(screen: Screen[object]) -> Iterator[str]:
    parents: dict[object, list[Widget]] = {}
    for widget in _shown(screen):
        parents.setdefault(widget.parent, []).append(widget)
    for siblings in parents.values():
        for one, other in combinations(siblings, 2):
            if one.layer == other.layer and one.region.intersection(other.region).area:
                yield f"{_name(one)} and {_name(other)} overlap: {one.region}, {other.region}"


def _sideways(screen: Screen[object]) -> Iterator[str]:
    for widget in (screen, *_shown(screen)):
        # A field's text may be longer than the field.
        if widget.is_scrollable and not isinstance(widget, Input | TextArea) and widget.max_scroll_x > 0:
            yield f"{_name(widget)} scrolls sideways by {widget.max_scroll_x}"


def _cut(screen: Screen[object]) -> Iterator[str]:
    for widget in _shown(screen):
        if isinstance(widget, DataTable):
            yield from _cut_cells(widget)
        elif isinstance(widget, Static):
            width, height = widget.content_size
            needed = widget.get_content_height(screen.size, screen.size, width)
            if needed > height and not _scrolls(widget) and width:
                yield f"{_name(widget)} has {needed} lines and room for {height}"


def _cut_cells(table: DataTable[object]) -> Iterator[str]:
    for column in table.ordered_columns:
        for row in table.ordered_rows[: table.size.height]:
            cell = table.get_cell(row.key, column.key)
            length = getattr(cell, "cell_len", len(str(cell)))
            if length > column.get_render_width(table) - 2 * table.cell_padding:
                yield f"{_name(table)}, column {column.label.plain!r}: {str(cell)!r} is cut off"


def _keys(screen: Screen[object]) -> Iterator[str]:
    for footer in screen.query(Footer):
        keys = [key for key in footer.query(FooterKey) if key.display and key.region]
        if len(keys) > MOST_KEYS:
            yield f"{len(keys)} keys in the footer: {', '.join(key.description for key in keys)}"


@cache
def _waiting_words() -> frozenset[str]:
    """The words that the wizard itself puts before a "…", as in "Working…"."""
    sources = "\n".join(file.read_text() for file in WIZARD.rglob("*.py"))
    return frozenset(re.findall(r"(\S+)…", sources))


def _ellipses(text: str, meant: tuple[str, ...]) -> Iterator[str]:
    for line in text.splitlines():
        for word in re.findall(r"(\S+)…", line):
            known = any(word.endswith(own) for own in _waiting_words())
            if not known and not line.strip(" │").startswith(meant or ("\0",)):
                yield f"cut off with …: {line.strip()}"
