"""What has been on the screen for long is still true, and nothing of it is kept for longer than it is shown."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from textual.messages import Prune
from textual.widget import Widget

from tests.tui.driver import Driver, Start
from tests.tui.fakes import ABSENT, APPLIED, NOW, FakeServices, event
from tests.tui.fakes_watch import FakeWatch
from wizard.host.net.traffic import Traffic
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.lease_view import LeaseQuery
from wizard.monitor.lease_watch import LeaseSnapshot
from wizard.monitor.overview import Overview
from wizard.plan.draft.model import Draft, dump_draft
from wizard.plan.file.read import load_plan
from wizard.screens.dashboard import screen as dashboard
from wizard.screens.leases import screen as leases
from wizard.widgets import aging
from wizard.widgets.page import Page

INTERRUPTED = replace(ABSENT, state="interrupted", plan="/etc/ciao-wizard/gateway.toml", reason="a run was cut off")
PATIENCE_S = 20


@dataclass
class Halting(FakeServices):
    """Looks as ever, until one look does not come back."""

    free: threading.Event = field(default_factory=threading.Event)
    halted: threading.Event = field(default_factory=threading.Event)
    """Set once somebody waits for `free`."""

    def pass_gate(self) -> None:
        if not self.free.is_set():
            self.halted.set()
        self.free.wait(PATIENCE_S)

    def overview(self, rows: tuple[LeaseRow, ...] | None = None) -> Overview:
        self.pass_gate()
        return super().overview(rows)

    def open_leases(self) -> FakeWatch:
        self.watches.append(HaltingWatch(self))
        return self.watches[-1]


class HaltingWatch(FakeWatch):
    def __init__(self, machine: Halting) -> None:
        super().__init__(machine)
        self._halting = machine

    def poll(self, query: LeaseQuery) -> LeaseSnapshot:
        self._halting.pass_gate()
        return super().poll(query)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages look at the clock more often than a test has patience for."""
    monkeypatch.setattr(dashboard, "TRAFFIC_EVERY_S", 0.05)
    monkeypatch.setattr(dashboard, "EVERY_S", 0.1)
    monkeypatch.setattr(leases, "TICK_S", 0.05)


async def on(driver: Driver, title: str) -> None:
    driver.app.post_message(Page.PageRequested(title.lower()))
    await driver.page(title)


async def test_a_page_that_was_left_is_kept_by_nobody(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        shown: list[weakref.ref[Page]] = []
        for _ in range(20):
            for title in ("Leases", "Export", "Reset", "Dashboard"):
                await on(driver, title)
                assert driver.shown is not None
                shown.append(weakref.ref(driver.shown))
        await driver.app.workers.wait_for_complete()
        gc.collect()
        alive = [type(page).__name__ for each in shown if (page := each()) is not None]
        assert len(alive) <= 4, f"{len(alive)} of {len(shown)} pages are kept"


async def test_a_page_knows_what_the_app_knows_from_its_first_moment_to_its_last(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        for _ in range(3):
            await on(driver, "Leases")
            await on(driver, "Dashboard")
            await driver.says("gw01", "applied, healthy")
        driver.services.state = replace(APPLIED, healthy=False)
        await driver.press("ctrl+r")
        await driver.says("applied, not healthy")


async def test_a_look_that_hangs_leaves_nothing_healthy(
    start: Start, sample: str, monkeypatch: pytest.MonkeyPatch, ticking: None
) -> None:
    services = Halting(state=APPLIED, in_force=sample)
    services.free.set()
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await driver.says("applied, healthy · guard armed", "controller")
        services.free.clear()
        try:
            at = await at_a_halt(driver)
            monkeypatch.setattr(aging, "STALE_S", -1.0)
            await driver.says(f"! As of {at:%H:%M:%S}; still refreshing", f"as of {at:%H:%M:%S}", "controller")
            assert "healthy" not in driver.text()
            assert "armed" not in driver.text().splitlines()[0]
            monkeypatch.undo()
        finally:
            services.free.set()
        await driver.says("applied, healthy · guard armed")
        await driver.until(lambda: "still refreshing" not in driver.text(), "the mark to go")


async def at_a_halt(driver: Driver) -> datetime:
    """Wait until a look is under way that does not come back; when the last one came."""
    assert isinstance(driver.services, Halting)
    await driver.until(driver.services.halted.is_set, "a look that hangs")
    assert driver.app.state.overview is not None
    return driver.app.state.overview.at.astimezone()


async def test_a_gateway_that_was_never_looked_at_in_whole_is_not_healthy_for_ever(
    start: Start, sample: str, monkeypatch: pytest.MonkeyPatch, ticking: None
) -> None:
    services = Halting(state=APPLIED, in_force=sample)
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await driver.says("applied, healthy")
        monkeypatch.setattr(aging, "STALE_S", -1.0)
        try:
            await driver.until(lambda: "healthy" not in driver.text(), "no word of health")
            await driver.says("Reading")
        finally:
            services.free.set()


async def test_leases_of_which_nothing_more_is_heard_say_of_when_they_are(
    start: Start, sample: str, monkeypatch: pytest.MonkeyPatch, ticking: None
) -> None:
    services = Halting(state=APPLIED, in_force=sample)
    services.free.set()
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await on(driver, "Leases")
        await driver.says("controller", "4 of 4 nodes")
        at = f"{services.now().astimezone():%H:%M:%S}"
        services.free.clear()
        try:
            await driver.until(services.halted.is_set, "a look that hangs")
            monkeypatch.setattr(aging, "STALE_S", -1.0)
            await driver.says(f"! As of {at}; still refreshing", f"as of {at}: 4 of 4 nodes", "controller")
            monkeypatch.undo()
        finally:
            services.free.set()
        await driver.says("Who has which address. Live.")
        assert "s of 1" not in driver.text()


async def test_the_last_word_knows_only_what_was_looked_at_just_now(
    start: Start, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        await on(driver, "Export")
        assert driver.app.parting().startswith("The gateway keeps running.")
        # Minutes later.
        monkeypatch.setattr(aging, "STALE_S", -1.0)
        assert "goes on" not in driver.app.parting()
        assert "'ciao-wizard status' shows" in driver.app.parting()


@pytest.mark.parametrize("title", ["Dashboard", "Leases"])
async def test_a_page_that_is_being_left_draws_no_more(start: Start, sample: str, title: str) -> None:
    """Its parts go before it does, and a tick or a last answer may still come."""
    services = FakeServices(state=APPLIED, in_force=sample)
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await on(driver, title)
        await driver.says("controller")
        page = driver.shown
        assert isinstance(page, dashboard.DashboardPage | leases.LeasesPage)
        shown = page
        drawn: list[bool] = []

        class Last(Widget):
            """Going, it asks whether its page would draw all the same."""

            async def on_prune(self, event: Prune) -> None:
                await super().on_prune(event)
                drawn.append(shown.drawable)

        await page.mount(Last())
        await on(driver, "Export")
        assert drawn == [False]
        page.old = True
        page.tick()
        if isinstance(page, dashboard.DashboardPage):
            page.traffic = Traffic()
            page.draw_picture()
        await on(driver, "Reset")


# What was typed, and another wizard of the same person


async def typed(driver: Driver, services: FakeServices) -> str:
    """Have this run write a draft, in the place that all runs with this plan share; its name."""
    await driver.jump("Network")
    await driver.press("end", "x")
    await driver.until(lambda: services.drafts, "the draft on disk")
    (name,) = services.drafts
    return name


async def test_taking_back_what_was_typed_leaves_anothers_draft(start: Start) -> None:
    services = FakeServices()
    async with start(services) as driver:
        theirs = {await typed(driver, services): dump_draft(Draft(domain="theirs.lan"))}
        services.drafts.update(theirs)
        await driver.press("backspace")
        await driver.until(lambda: not driver.app.drafts.saving and not driver.app.drafts.changed)
        assert services.drafts == theirs
        assert driver.app.parting() == ""


@pytest.mark.parametrize("another", [False, True])
async def test_an_apply_leaves_anothers_draft_and_takes_its_own(start: Start, another: bool) -> None:
    services = FakeServices()
    async with start(services) as driver:
        await driver.page("Interfaces")
        driver.app.drafts.draft = replace(driver.app.draft, domain="mine.lan")
        await driver.until(lambda: services.drafts, "the draft on disk")
        (name,) = services.drafts
        theirs = {name: dump_draft(Draft(domain="theirs.lan"))} if another else {}
        services.drafts.update(theirs)
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        services.state, services.in_force = APPLIED, services.applied_text
        services.change.fed.append(event(26, result="kept", reason="applied and kept"))
        await driver.page("Leases")
        assert services.drafts == theirs


async def test_a_draft_taken_up_and_applied_is_done_with(start: Start, sample: str) -> None:
    draft = replace(Draft.from_plan(load_plan(sample, "sample")), domain="other.lan")
    services = FakeServices(drafts={"draft": dump_draft(draft)})
    async with start(services, plan=None) as driver:
        await driver.says("your changes of")
        await driver.press("enter")
        await driver.page("Interfaces")
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        services.state, services.in_force = APPLIED, services.applied_text
        services.change.fed.append(event(26, result="kept", reason="applied and kept"))
        await driver.page("Leases")
        assert services.drafts == {}


async def test_what_another_has_typed_since_the_question_is_not_started_afresh_from(start: Start, sample: str) -> None:
    draft = Draft.from_plan(load_plan(sample, "sample"))
    services = FakeServices(drafts={"draft": dump_draft(replace(draft, domain="other.lan"))})
    async with start(services, plan=None) as driver:
        await driver.says("your changes of")
        theirs = {"draft": dump_draft(replace(draft, domain="theirs.lan"))}
        services.drafts.update(theirs)
        await driver.press("n")
        await driver.page("Interfaces")
        assert services.drafts == theirs


async def test_the_draft_behind_an_apply_that_is_found_waiting_is_done_with_once_it_is_kept(
    start: Start, sample: str
) -> None:
    """The screen that typed it was killed while it asked."""
    draft = replace(Draft.from_plan(load_plan(sample, "sample")), domain="other.lan")
    services = FakeServices(state=replace(APPLIED, state="pending"), drafts={"draft": dump_draft(draft)})
    async with start(services, plan=None) as driver:
        await driver.page("Apply")
        services.state, services.in_force = APPLIED, sample
        services.change.fed.append(event(26, result="kept", reason="applied and kept"))
        await driver.page("Leases")
        assert services.drafts == {}


async def test_no_word_of_keeping_what_another_has_written_over(start: Start) -> None:
    services = FakeServices()
    async with start(services) as driver:
        name = await typed(driver, services)
        assert "Your changes are saved" in driver.app.parting()
        services.drafts[name] = dump_draft(Draft(domain="theirs.lan"))
        assert "kept" not in driver.app.parting()


async def test_both_ways_to_an_earlier_draft_say_the_same(start: Start, sample: str) -> None:
    draft = replace(Draft.from_plan(load_plan(sample, "sample")), domain="other.lan")
    said = f"our changes of {NOW.astimezone():%d %B, %H:%M} are still here: 4 nodes, subnet 192.168.0.0/24"
    async with start(FakeServices(drafts={"draft": dump_draft(draft)}), plan=None) as driver:
        await driver.says(said)
    since = replace(APPLIED, since=(NOW - timedelta(hours=1)).isoformat())
    async with start(
        FakeServices(state=since, in_force=sample, drafts={"draft": dump_draft(draft)}), plan=None
    ) as driver:
        await driver.says("Resume where you left off?", said)


# Where the pages begin


@pytest.mark.parametrize(("given", "nodes"), [(True, 2), (False, 0)])
async def test_what_the_welcome_says_of_the_plan_is_what_the_pages_begin_with(
    start: Start, sample: str, given: bool, nodes: int
) -> None:
    nodes_of = sample.split("[[nodes]]")
    rest = nodes_of[-1].partition("[[forwards]]")
    two = "[[nodes]]".join(nodes_of[:3]) + rest[1] + rest[2]
    services = FakeServices(state=INTERRUPTED, in_force=sample)
    async with start(services, plan=two if given else None) as driver:
        await driver.until(driver.welcomed)
        assert "gateway.toml: 4 nodes" not in driver.flat()
        assert ("ciao.toml: 2 nodes" in driver.flat()) is given
        await driver.press("s")
        await driver.page("Interfaces")
        assert len(driver.app.draft.nodes) == nodes


async def test_what_was_made_of_the_plan_in_force_stays_the_beginning_where_a_change_is_cut_off(
    start: Start, sample: str
) -> None:
    services = FakeServices(state=replace(APPLIED, plan="/etc/ciao-wizard/gateway.toml"), in_force=sample)
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("e")
        await driver.page("Interfaces")
        await driver.jump("Network")
        await driver.press("end", "x")
        services.state = INTERRUPTED
        await on(driver, "Welcome")
        await driver.press("ctrl+r")
        await driver.says("/etc/ciao-wizard/gateway.toml: 4 nodes", "and what you have changed", "set up again")
