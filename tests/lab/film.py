"""The README's pictures and a recording of a whole set-up, taken in the laboratory by way of a real terminal.

python -m tests.lab.film DIRECTORY     writes DIRECTORY/PAGE.svg and DIRECTORY/set-up.cast (asciinema's format)
python -m tests.lab.film DIRECTORY boot     DIRECTORY/boot.svg alone
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.lab import booting, keyboard
from tests.lab.support import NODES
from tests.lab.terminal import Terminal

# Long enough to be seen, short enough to be watched.
LISTENING = {"CIAO_LAB_PROBE_WAIT": "3"}
READING_S = 2.5
PER_STAGE_S = 2.2
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


def picture_of_booting(directory: Path) -> None:
    """The page Boot while one node has its seed and another its kernel."""
    with booting.bootable() as lab, booting.at_the_boot_page(lab) as terminal:
        booting.arm_two(terminal)
        for node, stages in (("compute1", ["script", "kernel", "initrd", "seed"]), ("compute2", ["script", "kernel"])):
            booting.ask_as_firmware(lab, node)
            for stage in stages:
                booting.fetch(lab, node, stage)
                # As long as a small one takes.
                time.sleep(PER_STAGE_S)
        terminal.press("up")
        terminal.until(lambda: "●·●●○○○○" in terminal.flat() and "compute1 ·" in terminal.flat(), "both nodes")
        terminal.settled(quiet=0.1)
        terminal.keep(directory / "boot.svg")


if __name__ == "__main__":
    if sys.argv[2:] != ["boot"]:
        film(Path(sys.argv[1]))
    picture_of_booting(Path(sys.argv[1]))
