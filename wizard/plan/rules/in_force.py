"""What the rules hold against a plan that is in force already, on the machine as it is now."""

from __future__ import annotations

from wizard.plan.addresses import default_route_nics
from wizard.plan.findings import Finding, Severity
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules.check import check

_BEFORE_ONLY = frozenset({"missing-tools", "network-manager-unsupported", "path-blocked"})
"""Errors that keep an apply from working, and harm nothing that works."""
_GUARDED = frozenset({"nic-missing"})
"""What the guard says itself."""


def harmful_findings(plan: Plan, facts: Facts) -> list[Finding]:
    """Errors, and what is one once nodes depend on it; `facts.applied_cluster` and `our_pids` keep us out of it."""
    return [finding for finding in check(plan, facts) if _harms(finding, plan, facts)]


def _harms(finding: Finding, plan: Plan, facts: Facts) -> bool:
    if finding.code in _BEFORE_ONLY | _GUARDED:
        return False
    if finding.code == "corporate-no-default-route":
        # On the road there is none at all, and nobody misses one.
        return bool(default_route_nics(facts) - {plan.interfaces.corporate, plan.interfaces.cluster})
    return finding.severity is Severity.ERROR
