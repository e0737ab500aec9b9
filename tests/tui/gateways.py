"""Gateways in force, healthy and tripped, and a dashboard that has come to rest."""

from __future__ import annotations

from dataclasses import replace

from tests.tui.driver import Driver
from tests.tui.fakes import APPLIED, FOUR_ROWS, NOW, row
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.machine_events import MachineEvent
from wizard.plan.checks import FAILED, OK, Check
from wizard.screens.dashboard.messages import TrafficRequested

BOARD = (
    *FOUR_ROWS[:3],
    row(4, "compute2", "compute", state="missing", expires=None, reachable=None, reason="never asked"),
    row(65, "", "", kind="vm", hostname="cnci-7", mac="02:16:3e:00:00:01", ip="192.168.0.65", vendor=""),
    row(66, "", "", kind="vm", hostname="cnci-8", mac="02:16:3e:00:00:02", ip="192.168.0.66", vendor=""),
    row(0, "", "", kind="stranger", ip="", state="ignored", expires=None, reachable=None, reason="asked 4 times"),
)
CHECKS = (
    Check("address", OK, "192.168.0.200/24 on eth1"),
    Check("forwarding", OK, "on for the two NICs"),
    Check("rules", OK, "as rendered"),
    Check("dnsmasq", OK, "runs with the plan's configuration"),
    Check("guard", OK, "armed"),
    Check("dhcp-socket", OK, "one, bound to eth1"),
    Check("corporate", OK, "eth0 via 10.77.0.1"),
    Check("forward-8889", OK, "8889 to controller 192.168.0.101:8889: answers"),
    Check("forward-35357", OK, "35357 to controller 192.168.0.101:35357: waiting"),
    Check("forward-5000", OK, "5000 to controller 192.168.0.101:5000: answers"),
    Check("service", OK, "starts at boot"),
)
HEALTHY = replace(APPLIED, checks=CHECKS)
WHY = (
    "10.77.0.1 (00:1b:21:3c:9d:10) answers DHCP on eth1, the cluster's wire: it offered 10.77.0.98. "
    "dnsmasq was stopped before it could answer anybody there."
)
TRIPPED = replace(
    HEALTHY,
    state="tripped",
    healthy=False,
    reason=WHY,
    checks=(*CHECKS[:3], Check("dnsmasq", FAILED, "not running", ""), Check("guard", FAILED, WHY, ""), *CHECKS[6:]),
)
HAPPENED = tuple(
    MachineEvent(NOW.replace(minute=minute), kind, "b8:ae:ed:7b:51:04", "192.168.0.104", name, words)
    for minute, kind, name, words in (
        (3, "came", "compute1", "came and has 192.168.0.103"),
        (5, "failed", "rules", "the table inet ciao_gateway was changed by somebody"),
        (9, "left", "compute2", "answers at 192.168.0.104 no longer"),
    )
)


def thousand() -> tuple[LeaseRow, ...]:
    """A thousand compute nodes, of which a few are not there."""
    nodes = [
        row(
            3,
            f"compute{number}",
            "compute",
            mac=f"b8:ae:ed:00:{number // 256:02x}:{number % 256:02x}",
            ip=f"192.168.{number // 250}.{number % 250 + 1}",
            reachable=number % 97 != 5,
        )
        for number in range(1000)
    ]
    return (*FOUR_ROWS[:2], *nodes)


async def count_traffic(driver: Driver) -> None:
    """Have the bytes counted once more, and shown."""
    seen, dashboard = driver.services.seconds, driver.dashboard
    dashboard.count_traffic(TrafficRequested())
    await driver.until(lambda: driver.services.seconds > seen and not dashboard.counting, "the bytes")


async def at_rest(driver: Driver) -> None:
    """The gateway has been looked at, and its bytes counted twice."""
    await driver.page("Dashboard")
    await driver.says("company network")
    for _ in range(2):
        await count_traffic(driver)
    await driver.says("b/s")
