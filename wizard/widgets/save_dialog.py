"""The dialog that asks where to save a text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from wizard.plan.findings import WizardError
from wizard.widgets.inputs import SafeInput
from wizard.widgets.modal import Dialog
from wizard.widgets.page import plain
from wizard.widgets.plain_text import PlainText


class SaveDialog(Dialog[str | None]):
    """Returns a path, or None. `file` is the suggested name, `about` says what the file is for."""

    HELP = (
        "Enter saves. A name without a directory goes into the directory where the wizard was started; ~ is the home "
        "of the user it runs as. If the file exists you are asked first, unless the wizard wrote it in this run. "
        "A file saved under sudo belongs to you, not to root."
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
        self._homes: dict[str, Path | WizardError] = {}

    def body(self) -> Iterable[Widget]:
        if self._about:
            yield PlainText(self._about)
        yield SafeInput(self._file)
        yield PlainText(id="where")

    def on_mount(self) -> None:
        self._say_where(self._file)

    @on(Input.Changed)
    def _follow_typing(self, event: Input.Changed) -> None:
        event.stop()
        self._say_where(event.value)

    def _say_where(self, file: str) -> None:
        self.query_one("#where", PlainText).update(plain(self._where(file.strip()), limit=400))

    def _where(self, file: str) -> str:
        home, _, rest = file.partition("/") if file.startswith("~") else ("", "", file)
        if home and not rest:
            return f"Write a file name in {home}."
        if not rest:
            return "Write a file name."
        try:
            place = (self._home(home) / rest.lstrip("/")) if home else Path(rest)
            return f"Saves to {place.absolute()}"
        except WizardError as error:
            return f"✗ {error.message} {error.remedy}"
        except FileNotFoundError:
            return "✗ The directory where the wizard was started is gone. Write a full path, from / on."

    def _home(self, owner: str) -> Path:
        """The home that "~" or "~user" stands for: looked up once, which may take a while. Raises WizardError."""
        from wizard.services.host_files import home_expanded

        if owner not in self._homes:
            try:
                self._homes[owner] = home_expanded(owner)
            except WizardError as error:
                self._homes[owner] = error
        found = self._homes[owner]
        if isinstance(found, WizardError):
            raise found
        return found

    def action_save(self) -> None:
        self.dismiss(self.query_one(SafeInput).value.strip() or None)

    def action_cancel(self) -> None:
        self.dismiss(None)
