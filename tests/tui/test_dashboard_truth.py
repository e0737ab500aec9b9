"""What the dashboard holds for true: nothing that is old, nothing that contradicts itself, nothing cut."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.tui.driver import Start
from tests.tui.fakes import FOUR_ROWS, FakeServices, row
from tests.tui.gateways import CHECKS, HEALTHY, TRIPPED, at_rest
from wizard.deploy.status import Status
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.overview import Overview
from wizard.plan.findings import WizardError
from wizard.screens.dashboard import screen as dashboard
from wizard.widgets import aging


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at but what the test asks for."""
    monkeypatch.setattr(dashboard, "EVERY_S", 3600)
    monkeypatch.setattr(dashboard, "TRAFFIC_EVERY_S", 3600)


async def test_what_the_leases_page_knows_the_dashboard_knows(start: Start, sample: str) -> None:
    """One monitor for both: a clone takes its time to be seen, and is not to be unseen one page further on."""

    class Slow(FakeServices):
        """Whoever looks here for himself knows nothing of the clone yet."""

        def rows(self) -> tuple[LeaseRow, ...]:
            return FOUR_ROWS

    clone = replace(FOUR_ROWS[0], alarms=("one-mac",), reason="two machines with one MAC")
    async with start(Slow(state=HEALTHY, in_force=sample, board=(clone, *FOUR_ROWS[1:])), plan=None) as driver:
        await at_rest(driver)
        assert "cloned" not in driver.text()
        await driver.press("l")
        await driver.page("Leases")
        await driver.says("! cloned")
        await driver.press("escape")
        await driver.page("Dashboard")
        await driver.says("! controller .101 cloned", "two machines with one MAC")


async def test_what_was_seen_long_ago_is_not_shown_as_now(
    start: Start, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    held.set()

    class Slow(FakeServices):
        def status(self) -> Status:
            held.wait(20)
            return super().status()

    services = Slow(state=HEALTHY, in_force=sample)
    async with start(services, plan=None) as driver:
        await at_rest(driver)
        await driver.press("x")
        await driver.page("Export")
        monkeypatch.setattr(aging, "STALE_S", 0.0)
        held.clear()
        services.board = (*FOUR_ROWS[:3], replace(FOUR_ROWS[3], reachable=False))
        try:
            await driver.press("escape")
            await driver.page("Dashboard")
            await driver.says("Reading")
            assert "● compute2" not in driver.text()
        finally:
            held.set()
        # What happened meanwhile is told all the same.
        await driver.says("○ compute2", "compute2 answers at 192.168.0.104 no longer")


async def test_a_complaint_goes_once_it_can_look_again(start: Start, sample: str) -> None:
    class Blind(FakeServices):
        sightless = False

        def overview(self, rows: tuple[LeaseRow, ...] | None = None) -> Overview:
            if self.sightless:
                raise WizardError("the plan in force cannot be read", "Mend it.")
            return super().overview(rows)

    services = Blind(state=HEALTHY, in_force=sample)
    async with start(services, plan=None) as driver:
        await at_rest(driver)
        services.sightless = True
        await driver.press("ctrl+r")
        # What was seen before is not what is.
        await driver.says("✗ the plan in force cannot be read Mend it.", "Reading")
        assert "company network" not in driver.text()
        services.sightless = False
        await driver.press("ctrl+r")
        await driver.says("company network")
        await driver.until(lambda: "cannot be read" not in driver.text(), "the complaint to go")


async def test_a_tripped_guard_is_never_called_armed(start: Start, sample: str) -> None:
    """The checks may have been read a moment before it tripped."""
    state = replace(TRIPPED, checks=CHECKS)
    async with start(FakeServices(state=state, in_force=sample), plan=None, size=(120, 40)) as driver:
        await at_rest(driver)
        await driver.says("tripped, not healthy", "✗ STOPPED BY THE GUARD")
        assert "armed" not in driver.text()
        assert "✓ dnsmasq" not in driver.text()


async def test_what_is_wrong_with_a_machine_is_never_cut(start: Start, sample: str) -> None:
    long = "a-node-with-quite-a-long-name"
    wrong: tuple[dict[str, Any], ...] = (
        {"alarms": ("one-mac",), "reason": "two machines with the MAC b8:ae:ed:7b:51:01 answer at 192.168.0.101"},
        {"state": "wrong-address"},
        {"state": "missing", "expires": None, "reachable": None},
        {"state": "ignored", "expires": None, "reachable": None},
    )
    board = tuple(row(n, f"{long}-{n}", "compute", **more) for n, more in enumerate(wrong))
    async with start(FakeServices(state=HEALTHY, in_force=sample, board=board), plan=None) as driver:
        await at_rest(driver)
        await driver.says(".100 cloned", ".101 wrong IP", ".102 missing", ".103 ignored", "two machines with the MAC")
