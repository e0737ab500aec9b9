"""A labelled input in one row, with a hint beside it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.suggester import SuggestFromList

from wizard.widgets.inputs import SafeInput
from wizard.widgets.plain_text import PlainText


class Field(Horizontal):
    """`key` is the plan's key path of the field. Changes bubble as Input.Changed."""

    def __init__(self, key: str, label: str, value: str = "", placeholder: str = "", hint: str = "") -> None:
        super().__init__(id=field_id(key), classes="field")
        self.key = key
        self._label = label
        self._input = SafeInput(value, placeholder)
        self._hint = PlainText(Text(hint), classes="hint")

    def compose(self) -> ComposeResult:
        yield PlainText(self._label, classes="label")
        yield PlainText(" ", classes="sign")
        yield self._input
        yield self._hint

    @property
    def value(self) -> str:
        return self._input.value

    @value.setter
    def value(self, text: str) -> None:
        if text != self._input.value:
            self._input.value = text

    def hint(self, text: Text) -> None:
        self._hint.update(text)

    def suggest(self, choices: Sequence[str]) -> None:
        """Complete what is typed, by the right arrow."""
        self._input.suggester = SuggestFromList(choices, case_sensitive=False)

    def mark(self, wrong: bool) -> None:
        """Show or take away the sign that this field is refused."""
        self._input.set_class(wrong, "-invalid")
        if self.is_mounted:
            self.query_one(".sign", PlainText).update(Text("✗" if wrong else " ", "bold"))

    def point(self) -> None:
        self._input.focus()


def field_id(key: str) -> str:
    """A widget's id for a key path: ids take no dots or brackets."""
    return "field-" + "".join(c if c.isalnum() else "-" for c in key)
