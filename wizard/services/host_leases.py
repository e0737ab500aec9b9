"""The leases of a gateway in force on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from wizard.plan import paths
from wizard.plan.findings import WizardError

if TYPE_CHECKING:
    from wizard.monitor.forward_checks import ForwardCheck
    from wizard.services.protocols import LeaseFeed

_HEEDED_WITHIN_S = 3.0


class HostLeases:
    """`plan_in_force` reads the text of the plan, None where nothing is applied."""

    def __init__(self, plan_in_force: Callable[[], str | None]) -> None:
        self._plan_in_force = plan_in_force

    def open(self) -> LeaseFeed:
        from wizard.monitor.lease_watch import LeaseWatch

        return LeaseWatch()

    def held_back(self) -> str:
        from wizard.deploy import runtime_state

        guard = runtime_state.running_guard()
        if guard is None or guard.get("mode") == "armed":
            return ""
        head = "The guard stopped the gateway" if guard.get("mode") == "tripped" else "The guard blocks DHCP"
        return f"{head}: {guard.get('reason')}"

    def plan_to_adopt_into(self) -> str:
        from wizard.host.plan_in_force import Unreadable, running_plan
        from wizard.plan.file.read import load_plan

        text = self._plan_in_force()
        if text is None:
            raise WizardError("Nothing is applied here.", "Apply a plan first.")
        if load_plan(text, paths.PLAN_IN_FORCE) != running_plan(Unreadable.SKIP):
            raise WizardError(
                f"{paths.PLAN_IN_FORCE} was edited and not applied: adopting would apply that edit too.",
                "Apply it or undo the edit, then adopt.",
            )
        return text

    def release(self, mac: str, ip: str) -> bool:
        from wizard.host.dhcp.release import release
        from wizard.host.plan_in_force import Unreadable, running_plan
        from wizard.monitor.lease_file import LeaseFile

        plan = running_plan(Unreadable.RAISE)
        if plan is None:
            raise WizardError("Nothing is applied here.", "Apply a plan first.")
        release(plan.interfaces.cluster, str(plan.network.gateway), mac, ip)
        until = time.monotonic() + _HEEDED_WITHIN_S
        while time.monotonic() < until:
            if not any((lease.mac, lease.ip) == (mac, ip) for lease in LeaseFile(paths.LEASES).read()):
                return True
            time.sleep(0.05)
        return False

    def forwards(self) -> tuple[ForwardCheck, ...]:
        from wizard.host.facts.reader import read_facts
        from wizard.host.plan_in_force import Unreadable, running_plan
        from wizard.monitor.forward_checks import check_forwards
        from wizard.plan.export.formats import corporate_side

        plan = running_plan(Unreadable.RAISE)
        return () if plan is None else check_forwards(plan, corporate_side(plan, read_facts()).address)
