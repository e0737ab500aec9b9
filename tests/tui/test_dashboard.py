"""The gateway at a glance."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.tui.driver import Start
from tests.tui.fakes import ABSENT, FOUR_ROWS, NOW, FakeServices, row
from tests.tui.gateways import BOARD, CHECKS, HEALTHY, TRIPPED, at_rest, thousand
from tests.tui.hostile import ALL, HOSTILE, assert_harmless
from tests.tui.layout import faults
from tests.unit.growth import times_dearer
from wizard.deploy.status import Status
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.machine_events import MachineEvent
from wizard.monitor.overview import Overview
from wizard.plan.addresses import assign
from wizard.plan.checks import FAILED, UNTRIED, Check
from wizard.plan.file.read import load_plan
from wizard.screens.dashboard import screen as dashboard
from wizard.screens.dashboard.messages import TrafficRequested
from wizard.screens.dashboard.topology import picture

SIZES = [(80, 24), (120, 40)]


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at but what the test asks for."""
    monkeypatch.setattr(dashboard, "EVERY_S", 3600)
    monkeypatch.setattr(dashboard, "TRAFFIC_EVERY_S", 3600)


DRIFTED = replace(
    HEALTHY,
    healthy=False,
    drift=("/etc/ciao-wizard/nat.sh was changed", "added in inet ciao_gateway: drop", "a third thing"),
    checks=(*CHECKS[:2], Check("rules", FAILED, "changed by somebody", "Run 'ciao-wizard apply'."), *CHECKS[3:]),
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
    shut = Check("path-in-5000", FAILED, "what comes for 10.77.0.98:5000 is dropped in this machine", "Let it in.")
    out = Check("path-out", UNTRIED, "not tried: eth0 has no link")
    untried = Check("path-in-7-udp", UNTRIED, "not tried: a datagram would reach the node's service")
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
    plan = assign(load_plan(sample, "plan"))

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
        driver.dashboard.count_traffic(TrafficRequested())
        await driver.until(lambda: "b/s" not in driver.text())


async def test_the_busiest_machines_are_named_where_there_is_room(start: Start, sample: str) -> None:
    async with start(FakeServices(state=HEALTHY, in_force=sample), plan=None, size=(120, 40)) as driver:
        await driver.says("Busiest:", "controller ↓ 12 Mb/s ↑ 900 kb/s")


async def test_a_trip_says_why_and_what_to_do_and_leads_on(start: Start, sample: str) -> None:
    async with start(FakeServices(state=TRIPPED, in_force=sample, board=BOARD), plan=None) as driver:
        await at_rest(driver)
        await driver.says("✗ STOPPED BY THE GUARD", "it offered 10.77.0.98", "only if no other server answers")
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
        await driver.says("A CHANGE IS RUNNING", "an apply waits for an answer")
        await driver.press("a")
        await driver.page("Apply")


async def test_what_happened_between_two_looks(start: Start, sample: str) -> None:
    services = FakeServices(state=HEALTHY, in_force=sample)
    async with start(services, plan=None) as driver:
        await at_rest(driver)
        services.board = (*FOUR_ROWS[:3], replace(FOUR_ROWS[3], reachable=False))
        services.state = DRIFTED
        await driver.press("ctrl+r")
        await driver.says("compute2 answers at 192.168.0.104 no longer", "Changed by hand", "and 1 more")


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

        def rows(self) -> tuple[LeaseRow, ...]:
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

        def rows(self) -> tuple[LeaseRow, ...]:
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
        await driver.says("Reading…")
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
    checks = tuple(Check(f"forward-{evil}", FAILED, evil, evil) for evil in HOSTILE.values())
    state = replace(TRIPPED, reason=ALL, drift=(ALL, *HOSTILE.values()), checks=checks)
    async with start(FakeServices(state=state, in_force=sample, board=tuple(board)), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.says("company network")
        happened = tuple(MachineEvent(NOW, evil, evil, evil, evil, evil) for evil in HOSTILE.values())
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
        await driver.says("Undo everything?")
        assert_harmless(driver)
