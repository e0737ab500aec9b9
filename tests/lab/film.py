"""The README's pictures and a recording of a whole set-up, taken in the laboratory by way of a real terminal.

python -m tests.lab.film DIRECTORY     writes DIRECTORY/PAGE.svg and DIRECTORY/set-up.cast (asciinema's format)
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab import keyboard
from tests.lab.support import NODES
from tests.lab.terminal import Terminal

# Long enough to be seen, short enough to be watched.
LISTENING = {"CIAO_LAB_PROBE_WAIT": "3"}
READING_S = 2.5
TITLE = "ciao-wizard: from two cables to four leases, and back"


def film(directory: Path) -> None:
    """A whole set-up, from the first screen to four leases and back to a clean machine."""
    directory.mkdir(parents=True, exist_ok=True)
    with Terminal(keyboard.in_the_laboratory(), env=LISTENING) as terminal:

        def at(name: str) -> None:
            # Between two looks of a page that looks four times a second.
            terminal.settled(quiet=0.1)
            terminal.keep(directory / f"{name}.svg")
            terminal.linger(READING_S)

        keyboard.to_interfaces(terminal, at)
        with keyboard.Attached(terminal.process) as lab:
            keyboard.to_review(terminal, at)
            keyboard.apply_and_keep(terminal, at)
            keyboard.to_leases(terminal)
            keyboard.four_leases(terminal)
            at("leases")
            keyboard.to_dashboard(terminal)
            terminal.until(lambda: terminal.flat().count("●") >= len(NODES), "four nodes that answer")
            # Twice looked at, there is something to say of the traffic.
            terminal.says("b/s")
            at("dashboard")
            keyboard.reset_everything(terminal, lab, at)
            terminal.linger(READING_S)
            terminal.press("ctrl+q")
            terminal.ended()
        (directory / "set-up.cast").write_text(terminal.cast(TITLE))


if __name__ == "__main__":
    film(Path(sys.argv[1]))
