"""A real terminal around a program: its keyboard, and the screen that a person would see.

What the program writes goes through a terminal emulator (pyte), so that a test waits for what stands on the screen
and not for bytes. Nothing here sleeps: `until` reads on until its condition holds or its deadline has passed.
"""

from __future__ import annotations

import codecs
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from rich.color import ANSI_COLOR_NAMES, ColorSystem
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

SMALLEST = (80, 24)
PATIENCE_S = 20.0
# Above this the pauses of a recording are cut: nobody watches another's DHCP client wait.
LONGEST_PAUSE_S = 2.0
FRAME_S = 0.2
WORDS = re.compile(r"\s+|\S+(?: \S+)*")

KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "space": " ",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    **{f"f{number}": f"\x1bO{letter}" for number, letter in enumerate("PQRS", 1)},
    **{f"f{number}": f"\x1b[{code}~" for number, code in zip(range(5, 9), (15, 17, 18, 19), strict=True)},
}
# Nothing of whoever runs the tests changes what is drawn.
FOREIGN = ("NO_COLOR", "TEXTUAL", "COLORTERM", "COLUMNS", "LINES", "TERM")


class Ended(AssertionError):
    """The program has ended, and what was waited for has not come."""


class Terminal:
    """A program in a terminal of `size` columns and rows; a context manager, which kills it at the end."""

    def __init__(
        self, argv: Sequence[str], size: tuple[int, int] = SMALLEST, env: Mapping[str, str] | None = None
    ) -> None:
        self.size = size
        self.screen = pyte.Screen(*size)
        # What the emulator would answer to a program's questions is not needed by ours.
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._began = time.monotonic()
        self.written: list[tuple[float, str]] = []
        """All output so far, with the seconds since the start."""
        self._lingers: dict[int, float] = {}
        ours, theirs = pty.openpty()
        self._terminal = ours
        self._set_size()
        mine = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        self.process = subprocess.Popen(
            # Its own session, with this terminal as the controlling one; setsid becomes the program itself.
            ["setsid", "--ctty", *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**mine, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **(env or {})},
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._terminal)

    # The keyboard

    def press(self, *keys: str) -> None:
        """Keys by name ("ctrl+n", "f1", "enter") or letters. After escape wait for something: the next key would be
        taken for the rest of an escape sequence."""
        for key in keys:
            self.send(self._bytes_of(key))

    def type(self, text: str) -> None:
        self.send(text)

    def send(self, text: str) -> None:
        """What a keyboard, or a paste, sends."""
        os.write(self._terminal, text.encode())

    @staticmethod
    def _bytes_of(key: str) -> str:
        if key in KEYS:
            return KEYS[key]
        if key.startswith("ctrl+") and len(key) == 6:
            return chr(ord(key[-1]) & 0x1F)
        if len(key) == 1:
            return key
        raise ValueError(f"no key is called {key!r}")

    # The screen

    def text(self) -> str:
        """The screen, line by line."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def flat(self) -> str:
        """The screen as one line, so that a wrapped sentence is found."""
        return re.sub(r"[\s│]+", " ", self.text())

    def title(self) -> str:
        """The name of the page in the head line, "" where there is none."""
        found = re.search(r"ciao-wizard ─ (.*?) (?:─|[\[0-9])", self.screen.display[0])
        return found[1] if found else ""

    def read(self, wait: float) -> bool:
        """Take in what comes within `wait` seconds; whether anything did. Raises Ended at the program's end."""
        if not select.select([self._terminal], [], [], max(wait, 0))[0]:
            return False
        try:
            raw = os.read(self._terminal, 1 << 16)
        except OSError:
            # How Linux says that nobody holds the other end any more.
            raw = b""
        if not raw:
            raise Ended(f"the program has ended; the screen was:\n{self.text()}")
        text = self._decoder.decode(raw)
        self.written.append((time.monotonic() - self._began, text))
        self._stream.feed(text)
        return True

    def until(self, condition: Callable[[], Any], what: str = "", deadline: float = PATIENCE_S) -> None:
        """Read until the condition on the screen holds. Raises AssertionError with the screen after `deadline` s."""
        end = time.monotonic() + deadline
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(
                    f"waited {deadline:g} s in vain for {what or condition}; on the screen:\n{self.text()}"
                )
            self.read(min(left, 0.5))

    def says(self, *texts: str, deadline: float = PATIENCE_S) -> None:
        for text in texts:
            self.until(partial(lambda text: text in self.flat(), text), repr(text), deadline)

    def page(self, *titles: str, deadline: float = PATIENCE_S) -> str:
        """Wait for one of these pages; which it is."""
        self.until(lambda: self.title() in titles, f"the page {' or '.join(titles)}", deadline)
        return self.title()

    def settled(self, quiet: float = 0.3, deadline: float = PATIENCE_S) -> None:
        """Wait until nothing has been drawn for a while."""
        end = time.monotonic() + deadline
        while self.read(quiet):
            if time.monotonic() > end:
                raise AssertionError(f"the screen is not at rest after {deadline:g} s:\n{self.text()}")

    # The terminal itself

    def resize(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)
        self.screen.resize(rows, columns)
        self._set_size()
        # The kernel tells the foreground group by itself once the size of its terminal changes.

    def _set_size(self) -> None:
        columns, rows = self.size
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ended(self, deadline: float = PATIENCE_S) -> int:
        """Wait for the program's end; its exit status."""
        with suppress(Ended):
            self.until(lambda: False, "the end of the program", deadline)
        return self.process.wait(deadline)

    def kill(self) -> None:
        """kill -9, as the kernel or a person might do it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    # Pictures

    def svg(self, title: str = "ciao-wizard") -> str:
        """The screen as a picture."""
        columns, rows = self.size
        console = Console(
            width=columns, height=rows, record=True, force_terminal=True, color_system="truecolor", file=_Nowhere(),
            legacy_windows=False,
        )  # fmt: skip
        for row in range(rows):
            # Some viewers move a text that begins with blanks to the left.
            words = [
                (word, style)
                for text, style in _runs(self.screen, row)
                for word in re.findall(r"\s+|\S+(?: \S+)*", text)
            ]
            line = Text.assemble(*words, end="")
            console.print(line, no_wrap=True, overflow="crop", crop=True)
        return console.export_svg(title=title, theme=DIMMED_MONOKAI, unique_id="ciao-wizard")

    def linger(self, seconds: float) -> None:
        """Have a recording stand still here, for whoever watches it to read. Takes no time itself."""
        self._lingers[len(self.written)] = seconds

    def cast(self, title: str) -> str:
        """What was on the screen so far as a recording: asciinema's format, version 2, with long pauses cut.

        Only the lines that changed are in it, some frames a second: a tenth of what the program wrote.
        """
        columns, rows = self.size
        head = {"version": 2, "width": columns, "height": rows, "title": title, "env": {"TERM": "xterm-256color"}}
        frames = [json.dumps(head), json.dumps([0, "o", "\x1b[?25l\x1b[2J"])]
        screen = pyte.Screen(*self.size)
        stream = pyte.Stream(screen)
        shown = [""] * rows
        now = drawn = last = 0.0
        for number, (at, text) in enumerate(self.written):
            lingers = self._lingers.get(number, 0)
            if lingers or now - drawn > FRAME_S:
                frames += _frame(screen, shown, now)
                drawn = now
            now += min(at - last, LONGEST_PAUSE_S) + lingers
            last = at
            stream.feed(text)
        frames += _frame(screen, shown, now)
        frames.append(json.dumps([round(now + LONGEST_PAUSE_S, 3), "o", "\x1b[?25h"]))
        return "\n".join(frames) + "\n"

    def keep(self, path: Path, title: str = "ciao-wizard") -> None:
        """Write the screen as a picture to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.svg(title))


class _Nowhere(io.StringIO):
    """Where a recording console writes."""

    def write(self, text: str, /) -> int:
        return len(text)


def _runs(screen: pyte.Screen, row: int) -> list[tuple[str, Style]]:
    """A line as pieces of one style each."""
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    return [("".join(cell.data for cell in run), style) for style, run in groupby(cells, _style)]


def _frame(screen: pyte.Screen, shown: list[str], at: float) -> list[str]:
    """The event of a recording that makes the lines `shown` those of `screen`; none where they are."""
    changed = []
    for row in range(screen.lines):
        line = "".join(style.render(text, color_system=ColorSystem.TRUECOLOR) for text, style in _runs(screen, row))
        if line != shown[row]:
            shown[row] = line
            changed.append(f"\x1b[{row + 1}H\x1b[2K{line}")
    return [json.dumps([round(at, 3), "o", "".join(changed)], ensure_ascii=False)] if changed else []


def _style(cell: Any) -> Style:
    return Style(
        color=_colour(cell.fg),
        bgcolor=_colour(cell.bg),
        bold=cell.bold,
        italic=cell.italics,
        underline=cell.underscore,
        reverse=cell.reverse,
        strike=cell.strikethrough,
    )


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    name = name.replace("brown", "yellow").replace("bright", "bright_")
    return name if name in ANSI_COLOR_NAMES else None
