"""One of several words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message

from wizard.plan.text import clean
from wizard.widgets.plain_text import PlainText

_ROOM = 56
"""Cells that the words may take beside each other; else one is shown at a time."""


class Choice(PlainText, can_focus=True):
    """The chosen word is told by a sign. Right, Space and left choose another; Enter goes on, as in a field."""

    DEFAULT_CSS = """
    Choice { height: 1; width: 1fr; text-wrap: nowrap; }
    Choice:focus { text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "choose(1)", "next", show=False),
        Binding("left", "choose(-1)", "the one before", show=False),
        Binding("enter", "submit", "go on", show=False),
    ]

    @dataclass
    class Changed(Message):
        choice: Choice

    class Accepted(Message):
        """Enter was pressed on it."""

    def __init__(self, words: Sequence[str], chosen: int = 0, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._words = tuple(clean(word, 63) for word in words)
        self._at = chosen
        self._draw()

    @property
    def number(self) -> int:
        """Which word is chosen, from 0."""
        return self._at

    def _draw(self) -> None:
        words = "  ".join(f"({'x' if n == self._at else ' '}) {word}" for n, word in enumerate(self._words))
        if len(words) > _ROOM:
            words = f"◂ {self._words[self._at]} ▸  {self._at + 1} of {len(self._words)}"
        self.update(Text(words))

    def action_choose(self, by: int) -> None:
        self._at = (self._at + by) % len(self._words)
        self._draw()
        self.post_message(self.Changed(self))

    def action_submit(self) -> None:
        self.post_message(self.Accepted())

    def on_click(self) -> None:
        self.action_choose(1)
