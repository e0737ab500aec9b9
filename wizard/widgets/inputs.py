"""Fields to type in. What is pasted may come from anywhere: nothing in them steers the terminal."""

from __future__ import annotations

from textual.widgets import Input, TextArea
from textual.widgets.text_area import Edit, EditResult

from wizard.plan.text import clean

LONGEST_VALUE = 1000
LONGEST_PASTE = 2_000_000


class SafeInput(Input):
    """One line, one row high."""

    def __init__(self, value: str = "", placeholder: str = "") -> None:
        super().__init__(value, placeholder=placeholder, compact=True, select_on_focus=True)

    def validate_value(self, value: str) -> str:
        return clean(value, LONGEST_VALUE)


class SafeTextArea(TextArea):
    """Many lines."""

    def __init__(self, text: str, id: str | None = None) -> None:  # noqa: A002
        super().__init__(_clean_lines(text), id=id, soft_wrap=False, tab_behavior="focus")

    def edit(self, edit: Edit) -> EditResult:
        edit.text = _clean_lines(edit.text)
        return super().edit(edit)

    def load_text(self, text: str) -> None:
        super().load_text(_clean_lines(text))


def _clean_lines(text: str) -> str:
    # Terminals send a carriage return alone for each end of a line that is pasted.
    lines = text[:LONGEST_PASTE].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(clean(line.replace("\t", " "), LONGEST_VALUE) for line in lines)
