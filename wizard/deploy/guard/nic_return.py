"""Restores the gateway's address on a cluster NIC that was unplugged and is back, or that stayed down at boot.

Called by `daemon.Guard.inspect` in the guard process.
"""

from __future__ import annotations

import logging
import time

from wizard.deploy import runtime_state
from wizard.deploy.guard.preconditions import GuardVerdict
from wizard.host.net.managers import applied_backend
from wizard.plan.machine import Nic
from wizard.plan.model import Plan

log = logging.getLogger("ciao-gateway")

PATIENCE_S = 3.0
"""How long the system's own hot plugging has to do it, in s."""
_AGAIN_S = 10.0
_CURABLE_CODES = ("no-carrier", "address")


class NicReturn:
    """Acts until the NIC, known by its index, has had the address once: what a person removes then stays away."""

    def __init__(self) -> None:
        self.served_index: int | None = None
        self.next_attempt: tuple[int, float] | None = None

    def restore_address(self, plan: Plan, nic: Nic, verdict: GuardVerdict) -> None:
        """Set the NIC up by the network manager where `verdict`, of `check_nic`, shows that its address is missing.

        Not while an engine runs. Raises WizardError where that fails.
        """
        net = plan.network
        has_it = any(str(a.network.ip) == str(net.gateway) for a in nic.addresses)
        if nic.up and has_it:
            self.served_index = nic.index
        if (
            self.served_index == nic.index
            or verdict.code not in _CURABLE_CODES
            or runtime_state.running_engine() is not None
        ):
            return
        now = time.monotonic()
        if self.next_attempt is None or self.next_attempt[0] != nic.index:
            self.next_attempt = nic.index, now + PATIENCE_S
        if now < self.next_attempt[1]:
            return
        self.next_attempt = nic.index, now + _AGAIN_S
        log.info("%s is here without its address; raising it", nic.name)
        backend = applied_backend()
        # ifupdown has not noticed that the NIC was away.
        backend.make_way(nic.name)
        backend.bring_up(nic.name)
