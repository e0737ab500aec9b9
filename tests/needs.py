"""What a test needs of this machine. Where that is missing the test is skipped, and it is said what is missing and how
to get it; in CI it fails, so that nothing goes unproven there unnoticed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from wizard.lab.tools import find

BOOTSTRAP = Path(__file__).parents[1] / "script" / "bootstrap"


def unavailable(reason: str) -> NoReturn:
    """End the test, or the fixture, that cannot do its work here."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need(*programs: str) -> None:
    """Go on only where these programs are. What no package has under that name has its line in script/bootstrap."""
    if reasons := absent(*programs):
        unavailable("; ".join(reasons))


def absent(*programs: str) -> list[str]:
    """Which of these programs are not here, a text each, with the remedy."""
    packages = packages_of_programs()
    return [
        f"{program} is not here: run 'script/bootstrap --tests', or install {packages.get(program, program)}"
        for program in programs
        if not find(program)
    ]


def packages_of_programs() -> dict[str, str]:
    """Program -> Debian package, from the two lists in script/bootstrap."""
    found: dict[str, str] = {}
    text = BOOTSTRAP.read_text()
    for name in ("programs", "test_programs"):
        listed = text.split(f"\n{name}='\n")[1].split("\n'\n")[0]
        found |= dict(line.split() for line in listed.splitlines())
    return found
