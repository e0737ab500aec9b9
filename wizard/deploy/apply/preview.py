"""What an apply would do on this machine, step by step, before anything is done.

Each step previews itself; a test in the laboratory takes the steps and compares what they ran.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from wizard.deploy import runtime_state
from wizard.deploy.apply import engine, steps
from wizard.deploy.apply.context import Step
from wizard.deploy.journal import Journal
from wizard.host.facts.reader import read_facts
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan


@dataclass(frozen=True, slots=True)
class StepPreview:
    """One step to come. `lines`: see Step.preview.

    `trial`: it is gone with a reboot, and taken back unless it is kept. `needed` is None where only root can tell.
    """

    name: str
    lines: tuple[str, ...]
    trial: bool
    needed: bool | None


def preview_steps(plan: Plan, plan_text: str) -> tuple[StepPreview, ...]:
    """The steps of an apply of `plan` here, in order. Changes nothing. Raises WizardError where it could not begin."""
    facts = read_facts(applied_cluster=engine.applied_cluster(), our_pids=runtime_state.own_pids())
    job = engine.make_context(plan, plan_text, facts, Journal())
    listed = [*((step, True) for step in steps.trial_steps(job)), *((step, False) for step in steps.persist_steps(job))]
    return tuple(StepPreview(step.name, tuple(step.preview()), trial, _needed(step)) for step, trial in listed)


def _needed(step: Step) -> bool | None:
    if os.geteuid() != 0:
        return None
    try:
        return step.needed()
    except (WizardError, OSError):
        # What cannot be told now is told by the step itself.
        return None
