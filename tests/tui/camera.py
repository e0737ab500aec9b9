"""Every screen in every look: at both sizes, dark, light and without colour, as snapshots/looks/NAME-SIZE-LOOK.svg."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from tests.tui.driver import Driver
from tests.tui.layout import faults
from wizard.widgets.page import LEAST_SIZE

PICTURES = Path(__file__).parents[2] / "snapshots" / "looks"
DRAWN_BY = "8.2.8"
SIZES = ((80, 24), (120, 40))
THEMES = {"dark": "textual-dark", "light": "textual-light"}
NO_COLOUR = "no-colour"


@dataclass
class Camera:
    """Shoots what stands on a screen, in each look that the running app can have, and collects what is wrong.

    `renew`: take the pictures anew instead of comparing. `told` is a line for each fault of any picture.
    """

    renew: bool
    rejected: Path
    colourless: bool = False
    taken: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    async def shoot(self, driver: Driver, name: str, *meant_cut: str) -> None:
        """Take the screen that stands now in every look; afterwards it stands again as it was.

        `meant_cut`: beginnings of lines that may end in "…", since they are told in full elsewhere.
        """
        await _at_rest(driver)
        for width, height in SIZES:
            if driver.app.size != (width, height):
                await driver.pilot.resize_terminal(width, height)
                await _at_rest(driver)
            self.told += [f"{name}-{width}x{height}: {fault}" for fault in faults(driver, meant_cut)]
            if self.colourless:
                self._take(driver, f"{name}-{width}x{height}-{NO_COLOUR}")
                continue
            for look, theme in THEMES.items():
                driver.app.theme = theme
                await _at_rest(driver)
                self._take(driver, f"{name}-{width}x{height}-{look}")
            driver.app.theme = THEMES["dark"]
        await driver.pilot.resize_terminal(*LEAST_SIZE)
        await _at_rest(driver)
        self.told += [f"{name} at {LEAST_SIZE}: {fault}" for fault in faults(driver, meant_cut)]
        await driver.pilot.resize_terminal(*SIZES[0])
        await _at_rest(driver)

    def _take(self, driver: Driver, name: str) -> None:
        if version("textual") != DRAWN_BY:
            return
        drawn = driver.app.export_screenshot(title="ciao-wizard", simplify=True)
        drawn = re.sub(r"terminal-\d+-", "terminal-", drawn)
        picture = PICTURES / f"{name}.svg"
        self.taken.add(picture.name)
        if self.renew:
            PICTURES.mkdir(parents=True, exist_ok=True)
            picture.write_text(drawn)
        elif not picture.exists() or picture.read_text() != drawn:
            now = self.rejected / picture.name
            now.write_text(drawn)
            self.told.append(f"{name}: not as in {picture}; now it is {now}")


async def _at_rest(driver: Driver) -> None:
    """All of it is drawn."""
    await driver.pilot.pause()
