"""What cannot be taken back is asked for: at a terminal, where no is the default; elsewhere only --yes does it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from wizard.actions import power, targets
from wizard.actions.outcome import NodeOutcome
from wizard.cli import main
from wizard.plan.addresses import assign
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.model import Node, Plan

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
PLAN = assign(load_plan(EXAMPLE.read_text(), "ciao.toml"))


class Person(io.StringIO):
    """stderr, read by somebody who answers a question once it stands there, and has typed something before."""

    def __init__(self, keyboard: int, answer: str) -> None:
        super().__init__()
        self.keyboard = keyboard
        self.answer = answer

    def write(self, text: str) -> int:
        if text.endswith("[y/N] "):
            os.write(self.keyboard, self.answer.encode())
        return super().write(text)


class Gateway:
    """The plan in force, and what was done to its nodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.did: list[tuple[power.Order, list[str]]] = []
        monkeypatch.setattr(targets, "plan_in_force", lambda: PLAN)
        monkeypatch.setattr(power, "carry_out", self._carry_out)
        self._monkeypatch = monkeypatch

    def _carry_out(self, plan: Plan, nodes: Sequence[Node], order: power.Order) -> Iterator[NodeOutcome]:
        self.did.append((order, [node.name for node in nodes]))
        return iter([NodeOutcome(node.name, True, "done") for node in nodes])

    def told(self, argv: Sequence[str], answer: str, typed_ahead: str = "") -> tuple[int, str]:
        """Run a command at a terminal, and answer its question: its exit status, and what it said on stderr."""
        keyboard, terminal = os.openpty()
        person = Person(keyboard, answer)
        os.write(keyboard, typed_ahead.encode())
        try:
            with os.fdopen(terminal) as stdin, self._monkeypatch.context() as patched:
                patched.setattr("sys.stdin", stdin)
                patched.setattr("sys.stderr", person)
                return main(list(argv)), person.getvalue()
        finally:
            os.close(keyboard)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    return Gateway(monkeypatch)


@pytest.mark.parametrize("answer", ["\n", "n\n", "no\n", "yo\n", "yes please\n", " \n", "\x04", "N\n"])
@pytest.mark.parametrize("action", ["reboot", "off"])
def test_anything_but_yes_is_no(gateway: Gateway, action: str, answer: str) -> None:
    status, said = gateway.told([action, "compute1"], answer)
    assert (status, gateway.did) == (1, [])
    assert "[y/N]" in said
    assert "nothing was done" in said


def test_what_was_typed_before_the_question_does_not_answer_it(gateway: Gateway) -> None:
    assert gateway.told(["off", "--all"], "\n", typed_ahead="y\n")[0] == 1
    assert gateway.did == []


@pytest.mark.parametrize("answer", ["y\n", "Y\n", "yes\n", " yes \n"])
def test_yes_does_it(gateway: Gateway, answer: str) -> None:
    status, said = gateway.told(["off", "--role", "compute", "--hard"], answer)
    assert status == 0
    assert "Power off compute1, compute2 at once? [y/N]" in said
    assert gateway.did == [(power.Order("off", hard=True), ["compute1", "compute2"])]


def test_many_nodes_are_counted_in_the_question(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = tuple(replace(PLAN.nodes[2], name=f"rack{number}") for number in range(40))
    monkeypatch.setattr(targets, "plan_in_force", lambda: replace(PLAN, nodes=nodes))
    status, said = gateway.told(["reboot", "--all"], "n\n")
    assert status == 1
    assert "Restart 40 nodes (rack0, " in said
    assert "rack8" not in said


@pytest.mark.parametrize("typed", ["", "y\n", "yes\n" * 9])
def test_without_a_terminal_only_yes_does_it(
    gateway: Gateway, typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.write(writing, typed.encode())
    os.close(writing)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        assert main(["off", "compute1"]) == 1
        told = capsys.readouterr()
        assert (told.out, gateway.did) == ("", [])
        assert "--yes" in told.err
        assert "[y/N]" not in told.err
        assert main(["off", "compute1", "--yes", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == [NodeOutcome("compute1", True, "done").as_json("off")]
    assert told.err == ""
    assert gateway.did == [(power.Order("off"), ["compute1"])]


def test_waking_is_not_asked_for(gateway: Gateway) -> None:
    status, said = gateway.told(["wake", "compute1"], "n\n")
    assert (status, "[y/N]" in said) == (0, False)
    assert gateway.did == [(power.Order("wake"), ["compute1"])]


def test_who_is_meant_is_known_before_it_is_asked(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = gateway.told(["off", "compute9"], "y\n")
    assert (status, "[y/N]" in said) == (2, False)

    def nothing_applied() -> Plan:
        error = WizardError("nothing is applied here", "Apply a plan.")
        error.status = 3
        raise error

    monkeypatch.setattr(targets, "plan_in_force", nothing_applied)
    status, said = gateway.told(["off", "compute1"], "y\n")
    assert (status, "[y/N]" in said) == (3, False)
    assert gateway.did == []
