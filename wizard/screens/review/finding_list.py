"""Findings in a list: all in full where there is room, else the one under the cursor, and a line of each other.

The cursor is a sign of its own: without colours a marked row looks like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.widgets import OptionList
from textual.widgets.option_list import Option

MOST_LISTED = 200
# What the cursor's sign and a scroll bar take of a row.
_BESIDE = 4


class FindingList(OptionList):
    """`texts` are the findings, the gravest first."""

    def __init__(self, texts: Sequence[Text], *, id: str | None = None) -> None:  # noqa: A002
        self._texts = list(texts[:MOST_LISTED])
        more = len(texts) - len(self._texts)
        rest = [Option(Text(f"  … and {more} more"), disabled=True)] if more else []
        super().__init__(*(Option(text) for text in self._texts), *rest, id=id, compact=True)
        self._shown = [text.plain for text in self._texts]
        self._most = 0
        self._fitted = 0
        self._wrapped: list[list[Text]] = []

    def on_resize(self) -> None:
        self._fit()

    @on(OptionList.OptionHighlighted)
    def _fit_to_highlighted(self) -> None:
        self._fit()

    def fit(self, rows: int) -> None:
        """Take at most so many rows."""
        if rows != self._most:
            self._most = rows
            self.styles.max_height = rows
            self._fit()

    def _fit(self) -> None:
        width = self.size.width - _BESIDE
        if width <= 0 or not self._most:
            return
        if width != self._fitted:
            self._fitted = width
            self._wrapped = [list(text.wrap(self.app.console, width)) for text in self._texts]
        whole = sum(map(len, self._wrapped)) <= self._most
        here = self.highlighted or 0
        for number, text in enumerate(self._texts):
            lines = self._wrapped[number]
            if not whole and number != here and len(lines) > 1:
                lines = [text.copy()]
                lines[0].truncate(width, overflow="ellipsis")
            margins = ("▸ " if number == here else "  ", *["  "] * (len(lines) - 1))
            shown = Text("\n").join(Text(margin) + line for margin, line in zip(margins, lines, strict=True))
            if shown.plain != self._shown[number]:
                self._shown[number] = shown.plain
                self.replace_option_prompt_at_index(number, shown)
