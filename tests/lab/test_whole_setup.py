"""The whole of a set-up by keyboard, in a real terminal of 80 by 24: what a person sees and presses, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.lab import keyboard
from tests.lab.support import BRIEF, differences, whole
from tests.lab.terminal import Terminal
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab


def at_rest(lab: Laboratory) -> dict[str, Any]:
    """All of the machine, at a moment when the wizard is not just starting a program: its fork looks like itself."""
    seen = [whole(lab)]

    def rests() -> bool:
        seen.append(whole(lab))
        return bool(seen[-1] == seen[-2])

    lab.wait_for(rests, what="a machine at rest")
    return seen[-1]


def test_from_the_first_screen_to_four_leases_and_back_to_a_clean_machine(lab_possible: None) -> None:
    with Terminal(keyboard.in_the_laboratory(), env=BRIEF) as terminal:
        keyboard.to_interfaces(terminal)
        with keyboard.Attached(terminal.process) as lab:
            before = at_rest(lab)
            keyboard.to_review(terminal)
            assert at_rest(lab) == before, "looking changed the machine"
            keyboard.apply_and_keep(terminal)
            keyboard.to_leases(terminal)
            keyboard.four_leases(terminal)
            keyboard.to_dashboard(terminal)
            terminal.says("controller")
            keyboard.reset_everything(terminal, lab)
            assert differences(before, whole(lab)) == []
            terminal.press("escape")
            keyboard.to_interfaces(terminal)
            terminal.press("ctrl+q")
            assert terminal.ended() == 0


def test_a_plan_that_cannot_be_read_ends_the_screen_with_the_reason(lab_possible: None, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("version = 1\n[interfaces]\ncorporate = 3\n")
    with Terminal(keyboard.in_the_laboratory("--", "ciao-wizard", "-c", str(plan))) as terminal:
        assert terminal.ended() == 2
        said = terminal.flat()
        assert "line 3, interfaces.corporate: 3 is a number" in said
        assert "Traceback" not in said


def test_a_console_of_sixteen_colours_and_a_window_made_small(lab_possible: None) -> None:
    with Terminal(keyboard.in_the_laboratory(), env={**BRIEF, "TERM": "linux", "COLORTERM": ""}) as terminal:
        keyboard.to_interfaces(terminal)
        written = "".join(text for _, text in terminal.written)
        assert "\x1b[" in written
        assert not re.search(r"[34]8;[25];", written), "more colours than the console has"
        terminal.resize(79, 24)
        terminal.says("80×23")
        assert "eth0" not in terminal.text()
        terminal.resize(80, 23)
        terminal.until(lambda: "eth0" in terminal.text() and "needs 80×23" not in terminal.flat())
