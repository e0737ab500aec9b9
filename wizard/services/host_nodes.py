"""What is done to nodes of the plan in force."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError

if TYPE_CHECKING:
    from wizard.actions.outcome import NodeOutcome

_WAKE_WITHIN_S = 300
"""A BMC that does not answer takes 15 s, and sixteen are asked at a time."""


def act_on_nodes(action: str, names: Sequence[str]) -> Iterator[NodeOutcome]:
    """The outcome of each node, in the order of completion. Raises WizardError where none can be begun."""
    from wizard.actions import power, targets

    plan = targets.plan_in_force()
    nodes = targets.choose(plan, names)
    if action == power.WAKE and os.geteuid() != 0:
        return _wake_as_root([node.name for node in nodes])
    return power.carry_out(plan, nodes, power.Order(action))


def _wake_as_root(names: Sequence[str]) -> Iterator[NodeOutcome]:
    """By the command of the same name, as sudo asks for no password by now."""
    from wizard.actions.outcome import NodeOutcome
    from wizard.host import commands

    argv = ["sudo", "-n", sys.executable, "-P", "-m", "wizard", "wake", "--json", "--", *names]
    try:
        told = json.loads(commands.run(*argv, timeout=_WAKE_WITHIN_S, ok=(0, 1)) or "[]")
        outcomes = [NodeOutcome(one["node"], one["ok"], one["detail"], one["remedy"]) for one in told]
    except (ValueError, LookupError, TypeError):
        raise WizardError("No outcome was reported.", "Try 'sudo ciao-wizard wake' by hand.") from None
    if not outcomes:
        raise WizardError("No node was woken.", "'sudo ciao-wizard wake' says why.")
    yield from outcomes
