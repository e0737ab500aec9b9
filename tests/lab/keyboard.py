"""The ways through the wizard that a person walks by keyboard, each ending where the next page stands.

Steps wait for what is on the screen and go by keys and by the names of pages, not by their wording.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from itertools import pairwise
from typing import cast

import psutil

from tests.lab.support import EXAMPLE, NODES, ciao_json
from tests.lab.terminal import Terminal
from wizard.lab.control import Laboratory
from wizard.lab.tools import python

FIRST = ("Welcome", "Interfaces")
SET_UP = ("Interfaces", "Network", "Nodes", "Forwards", "Review")

At = Callable[[str], None]
"""Called with the name of a page once it stands, to take its picture."""


def nowhere(name: str) -> None:
    """Takes no picture."""


class Attached(Laboratory):
    """The laboratory that another program, such as one in a Terminal, is the front of. `wizard` is its command."""

    def __init__(self, front: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.started = cast("subprocess.Popen[str]", front)

    def begin(self) -> None:
        command = next((process for process in self.descendants() if _is_wizard(process)), None)
        assert command is not None, "the wizard does not run in this laboratory"
        self.wizard = command
        self.env = command.environ()
        self.init = command.ppid()
        self.held = os.open(f"/proc/{self.init}/ns/pid", os.O_RDONLY)
        kinds = ("mnt", "net", "pid", "uts", "user")
        self.namespaces = {kind: os.readlink(f"/proc/{self.init}/ns/{kind}") for kind in kinds}

    def stop(self) -> None:
        """It is the other program's to end."""


def _is_wizard(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
        return words[1:4] == ["-P", "-m", "wizard"] and words[-1].endswith(EXAMPLE.name)
    except psutil.Error:
        return False


def in_the_laboratory(*words: str) -> list[str]:
    """`ciao-wizard lab` as a person starts it."""
    return [*python("wizard"), "lab", *words]


def state(lab: Laboratory) -> str:
    return str(ciao_json(lab, "status")["state"])


def go_on(terminal: Terminal, *titles: str) -> str:
    """ctrl+n until one of these pages is there; which it is. The second press is for what is said once before."""
    here = terminal.title()
    terminal.press("ctrl+n")
    terminal.until(lambda: terminal.title() != here or _refused(terminal), f"an answer to ctrl+n on {here}")
    if terminal.title() == here:
        terminal.press("ctrl+n")
        terminal.until(lambda: terminal.title() != here, f"the page after {here}")
    return terminal.page(*titles)


def _refused(terminal: Terminal) -> bool:
    return "ctrl+n again" in terminal.flat()


def to_interfaces(terminal: Terminal, at: At = nowhere) -> None:
    """From the start to the first question, past a page that greets."""
    if terminal.page(*FIRST) == "Welcome":
        # While the machine is being looked at there is nowhere to go yet.
        terminal.until(lambda: terminal.title() != "Welcome" or _may_go_on(terminal), "the machine looked at")
        if terminal.title() == "Welcome":
            terminal.settled()
            at("welcome")
            terminal.press("enter")
    terminal.page("Interfaces")
    terminal.says("eth0", "eth1")


def _may_go_on(terminal: Terminal) -> bool:
    return "enter " in terminal.screen.display[-1]


def to_review(terminal: Terminal, at: At = nowhere) -> None:
    """From Interfaces through the set-up with what is suggested."""
    for here, there in pairwise(SET_UP):
        terminal.page(here)
        if here == "Interfaces":
            wires_are_known(terminal)
        terminal.settled()
        at(here.lower())
        go_on(terminal, there)
    # The files have been compared with the machine.
    terminal.says(" 1/", "ctrl+a")
    at("review")


def wires_are_known(terminal: Terminal) -> None:
    """Both wires have been asked, and the answer of each is there."""
    terminal.says("10.77.0.1", "silent", deadline=40)


def apply_and_keep(terminal: Terminal, at: At = nowhere) -> None:
    """From Review through the trial to what is shown of a gateway that was kept."""
    terminal.press("ctrl+a")
    terminal.page("Apply")
    terminal.says("Keep", "back in", deadline=40)
    at("apply")
    terminal.press("k")
    terminal.page("Leases", "Dashboard", deadline=40)


def to_dashboard(terminal: Terminal) -> None:
    if terminal.page("Leases", "Dashboard") == "Leases":
        terminal.press("escape")
        terminal.page("Dashboard")


def to_leases(terminal: Terminal) -> None:
    if terminal.page("Leases", "Dashboard") == "Dashboard":
        terminal.press("l")
        terminal.page("Leases")


def four_leases(terminal: Terminal, deadline: float = 40) -> None:
    """On the leases page: every node has the address that the plan gives it."""

    def leased() -> bool:
        lines = terminal.text().splitlines()
        rows = [next((line for line in lines if f" {name} " in line), "") for name in NODES]
        return all(
            address in row and "●" in row for row, address in zip(rows, NODES.values(), strict=True)
        )  # fmt: skip

    terminal.until(leased, "four leases", deadline)


def choose_the_whole_reset(terminal: Terminal, at: At = nowhere) -> None:
    """From the dashboard to the question whether everything is to be given back, the leases too."""
    terminal.page("Dashboard")
    terminal.press("r")
    terminal.page("Reset")
    # The last kind is the whole one, and there f ticks that the leases go too.
    terminal.press("end")
    terminal.settled()
    terminal.press("f")
    terminal.settled()
    at("reset")
    terminal.press("ctrl+a")
    terminal.until(lambda: " yes" in terminal.flat() or "once more" in terminal.flat(), "the question")
    if " yes" not in terminal.flat():
        terminal.press("ctrl+a")
    terminal.says(" yes", " no")


def reset_everything(terminal: Terminal, lab: Laboratory, at: At = nowhere) -> None:
    """From the dashboard to a machine as it was before."""
    choose_the_whole_reset(terminal, at)
    terminal.press("y")
    terminal.until(lambda: terminal.read(0.5) is None or state(lab) == "absent", "nothing applied", 40)
    terminal.says("✓")
