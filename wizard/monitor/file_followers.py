"""Follows the plan in force as its file changes."""

from __future__ import annotations

from pathlib import Path

from wizard.host.plan_in_force import RUNNING_OR_KEPT, read_plan_in_force
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan


class PlanFollower:
    """The plan in force, or on trial, parsed only when its file has changed."""

    def __init__(self, paths_in_order: tuple[str, ...] = RUNNING_OR_KEPT) -> None:
        self._paths = paths_in_order
        self._stamp: object = None
        self._plan: Plan | None = None

    def read(self) -> Plan | None:
        """The plan, None where nothing is applied. Of an unreadable file, the last plan that could be read.

        Raises PlanUnreadable where there was none before.
        """
        stamp = tuple(_stamp(path) for path in self._paths)
        if stamp == self._stamp:
            return self._plan
        try:
            found = read_plan_in_force(self._paths)
            self._plan = found.plan if found is not None else None
        except WizardError:
            if self._plan is None:
                raise
        self._stamp = stamp
        return self._plan


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
