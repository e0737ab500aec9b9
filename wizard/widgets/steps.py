"""The steps of a change as they go by."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from rich.console import Console
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import RichLog

from wizard.plan.text import clean
from wizard.progress import Progress, StepState
from wizard.widgets.words import Words

_SIGNS = {"waiting": "·", "running": "▶", "done": "✓", "skipped": "–", "failed": "✗", "undone": "↩"}
_LEAST_NAME, _MOST_NAME = 10, 34
_TIME = 9
_LEAST_ABOUT = 20
_WIDE = 120
_MOST_ROWS = 6
_WORDS = {"gateway": "dnsmasq and guard", "service": "start at boot", "keep": "your answer"}
_KINDS = {"wires": "the link of ", "address": "address on "}
_FITTER = Console(width=_WIDE, color_system=None)


class StepsView(VerticalScroll, can_focus=False):
    """Follows the step that is running."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._text = Words()

    def compose(self) -> Iterable[Words]:
        yield self._text

    def show(self, progress: Progress) -> None:
        width = max((self.size.width or 80) - 2, 40)
        names = [step_name(step) for step in progress.steps]
        column = min(max([_LEAST_NAME, *(Text(name).cell_len for name in names)]), _MOST_NAME)
        blocks = [step_lines(step, name, column, width) for step, name in zip(progress.steps, names, strict=True)]
        self._text.update(Text("\n").join(line for block in blocks for line in block))
        running = next((i for i, step in enumerate(progress.steps) if step.state == "running"), None)
        if running is not None:
            bottom = sum(len(block) for block in blocks[: running + 1])
            self.scroll_to(y=max(bottom - self.size.height + 1, 0), animate=False)


class EventsView(RichLog, can_focus=True):
    """Every step with all that was said of it."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, wrap=True, markup=False, highlight=False, auto_scroll=False)
        self._told: dict[str, StepState] = {}

    def follow(self, progress: Progress) -> None:
        """Write down what is new."""
        for step in progress.steps:
            old = self._told.get(step.name)
            if step.state == "waiting" or (old is not None and (old.state, old.detail) == (step.state, step.detail)):
                continue
            self._told[step.name] = step
            at = step.began.astimezone().strftime("%H:%M:%S ") if step.began else ""
            took = "" if step.took_s is None else f" after {step.took_s:.1f} s"
            self.write(Text.assemble((f"{at}{step_name(step)}: {clean(step.state, 20)}{took}", "bold")))
            for line in step.detail.splitlines():
                self.write(Text(f"  {line}"))


def step_name(step: StepState) -> str:
    """What a person calls a step: its title, or where nobody announced it, its name put into words."""
    if step.title and step.title != step.name:
        # Titles are "name" or "name: what it does".
        return step.title.partition(": ")[0]
    kind, colon, what = step.name.partition(":")
    if kind == "file" and colon:
        return _path(what)
    if kind in _KINDS and colon:
        return _KINDS[kind] + what
    return _WORDS.get(step.name, _path(step.name))


def _path(path: str) -> str:
    """A file's name in full, and as much of its directory as there is room for."""
    if len(path) <= _MOST_NAME or "/" not in path:
        return path
    name = PurePosixPath(path).name
    room = _MOST_NAME - len(name) - 1
    return f"…{path[: -len(name)][-room:]}{name}" if room > 1 else name


def step_lines(step: StepState, name: str, column: int, width: int) -> list[Text]:
    """Sign, name, what it is about, and at the right the time it took or its state in a word.

    What is going on, what failed, and what the wires said is told in full, in further lines.
    """
    sign = _SIGNS.get(step.state, "?")
    loud = "bold" if step.state in ("running", "failed") else "dim" if step.state == "waiting" else ""
    took = "" if step.took_s is None else f"{step.took_s:.1f} s"
    last = took if step.state == "done" else "" if step.state == "waiting" else step.state
    title, colon, what = step.title.partition(": ")
    # What came of it says more than what it was to be; but which file it was stays.
    about = (step.detail if step.detail not in (step.title, title) else "") or what
    if colon and what.startswith("/") and about != what:
        about = f"{what} · {about}"
    room = max(width - column - _TIME - 4, _LEAST_ABOUT)
    full = width >= _WIDE - 4 or step.state in ("running", "failed") or step.name.startswith("wires")
    rows = _rows(about, room)
    if not full and len(rows) > 1:
        rows = [" ".join(about.split())]
    first, more = rows[0] if rows else "", rows[1:_MOST_ROWS]
    lines = [
        Text.assemble(
            (f" {sign} ", loud), _fitted(name, column, loud), " ", _fitted(first, room), (last.rjust(_TIME), loud)
        )
    ]
    return [*lines, *(Text.assemble(" " * (column + 4), row) for row in more)]


def _rows(about: str, room: int) -> list[str]:
    lines = [line for line in about.splitlines() if line.strip()]
    return [row.plain.rstrip() for line in lines for row in Text(line).wrap(_FITTER, room)]


def _fitted(words: str, width: int, style: str = "") -> Text:
    text = Text(words, style)
    text.truncate(width, overflow="ellipsis", pad=True)
    return text
