"""kill -9 of the screen, wherever it stands: what was typed is there at the next start, and nothing is half-applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.lab import keyboard
from tests.lab.keyboard import state
from tests.lab.support import BRIEF, EXAMPLE, await_nodes, await_status, differences, reset, whole
from tests.lab.terminal import Terminal
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab

TYPED = "typed.lan"
PATIENCE_S = 40.0


@contextmanager
def wizard(lab: Laboratory) -> Iterator[Terminal]:
    """A start of the wizard in the laptop's place; killed at the end, as by kill -9."""
    with Terminal(lab.command(["ciao-wizard", "-c", str(EXAMPLE)]), env={**lab.env, **BRIEF}) as terminal:
        yield terminal


def type_the_domain(terminal: Terminal) -> None:
    """On Network, write another domain."""
    terminal.page("Network")
    for _ in range(12):
        if "ciao.lan" in terminal.screen.display[terminal.screen.cursor.y]:
            break
        terminal.press("tab")
        terminal.settled(0.2)
    terminal.press("end", "ctrl+u")
    terminal.type(TYPED)
    terminal.says(TYPED)


def go_on_with_the_draft(terminal: Terminal) -> None:
    """At the next start: what was typed is offered, and taken up."""
    terminal.page("Welcome", "Interfaces")
    terminal.says("still here", deadline=PATIENCE_S)
    terminal.settled()
    terminal.press("enter")
    terminal.page("Interfaces")
    terminal.says("eth1")


def test_at_each_page_of_the_set_up(lab: Laboratory) -> None:
    before = whole(lab)
    with wizard(lab) as terminal:
        keyboard.to_interfaces(terminal)
        keyboard.go_on(terminal, "Network")
        type_the_domain(terminal)
        # The draft is written once typing has paused.
        terminal.settled()
    for page in ("Network", "Nodes", "Forwards", "Review"):
        with wizard(lab) as terminal:
            go_on_with_the_draft(terminal)
            while terminal.title() != page:
                keyboard.go_on(terminal, *keyboard.SET_UP)
            if page == "Network":
                terminal.says(TYPED)
    with wizard(lab) as terminal:
        go_on_with_the_draft(terminal)
        keyboard.go_on(terminal, "Network")
        terminal.says(TYPED)
    assert state(lab) == "absent"
    assert whole(lab) == before, "looking and typing changed the machine"


def test_while_an_apply_works_and_while_it_asks(lab: Laboratory) -> None:
    """The apply goes on without its screen; the next start finds it, and its answer counts."""
    with wizard(lab) as terminal:
        keyboard.to_interfaces(terminal)
        keyboard.to_review(terminal)
        terminal.press("ctrl+a")
        terminal.page("Apply")
    lab.wait_for(lambda: state(lab) == "pending", PATIENCE_S, "the apply at work")
    with wizard(lab) as terminal:
        terminal.page("Apply")
        terminal.says("Keep", "back in", deadline=PATIENCE_S)
    assert state(lab) == "pending"
    with wizard(lab) as terminal:
        terminal.page("Apply")
        terminal.says("Keep", "back in", deadline=PATIENCE_S)
        terminal.press("k")
        terminal.page("Leases", "Dashboard", deadline=PATIENCE_S)
    await_status(lab, "applied")
    await_nodes(lab)
    reset(lab)


def test_while_a_reset_works(lab: Laboratory) -> None:
    before = whole(lab)
    with wizard(lab) as terminal:
        keyboard.to_interfaces(terminal)
        keyboard.to_review(terminal)
        keyboard.apply_and_keep(terminal)
        keyboard.to_dashboard(terminal)
        keyboard.choose_the_whole_reset(terminal)
        terminal.press("y")
        terminal.until(lambda: set("▸✓") & set(terminal.text()), "the reset begun")
    lab.wait_for(lambda: state(lab) == "absent", PATIENCE_S, "the end of the reset")
    with wizard(lab) as terminal:
        keyboard.to_interfaces(terminal)
    with suppress(AssertionError):
        lab.wait_for(lambda: not differences(before, whole(lab)), PATIENCE_S, "a machine as it was")
    assert differences(before, whole(lab)) == []
