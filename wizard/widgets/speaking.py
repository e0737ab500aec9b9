"""An app that speaks in the status line of its page, and helps where it is asked to."""

from __future__ import annotations

from typing import Any

from textual.binding import Binding
from textual.notifications import SeverityLevel

from wizard.widgets.drafting import DraftingApp
from wizard.widgets.modal import Dialog, Help
from wizard.widgets.page import Page

_COMMON_ACTIONS = ("app.focus_next", "app.focus_previous", "screen.copy_text", "help_quit", "command_palette")


class SpeakingApp(DraftingApp):
    """One page at a time has the screen; dialogs lie over it."""

    _page: Page | None = None

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
            self._page.tell(message, severity)
        else:
            super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

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
