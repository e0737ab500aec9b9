"""What the lease monitor and the instances page ask of the machine, and the two things that they change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from wizard.plan import paths
from wizard.plan.findings import WizardError

if TYPE_CHECKING:
    from wizard.monitor.forward_checks import ForwardCheck
    from wizard.monitor.instances import CnciReading, GatewayContext
    from wizard.monitor.lease_view import LeaseQuery
    from wizard.monitor.lease_watch import LeaseSnapshot
    from wizard.services import Run

_HEEDED_WITHIN_S = 3.0


class Watch(Protocol):
    """A look-out on the leases, open until it is closed. May be asked from any thread."""

    def look(self, wanted: LeaseQuery) -> LeaseSnapshot: ...
    def close(self) -> None: ...


class WatchServices(Protocol):
    """Calls may block and raise WizardError."""

    def watch(self) -> Watch: ...
    def held_back(self) -> str:
        """Why the guard lets nobody have an address now, "" where it does or where that is not known; quick."""
        ...

    def plan_to_adopt_into(self) -> str:
        """The text of the plan in force. Raises WizardError where that was edited and not applied since."""
        ...

    def start_adopt(self, plan_text: str) -> Run:
        """Apply a plan that has a node more, and keep it once every verification holds."""
        ...

    def release(self, mac: str, ip: str) -> bool:
        """Have dnsmasq forget a lease; whether it has. The machine itself learns nothing of it."""
        ...

    def forwards(self) -> tuple[ForwardCheck, ...]:
        """Whether what is forwarded answers, at the node and through the gateway; some seconds."""
        ...

    def known_here(self) -> GatewayContext: ...
    def read_instances(
        self, cncis: Sequence[str], known: GatewayContext, user: str
    ) -> Iterator[tuple[int, CnciReading]]:
        """The place of a CNCI and what it says, whoever answers first first. WizardError for what is no machine."""
        ...


class _Machine(Protocol):
    def plan_in_force(self) -> str | None: ...
    def apply_plan(self, plan_text: str, *words: str) -> Run: ...


class HostWatch:
    """The real machine; the services it is part of have the rest."""

    def watch(self) -> Watch:
        from wizard.monitor.lease_watch import LeaseWatch

        return LeaseWatch()

    def held_back(self) -> str:
        from wizard.deploy import runtime_state

        told = runtime_state.running_guard()
        if told is None or told.get("mode") == "armed":
            return ""
        head = "The guard has stopped the gateway" if told.get("mode") == "tripped" else "The guard holds DHCP back"
        return f"{head}: {told.get('reason')}"

    def plan_to_adopt_into(self: _Machine) -> str:
        from wizard.host.plan_in_force import Unreadable, running_plan
        from wizard.plan.file.read import load_plan

        text = self.plan_in_force()
        if text is None:
            raise WizardError("Nothing is applied here.", "Apply a plan first.")
        if load_plan(text, paths.PLAN_IN_FORCE) != running_plan(Unreadable.SKIP):
            raise WizardError(
                f"{paths.PLAN_IN_FORCE} was edited and not applied since: this would apply all of that as well.",
                "Apply it, or take the edit back; then adopt.",
            )
        return text

    def start_adopt(self: _Machine, plan_text: str) -> Run:
        return self.apply_plan(plan_text, "--yes")

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

    def known_here(self) -> GatewayContext:
        from wizard.monitor.lease_board import read_gateway_context

        return read_gateway_context()

    def read_instances(
        self, cncis: Sequence[str], known: GatewayContext, user: str
    ) -> Iterator[tuple[int, CnciReading]]:
        from wizard.host.ssh import Target, parse_target
        from wizard.monitor.instances import HERE, parse_user, read_cncis

        targets = [Target(text) if text in HERE else parse_target(text) for text in cncis]
        return read_cncis(targets, known, parse_user(user))
