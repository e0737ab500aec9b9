"""A page with short-lived hints."""

from __future__ import annotations

from wizard.widgets.page import StepPage


class HintingPage(StepPage):
    """A hint speaks of one key; the next key clears it."""

    _hinted = False

    def set_status(self, message: str, severity: str = "information") -> None:
        self._hinted = False
        super().set_status(message, severity)

    def set_hint(self, message: str) -> None:
        """Show in the status line why a key did nothing, until the next key."""
        self.set_status(message)
        self._hinted = True

    def on_key(self) -> None:
        if self._hinted:
            self.set_status("")
