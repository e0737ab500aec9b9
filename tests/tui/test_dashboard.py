"""The gateway at a glance."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.tui.driver import Driver, Start
from tests.tui.fakes import ABSENT, APPLIED, FOUR_ROWS, NOW, FakeServices, row
from tests.tui.layout import faults
from tests.tui.test_hostile import ALL, HOSTILE, assert_harmless
from tests.unit.growth import times_dearer
from wizard.deploy.status import Status
from wizard.deploy.verify import Check
from wizard.monitor.events import Event
from wizard.monitor.leases import Row
from wizard.monitor.overview import Overview
from wizard.plan.addresses import assign
from wizard.plan.planfile import load
from wizard.screens.dashboard import screen as dashboard
from wizard.screens.dashboard.topology import picture

SIZES = [(80, 24), (120, 40)]
BOARD = (
    *FOUR_ROWS[:3],
    row(4, "compute2", "compute", state="missing", expires=None, reachable=None, reason="never asked"),
    row(65, "", "", kind="vm", hostname="cnci-7", mac="02:16:3e:00:00:01", ip="192.168.0.65", vendor=""),
    row(66, "", "", kind="vm", hostname="cnci-8", mac="02:16:3e:00:00:02", ip="192.168.0.66", vendor=""),
    row(0, "", "", kind="stranger", ip="", state="ignored", expires=None, reachable=None, reason="asked 4 times"),
)
CHECKS = (
    Check("address", True, "192.168.0.200/24 on eth1"),
    Check("forwarding", True, "on for the two NICs"),
    Check("rules", True, "as rendered"),
    Check("dnsmasq", True, "runs with the plan's configuration"),
    Check("guard", True, "armed"),
    Check("dhcp-socket", True, "one, bound to eth1"),
    Check("corporate", True, "eth0 via 10.77.0.1"),
    Check("forward-8889", True, "8889 to controller 192.168.0.101:8889: answers"),
    Check("forward-35357", True, "35357 to controller 192.168.0.101:35357: waiting"),
    Check("forward-5000", True, "5000 to controller 192.168.0.101:5000: answers"),
    Check("service", True, "starts at boot"),
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
    checks=(*CHECKS[:3], Check("dnsmasq", False, "not running", ""), Check("guard", False, WHY, ""), *CHECKS[6:]),
)


HAPPENED = tuple(
    Event(NOW.replace(minute=minute), kind, "b8:ae:ed:7b:51:04", "192.168.0.104", name, words)
    for minute, kind, name, words in (
        (3, "came", "compute1", "came and has 192.168.0.103"),
        (5, "failed", "rules", "the table inet ciao_gateway was changed by somebody"),
        (9, "left", "compute2", "answers at 192.168.0.104 no longer"),
    )
)


def thousand() -> tuple[Row, ...]:
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


async def at_rest(driver: Driver) -> None:
    """The gateway has been looked at, and its bytes counted twice."""
    await driver.page("Dashboard")
    await driver.says("company network")
    for _ in range(2):
        seen = driver.services.seconds
        driver.dashboard.count_traffic()
        await driver.until(lambda seen=seen: driver.services.seconds > seen and not driver.dashboard.counting)
    await driver.says("b/s")


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at but what the test asks for."""
    monkeypatch.setattr(dashboard, "EVERY_S", 3600)
    monkeypatch.setattr(dashboard, "TRAFFIC_EVERY_S", 3600)


DRIFTED = replace(
    HEALTHY,
    healthy=False,
    drift=("/etc/ciao-wizard/nat.sh was changed", "added in inet ciao_gateway: drop", "a third thing"),
    checks=(*CHECKS[:2], Check("rules", False, "changed by somebody", "Run 'ciao-wizard apply'."), *CHECKS[3:]),
)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.parametrize("state", [HEALTHY, DRIFTED, TRIPPED], ids=["healthy", "drifted", "tripped"])
@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
async def test_nothing_is_cut_off(start: Start, sample: str, size: tuple[int, int], state: Status, many: bool) -> None:
    board = (*thousand(), *BOARD[4:]) if many else BOARD
    async with start(FakeServices(state=state, in_force=sample, board=board), plan=None, size=size) as driver:
        await at_rest(driver)
        assert faults(driver) == []
        if state is HEALTHY:
            assert driver.app.screen.query_one("#status").max_scroll_y == 0


async def test_who_is_there_and_who_is_not(start: Start, sample: str) -> None:
    board = (
        FOUR_ROWS[0],
        replace(FOUR_ROWS[1], reachable=None),
        replace(FOUR_ROWS[2], reachable=False),
        replace(BOARD[3], state="wrong-address", ip="192.168.0.77"),
    )
    async with start(FakeServices(state=HEALTHY, in_force=sample, board=board), plan=None, size=(120, 40)) as driver:
        await at_rest(driver)
        text = driver.text()
        for name, words in (
            ("controller .101", "● controller"),
            ("network    .102", " leased"),
            ("compute1   .103", "silent"),
            ("compute2   .77 ", "wrong address"),
        ):
            assert next(line for line in text.splitlines() if name in line).count(words) == 1
        assert "◐ network" in text
        assert "○ compute1" in text
        assert "! compute2" in text


async def test_forwards_and_whether_somebody_answers_behind(start: Start, sample: str) -> None:
    async with start(FakeServices(state=HEALTHY, in_force=sample), plan=None) as driver:
        await at_rest(driver)
        await driver.says("→ controller 8889 ● 35357 ○ 5000 ●")


async def test_a_path_that_is_broken_and_one_that_was_not_tried(start: Start, sample: str) -> None:
    shut = Check("path-in-5000", False, "what comes for 10.77.0.98:5000 is dropped in this machine", "Let it in.")
    out = Check("path-out", None, "not tried: eth0 has no link")
    untried = Check("path-in-7-udp", None, "not tried: a datagram would reach the node's service")
    found = replace(HEALTHY, healthy=False, checks=(*CHECKS, shut, out, untried))
    async with start(FakeServices(state=found, in_force=sample), plan=None) as driver:
        await at_rest(driver)
        await driver.says("→ controller 8889 ● 35357 ○ 5000 !", "✗ path in 5000", "? path out (not tried")
        assert "path in 7" not in driver.text()


async def test_many_nodes_are_counted_and_the_missing_named(start: Start, sample: str) -> None:
    services = FakeServices(state=HEALTHY, in_force=sample, board=thousand())
    async with start(services, plan=None) as driver:
        await at_rest(driver)
        await driver.says("● 1 of 1 controller", "◐ 989 of 1000 compute", "○ compute5 .6 silent", "more like these")
        assert "compute6 " not in driver.text()
        services.board = tuple(replace(each, reachable=True) for each in thousand())
        await driver.press("ctrl+r")
        await driver.says("● 1000 of 1000 compute", "and 996 more")


def test_drawing_costs_no_more_for_thousands_of_nodes(sample: str) -> None:
    """Who is counted is counted away from the screen."""
    plan = assign(load(sample, "plan"))

    def seen(copies: int) -> Overview:
        board = tuple(replace(each, name=f"{each.name}-{n}") for n in range(copies) for each in thousand())
        return Overview(NOW, HEALTHY, plan, board, "10.77.0.98", "10.77.0.1")

    assert times_dearer(lambda given: picture(given, plan, {}, "gw01", (78, 14)), seen(1), seen(10)) < 5


async def test_traffic_is_told_for_both_nics(start: Start, sample: str) -> None:
    async with start(FakeServices(state=HEALTHY, in_force=sample), plan=None) as driver:
        await at_rest(driver)
        lines = [line for line in driver.text().splitlines() if "b/s" in line]
        assert [("1.2 Mb/s" in line, "2.4 Mb/s" in line, "300 kb/s" in line) for line in lines] == [
            (True, False, False),
            (False, False, True),
            (False, True, False),
            (False, False, True),
        ]
        # A NIC that is gone has no rate, and not an old one.
        driver.services.bytes_a_second = -10_000_000
        driver.dashboard.count_traffic()
        await driver.until(lambda: "b/s" not in driver.text())


async def test_a_trip_says_why_and_what_to_do_and_leads_on(start: Start, sample: str) -> None:
    async with start(FakeServices(state=TRIPPED, in_force=sample, board=BOARD), plan=None) as driver:
        await at_rest(driver)
        await driver.says("✗ STOPPED BY THE GUARD", "it offered 10.77.0.98", "only a wire proven silent is served")
        await driver.press("a")
        await driver.page("Review")
        assert driver.services.did == []


async def test_a_trip_while_one_looks_on_is_seen_and_logged(start: Start, sample: str) -> None:
    services = FakeServices(state=HEALTHY, in_force=sample)
    async with start(services, plan=None, size=(120, 40)) as driver:
        await at_rest(driver)
        assert "STOPPED" not in driver.text()
        services.state = TRIPPED
        await driver.press("ctrl+r")
        await driver.says("STOPPED BY THE GUARD", "gateway stopped: 10.77.0.1", "tripped, not healthy")
        services.state = HEALTHY
        await driver.press("ctrl+r")
        await driver.until(lambda: "STOPPED BY" not in driver.text())
        await driver.says("guard works again: armed")


async def test_a_change_by_others_leads_to_its_question(start: Start, sample: str) -> None:
    services = FakeServices(state=HEALTHY, in_force=sample)
    async with start(services, plan=None) as driver:
        await at_rest(driver)
        services.state = replace(ABSENT, state="pending", reason="an apply waits for an answer", remaining_s=90)
        await driver.press("ctrl+r")
        await driver.says("A CHANGE IS UNDER WAY", "an apply waits for an answer")
        await driver.press("a")
        await driver.page("Apply")


async def test_what_happened_between_two_looks(start: Start, sample: str) -> None:
    services = FakeServices(state=HEALTHY, in_force=sample)
    async with start(services, plan=None) as driver:
        await at_rest(driver)
        services.board = (*FOUR_ROWS[:3], replace(FOUR_ROWS[3], reachable=False))
        services.state = DRIFTED
        await driver.press("ctrl+r")
        await driver.says("compute2 answers at 192.168.0.104 no longer", "Changed by hand since", "and 1 more")


@pytest.mark.parametrize(("key", "title"), [("l", "Leases"), ("x", "Export"), ("r", "Reset")])
async def test_keys_lead_to_the_pages(start: Start, sample: str, key: str, title: str) -> None:
    async with start(FakeServices(state=HEALTHY, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press(key)
        await driver.page(title)
        await driver.press("escape")
        await driver.page("Dashboard")


async def test_a_slow_look_is_not_asked_for_twice(start: Start, sample: str) -> None:
    class Slow(FakeServices):
        held = threading.Event()

        def rows(self) -> tuple[Row, ...]:
            self.held.wait(20)
            return super().rows()

    services = Slow(state=HEALTHY, in_force=sample)
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await driver.until(lambda: services.looks)
        await driver.press("ctrl+r", "ctrl+r", "ctrl+r")
        assert services.looks == 1
        services.held.set()
        await driver.says("company network")
        await driver.press("ctrl+r")
        await driver.until(lambda: services.looks == 2)


async def test_without_a_plan_that_can_be_read_the_parts_are_told(start: Start) -> None:
    async with start(FakeServices(state=DRIFTED), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.says("✗ rules changed by somebody")
        assert "company network" not in driver.text()


async def test_a_look_from_before_a_change_is_not_believed_after_it(start: Start, sample: str) -> None:
    class Slow(FakeServices):
        held = threading.Event()

        def rows(self) -> tuple[Row, ...]:
            if self.looks == 2:
                self.held.wait(20)
            return super().rows()

    services = Slow(state=HEALTHY, in_force=sample)
    async with start(services, plan=None) as driver:
        await at_rest(driver)
        await driver.press("ctrl+r")
        await driver.until(lambda: services.looks == 2)
        driver.app.gateway.forget()
        services.held.set()
        await driver.app.workers.wait_for_complete()
        await driver.pilot.pause()
        assert driver.app.state.overview is None
        await driver.says("Looking…")
        await driver.press("ctrl+r")
        await driver.says("company network")


@pytest.mark.parametrize("state", ["interrupted", "absent"])
async def test_where_nothing_works_the_beginning_knows_the_ways_on(start: Start, sample: str, state: str) -> None:
    services = FakeServices(state=HEALTHY, in_force=sample)
    async with start(services, plan=None) as driver:
        await at_rest(driver)
        services.state = replace(ABSENT, state=state, reason="a run was cut off")
        await driver.press("ctrl+r")
        await driver.says("a run was cut off")
        await driver.press("a")
        await driver.page("Welcome")


async def test_hostile_text_is_shown_harmlessly(start: Start, sample: str) -> None:
    """Names, vendors, reasons and what was changed: in the picture, below it, and where leases are to be forgotten."""
    board = []
    for number, evil in enumerate(HOSTILE.values()):
        more = {"hostname": evil, "vendor": evil, "reason": evil}
        board.append(
            row(number, evil, "compute", reachable=number % 2 == 0, alarms=(evil,) if number < 2 else (), **more)
        )
        board.append(row(100 + number, "", "", kind="vm", ip=f"192.168.0.{number}", **more))
        board.append(row(200 + number, "", "", kind="stranger", mac=evil, ip="", state="ignored", **more))
    checks = tuple(Check(f"forward-{evil}", False, evil, evil) for evil in HOSTILE.values())
    state = replace(TRIPPED, reason=ALL, drift=(ALL, *HOSTILE.values()), checks=checks)
    async with start(FakeServices(state=state, in_force=sample, board=tuple(board)), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.says("company network")
        happened = tuple(Event(NOW, evil, evil, evil, evil, evil) for evil in HOSTILE.values())
        driver.app.state = replace(driver.app.state, happened=happened)
        for _ in range(5):
            assert_harmless(driver)
            await driver.press("pagedown")
        await driver.press("r")
        await driver.page("Reset")
        for _ in range(6):
            await driver.press("down", "pagedown")
            assert_harmless(driver)
        await driver.press("enter")
        await driver.says("Give everything back?")
        assert_harmless(driver)
