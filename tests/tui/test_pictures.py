"""How the screens look: each at 80×24 and 120×40, dark, light and without colour, with few rows and with many.

A picture that differs fails, and so does a screen on which something is cut off, overlaps or scrolls sideways.
`script/screenshots` takes the pictures anew; each is to be looked at before it is committed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.tui import scenes
from tests.tui.camera import NO_COLOUR, Camera
from tests.tui.driver import Start
from tests.tui.layout import faults
from wizard.screens.dashboard import screen as dashboard
from wizard.widgets.page import Page

LOOKS = ["colour", NO_COLOUR]
SCENES: dict[str, Callable[[scenes.Studio], Awaitable[None]]] = {
    scene.__name__.removeprefix("scene_").replace("_", "-"): scene
    for name, scene in vars(scenes).items()
    if name.startswith("scene_")
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("scene", SCENES)
async def test_every_screen_in_every_look(
    start: Start,
    sample: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scene: str,
    look: str,
) -> None:
    colourless = look == NO_COLOUR
    if colourless:
        monkeypatch.setenv("NO_COLOR", "1")
    for pause in ("EVERY_S", "TRAFFIC_EVERY_S"):
        # What goes on by itself would make two pictures of one screen.
        monkeypatch.setattr(dashboard, pause, 3600)
    camera = Camera(request.config.option.update_snapshots, tmp_path, colourless)
    await SCENES[scene](scenes.Studio(start, camera, sample))
    assert camera.told == [], "\n".join(camera.told)
    assert camera.taken


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda page: page.query_one("#picture").styles.__setattr__("min_width", 100), "cut off at the side"),
        (lambda page: page.query_one("#question").styles.__setattr__("offset", (0, 3)), "overlap"),
        (lambda page: page.query_one("#picture").styles.__setattr__("max_height", 1), "lines and room for 1"),
        (lambda page: page.set_prompt("Which netwo…"), "cut off with …"),
    ],
)
async def test_what_is_wrong_with_a_screen_is_told(start: Start, spoil: Callable[[Page], None], told: str) -> None:
    async with start() as driver:
        await driver.jump("Network")
        assert faults(driver) == []
        assert driver.shown is not None
        spoil(driver.shown)
        await driver.pilot.pause()
        assert told in "\n".join(faults(driver))
