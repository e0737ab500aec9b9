"""Watches whether everybody gets an address, and tells the person where not.

Called by `path_prober.PathProber` in its thread; what it finds is published with the path report.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
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
_MOST_TOLD = 5
LASTS_S = 20.0
"""A client that boots is refused and served within seconds."""
_NOTICE_AGAIN_S = 1800.0
"""How long no notice of the same trouble is shown again: a full range comes and goes."""


def notice_in_background(title: str, text: str) -> None:
    """Show a desktop notice, which takes 5 s where a session does not answer: the path's probe does not wait."""
    threading.Thread(target=desktop_notice, args=(title, text), daemon=True).start()


class ServiceWatch:
    """`look` is cheap where neither the log nor the lease file has changed."""

    def __init__(self, notice: Callable[[str, str], object] = notice_in_background) -> None:
        self._notice = notice
        self._follower = LogFollower(most=_MOST_CLIENTS)
        self._stamp: object = None
        self._leases: tuple[Lease, ...] = ()
        self._by_line: dict[str, Lease] = {}
        self._troubled: dict[str, float] = {}
        """Since when, by name; "" is the range."""
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
        """Log each trouble that is new, say when it is over, and show on the desktop what lasts: one notice a look."""
        range_, _ = found.checks()
        troubles = {name: f"{name} does not get its address: {why}" for name, why in found.unserved}
        if range_.ok is False:
            troubles[""] = f"{range_.detail}. {range_.remedy}"
        over = [name for name in self._troubled if name not in troubles]
        new = [name for name in troubles if name not in self._troubled]
        for name in over[:_MOST_TOLD]:
            log.info("%s", f"{name} is served again, or asks no longer" if name else f"works again: {range_.detail}")
        for name in new[:_MOST_TOLD]:
            log.warning("%s", troubles[name])
        for many, what in ((over, "are served again, or ask no longer"), (new, "do not get their addresses")):
            if len(many) > _MOST_TOLD:
                log.warning("%d more %s", len(many) - _MOST_TOLD, what)
        now = time.monotonic()
        self._troubled = {name: self._troubled.get(name, now) for name in troubles}
        due = [
            name
            for name, since in self._troubled.items()
            if now - since >= LASTS_S and now - self._shown_at.get(name, -_NOTICE_AGAIN_S) >= _NOTICE_AGAIN_S
        ]
        if due:
            self._shown_at |= dict.fromkeys(due, now)
            machines = len(due) - ("" in due)
            title = "A machine of the cluster gets no address"
            title = f"{machines} machines of the cluster get no address" if machines > 1 else title
            title = title if machines else "The cluster gateway has no address left"
            more = f" And {len(due) - _MOST_TOLD} more." if len(due) > _MOST_TOLD else ""
            self._notice(title, " ".join(f"{troubles[name].rstrip('.')}." for name in due[:_MOST_TOLD]) + more)


def _stamp() -> object:
    try:
        status = Path(paths.LEASES).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
