"""Who gives the nodes the time: as an apply recorded it, and as the next one would choose."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from wizard.host.facts.nics import read_nics
from wizard.host.facts.processes import read_processes
from wizard.host.files import read_text
from wizard.host.net import managers
from wizard.host.ntp.company import read_time_servers
from wizard.host.ntp.own_server import read_time_server
from wizard.plan import fields, paths
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.ntp import DROP_INS, NO_TIME, TEMPLATES, NtpMode, TimeServer, TimeSource
from wizard.plan.time_source import choose_time


def applied_time() -> TimeSource:
    """What the last apply chose, by the recorded identity; NO_TIME where older versions recorded nothing."""
    try:
        record = _identity().get("time", {})
        servers = tuple(str(server) for server in record.get("servers", []))
        server = TimeServer(str(record.get("kind")), str(record.get("unit")), str(record.get("drop_in")))
    except (tomllib.TOMLDecodeError, AttributeError, TypeError):
        return NO_TIME
    if not all(map(fields.is_address, servers)):
        return NO_TIME
    known = server.kind in TEMPLATES and server.drop_in in DROP_INS
    return TimeSource(servers, server if known else None)


def is_recorded() -> bool:
    """Whether the last apply recorded who gives the time, be it nobody. Versions that knew no time did not."""
    try:
        return "time" in _identity()
    except tomllib.TOMLDecodeError:
        return False


def _identity() -> dict[str, Any]:
    texts = (read_text(path) for path in (paths.LIVE_IDENTITY, paths.IDENTITY))
    return tomllib.loads(next((text for text in texts if text is not None), ""))


def time_for(plan: Plan) -> TimeSource:
    """What an apply of this plan would choose now."""
    if plan.network.ntp is NtpMode.OFF:
        return NO_TIME
    root = Path("/")
    processes = read_processes(root)
    nics = read_nics()
    facts = Facts(
        nics=nics,
        time_server=read_time_server(processes, root),
        time_servers=read_time_servers(nics, managers.active(processes, root), root),
    )
    return choose_time(plan, facts)
