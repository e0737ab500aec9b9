"""What status says of the range and of whom the DHCP server refused, and what the guard tells of it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from netaddr import EUI

from wizard.deploy import runtime_state
from wizard.deploy.dhcp_service import DhcpService, judge_service
from wizard.deploy.guard import service_watch
from wizard.deploy.guard.service_watch import ServiceWatch
from wizard.host.dhcp.dnsmasq_log import DnsmasqLog
from wizard.plan import paths
from wizard.plan.checks import Check
from wizard.plan.fields import format_mac
from wizard.plan.file.read import load_plan
from wizard.plan.lease_parser import Lease
from wizard.plan.model import Node

EXAMPLE = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text()
FEW = EXAMPLE.replace('dhcp_slice = "192.168.0.64/26"', 'dhcp_range = ["192.168.0.65", "192.168.0.66"]')
PLAN = load_plan(FEW, "plan")
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)
CONTROLLER, VM, STRANGER = "b8:ae:ed:7b:51:50", "02:31:00:00:00:01", "00:1b:21:00:00:01"


def lease(ip: str, mac: str = VM, hours: int | None = 1) -> Lease:
    return Lease(NOW + timedelta(hours=hours) if hours is not None else None, mac, ip)


def log_of(*lines: str, ago: timedelta = timedelta(minutes=1)) -> DnsmasqLog:
    log = DnsmasqLog()
    stamp = (NOW - ago).isoformat()
    log.feed("".join(f"{stamp} dnsmasq-dhcp[1]: {line}\n" for line in lines), NOW)
    return log


def judged(*leases: Lease, log: DnsmasqLog | None = None, since: datetime = LONG_AGO) -> DhcpService:
    return judge_service(PLAN, leases, log or DnsmasqLog(), NOW, since)


def check(service: DhcpService, name: str) -> Check:
    (found,) = [check for check in service.checks() if check.name == name]
    return found


def test_addresses_are_counted() -> None:
    assert (judged().size, judged().free) == (2, 2)
    assert judged(lease("192.168.0.65"), lease("192.168.0.103")).free == 1
    assert judged(lease("192.168.0.65", hours=-1)).free == 2
    # For ever.
    assert judged(lease("192.168.0.65", hours=None), lease("192.168.0.66")).free == 0
    assert check(judged(lease("192.168.0.65")), "range").detail == "1 of 2 addresses free"


def test_what_is_reserved_within_the_range_and_the_gateways_own_are_not_free() -> None:
    reserved = load_plan(FEW.replace('"192.168.0.101"', '"192.168.0.65"'), "plan")
    assert judge_service(reserved, [], DnsmasqLog(), NOW, LONG_AGO).free == 1
    own = load_plan(FEW.replace('["192.168.0.65", "192.168.0.66"]', '["192.168.0.199", "192.168.0.200"]'), "plan")
    assert judge_service(own, [], DnsmasqLog(), NOW, LONG_AGO).free == 1


def test_a_range_that_is_all_reserved_is_no_fault_until_somebody_asks_in_vain() -> None:
    plan = load_plan(
        FEW.replace('"192.168.0.101"', '"192.168.0.65"').replace('"192.168.0.102"', '"192.168.0.66"'), "plan"
    )
    service = judge_service(plan, [], DnsmasqLog(), NOW, LONG_AGO)
    assert (service.free, check(service, "range").ok) == (0, True)
    refused = log_of(f"DHCPDISCOVER(eth1) {STRANGER} no address available")
    assert check(judge_service(plan, [], refused, NOW, LONG_AGO), "range").ok is False


def test_a_full_range_is_no_health_and_names_who_asked_in_vain() -> None:
    full = (lease("192.168.0.65"), lease("192.168.0.66", "02:31:00:00:00:02"))
    found = check(judged(*full), "range")
    assert (found.ok, found.detail) == (False, "0 of 2 addresses free")
    assert "network.dhcp_slice" in found.remedy
    refused = f"DHCPDISCOVER(eth1) {STRANGER} no address available"
    assert check(judged(*full, log=log_of(refused)), "range").detail.endswith(f"; asked in vain: {STRANGER}")
    old = log_of(refused, ago=timedelta(minutes=11))
    assert "in vain" not in check(judged(*full, log=old), "range").detail


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("DHCPDECLINE(eth1) 192.168.0.101 {} ", "it declined 192.168.0.101: another machine answers there"),
        ("DHCPDISCOVER(eth1) {} no address available", "no address is left for it in the range"),
        ("DHCPREQUEST(eth1) 192.168.0.66 {} address in use", "192.168.0.66"),
        ("DHCPDISCOVER(eth1) {} ignored", "it was ignored"),
    ],
)
def test_a_machine_of_the_plan_that_is_refused_is_no_health(line: str, why: str) -> None:
    log = log_of(line.format(CONTROLLER).rstrip())
    found = check(judged(log=log), "served")
    assert found.ok is False
    assert found.detail.startswith("controller does not get its address: ")
    assert why in found.detail
    assert found.remedy
    # Of others it is no fault of ours.
    assert check(judged(log=log_of(line.format(STRANGER).rstrip())), "served").ok
    # Nor is what was before the configuration of now, or long ago: it may be switched off since.
    assert check(judged(log=log, since=NOW), "served").ok
    assert check(judged(log=log_of(line.format(CONTROLLER).rstrip(), ago=timedelta(minutes=11))), "served").ok
    # It has its address now.
    log.feed(f"{NOW.isoformat()} dnsmasq-dhcp[1]: DHCPACK(eth1) 192.168.0.101 {CONTROLLER} controller\n", NOW)
    assert check(judged(log=log), "served").ok


def test_an_address_that_is_leased_to_another_machine_is_told_before_it_is_asked_for() -> None:
    found = check(judged(lease("192.168.0.101", VM)), "served")
    assert (found.ok, found.detail) == (
        False,
        f"controller does not get its address: 192.168.0.101 is leased to {VM}",
    )
    assert check(judged(lease("192.168.0.101", CONTROLLER)), "served").ok
    assert check(judged(lease("192.168.0.101", VM, hours=-1)), "served").ok


def test_who_is_ignored_as_unknown_is_named() -> None:
    found = check(judged(log=log_of(f"DHCPDISCOVER(eth1) {STRANGER} ignored")), "served")
    assert (found.ok, found.detail) == (True, f"no machine of the plan was refused; ignored as unknown: {STRANGER}")


def test_a_crowd_is_counted_and_not_listed() -> None:
    lines = [f"DHCPDISCOVER(eth1) 00:1b:21:00:00:{number:02x} ignored" for number in range(60)]
    detail = check(judged(log=log_of(*lines)), "served").detail
    assert detail.endswith(" and 55 more")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is shown on the desktop; the log and the leases are in tmp_path."""
    shown: list[str] = []
    monkeypatch.setattr(paths, "LEASES", str(tmp_path / "leases"))
    return shown


def test_the_guard_tells_once_logs_each_time_and_says_when_it_is_over(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ciao-gateway")
    leases = tmp_path / "leases"
    monkeypatch.setattr(service_watch, "LASTS_S", 0.0)
    watch = ServiceWatch(lambda title, text: told.append(f"{title}: {text}"))

    def look() -> Check:
        return next(each for each in watch.look(PLAN, runtime_state.boottime()) if each.name == "range")

    assert look().ok
    full = "0 02:31:00:00:00:01 192.168.0.65 vm1 *\n0 02:31:00:00:00:02 192.168.0.66 vm2 *\n"
    leases.write_text(full)
    assert look().ok is False
    assert look().ok is False
    assert told == [told[0]]
    assert told[0].startswith("The cluster gateway has no address left: 0 of 2 addresses free. Enlarge")
    # Half of a file is what it was.
    leases.write_text(full[:60])
    assert look().ok is False
    leases.write_text(full.partition("\n")[0] + "\n")
    assert look().ok
    leases.write_text(full)
    assert look().ok is False
    assert len(told) == 1
    levels = [(record.levelname, record.getMessage()[:11]) for record in caplog.records]
    assert levels == [("WARNING", "0 of 2 addr"), ("INFO", "works again"), ("WARNING", "0 of 2 addr")]
    # Another trouble is another notice.
    leases.write_text(full + "0 02:31:00:00:00:03 192.168.0.101 vm3 *\n")
    look()
    assert told[1:] == [
        "A machine of the cluster gets no address: controller does not get its address: 192.168.0.101 is leased to vm3."
    ]


def test_many_troubles_are_one_notice_and_those_of_a_moment_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A range of nodes moves by one: each one's address is still leased to the one before."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(paths, "LEASES", str(tmp_path / "leases"))
    nodes = tuple(Node(f"n{n}", ("compute",), EUI(0xB8AEED000000 + n), PLAN.network.cidr[n + 1]) for n in range(40))
    plan = replace(PLAN, nodes=nodes)
    rows = [f"0 {format_mac(EUI(0xB8AEED100000 + n))} {PLAN.network.cidr[n + 1]} x{n} *" for n in range(40)]
    (tmp_path / "leases").write_text("\n".join(rows) + "\n")
    shown: list[str] = []
    watch = ServiceWatch(lambda title, text: shown.append(f"{title}: {text}"))
    watch.look(plan, runtime_state.boottime())
    assert shown == []
    assert len(caplog.records) < 10
    clock[0] += 21
    watch.look(plan, runtime_state.boottime())
    (notice,) = shown
    assert notice.startswith("40 machines of the cluster get no address: n0 does not get its address")
    assert notice.endswith("And 35 more.")
    clock[0] += 60
    watch.look(plan, runtime_state.boottime())
    assert len(shown) == 1
