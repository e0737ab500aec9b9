"""Files that a person saves from any page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.widgets.modal import Question

if TYPE_CHECKING:
    from wizard.app.shell import PageShell
    from wizard.widgets.page import Page


class FileSaver:
    """Over a file that is there already it writes only once that was asked."""

    def __init__(self, shell: PageShell) -> None:
        self._shell = shell
        self._under_way: set[str] = set()
        """The paths that are being written to."""

    def save(self, path: str, text: str, over: bool = False) -> None:
        """Write a file, and say where it is."""
        if path in self._under_way:
            busy = f"{clean(path, 300)} is already being written."
            self._shell.show_error(WizardError(busy, "Wait until it is done, or choose another name."))
            return
        self._under_way.add(path)
        page = self._shell.page
        # What the last save came to is not what this one does.
        self._shell.set_status("")
        save = partial(self._shell.services.save_file, path, text, over)
        # A group of its own: the end of one must not hide the end of another.
        self._shell.calls.call(
            f"save {path}", save, partial(self._saved, path), partial(self._not_saved, page, path, text)
        )

    def _saved(self, path: str, written: str) -> None:
        self._under_way.discard(path)
        self._shell.set_status(f"Saved as {clean(written, 300)}.")

    def _not_saved(self, page: Page | None, path: str, text: str, error: WizardError) -> None:
        from wizard.services.protocols import FileThere

        self._under_way.discard(path)
        if not isinstance(error, FileThere):
            self._shell.show_error(error)
            return
        if page is None or self._shell.screen is not page:
            # The person is elsewhere by now, and what is typed there must not answer a question.
            there = f"Not saved: {clean(str(error.path), 300)} already exists."
            self._shell.show_error(WizardError(there, "Go back to that page and save it again."))
            return

        def answered(over: bool | None) -> None:
            if over:
                self.save(path, text, over=True)
            else:
                self._shell.set_status(f"Not saved: {clean(str(error.path), 200)} is unchanged.")

        told = f"{clean(str(error.path), 300)} already exists. Its content would be lost."
        question = Question("Overwrite it?", told, "[ y  Overwrite it ]", "[ n  Keep it ]")
        self._shell.push_screen(question, answered)
