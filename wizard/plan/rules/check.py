"""Run every rule. Each module beside this one has `of_plan`, `against_machine` or both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from wizard.plan.findings import Finding, Severity
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules import forwards, images, machine, network, nics, nodes, ntp, options, ports, records
from wizard.plan.text import clean
from wizard.plan.uplinks import resolved

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def check(plan: Plan, facts: Facts) -> tuple[Finding, ...]:
    """All findings on a plan on this machine, errors first. Any error keeps it from being applied."""
    here = resolved(plan, facts)
    return _sorted(
        [
            *_of_plan(plan),
            *nics.against_machine(plan, facts),
            *network.against_machine(here, facts),
            *nodes.against_machine(here, facts),
            *forwards.against_machine(here, facts),
            *machine.against_machine(plan, facts),
            *ports.against_machine(plan, facts),
            *ntp.against_machine(plan, facts),
            *images.against_machine(plan, facts),
        ]
    )


def check_plan(plan: Plan) -> tuple[Finding, ...]:
    """The findings that need no machine, errors first. Cheap enough for every key press."""
    return _sorted(_of_plan(plan))


def _of_plan(plan: Plan) -> Iterable[Finding]:
    yield from nics.of_plan(plan)
    yield from network.of_plan(plan)
    yield from nodes.of_plan(plan)
    yield from forwards.of_plan(plan)
    yield from records.of_plan(plan)
    yield from options.of_plan(plan)
    yield from images.of_plan(plan)
    yield from ntp.of_plan(plan)


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(map(_safe, findings), key=lambda finding: _ORDER[finding.severity]))


def _safe(finding: Finding) -> Finding:
    """Names of NICs, routing tables and processes are untrusted."""
    if finding.message.isprintable() and finding.remedy.isprintable():
        return finding
    return replace(finding, message=clean(finding.message, 2000), remedy=clean(finding.remedy, 2000))
