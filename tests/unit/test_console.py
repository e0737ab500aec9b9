"""Talk on a terminal: wrapped between words, never a datum changed where there is no terminal."""

from __future__ import annotations

import io
import re

import pytest

from wizard.cli import console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


TEXT = "         Reserved addresses lie in the dynamic range 192.168.0.65 to 192.168.0.126 and stay there."


def test_lines_fit_and_are_indented_like_the_first() -> None:
    lines = console.wrapped(TEXT, Terminal())
    assert all(len(line) <= 40 and line.startswith("         R"[:9]) for line in lines)
    assert " ".join(line.strip() for line in lines) == TEXT.strip()


def test_colours_take_no_room_and_long_words_are_not_broken() -> None:
    red = console.coloured("error", "error", Terminal())
    assert red != "error"
    line = f"{red} " + "x" * 34
    assert console.wrapped(line, Terminal()) == [line]
    path = "/etc/" + "a" * 60
    assert console.wrapped(f"  written to {path}", Terminal()) == ["  written to", f"  {path}"]


def test_columns_and_empty_lines_stay() -> None:
    assert console.wrapped("a   b\n\nc", Terminal()) == ["a   b", "", "c"]


def test_what_goes_into_a_file_or_pipe_is_as_it_is() -> None:
    assert console.wrapped(TEXT, io.StringIO()) == [TEXT]


def test_nothing_is_lost_on_the_way_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    console.say(TEXT)
    assert re.sub(r"\s+", " ", stream.getvalue()).strip() == TEXT.strip()
