"""An app that keeps the page on its screen up to date."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from textual.reactive import Reactive

from wizard.widgets.page import Page
from wizard.widgets.speaking import SpeakingApp


class TellingApp(SpeakingApp):
    """A page that has a reactive of one of the names of `TOLD` has the app's value, for as long as it is shown.

    Not by data_bind: for that the app would keep every page for as long as it lives itself.
    """

    TOLD: ClassVar[tuple[str, ...]] = ()

    def on_mount(self) -> None:
        for name in self.TOLD:
            self.watch(self, name, partial(self._tell_page, name), init=False)

    def kept_up_to_date(self, page: Page) -> Page:
        """`page`, which is just to be shown, with all that is known."""
        for name in self.TOLD:
            if (told := _told(page, name)) is not None:
                page.set_reactive(told, getattr(self, name))
        return page

    def _tell_page(self, name: str, value: object) -> None:
        if self._page is not None and _told(self._page, name) is not None:
            setattr(self._page, name, value)


def _told(page: Page, name: str) -> Reactive[Any] | None:
    told = getattr(type(page), name, None)
    return told if isinstance(told, Reactive) else None
