"""The plans and lists that a person names on the command line."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError

if TYPE_CHECKING:
    from wizard.plan.model import Plan

_LONGEST = 8 << 20
"""Bytes of a plan file: ten thousand nodes are one mebibyte."""


def read_plan(config: str | None) -> tuple[Plan, str, str]:
    """A plan, its text and where it is from. None is the plan in force, "-" is stdin.

    Raises WizardError: status 2 where the file cannot be read, 3 where nothing is in force.
    """
    from wizard.plan.file.read import load_plan

    text, source = read_plan_text(config)
    return load_plan(text, source), text, source


def read_plan_text(config: str | None) -> tuple[str, str]:
    """The text of what may be a plan, and where it is from; otherwise like read_plan."""
    from wizard.plan import paths

    source = config if config is not None else paths.PLAN_IN_FORCE
    if config is None and not Path(source).exists():
        raise nothing_applied()
    try:
        text = read_bytes(source, "plan").decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise unreadable(f"{source} is not UTF-8 text (byte {error.start})", "Save it as UTF-8.") from None
    return text, source


def read_bytes(source: str, what: str) -> bytes:
    """A file that a person named, "-" for stdin. Raises WizardError, status 2, with `what` in its remedy."""
    example = "; examples/ciao.toml is one" if what == "plan" else ""
    try:
        raw = _read_stdin() if source == "-" else _read_some(Path(source))
    except FileNotFoundError:
        raise unreadable(f"{source}: no such file", f"Give the path of a {what} file{example}.") from None
    except OSError as error:
        raise unreadable(f"{source}: {error.strerror}", f"Give the path of a {what} file that you can read.") from None
    except ValueError:
        raise unreadable(f"{source}: not a file path", f"Give the path of a {what} file{example}.") from None
    if len(raw) > _LONGEST:
        raise unreadable(
            f"{source} is larger than {_LONGEST >> 20} MiB", f"That is not a {what}; give the path of one."
        )
    return raw


def _read_stdin() -> bytes:
    if sys.stdin is None:
        # Closed by the caller.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdin.buffer.read(_LONGEST + 1)


def _read_some(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(_LONGEST + 1)


def unreadable(message: str, remedy: str) -> WizardError:
    error = WizardError(message, remedy)
    error.status = 2
    return error


def nothing_applied() -> WizardError:
    error = WizardError(
        "nothing is applied here", "Apply a plan with 'ciao-wizard apply -c PLAN', or run 'ciao-wizard'."
    )
    error.status = 3
    return error
