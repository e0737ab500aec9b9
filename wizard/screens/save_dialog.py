"""Where to save a text: asked before, and once more where a file is there already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from wizard.plan.findings import WizardError
from wizard.widgets.entry import Entry
from wizard.widgets.modal import Dialog
from wizard.widgets.page import plain
from wizard.widgets.words import Words


class SaveDialog(Dialog[str | None]):
    """Asks where to; gives back a path, or None. `file` is what it offers, `about` what the file is good for."""

    HELP = (
        "Enter saves. A name alone goes into the directory in which the wizard was started; ~ is the home of whoever "
        "it runs as. Where such a file is there already you are asked first, unless the wizard wrote it itself in this "
        "run. What it saves under sudo is yours, not root's."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        # Before the field's own enter, which the footer does not show.
        Binding("enter", "save", "save", priority=True),
        Binding("escape", "cancel", "cancel"),
    ]
    AUTO_FOCUS: ClassVar[str | None] = "Input"

    def __init__(self, title: str, file: str, about: str = "") -> None:
        super().__init__()
        self.title = title
        self._file = file
        self._about = about

    def body(self) -> Iterable[Widget]:
        if self._about:
            yield Words(self._about)
        yield Entry(self._file)
        yield Words(id="where")

    def on_mount(self) -> None:
        self._say_where(self._file)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._say_where(event.value)

    def _say_where(self, file: str) -> None:
        from wizard.services_nodes import home_expanded

        try:
            said = f"This will be {home_expanded(file.strip()).absolute()}" if file.strip() else "Which name?"
        except WizardError as error:
            said = f"✗ {error.message} {error.remedy}"
        self.query_one("#where", Words).update(plain(said, limit=400))

    def action_save(self) -> None:
        self.dismiss(self.query_one(Entry).value.strip() or None)

    def action_cancel(self) -> None:
        self.dismiss(None)
