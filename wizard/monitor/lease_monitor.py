"""The lease monitor: polls its sources, and keeps state between polls.

What a look costs goes by what has changed, not by how many leases there are; the lease file alone is read whole,
because dnsmasq writes it whole.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from wizard.host.net.neighbours import Neighbour, read_neighbours
from wizard.host.net.prober import Prober, open_prober
from wizard.monitor.dnsmasq_log import IgnoredClient
from wizard.monitor.file_followers import LogFollower, PlanFollower
from wizard.monitor.lease_file import LeaseFile, common_ends
from wizard.monitor.lease_rows import LeaseRow, LeaseTable, row_key
from wizard.monitor.machine_events import MachineEvent, events_of
from wizard.monitor.reachability import Reachability
from wizard.plan import paths
from wizard.plan.lease_parser import Lease
from wizard.plan.model import Plan

MOST_EVENTS = 1000
NEIGHBOURS_EVERY_S = 1.0
BULK = 500
CLOCK_SLACK = timedelta(seconds=5)

Clock = Callable[[], float]
Keyed = tuple[bytes, LeaseRow]


@dataclass(slots=True)
class MonitorSources:
    """Where a monitor looks. The defaults are the machine's own; tests put others in their place."""

    plan: Callable[[], Plan | None] = field(default_factory=lambda: PlanFollower().read)
    leases: LeaseFile = field(default_factory=lambda: LeaseFile(paths.LEASES))
    log: LogFollower = field(default_factory=LogFollower)
    neighbours: Callable[[str], dict[str, Neighbour]] = read_neighbours
    prober: Callable[[str, str], Prober] = open_prober
    clock: Clock = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now().astimezone()


@dataclass(frozen=True, slots=True)
class LeaseUpdate:
    """What one look found. `applied` is False where there is no plan; `problem`: see LeaseFile.

    `changed` are the rows that are new or differ in more than the time they were last seen, `gone` those that
    are no longer there, `fresh` all that were made anew. `events` are those of this look, the oldest first.
    """

    applied: bool
    changed: tuple[LeaseRow, ...] = ()
    gone: tuple[LeaseRow, ...] = ()
    events: tuple[MachineEvent, ...] = ()
    problem: str = ""
    fresh: tuple[LeaseRow, ...] = ()


class LeaseMonitor:
    """`look` as often as you like (four times a second shows all in time); `rows` and `events` tell all there is.

    Not to be shared between threads. Close it when done.
    """

    def __init__(self, sources: MonitorSources | None = None) -> None:
        self.events: deque[MachineEvent] = deque(maxlen=MOST_EVENTS)
        self.sources = sources or MonitorSources()
        self._plan: Plan | None = None
        self._presence: Reachability | None = None
        self._forget()

    def _forget(self) -> None:
        """Begin anew: another plan, or a clock that went back."""
        self._table: LeaseTable | None = None
        self.leases: tuple[Lease, ...] = ()
        # By the minute in which they end: 65,000 entries of a heap would be 8 MB.
        self._ends: dict[int, set[Lease]] = {}
        self._of: dict[str, tuple[Keyed, ...]] = {}
        self._order: list[Keyed] = []
        self._seen: dict[str, tuple[datetime, datetime]] = {}
        self._wire: dict[str, Neighbour] = {}
        self._speaking: dict[str, list[str]] = {}
        self._merged: dict[str, Neighbour] = {}
        self._alarmed: set[str] = set()
        self._bulk = False
        self._at: datetime | None = None
        self._wired = float("-inf")
        # Of the first look no events are made: nobody comes just because we begin to look.
        self._baseline = True
        self._ignored: dict[str, IgnoredClient] = {}
        self._reasons: dict[str, str] = {}

    @property
    def rows(self) -> tuple[LeaseRow, ...]:
        """All rows: the plan's nodes in their order, then VMs, then strangers, each by address."""
        return tuple(row for _, row in self._order)

    @property
    def numbers(self) -> dict[str, int]:
        """The place of each node's MAC in the plan."""
        return self._table.order if self._table is not None else {}

    def close(self) -> None:
        if self._presence is not None:
            self._presence.prober.close()
            self._presence = None

    def look(self) -> LeaseUpdate:
        """What is new since the last look. Raises PlanUnreadable only where there never was a plan to read."""
        plan = self.sources.plan()
        now = self.sources.now()
        if plan is None:
            self.close()
            gone = self.rows
            self._plan = None
            self._forget()
            return LeaseUpdate(False, gone=gone)
        old = self._order
        fresh = plan != self._plan
        if fresh or (self._at is not None and now < self._at - CLOCK_SLACK):
            self._begin(plan, keep_prober=not fresh)
        self._at = now
        dirty = set(self._take_leases(now))
        dirty |= self._take_log(now)
        dirty |= self._take_wire()
        if fresh and self._table is not None:
            dirty |= set(self._table.macs())
        view = self._redo(dirty, now)
        if fresh and old:
            kept = {row_id(row) for row in self.rows}
            return replace(view, gone=tuple(row for _, row in old if row_id(row) not in kept))
        return view

    def feed(self, removed: Iterable[Lease], added: Iterable[Lease], now: datetime) -> LeaseUpdate:
        """What `look` does with a difference of the lease file; its cost does not depend on how many there are."""
        return self._redo(self.change(removed, added, now), now)

    def _begin(self, plan: Plan, keep_prober: bool) -> None:
        if not keep_prober:
            self.close()
        self._forget()
        self._plan = plan
        self._table = LeaseTable(plan)
        if self._presence is None:
            prober = self.sources.prober(plan.interfaces.cluster, str(plan.network.gateway))
            self._presence = Reachability(prober, self.sources.clock)
        self._presence.follow(self._table.reserved)

    def _take_leases(self, now: datetime) -> set[str]:
        file = self.sources.leases
        if file.changed() or not self.leases:
            leases = file.read()
            removed, added = difference(self.leases, leases)
            if len(removed) + len(added) > 2:
                # Two that were renewed far apart have all the others between them: those are the very same objects.
                kept = {id(lease) for lease in removed} & {id(lease) for lease in added}
                removed = [lease for lease in removed if id(lease) not in kept]
                added = [lease for lease in added if id(lease) not in kept]
            self.leases = leases
        else:
            removed, added = (), ()
        return self.change(removed, added, now)

    def change(self, removed: Iterable[Lease], added: Iterable[Lease], now: datetime) -> set[str]:
        table, dirty = self._table, set()
        if table is None:
            return set()
        for lease in removed:
            dirty |= {lease.mac, *table.affected_macs(lease.ip)}
            table.remove(lease)
            if lease.expires is not None:
                self._ends.get(_minute(lease.expires), set()).discard(lease)
            if lease.ip not in table.reserved and lease.ip not in table.holders and self._presence:
                self._presence.forget([lease.ip])
        for lease in added:
            table.add(lease, now)
            dirty |= {lease.mac, *table.affected_macs(lease.ip)}
            if lease.expires is not None and lease.expires > now:
                self._ends.setdefault(_minute(lease.expires), set()).add(lease)
            if self._presence is not None:
                self._presence.follow([lease.ip])
                self._presence.probe_now([lease.ip])
        for lease in self._ended(now):
            dirty |= {lease.mac, *table.affected_macs(lease.ip)}
            table.expire(lease)
        return dirty

    def _ended(self, now: datetime) -> Iterator[Lease]:
        """The leases that end now, each once."""
        for minute in sorted(m for m in self._ends if m <= _minute(now)):
            later = set()
            for lease in self._ends.pop(minute):
                if lease.expires is not None and lease.expires > now:
                    later.add(lease)
                else:
                    yield lease
            if later:
                self._ends[minute] = later

    def _take_log(self, now: datetime) -> set[str]:
        table = self._table
        if table is None or (not self.sources.log.look(now) and not self._baseline):
            return set()
        log = self.sources.log.log
        dirty = {mac for mac, _ in self._ignored.items() ^ log.ignored.items()}
        dirty |= {mac for mac, _ in self._reasons.items() ^ log.reasons.items()}
        self._ignored, self._reasons = dict(log.ignored), dict(log.reasons)
        table.ignored, table.reasons = log.ignored, log.reasons
        return dirty

    def _take_wire(self) -> set[str]:
        """The neighbour table and what we asked ourselves, as one."""
        table, presence, plan = self._table, self._presence, self._plan
        if table is None or presence is None or plan is None:
            return set()
        ips = presence.look()
        clock = self.sources.clock()
        if clock - self._wired >= NEIGHBOURS_EVERY_S:
            self._wired = clock
            wire = self.sources.neighbours(plan.interfaces.cluster)
            ips |= {ip for ip, _ in self._wire.items() ^ wire.items()}
            self._wire = wire
            self._speaking = {}
            for ip, neighbour in wire.items():
                if neighbour.state == "reachable" and "." in ip:
                    self._speaking.setdefault(neighbour.mac, []).append(ip)
            ips |= self._alarmed
        for ip in ips:
            neighbour = self._wire.get(ip, Neighbour())
            here = presence.is_reachable(ip)
            if here is not None:
                neighbour = Neighbour(presence.mac(ip) or neighbour.mac, "reachable" if here else "failed")
            self._merged[ip] = neighbour
            if ip not in self._wire and here is None:
                del self._merged[ip]
        table.neighbours = self._merged
        return set().union(*(table.affected_macs(ip) for ip in ips))

    def _redo(self, dirty: set[str], now: datetime) -> LeaseUpdate:
        """Make the rows of these machines anew."""
        table = self._table
        if table is None:
            return LeaseUpdate(False)
        changed: list[LeaseRow] = []
        gone: list[LeaseRow] = []
        fresh: list[LeaseRow] = []
        events: list[MachineEvent] = []
        # Sorting all anew is dear for one and cheap for many.
        self._bulk = len(dirty) > BULK
        if self._bulk:
            self._order = [keyed for mac, placed in self._of.items() if mac not in dirty for keyed in placed]
        for mac in sorted(dirty):
            before = [row for _, row in self._of.get(mac, ())]
            after = [self._dressed(row, now) for row in table.rows_of(mac)]
            self._place(mac, after)
            fresh += after
            known = [without_last_seen(row) for row in before]
            changed += [row for row in after if not known or without_last_seen(row) not in known]
            kept = {row_id(row) for row in after}
            gone += [row for row in before if row_id(row) not in kept]
            if not self._baseline:
                events += events_of(before, after, now)
        if self._bulk:
            self._order.sort(key=_key)
        self._baseline = False
        self.events.extend(events)
        return LeaseUpdate(True, tuple(changed), tuple(gone), tuple(events), self.sources.leases.problem, tuple(fresh))

    def _place(self, mac: str, after: Sequence[LeaseRow]) -> None:
        """Put a machine's rows where they belong among all."""
        assert self._table is not None  # noqa: S101
        for keyed in self._of.pop(mac, ()):
            if not self._bulk:
                del self._order[bisect_left(self._order, keyed[0], key=_key)]
        placed: list[Keyed] = []
        for row in after:
            placed.append((row_key(row, self._table.order), row))
            if self._bulk:
                self._order.append(placed[-1])
            else:
                insort(self._order, placed[-1], key=_key)
        if placed:
            self._of[mac] = tuple(placed)

    def _dressed(self, row: LeaseRow, now: datetime) -> LeaseRow:
        """The row with its alarms, and with when it was first and last seen."""
        presence = self._presence
        alarms, reason = list(row.alarms), row.reason
        if presence is not None and row.ip and row.state != "ignored":
            claimants = presence.claimants(row.ip)
            if len(claimants) > 1:
                alarms.append("one-address")
                reason = f"two machines say that {row.ip} is theirs: {', '.join(claimants)}"
            elif presence.duplicate_mac(row.ip) == row.mac:
                alarms.append("one-mac")
                reason = f"two machines with the MAC {row.mac} answer at {row.ip}: one is a clone of the other"
        if row.ip:
            (self._alarmed.add if len(alarms) > len(row.alarms) else self._alarmed.discard)(row.ip)
        if not alarms and row.kind == "node" and (other := self._elsewhere(row)):
            alarms.append("one-mac")
            reason = f"its MAC answers at {other} too: a second machine has it, or this one has a second address"
        heard = [at for at in (*self.sources.log.log.heard.get(row.mac, ()), *self._seen.get(row.mac, ())) if at <= now]
        silent = presence.silent_for(row.ip) if presence is not None and row.reachable is not None else None
        if silent is not None:
            heard.append(now - timedelta(seconds=silent))
        elif row.reachable or (row.state in ("leased", "wrong-address") and not heard and not self._baseline):
            heard.append(now)
        if heard:
            self._seen[row.mac] = (min(heard), max(heard))
        first, last = self._seen.get(row.mac, (None, None))
        if last is None and not alarms:
            return row
        return replace(row, alarms=tuple(alarms), reason=reason, first_seen=first, last_seen=last)

    def _elsewhere(self, row: LeaseRow) -> str:
        """Another address at which a node's MAC answers, "" where there is none."""
        table = self._table
        held = {lease.ip for lease in table.current.get(row.mac, [])} | {row.ip} if table else set()
        return next((ip for ip in self._speaking.get(row.mac, ()) if ip not in held), "")


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _key(keyed: Keyed) -> bytes:
    return keyed[0]


def row_id(row: LeaseRow) -> tuple[str, str]:
    """What makes a row the same one from look to look."""
    return row.mac, row.ip


def without_last_seen(row: LeaseRow) -> LeaseRow:
    """The row without what changes by merely looking."""
    return replace(row, last_seen=None)


def difference(old: Sequence[Lease], new: Sequence[Lease]) -> tuple[Sequence[Lease], Sequence[Lease]]:
    """What is between the common beginning and the common end of the two: removed, added."""
    start, end = common_ends(old, new)
    return old[start : len(old) - end], new[start : len(new) - end]
