"""The lease monitor: polls its sources, and keeps state between polls.

The cost of a poll depends on what has changed, not on the number of leases; only the lease file is read whole, because
dnsmasq writes it whole.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from wizard.host.dhcp.dnsmasq_log import IgnoredClient, LogFollower
from wizard.host.net.neighbours import Neighbour, read_neighbours
from wizard.host.net.prober import Prober, open_prober
from wizard.monitor.file_followers import PlanFollower
from wizard.monitor.lease_file import LeaseFile, common_ends
from wizard.monitor.lease_rows import LeaseRow, LeaseTable, row_key
from wizard.monitor.machine_events import MachineEvent, events_of
from wizard.monitor.reachability import Reachability
from wizard.plan import paths
from wizard.plan.lease_parser import Lease
from wizard.plan.model import Plan

MOST_EVENTS = 1000
NEIGHBOURS_EVERY_S = 1.0
MANY_ROWS = 500
CLOCK_SLACK = timedelta(seconds=5)

Clock = Callable[[], float]
KeyedRow = tuple[bytes, LeaseRow]


@dataclass(slots=True)
class MonitorSources:
    """What a monitor reads. The defaults are this machine's; tests pass their own."""

    plan: Callable[[], Plan | None] = field(default_factory=lambda: PlanFollower().read)
    leases: LeaseFile = field(default_factory=lambda: LeaseFile(paths.LEASES))
    log: LogFollower = field(default_factory=LogFollower)
    neighbours: Callable[[str], dict[str, Neighbour]] = read_neighbours
    prober: Callable[[str, str], Prober] = open_prober
    clock: Clock = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now().astimezone()


@dataclass(frozen=True, slots=True)
class LeaseUpdate:
    """The result of one poll. `applied` is False where there is no plan; `problem`: see LeaseFile.

    `changed`: rows that are new or differ in more than `last_seen`. `gone`: rows that are no longer there. `rebuilt`:
    all rows that were made again, changed or not. `events`: those of this poll, oldest first.
    """

    applied: bool
    changed: tuple[LeaseRow, ...] = ()
    gone: tuple[LeaseRow, ...] = ()
    events: tuple[MachineEvent, ...] = ()
    problem: str = ""
    rebuilt: tuple[LeaseRow, ...] = ()


class LeaseMonitor:
    """Call `poll` as often as needed (four times a second is plenty); `rows` and `events` are the state since.

    Not thread-safe. Close it when done.
    """

    def __init__(self, sources: MonitorSources | None = None) -> None:
        self.events: deque[MachineEvent] = deque(maxlen=MOST_EVENTS)
        self.sources = sources or MonitorSources()
        self._plan: Plan | None = None
        self._reachability: Reachability | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget all state: another plan, or a clock that was set back."""
        self._table: LeaseTable | None = None
        self.leases: tuple[Lease, ...] = ()
        # By the minute in which they expire: a heap of 65,000 would take 8 MB.
        self._expiring: dict[int, set[Lease]] = {}
        self._keyed_by_mac: dict[str, tuple[KeyedRow, ...]] = {}
        self._sorted: list[KeyedRow] = []
        self._seen: dict[str, tuple[datetime, datetime]] = {}
        self._neighbours: dict[str, Neighbour] = {}
        self._reachable_ips: dict[str, list[str]] = {}
        self._merged_neighbours: dict[str, Neighbour] = {}
        self._alarmed: set[str] = set()
        self._many = False
        self._polled_at: datetime | None = None
        self._neighbours_read_at = float("-inf")
        # The first poll makes no events: nobody came just because we began.
        self._first_poll = True
        self._ignored: dict[str, IgnoredClient] = {}
        self._reasons: dict[str, str] = {}

    @property
    def rows(self) -> tuple[LeaseRow, ...]:
        """All rows: the plan's nodes in their order, then VMs, then strangers, each by address."""
        return tuple(row for _, row in self._sorted)

    @property
    def positions(self) -> dict[str, int]:
        """Each node's position in the plan, by MAC."""
        return self._table.positions if self._table is not None else {}

    def close(self) -> None:
        if self._reachability is not None:
            self._reachability.prober.close()
            self._reachability = None

    def poll(self) -> LeaseUpdate:
        """What has changed since the last poll. Raises PlanUnreadable only where no plan could be read before."""
        plan = self.sources.plan()
        now = self.sources.now()
        if plan is None:
            self.close()
            gone = self.rows
            self._plan = None
            self._reset()
            return LeaseUpdate(False, gone=gone)
        old = self._sorted
        new_plan = plan != self._plan
        if new_plan or (self._polled_at is not None and now < self._polled_at - CLOCK_SLACK):
            self._start_over(plan, keep_prober=not new_plan)
        self._polled_at = now
        dirty = set(self._read_leases(now))
        dirty |= self._read_log(now)
        dirty |= self._read_neighbours()
        if new_plan and self._table is not None:
            dirty |= set(self._table.macs())
        update = self._rebuild(dirty, now)
        if new_plan and old:
            kept = {row_id(row) for row in self.rows}
            return replace(update, gone=tuple(row for _, row in old if row_id(row) not in kept))
        return update

    def feed(self, removed: Iterable[Lease], added: Iterable[Lease], now: datetime) -> LeaseUpdate:
        """What `poll` does with a change of the lease file; the cost does not depend on the number of leases."""
        return self._rebuild(self.apply_leases(removed, added, now), now)

    def _start_over(self, plan: Plan, keep_prober: bool) -> None:
        if not keep_prober:
            self.close()
        self._reset()
        self._plan = plan
        self._table = LeaseTable(plan)
        if self._reachability is None:
            prober = self.sources.prober(plan.interfaces.cluster, str(plan.network.gateway))
            self._reachability = Reachability(prober, self.sources.clock)
        self._reachability.follow(self._table.reserved)

    def _read_leases(self, now: datetime) -> set[str]:
        file = self.sources.leases
        if file.changed() or not self.leases:
            leases = file.read()
            removed, added = difference(self.leases, leases)
            if len(removed) + len(added) > 2:
                # Two renewed leases far apart have all others between them: those are the same objects.
                kept = {id(lease) for lease in removed} & {id(lease) for lease in added}
                removed = [lease for lease in removed if id(lease) not in kept]
                added = [lease for lease in added if id(lease) not in kept]
            self.leases = leases
        else:
            removed, added = (), ()
        return self.apply_leases(removed, added, now)

    def apply_leases(self, removed: Iterable[Lease], added: Iterable[Lease], now: datetime) -> set[str]:
        """The MACs whose rows have to be built again; so do the other two readers below."""
        table, dirty = self._table, set()
        if table is None:
            return set()
        for lease in removed:
            dirty |= {lease.mac, *table.affected_macs(lease.ip)}
            table.remove(lease)
            if lease.expires is not None:
                self._expiring.get(_minute(lease.expires), set()).discard(lease)
            if lease.ip not in table.reserved and lease.ip not in table.holders and self._reachability:
                self._reachability.forget([lease.ip])
        for lease in added:
            table.add(lease, now)
            dirty |= {lease.mac, *table.affected_macs(lease.ip)}
            if lease.expires is not None and lease.expires > now:
                self._expiring.setdefault(_minute(lease.expires), set()).add(lease)
            if self._reachability is not None:
                self._reachability.follow([lease.ip])
                self._reachability.probe_now([lease.ip])
        for lease in self._expired(now):
            dirty |= {lease.mac, *table.affected_macs(lease.ip)}
            table.expire(lease)
        return dirty

    def _expired(self, now: datetime) -> Iterator[Lease]:
        """The leases that have expired by now, each once."""
        for minute in sorted(m for m in self._expiring if m <= _minute(now)):
            later = set()
            for lease in self._expiring.pop(minute):
                if lease.expires is not None and lease.expires > now:
                    later.add(lease)
                else:
                    yield lease
            if later:
                self._expiring[minute] = later

    def _read_log(self, now: datetime) -> set[str]:
        table = self._table
        if table is None or (not self.sources.log.poll(now) and not self._first_poll):
            return set()
        log = self.sources.log.log
        dirty = {mac for mac, _ in self._ignored.items() ^ log.ignored.items()}
        dirty |= {mac for mac, _ in self._reasons.items() ^ log.reasons.items()}
        self._ignored, self._reasons = dict(log.ignored), dict(log.reasons)
        table.ignored, table.reasons = log.ignored, log.reasons
        return dirty

    def _read_neighbours(self) -> set[str]:
        """The kernel's neighbour table, overruled by our own probes."""
        table, reachability, plan = self._table, self._reachability, self._plan
        if table is None or reachability is None or plan is None:
            return set()
        ips = reachability.poll()
        clock = self.sources.clock()
        if clock - self._neighbours_read_at >= NEIGHBOURS_EVERY_S:
            self._neighbours_read_at = clock
            neighbours = self.sources.neighbours(plan.interfaces.cluster)
            ips |= {ip for ip, _ in self._neighbours.items() ^ neighbours.items()}
            self._neighbours = neighbours
            self._reachable_ips = {}
            for ip, neighbour in neighbours.items():
                if neighbour.state == "reachable" and "." in ip:
                    self._reachable_ips.setdefault(neighbour.mac, []).append(ip)
            ips |= self._alarmed
        for ip in ips:
            neighbour = self._neighbours.get(ip, Neighbour())
            here = reachability.is_reachable(ip)
            if here is not None:
                neighbour = Neighbour(reachability.mac(ip) or neighbour.mac, "reachable" if here else "failed")
            self._merged_neighbours[ip] = neighbour
            if ip not in self._neighbours and here is None:
                del self._merged_neighbours[ip]
        table.neighbours = self._merged_neighbours
        return set().union(*(table.affected_macs(ip) for ip in ips))

    def _rebuild(self, dirty: set[str], now: datetime) -> LeaseUpdate:
        """Build the rows of these MACs again."""
        table = self._table
        if table is None:
            return LeaseUpdate(False)
        changed: list[LeaseRow] = []
        gone: list[LeaseRow] = []
        rebuilt: list[LeaseRow] = []
        events: list[MachineEvent] = []
        # Sorting everything is dear for one row and cheap for many.
        dirty = {table.row_mac(mac) for mac in dirty}
        self._many = len(dirty) > MANY_ROWS
        if self._many:
            self._sorted = [keyed for mac, placed in self._keyed_by_mac.items() if mac not in dirty for keyed in placed]
        for mac in sorted(dirty):
            before = [row for _, row in self._keyed_by_mac.get(mac, ())]
            after = [self._with_alarms(row, now) for row in table.rows_of(mac)]
            self._place(mac, after)
            rebuilt += after
            known = [without_last_seen(row) for row in before]
            changed += [row for row in after if not known or without_last_seen(row) not in known]
            kept = {row_id(row) for row in after}
            gone += [row for row in before if row_id(row) not in kept]
            if not self._first_poll:
                events += events_of(before, after, now)
        if self._many:
            self._sorted.sort(key=_key)
        self._first_poll = False
        self.events.extend(events)
        return LeaseUpdate(
            True, tuple(changed), tuple(gone), tuple(events), self.sources.leases.problem, tuple(rebuilt)
        )

    def _place(self, mac: str, after: Sequence[LeaseRow]) -> None:
        """Replace a machine's rows in the sorted list."""
        assert self._table is not None  # noqa: S101
        for keyed in self._keyed_by_mac.pop(mac, ()):
            if not self._many:
                del self._sorted[bisect_left(self._sorted, keyed[0], key=_key)]
        placed: list[KeyedRow] = []
        for row in after:
            placed.append((row_key(row, self._table.positions), row))
            if self._many:
                self._sorted.append(placed[-1])
            else:
                insort(self._sorted, placed[-1], key=_key)
        if placed:
            self._keyed_by_mac[mac] = tuple(placed)

    def _with_alarms(self, row: LeaseRow, now: datetime) -> LeaseRow:
        """The row with its alarms and the times it was seen."""
        reachability = self._reachability
        alarms, reason = list(row.alarms), row.reason
        if reachability is not None and row.ip and row.state != "ignored":
            claimants = reachability.claimants(row.ip)
            if len(claimants) > 1:
                alarms.append("one-address")
                reason = f"two machines say that {row.ip} is theirs: {', '.join(claimants)}"
                if len({self._row_mac(mac) for mac in claimants}) == 1:
                    who = f"both answer at {row.ip}: unplug one of them, or find the machine that has the other"
                    reason = f"{' and '.join(claimants)}, two NICs of {row.name}, {who}"
            elif reachability.duplicate_mac(row.ip) == row.mac:
                alarms.append("one-mac")
                reason = f"two machines with the MAC {row.mac} answer at {row.ip}: one is a clone of the other"
        if row.ip:
            (self._alarmed.add if len(alarms) > len(row.alarms) else self._alarmed.discard)(row.ip)
        if not alarms and row.kind == "node" and (other := self._other_address(row)):
            alarms.append("one-mac")
            reason = f"its MAC answers at {other} too: a second machine has it, or this one has a second address"
        requests = self.sources.log.log.request_times.get(row.mac, ())
        times = [at for at in (*requests, *self._seen.get(row.mac, ())) if at <= now]
        silent = reachability.silent_for(row.ip) if reachability is not None and row.reachable is not None else None
        if silent is not None:
            times.append(now - timedelta(seconds=silent))
        elif row.reachable or (row.state in ("leased", "wrong-address") and not times and not self._first_poll):
            times.append(now)
        if times:
            self._seen[row.mac] = (min(times), max(times))
        first, last = self._seen.get(row.mac, (None, None))
        if last is None and not alarms:
            return row
        return replace(row, alarms=tuple(alarms), reason=reason, first_seen=first, last_seen=last)

    def _row_mac(self, mac: str) -> str:
        return self._table.row_mac(mac) if self._table is not None else mac

    def _other_address(self, row: LeaseRow) -> str:
        """Another address at which a node's MAC answers, "" where there is none."""
        table = self._table
        held = {lease.ip for lease in table.current.get(row.mac, [])} | {row.ip} if table else set()
        return next((ip for ip in self._reachable_ips.get(row.mac, ()) if ip not in held), "")


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _key(keyed: KeyedRow) -> bytes:
    return keyed[0]


def row_id(row: LeaseRow) -> tuple[str, str]:
    """Identifies a row from poll to poll."""
    return row.mac, row.ip


def without_last_seen(row: LeaseRow) -> LeaseRow:
    """The row without what changes at every poll."""
    return replace(row, last_seen=None)


def difference(old: Sequence[Lease], new: Sequence[Lease]) -> tuple[Sequence[Lease], Sequence[Lease]]:
    """(removed, added): what is between the common prefix and the common suffix."""
    start, end = common_ends(old, new)
    return old[start : len(old) - end], new[start : len(new) - end]
