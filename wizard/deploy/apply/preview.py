"""Previews an apply on this machine, step by step. Changes nothing; runs in the process that asks (TUI, command line).

Each step previews itself; a test in the laboratory takes the steps and compares the commands that they ran.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
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

    `trial`: a step of the trial, gone with a reboot. `needed`: None where only root can tell.
    """

    name: str
    lines: tuple[str, ...]
    trial: bool
    needed: bool | None


def preview_steps(plan: Plan, plan_text: str, stop: Sequence[str] = ()) -> tuple[StepPreview, ...]:
    """The steps of an apply of `plan` here, in order. Raises WizardError where it could not begin.

    `stop`: services that a person agreed to have stopped.
    """
    facts = read_facts(applied_cluster=engine.applied_cluster(), our_pids=runtime_state.own_pids(), time=True)
    context = engine.make_context(plan, plan_text, facts, Journal(), stop)
    listed = [
        *((step, True) for step in steps.trial_steps(context)),
        *((step, False) for step in steps.persist_steps(context)),
    ]
    return tuple(StepPreview(step.name, tuple(step.preview()), trial, _needed(step)) for step, trial in listed)


def _needed(step: Step) -> bool | None:
    if os.geteuid() != 0:
        return None
    try:
        return step.needed()
    except (WizardError, OSError):
        # An apply reports the error when it takes the step.
        return None
