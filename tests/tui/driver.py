"""The keyboard of the app under test, and what stands on its screen."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.fakes import FakeServices
from wizard.app import WizardApp
from wizard.screens.dashboard.controller import DashboardController
from wizard.screens.leases.controller import LeasesController
from wizard.screens.welcome.screen import WelcomePage
from wizard.widgets.page import Page

PATIENCE_S = 30


@dataclass
class Driver:
    """The app under test, its keyboard, and what stands on its screen."""

    app: WizardApp
    services: FakeServices
    pilot: Pilot[None]

    @property
    def shown(self) -> Page | None:
        """The page, whatever dialogs lie over it."""
        return next((screen for screen in reversed(self.app.screen_stack) if isinstance(screen, Page)), None)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        await self.press(*("space" if c == " " else c for c in text))

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait for a condition, not for a time."""
        for _ in range(int(PATIENCE_S / 0.02)):
            if condition():
                await self.pilot.pause()
                return
            await self.pilot.pause(0.02)
        pytest.fail(f"waited in vain for {what or condition}; on the screen:\n{self.text()}")

    async def page(self, title: str) -> None:
        """Wait for a page. The welcome is passed with its one key where it is not the one that is waited for."""

        def on(title: str) -> bool:
            return f"ciao-wizard ─ {title} " in self.text()

        await self.until(lambda: on(title) or (on("Welcome") and self.welcomed()), f"the page {title}")
        if not on(title):
            await self.press("enter")
            await self.until(lambda: on(title), f"the page {title}")

    @property
    def dashboard(self) -> DashboardController:
        found = self.app.controller("dashboard")
        assert isinstance(found, DashboardController)
        return found

    @property
    def leases(self) -> LeasesController:
        found = self.app.controller("leases")
        assert isinstance(found, LeasesController)
        return found

    def welcomed(self) -> bool:
        page = self.shown
        return isinstance(page, WelcomePage) and page.report is not None and not page.busy

    async def jump(self, title: str) -> None:
        """To a page of the set-up without walking there."""
        await self.until(lambda: self.app.facts is not None)
        self.app.post_message(Page.PageRequested(title.lower()))
        await self.page(title)
        if title == "Review":
            await self.says(" 1/")

    async def begin_apply(self) -> None:
        """Apply the plan, and wait until that is under way."""
        await self.jump("Review")
        await self.press("ctrl+a")
        await self.page("Apply")
        await self.until(lambda: self.app.changing, "a change under way")

    async def says(self, *texts: str) -> None:
        for text in texts:
            await self.until(partial(self._shows, text), f"{text!r}")

    def _shows(self, text: str) -> bool:
        return text in self.flat()

    def text(self) -> str:
        """The screen, line by line."""
        # What export_screenshot draws as a picture, without the picture.
        update: Any = self.app.screen._compositor.render_update(full=True, screen_stack=self.app._background_screens)
        return "\n".join("".join(strip.text for strip in line).rstrip() for line in update.strips)

    def flat(self) -> str:
        """The screen as one line, so that a wrapped sentence is found."""
        return re.sub(r"[\s│]+", " ", self.text())

    def toasts(self) -> str:
        """What the status line of the page says."""
        return self.shown.line_text if self.shown is not None else ""


Start = Callable[..., AbstractAsyncContextManager[Driver]]
