"""A box to tick."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Checkbox


class SignCheckbox(Checkbox, inherit_bindings=False):
    """A Checkbox whose state is a sign: Textual's own tells on from off by colour alone. Space ticks; Enter goes on, as
    in a field."""

    class Submitted(Message):
        """Enter was pressed on it."""

    # As wide as each of its states: it may be measured before it is first drawn.
    BUTTON_INNER: str = "[ ]"
    BUTTON_LEFT: str = ""
    BUTTON_RIGHT: str = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "toggle_button", "tick", show=False),
        Binding("enter", "submit", "go on", show=False),
    ]

    def __init__(self, label: str, value: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(Content(label), value, id=id, compact=True)

    def render(self) -> Content:
        self.BUTTON_INNER = "[x]" if self.value else "[ ]"
        return super().render()

    def action_submit(self) -> None:
        self.post_message(self.Submitted())
