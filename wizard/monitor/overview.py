"""What is in force and who is there, at one moment; and what happened between two such moments."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from wizard.monitor.lease_monitor import LeaseMonitor
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.machine_events import MachineEvent, events_of
from wizard.monitor.node_summary import NodeSummary, summarize_nodes
from wizard.plan.staleness import STALE_S

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.plan.machine import Nic, Route
    from wizard.plan.model import Plan

ANSWERS_WITHIN_S = 0.1
_LOUD = {"tripped": "stopped: ", "interrupted": "cut off: ", "pending": "", "applied": "", "absent": ""}


@dataclass(frozen=True, slots=True)
class Overview:
    """One look. `plan` has an address for every node, and is None where none is in force or none can be read.

    `address` is the gateway's own on the corporate side and `router` its way on from there, "" where unknown.
    """

    at: datetime
    status: Status
    plan: Plan | None = None
    rows: tuple[LeaseRow, ...] = ()
    address: str = ""
    router: str = ""
    nodes: NodeSummary = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", summarize_nodes(self.rows))


class RowReader:
    """The rows of the lease monitor, asked for now and then by whoever has time for one look only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._monitor: LeaseMonitor | None = None
        self._looked = 0.0

    def rows(self) -> tuple[LeaseRow, ...]:
        """Every machine with whether it answers; takes a moment. Raises WizardError where there is no plan to read."""
        with self._lock:
            if self._monitor is not None and time.monotonic() - self._looked > STALE_S:
                # What was answered since then would count as answered now.
                self._monitor.close()
                self._monitor = None
            self._monitor = self._monitor or LeaseMonitor()
            self._monitor.look()
            time.sleep(ANSWERS_WITHIN_S)
            self._monitor.look()
            self._looked = time.monotonic()
            return self._monitor.rows


def corporate_side(corporate: str, nics: Iterable[Nic], routes: Iterable[Route]) -> tuple[str, str]:
    """The gateway's address on the corporate NIC and its default router there; "" for what there is not."""
    from wizard.plan.addresses import default_routes

    nic = next((n for n in nics if n.name == corporate), None)
    addresses = [str(a.network.ip) for a in (nic.addresses if nic else ()) if a.network.version == 4]
    routers = [r.gateway for r in default_routes(routes, corporate, any_table=True) if r.gateway]
    return addresses[0] if addresses else "", routers[0] if routers else ""


def read_overview(status: Status, plan: Plan | None, rows: tuple[LeaseRow, ...]) -> Overview:
    """What was read already, with what this machine knows of its corporate side."""
    from wizard.host.facts.nics import read_nics
    from wizard.host.facts.routes import read_routes

    sides = corporate_side(plan.interfaces.corporate, read_nics(), read_routes()) if plan is not None else ("", "")
    return Overview(datetime.now().astimezone(), status, plan, rows, *sides)


def events_between(before: Overview | None, after: Overview) -> tuple[MachineEvent, ...]:
    """What happened between two looks: machines that came and went, and parts of the gateway that failed or work.

    Of the first look there is no news: nobody comes just because we begin to look.
    """
    if before is None or before.plan != after.plan:
        return ()
    return (*_of_the_gateway(before.status, after.status, after.at), *_of_machines(before.rows, after.rows, after.at))


def _of_the_gateway(before: Status, after: Status, at: datetime) -> list[MachineEvent]:
    found = []
    if before.state != after.state:
        words = f"{_LOUD.get(after.state, '')}{after.reason or after.state}"
        found.append(MachineEvent(at, "state", "", "", "gateway", words))
    held = {check.name: check.ok for check in before.checks}
    for check in after.checks:
        if check.ok is False and held.get(check.name) is True:
            found.append(MachineEvent(at, "failed", "", "", check.name, check.detail))
        elif check.ok is True and held.get(check.name) is False:
            found.append(MachineEvent(at, "mended", "", "", check.name, f"works again: {check.detail}"))
    found += [MachineEvent(at, "drift", "", "", "", line) for line in after.drift if line not in before.drift]
    return found


def _of_machines(before: tuple[LeaseRow, ...], after: tuple[LeaseRow, ...], at: datetime) -> list[MachineEvent]:
    if before == after:
        return []
    old, new = _by_mac(before), _by_mac(after)
    found: list[MachineEvent] = []
    for mac in dict.fromkeys((*old, *new)):
        had, has = old.get(mac, []), new.get(mac, [])
        if had != has:
            found += events_of(had, has, at)
    return found


def _by_mac(rows: tuple[LeaseRow, ...]) -> dict[str, list[LeaseRow]]:
    found: dict[str, list[LeaseRow]] = {}
    for row in rows:
        found.setdefault(row.mac, []).append(row)
    return found
