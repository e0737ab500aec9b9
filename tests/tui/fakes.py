"""A machine of plain values, and events that a test writes."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaddr import IPNetwork

from tests.tui.fakes_boot import FakeBoots
from tests.tui.fakes_gateway import FakeGateway
from tests.tui.fakes_nodes import FakeNodes
from tests.tui.fakes_setup import FakeSetup
from tests.tui.fakes_watch import COUNTED, FakeWatch, FakeWatchServices
from wizard.deploy.file_changes import FileChange
from wizard.deploy.status import Status
from wizard.host.net.node_traffic import NodeTraffic
from wizard.monitor.lease_rows import LeaseRow
from wizard.plan.checks import OK, Check
from wizard.plan.findings import WizardError
from wizard.plan.machine import Address, Facts, Nic, Route
from wizard.plan.model import Plan
from wizard.services.protocols import CablingReport, FileThere

if TYPE_CHECKING:
    from wizard.services.protocols import ChangeProcess, LeaseFeed, Services

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)

FACTS = Facts(
    nics=(
        Nic("lo", 1, "loopback", up=True, carrier=True, addresses=(Address(IPNetwork("127.0.0.1/8")),)),
        Nic(
            "eth0",
            2,
            "ethernet",
            mac="00:1b:21:3c:9d:01",
            permanent_mac="00:1b:21:3c:9d:01",
            driver="e1000e",
            vendor="Intel Corporate",
            up=True,
            carrier=True,
            speed_mbps=1000,
            addresses=(Address(IPNetwork("10.77.0.98/24"), dynamic=True),),
            default_route=True,
            dhcp_client=True,
        ),
        Nic(
            "eth1",
            3,
            "ethernet",
            mac="00:e0:4c:68:0f:12",
            permanent_mac="00:e0:4c:68:0f:12",
            driver="r8152",
            vendor="Realtek",
            up=True,
            carrier=True,
            speed_mbps=1000,
        ),
        Nic("wlp2s0", 4, "wireless", mac="a0:88:b4:00:00:01", driver="iwlwifi", vendor="Intel Corporate"),
        Nic("docker0", 5, "bridge", mac="02:42:00:00:00:01", addresses=(Address(IPNetwork("172.17.0.1/16")),)),
    ),
    routes=(
        Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1"),
        Route(IPNetwork("10.77.0.0/24"), "eth0"),
        Route(IPNetwork("172.17.0.0/16"), "docker0"),
    ),
    network_managers=("ifupdown",),
    host_name="gw01",
    system="Debian GNU/Linux 12",
)
ABSENT = Status("absent", False, None, None, (), (), "nothing is applied")
APPLIED = Status(
    "applied",
    True,
    "/etc/ciao-wizard/gateway.toml",
    "2026-03-02T13:40:00+00:00",
    (
        Check("address", OK, "192.168.0.200/24 on eth1"),
        Check("forwarding", OK, "on"),
        Check("rules", OK, "as the plan wants them"),
        Check("dnsmasq", OK, "bound to eth1 alone"),
        Check("guard", OK, "armed"),
    ),
    (),
)
STEPS = [
    {"name": "check", "title": "check"},
    {"name": "wires", "title": "wires: does anybody else answer DHCP on eth1?"},
    {"name": "guard", "title": "guard: hold back our DHCP"},
    {"name": "address", "title": "address: 192.168.0.200/24 on eth1"},
    {"name": "rules", "title": "rules: NAT, 3 forwards, firewall"},
    {"name": "dnsmasq", "title": "dnsmasq: bound to eth1 alone"},
    {"name": "verify", "title": "verify"},
    {"name": "keep", "title": "keep"},
    {"name": "plan", "title": "file: /etc/ciao-wizard/gateway.toml"},
]


def event(seconds: float = 0, **more: Any) -> str:
    """A line of an events file, some seconds after NOW."""
    return json.dumps({"at": (NOW + timedelta(seconds=seconds)).isoformat(), **more})


def steps_done() -> list[str]:
    """The lines of a trial up to the question."""
    lines = [event(0, step="check", state="done", detail="5 findings, no error", steps=STEPS)]
    for number, step in enumerate(STEPS[1:7], 1):
        lines.append(event(number, step=step["name"], state="running", detail=step["title"]))
        lines.append(event(number + 0.5, step=step["name"], state="done", detail=f"{step['name']} is in place"))
    return lines


def asks(remaining: float = 120) -> str:
    return event(
        10, step="keep", state="running", detail=f"going back by itself in {remaining:g} s", remaining_s=remaining
    )


def row(number: int, name: str, role: str, **more: Any) -> LeaseRow:
    values: dict[str, Any] = {
        "mac": f"b8:ae:ed:7b:51:{number:02x}",
        "ip": f"192.168.0.{100 + number}",
        "hostname": name,
        "name": name,
        "role": role,
        "expires": NOW + timedelta(hours=11, minutes=42),
        "kind": "node",
        "state": "leased",
        "reachable": True,
        "vendor": "Elitegroup",
        "reason": "",
    }
    return LeaseRow(**{**values, **more})


FOUR_ROWS = (
    row(1, "controller", "controller"),
    row(2, "network", "network"),
    row(3, "compute1", "compute"),
    row(4, "compute2", "compute"),
)


@dataclass
class FakeRun:
    """A change that goes on as the test feeds it."""

    fed: list[str] = field(default_factory=list)
    living: bool = True
    stderr: str = ""

    def lines(self) -> list[str]:
        lines, self.fed = self.fed, []
        return lines

    def alive(self) -> bool:
        return self.living

    def output_tail(self) -> str:
        return self.stderr

    def log_path(self) -> str:
        return "/root/.local/state/ciao-wizard/run-1/output.log"


@dataclass
class FakeServices(FakeSetup, FakeGateway, FakeNodes, FakeWatchServices, FakeBoots):
    """A machine of plain values. `did` lists what was asked to be done."""

    machine: Facts = FACTS
    state: Status = ABSENT
    in_force: str | None = None
    board: tuple[LeaseRow, ...] = FOUR_ROWS
    counted: NodeTraffic = COUNTED
    change: FakeRun = field(default_factory=FakeRun)
    wires: CablingReport | None = None
    differing: tuple[FileChange, ...] | None = None
    privileged: bool = True
    drafts: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    did: list[str] = field(default_factory=list)
    applied_text: str = ""
    status_asked: int = 0
    probed: list[tuple[str, str]] = field(default_factory=list)
    refuse: WizardError | None = None
    at: datetime = NOW + timedelta(seconds=23)

    def now(self) -> datetime:
        return self.at

    def facts(self) -> Facts:
        if self.refuse is not None:
            raise self.refuse
        return self.machine

    def status(self) -> Status:
        self.status_asked += 1
        return self.state

    def plan_in_force(self) -> str | None:
        return self.in_force

    def changes(self, plan: Plan, plan_text: str) -> tuple[FileChange, ...]:
        if self.differing is not None:
            return self.differing
        nic = plan.interfaces.cluster
        cfg = f"interface={nic}\nbind-dynamic\n"
        address = plan.network.gateway_cidr
        stanza = f"allow-hotplug {nic}\niface {nic} inet static\n    address {address}\n"
        return (
            new_file("/etc/network/interfaces.d/ciao-cluster", stanza),
            new_file("/etc/ciao-wizard/tenant_dns.cfg", cfg),
            new_file("/etc/ciao-wizard/gateway.toml", plan_text),
        )

    def rows(self) -> tuple[LeaseRow, ...]:
        return self.board

    def vendors(self, macs: tuple[str, ...]) -> dict[str, str]:
        return {mac: "Elitegroup" if mac.startswith("b8:ae:ed") else "" for mac in macs}

    def probe_cabling(self, corporate: str, cluster: str, stop: threading.Event) -> CablingReport | None:
        self.probed.append((corporate, cluster))
        return self.wires

    def may_change(self) -> bool:
        return self.privileged

    def ask_password(self) -> bool:
        return False

    def start_apply(self, plan_text: str, stop: Sequence[str] = ()) -> FakeRun:
        self.did.append(" and ".join(["apply", *(f"stop {unit}" for unit in stop)]))
        self.applied_text = plan_text
        return self.change

    def start_reset(self, forget_leases: bool, forget_images: bool) -> FakeRun:
        too = [" leases too"] * forget_leases + [" images too"] * forget_images
        self.did.append(",".join(["reset", *too]))
        return self.change

    def pending_change(self) -> FakeRun:
        return self.change

    def confirm(self) -> None:
        self.did.append("confirm")
        self.change.fed.append(event(25, step="keep", state="done", detail="kept"))
        self.change.fed.append(event(26, result="kept", reason="applied and kept"))

    def rollback(self) -> None:
        self.did.append("rollback")
        self.change.fed += [
            event(25, step="rules", state="undone", detail="the table is gone"),
            event(26, result="rolled-back", reason="taken back on request"),
        ]

    def read_draft(self, name: str) -> tuple[str, datetime] | None:
        return (self.drafts[name], NOW) if name in self.drafts else None

    def save_draft(self, name: str, text: str) -> None:
        self.drafts[name] = text

    def forget_draft(self, name: str) -> None:
        self.drafts.pop(name, None)

    def save_file(self, path: str, plan_text: str, over: bool = False) -> str:
        if path in self.files and not over:
            raise FileThere(Path("/root") / path)
        self.did.append(f"save {path}{' over another' if over else ''}")
        return f"/root/{path}"


def new_file(path: str, text: str) -> FileChange:
    lines = text.splitlines()
    head = f"--- /dev/null\n+++ {path}\n@@ -0,0 +1,{len(lines)} @@\n"
    return FileChange(path, None, text, head + "".join(f"+{line}\n" for line in lines))


if TYPE_CHECKING:
    # A method that is renamed on one side alone, or takes or gives something else there, is an error here.
    _services: Services = FakeServices()
    _run: ChangeProcess = FakeRun()
    _watch: LeaseFeed = FakeWatch(FakeServices())
