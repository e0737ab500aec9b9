"""A wire, a clock and files for the monitor."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from netaddr import EUI, IPAddress, IPNetwork

from wizard.host.dhcp.dnsmasq_log import LogFollower
from wizard.host.net.neighbours import Neighbour
from wizard.host.net.prober import ProbeAnswer
from wizard.monitor.lease_file import LeaseFile
from wizard.monitor.lease_monitor import LeaseMonitor, MonitorSources
from wizard.monitor.lease_rows import LeaseRow
from wizard.plan.model import Interfaces, Network, Node, Plan, Role

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONTROLLER, COMPUTE = "b8:ae:ed:7b:51:50", "c0:3f:d5:63:ea:dd"
CNCI, STRANGER, TENANT = "02:11:22:33:44:55", "c0:3f:d5:67:a2:01", "02:00:ac:10:00:02"
PLAN = Plan(
    Interfaces("eth0", "eth1"),
    Network(IPNetwork("192.168.0.0/16"), IPAddress("192.168.0.200")),
    (
        Node("controller", (Role.CONTROLLER,), EUI(CONTROLLER), IPAddress("192.168.0.101")),
        Node("compute1", (Role.NETWORK, Role.COMPUTE), EUI(COMPUTE), IPAddress("192.168.0.104")),
    ),
)


class Wire:
    """Who answers for an address: one MAC for each machine that does. Counts the questions."""

    sure = True

    def __init__(self) -> None:
        self.there: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.answers: list[ProbeAnswer] = []

    def ask(self, ip: str) -> None:
        self.asked.append(ip)
        self.answers += [ProbeAnswer(ip, True, mac) for mac in self.there.get(ip, [])]

    def collect(self) -> list[ProbeAnswer]:
        answers, self.answers = self.answers, []
        return answers

    def close(self) -> None:
        pass


class World:
    """A monitor and all that it looks at. Time passes only by `wait`."""

    def __init__(self, tmp: Path, plan: Plan | None = PLAN) -> None:
        self.clock = 1000.0
        self.now = START
        self.plan = plan
        self.wire = Wire()
        self.neighbours: dict[str, Neighbour] = {}
        self.lease_path, self.log_path = tmp / "leases", tmp / "log"
        self._stamp = 1_000_000_000
        self.log_path.write_text("")
        self.leases()
        self.monitor = LeaseMonitor(
            MonitorSources(
                plan=lambda: self.plan,
                leases=LeaseFile(self.lease_path, lambda: self.clock),
                log=LogFollower(self.log_path),
                neighbours=lambda _nic: self.neighbours,
                prober=lambda _nic, _ip: self.wire,
                clock=lambda: self.clock,
                now=lambda: self.now,
            )
        )

    def leases(self, *lines: tuple[str, str] | str) -> None:
        """Write the lease file: (MAC, address) or a line as it is."""
        end = int((START + timedelta(hours=12)).timestamp())
        text = [line if isinstance(line, str) else f"{end} {line[0]} {line[1]} * *" for line in lines]
        self.lease_path.write_text("".join(f"{line}\n" for line in text))
        # Written a while ago, and at another time than before.
        self._stamp += 1
        os.utime(self.lease_path, (self._stamp, self._stamp))

    def log(self, *messages: str) -> None:
        with self.log_path.open("a") as handle:
            handle.writelines(f"{self.now:%b %e %H:%M:%S} dnsmasq-dhcp[43]: {line}\n" for line in messages)

    def wait(self, seconds: float, step: float = 0.25) -> None:
        """Look on for so long."""
        end = self.clock + seconds
        while self.clock < end:
            self.clock += step
            self.now += timedelta(seconds=step)
            self.monitor.poll()

    def row(self, mac: str) -> LeaseRow:
        (row,) = [row for row in self.monitor.rows if row.mac == mac]
        return row

    def events(self) -> list[tuple[str, str]]:
        return [(event.kind, event.mac) for event in self.monitor.events]
