"""A machine to boot, as a fixture. Where none can be had, tests are skipped with the reason; in CI they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot import supported
from tests.boot.computer import Computer
from tests.boot.root_tree import missing, root_tree
from tests.boot.supported import MATRIX
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
    reports = [report for report in reports if "tests/boot" in report.nodeid]
    recorded = [(report, *pair) for report in reports for pair in report.user_properties]
    figures = [f"{what}: {value}" for _, what, value in recorded if what != MATRIX]
    if figures:
        terminalreporter.section("booted machines")
        for figure in figures:
            terminalreporter.write_line(figure)
    if os.environ.get(supported.VARIABLE):
        runs = [
            supported.Run(report.passed, [value for what, value in report.user_properties if what == MATRIX])
            for report in reports
        ]
        supported.DOCUMENT.write_text(supported.with_rows(supported.DOCUMENT.read_text(), runs))
