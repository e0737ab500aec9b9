"""Status, plan and rows at one moment; and the events between two such moments."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from wizard.host.net.node_traffic import NodeTraffic
from wizard.monitor.lease_monitor import LeaseMonitor
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.machine_events import MachineEvent, events_of
from wizard.monitor.node_summary import NodeSummary, summarize_nodes

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.plan.machine import Nic, Route
    from wizard.plan.model import Plan

ANSWERS_WITHIN_S = 0.1
# A poll every 2 s whose status waits 4 s for a path report must not restart the monitor: that would drop its alarms.
RESTART_AFTER_S = 10.0
_STATE_PREFIXES = {"tripped": "stopped: ", "interrupted": "cut off: ", "pending": "", "applied": "", "absent": ""}


@dataclass(frozen=True, slots=True)
class Overview:
    """One moment. `plan` has an address for every node; None where none is in force or readable.

    `address`: the gateway's own on the corporate side; `router`: its default gateway there; `corporate`: the NIC there,
    of several that of the wire; "" where unknown. `traffic`: what each address of the cluster has received and sent.
    """

    at: datetime
    status: Status
    plan: Plan | None = None
    rows: tuple[LeaseRow, ...] = ()
    address: str = ""
    router: str = ""
    corporate: str = ""
    traffic: NodeTraffic = field(default_factory=NodeTraffic)
    nodes: NodeSummary = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", summarize_nodes(self.rows))


class RowReader:
    """The rows of a lease monitor, for callers that read them now and then. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._monitor: LeaseMonitor | None = None
        self._polled_at = 0.0

    def rows(self) -> tuple[LeaseRow, ...]:
        """Every machine, and whether it answers. Blocks for ANSWERS_WITHIN_S. Raises PlanUnreadable."""
        with self._lock:
            if self._monitor is not None and time.monotonic() - self._polled_at > RESTART_AFTER_S:
                # Its old answers would count as answers of now.
                self._monitor.close()
                self._monitor = None
            self._monitor = self._monitor or LeaseMonitor()
            self._monitor.poll()
            time.sleep(ANSWERS_WITHIN_S)
            self._monitor.poll()
            self._polled_at = time.monotonic()
            return self._monitor.rows


def address_and_router(corporate: str, nics: Iterable[Nic], routes: Iterable[Route]) -> tuple[str, str]:
    """The gateway's address on the corporate NIC, and its default gateway there; "" where there is none."""
    from wizard.plan.addresses import default_routes

    if not corporate:
        return "", ""
    nic = next((n for n in nics if n.name == corporate), None)
    addresses = [str(a.network.ip) for a in (nic.addresses if nic else ()) if a.network.version == 4]
    ways = default_routes(routes, corporate, any_table=True)
    # A tunnel or a modem has nobody but the other end.
    routers = [r.gateway for r in ways if r.gateway] or ["point-to-point" for _ in ways]
    return addresses[0] if addresses else "", routers[0] if routers else ""


def read_overview(
    status: Status, plan: Plan | None, rows: tuple[LeaseRow, ...], traffic: NodeTraffic | None = None
) -> Overview:
    """An overview of what was read already, and of the corporate side as it is now."""
    from wizard.host.facts.uplinks import read_route_facts
    from wizard.plan.uplinks import resolved

    traffic = traffic or NodeTraffic()
    if plan is None:
        return Overview(datetime.now().astimezone(), status, plan, rows, traffic=traffic)
    facts = read_route_facts()
    corporate = resolved(plan, facts).interfaces.corporate
    sides = address_and_router(corporate, facts.nics, facts.routes)
    return Overview(datetime.now().astimezone(), status, plan, rows, *sides, corporate, traffic)


def events_between(before: Overview | None, after: Overview) -> tuple[MachineEvent, ...]:
    """The events between two overviews: machines that came and went, parts of the gateway that failed or work again.

    () for the first overview, and across a change of plan.
    """
    if before is None or before.plan != after.plan:
        return ()
    return (
        *_gateway_events(before.status, after.status, after.at),
        *_machine_events(before.rows, after.rows, after.at),
    )


def _gateway_events(before: Status, after: Status, at: datetime) -> list[MachineEvent]:
    found = []
    if before.state != after.state:
        words = f"{_STATE_PREFIXES.get(after.state, '')}{after.reason or after.state}"
        found.append(MachineEvent(at, "state", "", "", "gateway", words))
    earlier = {check.name: check.ok for check in before.checks}
    for check in after.checks:
        if check.ok is False and earlier.get(check.name) is True:
            found.append(MachineEvent(at, "failed", "", "", check.name, check.detail))
        elif check.ok is True and earlier.get(check.name) is False:
            found.append(MachineEvent(at, "mended", "", "", check.name, f"works again: {check.detail}"))
    found += [MachineEvent(at, "drift", "", "", "", line) for line in after.drift if line not in before.drift]
    return found


def _machine_events(before: tuple[LeaseRow, ...], after: tuple[LeaseRow, ...], at: datetime) -> list[MachineEvent]:
    if before == after:
        return []
    old, new = _by_mac(before), _by_mac(after)
    found: list[MachineEvent] = []
    for mac in dict.fromkeys((*old, *new)):
        old_rows, new_rows = old.get(mac, []), new.get(mac, [])
        if old_rows != new_rows:
            found += events_of(old_rows, new_rows, at)
    return found


def _by_mac(rows: tuple[LeaseRow, ...]) -> dict[str, list[LeaseRow]]:
    found: dict[str, list[LeaseRow]] = {}
    for row in rows:
        found.setdefault(row.mac, []).append(row)
    return found
