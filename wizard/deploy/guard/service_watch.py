"""Watches whether everybody gets an address, and tells the person where not.

Called by `path_prober.PathProber` in its thread; what it finds is published with the path report.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from pathlib import Path

from wizard.deploy import runtime_state
from wizard.deploy.dhcp_service import DhcpService, judge_service
from wizard.host.dhcp.dnsmasq_log import LogFollower
from wizard.host.files import read_text
from wizard.host.notice import desktop_notice
from wizard.plan import paths
from wizard.plan.checks import Check
from wizard.plan.lease_parser import Lease, parse_leases
from wizard.plan.model import Plan

log = logging.getLogger("ciao-gateway")

_MOST_CLIENTS = 20_000
_NOTICE_AGAIN_S = 1800.0
"""How long no notice of the same trouble is shown again: a full range comes and goes."""


class ServiceWatch:
    """`look` is cheap where neither the log nor the lease file has changed."""

    def __init__(self) -> None:
        self._follower = LogFollower(most=_MOST_CLIENTS)
        self._stamp: object = None
        self._leases: tuple[Lease, ...] = ()
        self._by_line: dict[str, Lease] = {}
        self._troubled: set[str] = set()
        self._shown_at: dict[str, float] = {}

    def look(self, plan: Plan, loaded_at: float) -> tuple[Check, ...]:
        """The checks of now. `loaded_at`: when the configuration was loaded, runtime_state.boottime in s."""
        now = datetime.now().astimezone()
        self._follower.poll(now)
        self._read_leases()
        since = now - timedelta(seconds=runtime_state.boottime() - loaded_at)
        found = judge_service(plan, self._leases, self._follower.log, now, since)
        self._tell(found)
        return tuple(found.checks())

    def _read_leases(self) -> None:
        before = _stamp()
        if before == self._stamp:
            return
        text = read_text(paths.LEASES) or ""
        # dnsmasq writes the file in place: what changes meanwhile, or has no end, is read the next time.
        if _stamp() == before and (not text or text.endswith("\n")):
            self._stamp = before
            self._leases, _ = parse_leases(text, self._by_line)

    def _tell(self, found: DhcpService) -> None:
        """Log each trouble that is new, and show it on the desktop; say when it is over."""
        range_, _ = found.checks()
        troubles = {name: f"{name} does not get its address: {why}" for name, why in found.unserved}
        titles = dict.fromkeys(troubles, "A machine of the cluster gets no address")
        if range_.ok is False:
            troubles[""] = f"{range_.detail}. {range_.remedy}"
            titles[""] = "The cluster gateway has no address left"
        for name in self._troubled - troubles.keys():
            log.info("%s", f"{name} is served again, or asks no longer" if name else f"works again: {range_.detail}")
        for name in troubles.keys() - self._troubled:
            log.warning("%s", troubles[name])
            now = time.monotonic()
            if now - self._shown_at.get(name, -_NOTICE_AGAIN_S) >= _NOTICE_AGAIN_S:
                self._shown_at[name] = now
                desktop_notice(titles[name], troubles[name])
        self._troubled = set(troubles)


def _stamp() -> object:
    try:
        status = Path(paths.LEASES).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
