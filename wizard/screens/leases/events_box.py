"""The events box, newest first: as high as its lines, up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.text import Text

from wizard.plan.text import clean
from wizard.widgets.virtual_table import Column, VirtualRowTable

if TYPE_CHECKING:
    from wizard.monitor.machine_events import MachineEvent

MOST_LINES = 5
_LOUD = ("alarm", "refused")
# What stands before the words: the time, and a sign where it is bad news.
_HEAD = 12
# The box, its padding and the scroll bar.
_FRAME = 6


class EventsBox(VirtualRowTable[Text]):
    """One row a line, since an event may take several."""

    DEFAULT_CSS = """
    EventsBox { padding: 0 1; border: round $primary; height: 3; }
    EventsBox:focus { border: round $accent; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__((Column("", 1),), lambda line: (line,), id=id, headed=False)
        self._shown_for: tuple[Sequence[MachineEvent], int] | None = None
        self._lines: dict[MachineEvent, list[Text]] = {}

    def on_mount(self) -> None:
        self.border_title = "events, newest first"

    def show_events(self, events: Sequence[MachineEvent], page_width: int) -> None:
        """Show these, the oldest first; costs nothing where they are the very ones that are shown."""
        width = max(page_width - _FRAME, 40)
        if self._shown_for is not None and self._shown_for[0] is events and self._shown_for[1] == width:
            return
        known = self._lines if self._shown_for is not None and self._shown_for[1] == width else {}
        self._shown_for, self._lines = (events, width), {}
        lines: list[Text] = []
        for event in reversed(events):
            self._lines[event] = known[event] if event in known else event_lines(event, width)
            lines += self._lines[event]
        self.set_columns((Column("", width),))
        self.show(lines or [Text("No events since this page was opened.", "dim")])
        self.styles.height = min(max(len(lines), 1), MOST_LINES) + 2


def event_lines(event: MachineEvent, width: int) -> list[Text]:
    """An event in lines of at most `width`, broken between words: nothing of it is cut."""
    who = clean(event.name or event.mac, 40)
    sign = "!" if event.kind in _LOUD else " "
    lines = [Text(line) for line in wrap(f"{who}  {clean(event.words, 400)}", max(width - _HEAD, 20))]
    lines[0].stylize("bold", 0, len(who))
    heads = [f"{event.at.astimezone():%H:%M:%S}  {sign} ", *[" " * _HEAD] * (len(lines) - 1)]
    return [Text(head).append_text(line) for head, line in zip(heads, lines, strict=True)]
