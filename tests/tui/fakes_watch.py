"""A lease monitor of plain values: it tells of the board that the test gives it, and of CNCIs as the test has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wizard.actions.outcome import NodeOutcome
from wizard.host.net.node_traffic import NodeTraffic
from wizard.host.net.traffic import Counters, Rate
from wizard.monitor.forward_checks import ForwardCheck
from wizard.monitor.instances import CnciReading, GatewayContext, Instance, ssh_commands
from wizard.monitor.lease_monitor import row_id
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.lease_view import LeaseIndex, LeaseQuery
from wizard.monitor.lease_watch import LeaseSnapshot
from wizard.monitor.machine_events import MachineEvent
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.lease_parser import Lease

if TYPE_CHECKING:
    from datetime import datetime

    from wizard.services.protocols import ChangeProcess

HEALTH = (
    ForwardCheck(8889, "tcp", "controller", 8889, True, True, "answers"),
    ForwardCheck(35357, "tcp", "controller", 35357, False, False, "controller:35357: nobody listens there"),
    ForwardCheck(5000, "udp", "controller", 5000, None, None, "UDP: nobody can tell without speaking its protocol"),
)
COUNTED = NodeTraffic(
    2.0,
    True,
    {"192.168.0.101": Counters(1_230_000_000, 45_000_000), "192.168.0.65": Counters(7_000, 3_000)},
    {"192.168.0.101": Rate(12_000_000.0, 900_000.0), "192.168.0.65": Rate(20_000.0, 4_000.0)},
)


class FakeWatch:
    """Looks at the board of its services as the monitor looks at the machine."""

    def __init__(self, machine: FakeWatchServices) -> None:
        self._machine = machine
        self._index = LeaseIndex()
        self._before: dict[tuple[str, str], LeaseRow] = {}
        self._events: tuple[MachineEvent, ...] = ()
        self._lock = threading.Lock()
        self.looks = 0
        self.closed = False

    def poll(self, query: LeaseQuery) -> LeaseSnapshot:
        with self._lock:
            self.looks += 1
            if self._machine.blind is not None:
                raise self._machine.blind
            now = {row_id(row): row for row in self._machine.board}
            changed = [row for which, row in now.items() if self._before.get(which) is not row]
            gone = [row for which, row in self._before.items() if which not in now]
            self._before = now
            numbers = {row.mac: n for n, row in enumerate(self._machine.board) if row.kind == "node"}
            self._index.update(changed, gone, numbers)
            shown, counts = self._index.query(query), self._index.counts.copy()
            machine = self._machine
            if len(self._events) != len(machine.happenings):
                self._events = tuple(machine.happenings)
            return LeaseSnapshot(machine.applied, shown, counts, self._events, machine.trouble, machine.counted)

    def close(self) -> None:
        self.closed = True


@dataclass(kw_only=True)
class FakeWatchServices:
    """Mixed into the services. `cncis` are what each CNCI says, in the order in which they answer."""

    happenings: list[MachineEvent] = field(default_factory=list)
    applied: bool = True
    trouble: str = ""
    guard_says: str = ""
    blind: WizardError | None = None
    watches: list[FakeWatch] = field(default_factory=list)
    health: tuple[ForwardCheck, ...] = HEALTH
    heeds: bool = True
    unapplied: bool = False
    cncis: dict[str, CnciReading] = field(default_factory=dict)
    stubborn: dict[str, str] = field(default_factory=dict)
    no_action: WizardError | None = None
    slow: dict[str, threading.Event] = field(default_factory=dict)

    if TYPE_CHECKING:
        did: list[str]
        in_force: str | None
        change: ChangeProcess
        board: tuple[LeaseRow, ...]
        counted: NodeTraffic
        applied_text: str

        def now(self) -> datetime: ...

    def open_leases(self) -> FakeWatch:
        self.watches.append(FakeWatch(self))
        return self.watches[-1]

    def held_back(self) -> str:
        return self.guard_says

    def plan_to_adopt_into(self) -> str:
        if self.unapplied:
            raise WizardError("The plan was edited and not applied since.", "Apply it.")
        assert self.in_force is not None
        load_plan(self.in_force, "the plan in force")
        return self.in_force

    def start_adopt(self, plan_text: str) -> ChangeProcess:
        self.did.append("adopt")
        self.applied_text = plan_text
        return self.change

    def release(self, mac: str, ip: str) -> bool:
        self.did.append(f"release {mac} {ip}")
        return self.heeds

    def forwards(self) -> tuple[ForwardCheck, ...]:
        return self.health

    def act_on_nodes(self, action: str, names: Sequence[str]) -> Iterator[NodeOutcome]:
        self.did.append(f"{action} {' '.join(names)}")
        if self.no_action is not None:
            raise self.no_action
        for name in names:
            if name in self.slow:
                self.slow[name].wait(10)
            fails = name in self.stubborn
            yield NodeOutcome(name, not fails, self.stubborn.get(name, "done"), "Try it by hand." if fails else "")

    def known_here(self) -> GatewayContext:
        vms = [row for row in self.board if row.kind == "vm" and row.ip]
        return GatewayContext(
            tuple(Lease(None, vm.mac, vm.ip, vm.hostname) for vm in vms), "ciao.lan", "root@10.77.0.98"
        )

    def read_instances(
        self, cncis: Sequence[str], known: GatewayContext, user: str
    ) -> Iterator[tuple[int, CnciReading]]:
        self.did.append(f"instances {' '.join(cncis)} as {user}")
        if "-oProxyCommand=evil" in cncis:
            raise WizardError("that is not a machine that ssh could be sent to", "Write [USER@]HOST.")
        return self._readings(cncis)

    def _readings(self, cncis: Sequence[str]) -> Iterator[tuple[int, CnciReading]]:
        for cnci in sorted(cncis, key=lambda name: name in self.slow):
            if cnci in self.slow:
                self.slow[cnci].wait(10)
            yield list(cncis).index(cnci), self.cncis[cnci]


def happening(number: int, kind: str, name: str, words: str, now: datetime) -> MachineEvent:
    return MachineEvent(now - timedelta(seconds=100 - number), kind, "b8:ae:ed:7b:51:01", "192.168.0.101", name, words)


def instance(ip: str, cnci: str, **more: Any) -> Instance:
    octets = [int(octet) for octet in ip.split(".")]
    values: dict[str, Any] = {
        "mac": "02:00:" + ":".join(f"{octet:02x}" for octet in octets),
        "ip": ip,
        "subnet": "172.16.0.0+24",
        "hostname": "",
        "expires": None,
        "state": "leased",
        "reachable": True,
        "ways": ssh_commands(ip, cnci, "", "demouser", "root@10.77.0.98"),
    }
    return Instance(**{**values, **more})
