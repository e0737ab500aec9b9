"""`apply --stop UNIT`, and the question about it: what the engine is asked to stop."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wizard.cli import change
from wizard.cli.parser import build_parser
from wizard.plan.findings import Finding, Severity

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
NAMED = Finding(
    Severity.ERROR, "dns-takes-every-address", "interfaces.cluster", "named serves DNS.", "…", ("named.service",)
)
BOTH = Finding(
    Severity.ERROR, "port-67-taken", "interfaces.cluster", "It serves DHCP.", "…", ("kea.service", "kea.socket")
)
OTHER = Finding(Severity.ERROR, "nic-missing", "interfaces.cluster", "eth1 is not here.", "…")
WARNING = Finding(Severity.WARNING, "x", "machine", "Look at it.", "…")

Ask = Callable[..., list[str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Apply with these words, findings, and answers typed (None: no terminal); what the engine is asked to stop."""

    def asked(words: str = "", findings: tuple[Finding, ...] = (), typed: str | None = None) -> list[str]:
        requests: list[dict[str, Any]] = []

        def check(_plan: object, stop: list[str]) -> tuple[None, list[Finding]]:
            return None, [finding for finding in findings if not {*finding.stops[:1]} & {*stop}]

        def begin(verb: str, request: dict[str, Any], _events: str | None) -> list[Any]:
            assert verb == "apply"
            requests.append(request)
            return [{"result": "kept", "reason": "applied and kept"}]

        monkeypatch.setattr("sys.stdin", io.StringIO() if typed is None else Terminal(typed))
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setattr("wizard.deploy.runtime_state.running_engine", lambda: None)
        monkeypatch.setattr("wizard.deploy.apply.engine.check_against_this_machine", check)
        monkeypatch.setattr("wizard.deploy.apply.client.start_engine", begin)
        args: argparse.Namespace = build_parser().parse_args(["apply", "-c", str(EXAMPLE), *words.split()])
        assert change.apply(args) == 0
        stop: list[str] = requests[0]["stop"]
        return stop

    return asked


@pytest.mark.parametrize(
    ("words", "stop"),
    [
        ("", []),
        ("--stop named.service", ["named.service"]),
        ("--stop named --stop kea-dhcp4-server.service --stop named", ["named.service", "kea-dhcp4-server.service"]),
    ],
)
def test_what_is_named_is_asked_of_the_engine_without_a_question(ask: Ask, words: str, stop: list[str]) -> None:
    assert ask(f"{words} --yes", (NAMED,)) == stop
    assert ask(words, (NAMED,)) == stop, "nobody is there to be asked"


def test_yes_alone_stops_nothing(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("--yes", (NAMED,), "y\n") == []
    assert "[y/N]" not in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["y\n", "yes\n"])
def test_a_person_is_asked_and_told_what_stops(ask: Ask, capsys: pytest.CaptureFixture[str], answer: str) -> None:
    assert ask("", (NAMED, WARNING), answer) == ["named.service"]
    assert ask("", (BOTH,), answer) == ["kea.service"]
    told = capsys.readouterr().err
    assert "named serves DNS.\nStop and disable named.service until a reset? [y/N] " in told
    assert "Stop and disable kea.service and kea.socket until a reset? [y/N] " in told


@pytest.mark.parametrize("answer", ["\n", "n\n", "", "of course\n"])
def test_whatever_is_no_yes_is_a_no(ask: Ask, answer: str) -> None:
    assert ask("", (NAMED,), answer) == []


def test_one_no_ends_the_questions(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("", (NAMED, BOTH), "n\ny\n") == []
    assert capsys.readouterr().err.count("[y/N]") == 1


def test_nobody_is_asked_where_it_would_not_be_enough(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("", (NAMED, OTHER), "y\n") == []
    assert "[y/N]" not in capsys.readouterr().err


def test_what_was_named_is_not_asked_about(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("--stop named", (NAMED, BOTH), "y\n") == ["named.service", "kea.service"]
    assert capsys.readouterr().err.count("[y/N]") == 1
