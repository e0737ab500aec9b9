"""The steps of a change as they go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath
from types import MappingProxyType

from rich.console import Console
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import RichLog

from wizard.plan.text import clean
from wizard.services.progress import Progress, StepState, step_words
from wizard.widgets.plain_text import PlainText

_SIGNS = {"waiting": "·", "running": "▶", "done": "✓", "skipped": "–", "failed": "✗", "undone": "↩"}
_LEAST_NAME, _NARROW_NAME, _MOST_NAME = 10, 26, 34
_TIME = 9
_LEAST_ABOUT = 20
_WIDE = 120
_MOST_ROWS = 6
# So few steps have room in full on the smallest terminal too.
_FEW = 3
_TURNING = "◐◓◑◒"
_PROBE_S = 12
_PROBE_BAR = 16
_MOST_COMMANDS = 3
_NONE: Mapping[str, Sequence[str]] = MappingProxyType({})
_FITTER = Console(width=_WIDE, color_system=None)


class StepsView(VerticalScroll, can_focus=False):
    """Follows the step that is running."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._text = PlainText()
        self._shown: tuple[Progress, datetime | None, Mapping[str, Sequence[str]]] | None = None

    def compose(self) -> Iterable[PlainText]:
        yield self._text

    def on_resize(self) -> None:
        """What was hidden, or gets a scroll bar, has another width than it was drawn for."""
        if self._shown is not None:
            self.show(*self._shown)

    def show(self, progress: Progress, now: datetime | None = None, runs: Mapping[str, Sequence[str]] = _NONE) -> None:
        """`now` is for the time that a step has been running; `runs` says what each does, by name."""
        self._shown = progress, now, runs
        width = max((self.size.width or 80) - 2, 40)
        most = _MOST_NAME if width >= _WIDE - 4 else _NARROW_NAME
        names = [step_name(step, most) for step in progress.steps]
        column = min(max([_LEAST_NAME, *(Text(name).cell_len for name in names)]), most)
        blocks = []
        for step, name in zip(progress.steps, names, strict=True):
            does = runs.get(step.name, ())
            # Once it has ended nothing is to come any more.
            shown = step if progress.result else _foreseen(step, does)
            whole = len(progress.steps) <= _FEW
            blocks.append([*step_lines(shown, name, column, width, now, whole), *_run_lines(step, does, column, width)])
        self._text.update(Text("\n").join(line for block in blocks for line in block))
        running = next((i for i, step in enumerate(progress.steps) if step.state == "running"), None)
        if running is not None:
            bottom = sum(len(block) for block in blocks[: running + 1])
            self.scroll_to(y=max(bottom - self.size.height + 1, 0), animate=False)


class EventsView(RichLog, can_focus=True):
    """Every step with all that was said of it."""

    DEFAULT_CSS = "EventsView { overflow-x: hidden; }"

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, wrap=True, markup=False, highlight=False, auto_scroll=False, min_width=40)
        self._written: dict[str, StepState] = {}

    def follow(self, progress: Progress, runs: Mapping[str, Sequence[str]] = _NONE) -> None:
        """Write down what is new. `runs` says what each step does, by name."""
        for step in progress.steps:
            old = self._written.get(step.name)
            if step.state == "waiting" or (old is not None and (old.state, old.detail) == (step.state, step.detail)):
                continue
            self._written[step.name] = step
            at = step.began.astimezone().strftime("%H:%M:%S ") if step.began else ""
            took = "" if step.took_s is None else f" after {step.took_s:.1f} s"
            self.write(Text.assemble((f"{at}{step_name(step)}: {clean(step.state, 20)}{took}", "bold")))
            for line in step.detail.splitlines() if step.detail != step.title else ():
                self.write(Text(f"  {line}"))
            if step.state == "running":
                for line in runs.get(step.name, ()):
                    self.write(Text(f"    {clean(line, 400)}", "dim"))


def step_name(step: StepState, most: int = _MOST_NAME) -> str:
    """What a person calls a step, cut where it is the path of a file."""
    return _path(step_words(step.name, step.title), most)


def _path(path: str, most: int) -> str:
    """A file's name in full, and as much of its directory as there is room for."""
    if len(path) <= most or "/" not in path:
        return path
    name = PurePosixPath(path).name
    room = most - len(name) - 1
    return f"…{path[: -len(name)][-room:]}{name}" if room > 1 else name


def step_lines(
    step: StepState, name: str, column: int, width: int, now: datetime | None = None, whole: bool = False
) -> list[Text]:
    """Sign, name, what it is about, and at the right the time it took or its state in a word.

    What is going on, what failed, and what the wires said is told in full, in further lines; with `whole` all is.
    """
    sign = _SIGNS.get(step.state, "?")
    loud = "bold" if step.state in ("running", "failed") else "dim" if step.state == "waiting" else ""
    took = "" if step.took_s is None else f"{step.took_s:.1f} s"
    last = took if step.state == "done" else "" if step.state == "waiting" else step.state
    runs_for = None
    if step.state == "running" and step.began is not None and now is not None:
        runs_for = max((now - step.began).total_seconds(), 0.0)
        sign, last = _TURNING[int(runs_for * 2) % len(_TURNING)], f"{runs_for:.0f} s"
    title, colon, what = step.title.partition(": ")
    # What came of it says more than what it was to be; but which file it was stays.
    about = (step.detail if step.detail not in (step.title, title) else "") or what
    if colon and what.startswith("/") and about != what:
        about = f"{what} · {about}"
    if runs_for is not None and step.name.startswith("wires") and not about:
        about = f"{_probe_bar(runs_for)} listening"
    room = max(width - column - _TIME - 4, _LEAST_ABOUT)
    full = whole or width >= _WIDE - 4 or step.state in ("running", "failed") or step.name.startswith("wires")
    rows = _rows(about, room)
    if not full and len(rows) > 1:
        rows = [" ".join(about.split())]
    first, more = rows[0] if rows else "", rows[1:_MOST_ROWS]
    lines = [
        Text.assemble(
            (f" {sign} ", loud),
            _fitted(name, column, loud),
            " ",
            _fitted(first, room, "dim" if step.state == "waiting" else ""),
            (last.rjust(_TIME), loud),
        )
    ]
    return [*lines, *(Text.assemble(" " * (column + 4), row) for row in more)]


def _probe_bar(seconds: float) -> str:
    """How far the listening is: it ends at the first answer that matters, or when there was time for one."""
    full = min(int(seconds / _PROBE_S * _PROBE_BAR), _PROBE_BAR)
    return "█" * full + "░" * (_PROBE_BAR - full)


def _foreseen(step: StepState, does: Sequence[str]) -> StepState:
    """A step that is to come, with its first command in the place of what came of it."""
    command = next((line for line in does if line.startswith("$ ")), None)
    return replace(step, detail=clean(command)) if step.state == "waiting" and command is not None else step


def _run_lines(step: StepState, does: Sequence[str], column: int, width: int) -> list[Text]:
    """The commands of a step that is running or has failed."""
    if step.state not in ("running", "failed"):
        return []
    commands = [line for line in does if line.startswith("$ ")][:_MOST_COMMANDS]
    room = width - column - 4
    return [Text.assemble(" " * (column + 4), _fitted(clean(line), room, "dim")) for line in commands]


def _rows(about: str, room: int) -> list[str]:
    lines = [line for line in about.splitlines() if line.strip()]
    return [row.plain.rstrip() for line in lines for row in Text(line).wrap(_FITTER, room)]


def _fitted(words: str, width: int, style: str = "") -> Text:
    text = Text(words, style)
    text.truncate(width, overflow="ellipsis", pad=True)
    return text
