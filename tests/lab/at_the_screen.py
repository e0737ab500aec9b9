"""The real app over the real machine, at work in the laptop's place: a person's keys, and what the page then says.

python -m tests.lab.at_the_screen MAC KEY… -- WORDS: on the leases page, with the cursor on the machine with that MAC,
press the keys; ends once the status line says the words, and prints it. Status 1, and the screen, where it never does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from textual.pilot import Pilot

from wizard.app import WizardApp
from wizard.screens.dashboard.screen import DashboardPage
from wizard.screens.leases.screen import LeasesPage
from wizard.services.host import HostServices
from wizard.widgets.page import Page

PATIENCE_S = 40.0


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> bool:
    for _ in range(int(PATIENCE_S / 0.05)):
        if condition():
            return True
        await pilot.pause(0.05)
    return False


async def main(mac: str, keys: list[str], words: str) -> int:
    app = WizardApp(HostServices())
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, DashboardPage))
        app.post_message(Page.PageRequested("leases"))

        def page() -> LeasesPage:
            (found,) = [screen for screen in app.screen_stack if isinstance(screen, LeasesPage)]
            return found

        def place() -> int | None:
            board = page().snapshot
            return next((n for n, row in enumerate(board.rows) if row.mac == mac), None) if board else None

        await until(pilot, lambda: isinstance(app.screen, LeasesPage) and place() is not None)
        found = place()
        if found is None:
            sys.stdout.write("it is not on the board\n")
            return 1
        page().table.move_to(found)
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            # A dialog comes when the plan has been read.
            await until(pilot, lambda: not app.workers or all(w.is_finished or w.name == "watch" for w in app.workers))
            await pilot.pause(0.3)
        said = await until(pilot, lambda: words in page().line_text)
        sys.stdout.write(page().line_text + "\n")
        return 0 if said else 1


if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:split], " ".join(sys.argv[split + 1 :]))))
