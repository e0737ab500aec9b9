"""The steps of a change as they go by."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.containers import VerticalScroll

from wizard.progress import Progress, StepState
from wizard.widgets.words import Words

_SIGNS = {"waiting": "·", "running": "▶", "done": "✓", "skipped": "–", "failed": "✗", "undone": "↩"}
_TITLE = 22
_TIME = 9
_LEAST_DETAIL = 20


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
    """Sign, title, detail, and at the right the time it took or its state in a word."""
    sign = _SIGNS.get(step.state, "?")
    loud = "bold" if step.state in ("running", "failed") else "dim" if step.state == "waiting" else ""
    took = "" if step.took_s is None else f"{step.took_s:.1f} s"
    last = took if step.state == "done" else "" if step.state == "waiting" else step.state
    text = Text.assemble((f" {sign} ", loud))
    title = Text(step.title or step.name, loud)
    title.truncate(_TITLE, overflow="ellipsis", pad=True)
    text.append_text(title).append(" ")
    room = max(width - _TITLE - _TIME - 5, _LEAST_DETAIL)
    detail = Text(step.detail)
    detail.truncate(room, overflow="ellipsis", pad=True)
    return text.append_text(detail).append(last.rjust(_TIME), loud)
