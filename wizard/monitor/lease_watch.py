"""A lease monitor kept open while a page shows it, and its rows in that page's order and filter."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from dataclasses import dataclass, field

from wizard.monitor.lease_monitor import LeaseMonitor, MonitorSources
from wizard.monitor.lease_view import LeaseIndex, LeaseQuery, LeaseView
from wizard.monitor.machine_events import MachineEvent

MANY = 5000
"""From so many rows on Python's search for garbage among them would be felt as a standstill."""


@dataclass(frozen=True, slots=True, eq=False)
class LeaseSnapshot:
    """What there is to show at one moment. `counts`: see Index. `events`: the oldest first, up to a thousand.

    `applied` is False where there is no plan, `problem` what is the matter with the lease file, "" where nothing is.
    """

    applied: bool = True
    shown: LeaseView = field(default_factory=LeaseView)
    counts: Counter[str] = field(default_factory=Counter)
    events: tuple[MachineEvent, ...] = ()
    problem: str = ""


class LeaseWatch:
    """May be asked from any thread; looks that come at the same time wait for each other."""

    def __init__(self, sources: MonitorSources | None = None) -> None:
        self._monitor = LeaseMonitor(sources)
        self._index = LeaseIndex()
        self._events: tuple[MachineEvent, ...] = ()
        self._wanted = LeaseQuery()
        self._lock = threading.Lock()

    def look(self, wanted: LeaseQuery) -> LeaseSnapshot:
        """Raises PlanUnreadable where there never was a plan to read."""
        with self._lock:
            gc.disable()
            try:
                view = self._monitor.look()
                self._index.update(view.fresh, view.gone, self._monitor.numbers)
                shown = self._index.query(wanted)
            finally:
                gc.enable()
            if len(view.fresh) > MANY or (len(self._index) > MANY and wanted != self._wanted):
                # They are no garbage until they are replaced, and then no search is needed.
                gc.freeze()
            self._wanted = wanted
            if view.events:
                self._events = tuple(self._monitor.events)
            return LeaseSnapshot(view.applied, shown, self._index.counts.copy(), self._events, view.problem)

    def close(self) -> None:
        with self._lock:
            self._monitor.close()
