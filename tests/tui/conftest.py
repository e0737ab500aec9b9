"""Screens without a machine, and their pictures under snapshots/."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from tests.tui.driver import Driver, Start
from tests.tui.fakes import FakeServices
from wizard.app import WizardApp

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "snapshots" / "screens"
DRAWN_BY = "8.2.8"


@pytest.fixture
def sample() -> str:
    """The plan of ciao's guide."""
    return (ROOT / "examples" / "ciao.toml").read_text()


@pytest.fixture(autouse=True)
def quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    # A test is quicker than anybody can look.
    monkeypatch.setattr("wizard.widgets.page.UNSEEN_S", 0)
    for kind in (Input, TextArea):
        # A blinking cursor makes two pictures of one screen.
        monkeypatch.setattr(kind, "cursor_blink", False)


@pytest.fixture
def start(sample: str) -> Start:
    """`async with start(services, …) as driver`: the app at 80×24 with the sample plan."""

    @asynccontextmanager
    async def started(
        services: FakeServices | None = None,
        plan: str | None = sample,
        size: tuple[int, int] = (80, 24),
        theme: str | None = "textual-dark",
    ) -> AsyncIterator[Driver]:
        machine = services or FakeServices()
        app = WizardApp(machine, plan, "ciao.toml")
        if theme is not None:
            app.theme = theme
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            yield Driver(app, machine, pilot)

    return started


Shoot = Callable[[Driver, str], Awaitable[None]]


@pytest.fixture
def shoot(request: pytest.FixtureRequest, tmp_path: Path) -> Shoot:
    """`await shoot(driver, name)` compares the screen with snapshots/screens/name.svg.

    With --snapshot-update the picture is taken anew; look at it before it is committed.
    """
    renew = request.config.option.update_snapshots
    if version("textual") != DRAWN_BY:
        if renew:
            pytest.fail(f"the pictures are drawn by textual {DRAWN_BY} alone")
        pytest.skip(f"the pictures were drawn by textual {DRAWN_BY}")

    async def shot(driver: Driver, name: str) -> None:
        # Nothing is to come any more, and all of it is drawn.
        await driver.app.workers.wait_for_complete()
        await driver.pilot.pause()
        drawn = driver.app.export_screenshot(title="ciao-wizard", simplify=True)
        drawn = re.sub(r"terminal-\d+-", "terminal-", drawn)
        picture = PICTURES / f"{name}.svg"
        if renew:
            PICTURES.mkdir(parents=True, exist_ok=True)
            picture.write_text(drawn)
        elif not picture.exists() or picture.read_text() != drawn:
            now = tmp_path / picture.name
            now.write_text(drawn)
            pytest.fail(f"not as in {picture}; now it is {now}:\n{driver.text()}")

    return shot
