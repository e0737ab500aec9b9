"""The laboratory as a fixture. Where it cannot run, tests are skipped with the reason; in CI they fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.striking import Machine
from tests.needs import unavailable
from wizard.lab.control import Laboratory
from wizard.lab.preflight import missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"lab", "lab_possible"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def lab_possible() -> None:
    hindrances = missing()
    if hindrances:
        unavailable("no laboratory here: " + "; ".join(hindrances))


@pytest.fixture
def lab(lab_possible: None) -> Iterator[Laboratory]:
    """A fresh laboratory of its own for the test."""
    with Laboratory() as laboratory:
        yield laboratory


@pytest.fixture(scope="module")
def machines(lab_possible: None) -> Iterator[Machine]:
    held = Machine()
    yield held
    held.drop()


@pytest.fixture
def machine(machines: Machine) -> Iterator[Machine]:
    """One laboratory for all tests of a module: a test must leave the laptop as it was."""
    yield machines
    left = ["something of it is still at work"]
    try:
        left = machines.left()
    finally:
        if left:
            machines.drop()
    assert not left, "the test did not leave the laptop as it found it:\n" + "\n".join(line[:300] for line in left)
