"""The one reader of the plan in force: the plan that runs here, or the one that starts at the next boot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from wizard.host.files import read_text
from wizard.plan import paths
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan

RUNNING = (paths.LIVE_PLAN,)
"""The plan that runs now, on trial or kept."""
RUNNING_OR_KEPT = (*RUNNING, paths.PLAN_IN_FORCE)
"""The running plan first: the kept file may have been edited since. After a reboot, until the guard runs, only the kept
file exists."""


class Unreadable(Enum):
    """What to do about a file that exists but holds no valid plan."""

    RAISE = "raise"
    """PlanUnreadable."""
    SKIP = "skip"
    """Try the next place; None if there is no other."""


@dataclass(frozen=True, slots=True)
class PlanInForce:
    """A plan, the text it was read from, and where that lies."""

    plan: Plan
    text: str
    path: str


def read_plan_in_force(
    places: Sequence[str] = RUNNING_OR_KEPT,
    if_unreadable: Unreadable = Unreadable.RAISE,
    called: str = "",
) -> PlanInForce | None:
    """The plan of the first of these files that exists, or None. `called`: the path to name in errors.

    Raises PlanUnreadable, unless `if_unreadable` says otherwise.
    """
    for path in places:
        text = read_text(path)
        if text is None:
            continue
        try:
            return PlanInForce(load_plan(text, called or path), text, path)
        except WizardError:
            if if_unreadable is Unreadable.RAISE:
                raise
    return None


def running_plan(if_unreadable: Unreadable) -> Plan | None:
    """The plan that runs here, else the kept one; None where nothing is applied. Raises as `read_plan_in_force`."""
    found = read_plan_in_force(if_unreadable=if_unreadable)
    return found.plan if found is not None else None
