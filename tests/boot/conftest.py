"""A machine to boot, as a fixture. Where none can be had, tests are skipped with the reason; in CI they fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot.computer import Computer
from tests.boot.root_tree import missing, root_tree
from tests.needs import unavailable


@pytest.fixture(scope="session")
def root() -> Path:
    if hindrances := missing():
        unavailable(f"nothing can be booted here: {'; '.join(hindrances)}")
    try:
        return root_tree()
    except RuntimeError as error:
        unavailable(f"no root to boot from: {error}")


@pytest.fixture
def computer(root: Path, tmp_path: Path) -> Iterator[Computer]:
    """A laptop that is off, with a disk of its own. Whatever a test does to it, its DHCP never answers the office."""
    with Computer(root, tmp_path / "laptop") as laptop:
        yield laptop
        assert laptop.wires.answers_sent("office") == 0


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures that tests have recorded."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    figures = [f"{what}: {value}" for r in reports if "tests/boot" in r.nodeid for what, value in r.user_properties]
    if figures:
        terminalreporter.section("booted machines")
        for figure in figures:
            terminalreporter.write_line(figure)
