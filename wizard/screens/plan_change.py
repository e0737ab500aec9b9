"""The apply of a plan, and what it came to where nobody saw its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.screens.shell import Outcome
    from wizard.services.protocols import ChangeProcess, Services


class PlanChange:
    """`start` applies the text of a plan."""

    def __init__(self, services: Services, start: Callable[[str], ChangeProcess], plan_text: str) -> None:
        self._services = services
        self._start = start
        self._plan_text = plan_text
        self._before: Status | None = None

    def begin(self) -> ChangeProcess:
        """Blocks; raises WizardError."""
        self._before = self._services.status()
        return self._start(self._plan_text)

    def outcome(self, status: Status, plan_in_force: str | None) -> str:
        return outcome_of(self._plan_text, self._before)(status, plan_in_force)


def outcome_of(plan_text: str, before: Status | None) -> Outcome:
    """Tells "kept" where this very plan was put in force since `before`, else "failed".

    "" is a plan that somebody else applies, and None what was in force before that.
    """

    def outcome(status: Status, plan_in_force: str | None) -> str:
        another = before is None or (before.state, before.since) != (status.state, status.since)
        ours = not plan_text or plan_in_force == plan_text
        return "kept" if status.state in ("applied", "tripped") and another and ours else "failed"

    return outcome
