"""The steps of a change as they go by."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.containers import VerticalScroll

from wizard.progress import Progress, StepState
from wizard.widgets.words import Words

_SIGNS = {"waiting": "·", "running": "▶", "done": "✓", "skipped": "–", "failed": "✗", "undone": "↩"}
_NAME = 17
_TIME = 9
_LEAST_ABOUT = 20


class StepsView(VerticalScroll, can_focus=False):
    """Follows the step that is running."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._text = Words()

    def compose(self) -> Iterable[Words]:
        yield self._text

    def show(self, progress: Progress) -> None:
        width = max((self.size.width or 80) - 2, 40)
        self._text.update(Text("\n").join(step_line(step, width) for step in progress.steps))
        running = next((i for i, step in enumerate(progress.steps) if step.state == "running"), None)
        if running is not None:
            self.scroll_to(y=max(running - max(self.size.height - 2, 0), 0), animate=False)


def step_line(step: StepState, width: int) -> Text:
    """Sign, name, what it is about, and at the right the time it took or its state in a word."""
    sign = _SIGNS.get(step.state, "?")
    loud = "bold" if step.state in ("running", "failed") else "dim" if step.state == "waiting" else ""
    took = "" if step.took_s is None else f"{step.took_s:.1f} s"
    last = took if step.state == "done" else "" if step.state == "waiting" else step.state
    # Titles are "name: what it does".
    name, colon, what = (step.title or step.name).partition(": ")
    # Untold by title, a file's step has its path for a name.
    name = name.rpartition("/")[2] or name
    told = step.detail if step.detail != step.title else ""
    # What came of it says more than what it was to be; but which file it was stays.
    about = told or what
    if colon and what.startswith("/") and told:
        about = f"{what} · {told}"
    room = max(width - _NAME - _TIME - 4, _LEAST_ABOUT)
    return Text.assemble(
        (f" {sign} ", loud), _fitted(name, _NAME, loud), " ", _fitted(about, room), (last.rjust(_TIME), loud)
    )


def _fitted(words: str, width: int, style: str = "") -> Text:
    text = Text(words, style)
    text.truncate(width, overflow="ellipsis", pad=True)
    return text
