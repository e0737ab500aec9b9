"""A cluster NIC that was away and is back, or that nobody raised at boot, gets its address again."""

from __future__ import annotations

import logging
import time

from wizard.deploy import runtime_state
from wizard.deploy.guard.preconditions import GuardVerdict
from wizard.host.net.managers import cluster_backend
from wizard.plan import paths
from wizard.plan.machine import Nic
from wizard.plan.model import Plan

log = logging.getLogger("ciao-gateway")

PATIENCE_S = 3.0
"""How long the system's own hot plugging has to do it."""
_AGAIN_S = 10.0
_CURABLE = ("no-carrier", "address")


class NicReturn:
    """Acts once for every time that the NIC comes, known by its index: what a person takes away stays away."""

    def __init__(self) -> None:
        self.at_home: int | None = None
        self.seen: tuple[int, float] | None = None

    def restore_address(self, plan: Plan, nic: Nic, verdict: GuardVerdict) -> None:
        """`verdict` is what the gates say of the NIC as it is. Raises WizardError where it cannot be raised."""
        net = plan.network
        has_it = any(str(a.network.ip) == str(net.gateway) for a in nic.addresses)
        if nic.up and has_it:
            self.at_home = nic.index
        if self.at_home == nic.index or verdict.code not in _CURABLE or runtime_state.running_engine() is not None:
            return
        now = time.monotonic()
        if self.seen is None or self.seen[0] != nic.index:
            self.seen = nic.index, now + PATIENCE_S
        if now < self.seen[1]:
            return
        self.seen = nic.index, now + _AGAIN_S
        log.info("%s is here without its address; raising it", nic.name)
        backend = cluster_backend()
        config = paths.LIVE_INTERFACES
        if backend.is_configured(nic.name):
            # As far as the network manager knows it never went away.
            backend.bring_down(nic.name, config)
        backend.bring_up(nic.name, config)
