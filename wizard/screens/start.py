"""Shown while the machine is looked at for the first time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.reactive import reactive
from textual.widget import Widget

from wizard.plan.findings import WizardError
from wizard.widgets.page import LEAVE, SHOWN_LOOK_AGAIN, Page, plain
from wizard.widgets.words import Words
from wizard.widgets.working import Working


class StartPage(Page):
    TITLE = "Welcome"
    QUESTION = "This machine becomes the gateway of your cluster, and nothing changes before you say so."
    HELP = "The wizard looks at the network interfaces, routes and services of this machine. It changes nothing."
    AUTO_FOCUS: ClassVar[str | None] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        SHOWN_LOOK_AGAIN,
        LEAVE,
    ]

    trouble: reactive[WizardError | None] = reactive(None)

    def body(self) -> Iterable[Widget]:
        yield Working("Looking at this machine…", id="working")
        yield Words(id="trouble")

    def watch_trouble(self) -> None:
        self.redraw()

    def draw(self) -> None:
        self.query_one("#working").display = self.trouble is None
        said = self.query_one("#trouble", Words)
        said.display = self.trouble is not None
        if self.trouble is not None:
            text = f"{self.trouble.message} {self.trouble.remedy}"
            said.update(Text.assemble(("✗ ", "bold")).append_text(plain(text, limit=900)))
