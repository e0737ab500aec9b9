"""Plans that are wrong in one thing, given to `apply`: one clear message, status 1 or 2, nothing changed.

The plans are those of the plan's own tests.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.lab.support import EXAMPLE, HERE, ciao, differences, plan_with, told_by_apply, whole
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("bad-plans")]


def _table() -> ModuleType:
    path = HERE.parent / "unit" / "plan" / "test_bad_plans.py"
    spec = importlib.util.spec_from_file_location("bad_plans_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclass looks itself up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TABLE = _table()
# The plan's own tests have them all; every kind of them is among these.
UNREADABLE, UNWORKABLE = TABLE.UNREADABLE[::3], TABLE.UNWORKABLE[::2]


@pytest.fixture(scope="module")
def untouched(lab_possible: None) -> Iterator[Laboratory]:
    """A laboratory that must be in the end as it was in the beginning, as a whole."""
    with Laboratory() as lab:
        before = whole(lab)
        yield lab
        assert differences(before, whole(lab)) == []


def refused(lab: Laboratory, plan: str) -> tuple[int, str]:
    """Apply a plan that must be refused; the status and what was said, which is fit for a terminal."""
    done = ciao(lab, "apply", "-c", "-", "--yes", stdin=plan)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert all(line.isprintable() for line in done.stderr.splitlines()), repr(done.stderr)
    return done.returncode, done.stderr


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: case.name)
def test_a_plan_that_cannot_be_read_is_refused(untouched: Laboratory, case: Any) -> None:
    status, said = refused(untouched, TABLE.changed(EXAMPLE.read_text(), case))
    assert status == 2
    assert case.field in said
    assert case.says in said
    assert said.count("ciao-wizard: ") == 1, "one message"


@pytest.mark.parametrize("case", UNWORKABLE, ids=lambda case: case.name)
def test_a_plan_that_cannot_work_is_refused(untouched: Laboratory, case: Any) -> None:
    status, said = refused(untouched, TABLE.changed(EXAMPLE.read_text(), case))
    assert status == 1
    errors = [line.split() for line in said.splitlines() if line.startswith("error ")]
    # All of them are about the one thing that is wrong.
    assert errors
    assert {field for _, _, field in errors} == {case.field}
    assert case.says in said
    assert "Nothing was changed." in said


def test_the_last_event_of_a_refused_plan_says_why(untouched: Laboratory) -> None:
    absent = plan_with(('cluster   = "eth1"', 'cluster   = "eth7"'))
    told = told_by_apply(untouched, "-c", "-", "--yes", stdin=absent)
    assert told[-1]["result"] == "refused"
    assert "eth7" in told[-1]["reason"]
    assert {event.get("state") for event in told} & {"done", "undone"} == set()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["apply", "-c", "/nonexistent/plan.toml"], "/nonexistent/plan.toml"),
        (["apply", "-c", "/etc"], "/etc"),
        (["apply", "-c", "/usr/bin/env"], "UTF-8"),
        (["check", "-c", "/dev/null"], "interfaces"),
        (["apply", "-c", str(EXAMPLE), "--confirm-within", "never"], "--confirm-within"),
        (["apply", "--frobnicate"], "frobnicate"),
        (["frobnicate"], "frobnicate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_said_in_one_message(untouched: Laboratory, argv: list[str], words: str) -> None:
    done = ciao(untouched, *argv)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
