"""Nodes of the plan in force that boot an image over the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wizard.plan.findings import NeedsRoot

if TYPE_CHECKING:
    from wizard.actions.boot import ArmOrder
    from wizard.monitor.boot_board import BootBoard, BootWatch


class HostBoot:
    """Remembers between looks who answered and since when."""

    def __init__(self) -> None:
        self._watch: BootWatch | None = None

    def look(self) -> BootBoard:
        from wizard.monitor.boot_board import BootWatch

        self._watch = self._watch or BootWatch()
        try:
            return self._watch.look()
        except NeedsRoot:
            raise NeedsRoot(
                "Only root may see who is armed, or arm nodes.",
                "Leave with ctrl+q, and start the wizard again: sudo ciao-wizard",
            ) from None

    def usual_key_files(self) -> tuple[str, ...]:
        from wizard.actions.targets import plan_in_force
        from wizard.deploy.seed_answers import found_keys

        return () if plan_in_force().seeds.ssh_keys else found_keys()

    def arm(self, names: Sequence[str], order: ArmOrder) -> None:
        from wizard.actions.boot import arm
        from wizard.actions.targets import choose, plan_in_force

        plan = plan_in_force()
        arm(plan, choose(plan, names), order)

    def disarm(self, names: Sequence[str]) -> None:
        from wizard.actions.boot import disarm

        disarm(names)
