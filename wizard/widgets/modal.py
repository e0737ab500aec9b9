"""Dialogs: a question, the help of a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Footer

from wizard.widgets.page import FocusKept, TooSmall
from wizard.widgets.plain_text import PlainText

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer], FocusKept[Answer]):
    """A box over the page, with the keys that hold in it."""

    # The modal is the first base: Textual takes default styles from that one alone.

    TITLE: ClassVar[str | None] = ""
    HELP: ClassVar[str] = ""
    AUTO_FOCUS: ClassVar[str | None] = "#dialog-body *"

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(id="dialog") as box:
            box.border_title = Text(self.title or " ")
            with Vertical(id="dialog-body"):
                yield from self.body()
        yield Footer(show_command_palette=False)

    def body(self) -> Iterable[Widget]:
        return ()


class Question(Dialog[bool]):
    """A question with two answers; escape is the one that changes nothing: "no", or where "no" does change something
    (`no_acts`) no answer at all, None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n", "answer(False)", "no"),
        Binding("escape", "leave", "no", show=False),
        Binding("left,right", "app.focus_next", "other button", show=False),
    ]

    def __init__(self, title: str, text: str, yes: str, no: str, prefer: bool = False, no_acts: bool = False) -> None:
        super().__init__()
        self._no_acts = no_acts
        self.title = title
        self._text = text
        self._labels = (yes, no)
        self._prefer = prefer

    def body(self) -> Iterable[Widget]:
        yield PlainText(Text(self._text))
        with Horizontal(classes="buttons"):
            yield Button(Text(self._labels[0]), id="yes", compact=True)
            yield Button(Text(self._labels[1]), id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#yes" if self._prefer else "#no", Button).focus()

    @on(Button.Pressed)
    def _answer_with_button(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def action_leave(self) -> None:
        self.dismiss(None if self._no_acts else False)


class Help(Dialog[None]):
    """What a page is for, and every key that holds on it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,enter,q", "close", "close")]

    def __init__(self, title: str, text: str, keys: list[tuple[str, str]]) -> None:
        super().__init__()
        self.title = f"Help: {title}"
        self._text = text
        self._keys = keys

    def body(self) -> Iterable[Widget]:
        with VerticalScroll():
            yield PlainText(Text(self._text))
            yield PlainText(_in_columns(self._keys), classes="keys")

    def action_close(self) -> None:
        self.dismiss(None)


def _in_columns(keys: list[tuple[str, str]]) -> Text:
    """Keys and what they do, two a line, to be read downwards."""
    rows = (len(keys) + 1) // 2
    table = Text()
    for number in range(rows):
        for key, what in keys[number::rows]:
            table.append(f"  {key:<8}", "bold")
            table.append(f"{what:<24}")
        table.append("\n" if number < rows - 1 else "")
    return table
