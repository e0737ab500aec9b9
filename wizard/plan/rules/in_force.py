"""Rules for a gateway that runs: which findings mean harm now."""

from __future__ import annotations

from wizard.plan.addresses import default_route_nics
from wizard.plan.findings import Finding, Severity
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules.check import check

_BEFORE_ONLY = frozenset({"missing-tools", "network-manager-unsupported", "network-manager-silent", "path-blocked"})
"""Errors that prevent an apply and do not harm a running gateway."""
_UNTIL_APPLIED = frozenset({"nic-managed-elsewhere"})
"""Only a warning before an apply, which ends it, and harmful until then."""
_GUARDED = frozenset({"nic-missing"})
"""Reported by the guard itself."""


def harmful_findings(plan: Plan, facts: Facts) -> list[Finding]:
    """Findings that harm a running gateway. Without `applied_cluster` and `our_pids` in `facts` it harms itself."""
    return [finding for finding in check(plan, facts) if _harms(finding, plan, facts)]


def _harms(finding: Finding, plan: Plan, facts: Facts) -> bool:
    if finding.code in _BEFORE_ONLY | _GUARDED:
        return False
    if finding.code == "no-way-out":
        # Its own check says it.
        return False
    if finding.code == "corporate-no-default-route":
        # Away from the office there is no default route at all, and that is fine.
        return bool(default_route_nics(facts) - {plan.interfaces.corporate, plan.interfaces.cluster})
    return finding.severity is Severity.ERROR or finding.code in _UNTIL_APPLIED
