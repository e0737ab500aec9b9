"""One page at a time, with what every page has: it is kept in step with what is known, is spoken on, and explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from textual.binding import Binding
from textual.notifications import SeverityLevel
from textual.screen import ModalScreen, Screen
from textual.timer import Timer

from wizard.app.calls import BackgroundCalls
from wizard.app.keys import OrderedKeysApp
from wizard.plan.findings import WizardError
from wizard.screens import style_of
from wizard.widgets.modal import Dialog, Help
from wizard.widgets.page import Page
from wizard.widgets.synced import SyncedState

if TYPE_CHECKING:
    from wizard.services.protocols import Services

_Answer = TypeVar("_Answer")

_COMMON_ACTIONS = ("app.focus_next", "app.focus_previous", "screen.copy_text", "help_quit", "command_palette")


class PageShell(OrderedKeysApp):
    """Dialogs lie over the page."""

    services: Services

    def __init__(self, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.calls = BackgroundCalls(self, self.show_error)
        self._state = SyncedState()
        self._page: Page | None = None
        self._page_name = ""

    # The page

    @property
    def page(self) -> Page | None:
        return self._page

    @property
    def page_name(self) -> str:
        return self._page_name

    def take_page(self, name: str, page: Page) -> Page:
        """`page`, which is to be shown now, as the one that is kept in step."""
        self._page, self._page_name = page, name
        style = style_of(name)
        if not self.stylesheet.has_source(str(style)):
            # Not by the page's CSS_PATH: that has every rule of the app parsed again.
            self.stylesheet.read(style)
        page.set_reactive(Page.state, self._state)
        return page

    def put_on_screen(self, name: str, page: Page) -> None:
        """Put `page` in the place of the one that is there, dialogs and all."""
        while isinstance(self.screen, ModalScreen):
            self.pop_screen()
        self.take_page(name, page)
        if len(self.screen_stack) > 1:
            self.switch_screen(page)
        else:
            self.push_screen(page)

    @property
    def state(self) -> SyncedState:
        """What the page is kept in step with."""
        return self._state

    @state.setter
    def state(self, state: SyncedState) -> None:
        self._state = state
        if self._page is not None:
            self._page.state = state

    # What is said

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Into the status line of the page: a toast would cover what it speaks of."""
        if self._page is not None:
            self._page.set_status(message, severity)
        else:
            super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    def set_status(self, message: str, severity: str = "information") -> None:
        if self._page is not None:
            self._page.set_status(message, severity)

    def clear_status(self, message: str) -> None:
        """Take away what is no longer so, unless something else stands there by now."""
        if self._page is not None:
            self._page.clear_status(message)

    def show_error(self, error: WizardError) -> None:
        self.notify(f"{error.message} {error.remedy}".strip(), severity="error", timeout=10, markup=False)

    # Help

    def action_help(self) -> None:
        page: Page | Dialog[Any] | None = self._page
        if isinstance(self.screen, Help):
            self.screen.action_close()
            return
        if isinstance(self.screen, Dialog):
            page = self.screen
        if page is None or not page.HELP:
            return
        keys = [
            (self.get_key_display(active.binding), active.binding.description)
            for active in self.screen.active_bindings.values()
            # Not those that every widget and every app has.
            if active.node in (page, self) and active.enabled and active.binding.action not in _COMMON_ACTIONS
        ]
        self.push_screen(Help(page.title or page.TITLE or "", page.HELP, keys))

    def get_key_display(self, binding: Binding) -> str:
        return binding.key_display or binding.key.split(",")[0].replace("escape", "esc").replace("delete", "del")

    # For controllers, who know the app by `screens.shell.Shell` alone

    def open_dialog(self, dialog: Screen[_Answer], then: Callable[[_Answer | None], None] | None = None) -> None:
        self.push_screen(dialog, then)

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        return self.set_timer(seconds, call)

    def after_refresh(self, call: Callable[[], None]) -> None:
        self.call_after_refresh(call)
