"""A lease monitor kept open for a page, with its rows in the page's order and filter."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from wizard.host.net.node_traffic import NodeTraffic, read_node_traffic
from wizard.monitor.lease_monitor import LeaseMonitor, MonitorSources
from wizard.monitor.lease_view import LeaseIndex, LeaseQuery, LeaseView
from wizard.monitor.machine_events import MachineEvent

MANY = 5000
"""From this many rows on a run of the garbage collector would be felt as a standstill."""
TRAFFIC_EVERY_S = 1.0
_TRAFFIC_PART = 20
"""Reading the counters takes one part in so many of the time, however many there are."""


@dataclass(frozen=True, slots=True, eq=False)
class LeaseSnapshot:
    """The state at one moment. `counts`: see LeaseIndex. `events`: oldest first, at most a thousand.

    `applied` is False where there is no plan. `problem`: what is wrong with the lease file, "" where nothing is.
    `traffic`: what each address has received and sent.
    """

    applied: bool = True
    rows: LeaseView = field(default_factory=LeaseView)
    counts: Counter[str] = field(default_factory=Counter)
    events: tuple[MachineEvent, ...] = ()
    problem: str = ""
    traffic: NodeTraffic = field(default_factory=NodeTraffic)


class TrafficReader:
    """Reads the counters of the cluster's addresses, not more often than is worth it."""

    def __init__(self, read: Callable[[], NodeTraffic] = read_node_traffic) -> None:
        self._read = read
        self._last = NodeTraffic()
        self._next = 0.0

    def read(self) -> NodeTraffic:
        """What was read last, or just now."""
        began = time.monotonic()
        if began >= self._next:
            self._last = self._read().after(self._last)
            now = time.monotonic()
            self._next = max(began + TRAFFIC_EVERY_S, now + (now - began) * _TRAFFIC_PART)
        return self._last


class LeaseWatch:
    """Thread-safe: concurrent polls wait for each other."""

    def __init__(
        self, sources: MonitorSources | None = None, read_traffic: Callable[[], NodeTraffic] = read_node_traffic
    ) -> None:
        self._monitor = LeaseMonitor(sources)
        self._traffic = TrafficReader(read_traffic)
        self._index = LeaseIndex()
        self._events: tuple[MachineEvent, ...] = ()
        self._query = LeaseQuery()
        self._lock = threading.Lock()

    def poll(self, query: LeaseQuery) -> LeaseSnapshot:
        """Poll the monitor, and query its rows. Raises PlanUnreadable where no plan could be read before."""
        with self._lock:
            gc.disable()
            try:
                update = self._monitor.poll()
                self._index.update(update.rebuilt, update.gone, self._monitor.positions)
                rows = self._index.query(query)
            finally:
                gc.enable()
            if len(update.rebuilt) > MANY or (len(self._index) > MANY and query != self._query):
                # Rows are no garbage until they are replaced, and then reference counting frees them.
                gc.freeze()
            self._query = query
            if update.events:
                self._events = tuple(self._monitor.events)
            traffic = self._traffic.read()
            return LeaseSnapshot(update.applied, rows, self._index.counts.copy(), self._events, update.problem, traffic)

    def close(self) -> None:
        with self._lock:
            self._monitor.close()
