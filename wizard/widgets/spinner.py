"""A moving sign for waits."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import reactive

from wizard.widgets.plain_text import PlainText

_SIGNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_EVERY_S = 0.1


class Spinner(PlainText):
    """A turning sign and what is being waited for. It turns while it is displayed."""

    turn: reactive[int] = reactive(0)

    def __init__(self, what: str, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._what = what

    def on_mount(self) -> None:
        self.set_interval(_EVERY_S, self.step)

    def set_text(self, what: str) -> None:
        if what != self._what:
            self._what = what
            self.refresh(layout=True)

    def step(self) -> None:
        if self.display and self.screen.is_current:
            self.turn += 1

    def render(self) -> Text:
        return Text(f"{_SIGNS[self.turn % len(_SIGNS)]} {self._what}")
