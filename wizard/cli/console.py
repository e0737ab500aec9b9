"""Talking to a terminal: data to stdout, talk to stderr, colour only where it is wanted, text made harmless."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.text import clean

_COLOUR = re.compile(r"\x1b\[\d+m")
_LEAST_WIDTH = 40
_COLOURS = {"error": "31", "warning": "33", "note": "36", "good": "32", "faint": "2"}


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, on a terminal that wants it."""
    if not stream.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def open_streams() -> None:
    """Make the three streams usable, whatever the caller has closed.

    Else the next file that is opened would take the number of one, and what is said would be written into it.
    A closed stdin is empty, data for a closed stdout is refused with words, talk to a closed stderr is lost.
    """
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


class OutputLost(WizardError):
    """stdout takes no more: the disk is full, or it is closed."""


def _give_up(stream: TextIO) -> None:
    """What a stream still holds goes nowhere, so that the interpreter does not complain on its way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def say(text: str) -> None:
    """Talk: to stderr; on a terminal wrapped between words. Who cannot hear it must not stop what is being done."""
    try:
        for line in wrapped(text, sys.stderr):
            sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        _give_up(sys.stderr)


def wrapped(text: str, stream: TextIO) -> list[str]:
    """`text` as lines that fit a terminal, indented like their first; as it is where the stream is none."""
    if not stream.isatty():
        return [text]
    width = max(shutil.get_terminal_size().columns, _LEAST_WIDTH)
    found: list[str] = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))]
        now, seen = "", 0
        for word in line.strip(" ").split(" "):
            length = len(_COLOUR.sub("", word))
            if now.strip(" ") and seen + 1 + length > width:
                found.append(now)
                now, seen = "", 0
            now, seen = (f"{now} {word}", seen + 1 + length) if now else (indent + word, len(indent) + length)
        found.append(now)
    return found


def out(text: str) -> None:
    """Data: to stdout. Raises OutputLost; BrokenPipeError where whoever read it has seen enough."""
    _written(lambda: sys.stdout.write(text + "\n"))


def flush_out() -> None:
    """Have all data written; otherwise like `out`."""
    _written(sys.stdout.flush)


def _written(write: Callable[[], object]) -> None:
    try:
        write()
    except BrokenPipeError:
        _give_up(sys.stdout)
        raise
    except OSError as error:
        _give_up(sys.stdout)
        raise OutputLost(f"stdout: {error.strerror}", "The output is incomplete.") from None


def out_json(data: Any) -> None:
    out(json.dumps(data, indent=2))


def complain(error: WizardError) -> None:
    """Say what is wrong and what to do."""
    for number, line in enumerate(error.message.splitlines() or [""]):
        head = coloured("ciao-wizard:", "error", sys.stderr) + " " if number == 0 else "  "
        say(head + clean(line, 2000))
    if error.remedy:
        say("  " + clean(error.remedy, 2000))


def finding_lines(found: Sequence[Finding], stream: TextIO) -> list[str]:
    """Findings for people: severity, code, field, message; the remedy below."""
    lines = []
    for f in found:
        word = coloured(f"{f.severity:8}", str(f.severity), stream)
        lines.append(f"{word} {f.code}  {clean(f.field, 200)}")
        for words in (f.message, f.remedy) if f.remedy else (f.message,):
            lines += wrapped(f"         {clean(words, 2000)}", stream)
    return lines


def has_error(found: Sequence[Finding]) -> bool:
    return any(f.severity is Severity.ERROR for f in found)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns, aligned, two spaces apart; every cell made harmless."""
    body = [[clean(cell, 120) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *body]) for i in range(len(header))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in [header, *body]]


def ask(question: str) -> bool:
    """Whether "y" or "yes" is typed; False without a terminal."""
    if not sys.stdin.isatty():
        return False
    drop_typed_ahead()
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def drop_typed_ahead() -> None:
    """What was typed before a question was there does not answer it."""
    import termios

    with contextlib.suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
