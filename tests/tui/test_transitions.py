"""Keys that come while something else is under way: nothing begins unasked, no page shows another's end as its own."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.tui.driver import Driver, Start
from tests.tui.fakes import APPLIED, NOW, FakeServices, event
from tests.tui.lease_rows import adopt_dialog
from tests.tui.lease_rows import leases as leases
from wizard.plan.draft.model import Draft, dump_draft
from wizard.plan.file.read import load_plan
from wizard.widgets.page import Page

__all__ = ["leases"]


async def adopting(driver: Driver) -> None:
    """On the dashboard, while an adoption is under way."""
    await adopt_dialog(driver)
    await driver.press("ctrl+n")
    await driver.until(lambda: driver.services.did == ["adopt"])
    await driver.press("escape")
    await driver.page("Dashboard")


async def test_no_reset_while_an_adoption_is_under_way(leases: Start) -> None:
    async with leases() as driver:
        await adopting(driver)
        await driver.press("r")
        await driver.says("A change is already running")
        await driver.page("Dashboard")
        driver.services.change.fed += [event(2, result="rolled-back", reason="it did not verify")]
        await driver.until(lambda: not driver.app.changing)
        await driver.press("r")
        await driver.page("Reset")
        assert "as it was" not in driver.flat()
        assert driver.services.did == ["adopt"]


async def test_no_apply_while_an_adoption_is_under_way(leases: Start) -> None:
    async with leases() as driver:
        await adopting(driver)
        await driver.press("e")
        await driver.page("Interfaces")
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.says("A change is already running")
        await driver.page("Review")
        assert driver.services.did == ["adopt"]


async def test_what_was_cancelled_while_it_was_looked_up_is_not_adopted(leases: Start) -> None:
    async with leases() as driver:
        await adopt_dialog(driver)
        there, plan = threading.Event(), driver.services.plan_to_adopt_into

        def slow() -> str:
            there.wait(10)
            return str(plan())

        driver.services.plan_to_adopt_into = slow  # type: ignore[method-assign]
        await driver.press("ctrl+n", "escape")
        await driver.until(lambda: "Adopt as a node" not in driver.text())
        there.set()
        await driver.app.workers.wait_for_complete()
        await driver.page("Leases")
        assert driver.services.did == []


async def test_an_apply_is_not_begun_for_a_review_that_was_left(start: Start) -> None:
    services = FakeServices()
    asked = threading.Event()
    services.may_change = lambda: asked.wait(10)  # type: ignore[method-assign]
    async with start(services) as driver:
        await driver.jump("Review")
        await driver.press("ctrl+a", "escape")
        await driver.page("Forwards")
        asked.set()
        await driver.app.workers.wait_for_complete()
        await driver.pilot.pause()
        await driver.page("Forwards")
        assert services.did == []


async def test_escape_at_the_offered_draft_keeps_it(start: Start, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample)
    services.drafts = {"draft": dump_draft(replace(Draft.from_plan(load_plan(sample, "x")), domain="typed.lan"))}
    async with start(services, plan=None) as driver:
        await driver.says("Resume where you left off?")
        await driver.press("escape")
        await driver.until(lambda: "Resume where" not in driver.text())
        assert list(services.drafts) == ["draft"]


async def test_what_was_typed_is_not_dropped_by_editing_once_more(start: Start, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample)
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("e")
        await driver.page("Interfaces")
        await driver.jump("Network")
        await driver.press("end", "ctrl+u", *"10.9.0.0/24", "tab")
        await driver.until(lambda: driver.app.draft.cidr == "10.9.0.0/24")
        driver.app.post_message(Page.PageRequested("dashboard"))
        await driver.page("Dashboard")
        await driver.press("e")
        await driver.says("Continue with your changes?")
        await driver.press("enter")
        await driver.page("Interfaces")
        assert driver.app.draft.cidr == "10.9.0.0/24"


async def test_what_was_typed_is_not_dropped_where_the_plan_in_force_has_changed(start: Start, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample)
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("e")
        await driver.page("Interfaces")
        await driver.jump("Network")
        await driver.press("end", "ctrl+u", *"10.9.0.0/24", "tab")
        await driver.until(lambda: driver.app.draft.cidr == "10.9.0.0/24")
        # As an adoption does, or a colleague.
        services.in_force = sample.replace("ciao.lan", "lab.lan")
        driver.app.post_message(Page.PageRequested("dashboard"))
        await driver.page("Dashboard")
        await driver.press("e")
        await driver.says("Continue with your changes?", "another plan than the one in force now")
        await driver.press("n")
        await driver.page("Interfaces")
        assert (driver.app.draft.cidr, driver.app.draft.domain) == ("192.168.0.0/24", "lab.lan")


@pytest.mark.parametrize(("key", "domain"), [("y", "ciao.lan"), ("enter", "lab.lan")])
async def test_a_plan_that_was_given_is_not_passed_over_for_the_one_in_force(
    start: Start, sample: str, key: str, domain: str
) -> None:
    services = FakeServices(state=APPLIED, in_force=sample.replace("ciao.lan", "lab.lan"))
    async with start(services) as driver:
        await driver.page("Dashboard")
        await driver.press("e")
        await driver.says("Which plan?", "ciao.toml was given at the start")
        await driver.press(key)
        await driver.page("Interfaces")
        assert driver.app.draft.domain == domain
        await driver.press("escape", "e")
        await driver.page("Interfaces")


async def test_what_cannot_be_looked_at_is_not_called_healthy(start: Start, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample)
    async with start(services, plan=None) as driver:
        await driver.says("healthy")

        def gone(*_: object) -> object:
            from wizard.plan.findings import WizardError

            raise WizardError("nft: no end after 20 s", "")

        services.overview = gone  # type: ignore[assignment, method-assign]
        await driver.press("ctrl+r")
        await driver.says("no end after 20 s")
        assert "healthy" not in driver.text()


@pytest.mark.parametrize(("later", "says"), [(-60, False), (60, True)])
async def test_a_draft_that_is_older_than_the_plan_in_force_says_so(
    start: Start, sample: str, later: int, says: bool
) -> None:
    state = replace(APPLIED, since=(NOW + timedelta(seconds=later)).isoformat())
    services = FakeServices(state=state, in_force=sample)
    services.drafts["draft"] = dump_draft(replace(Draft.from_plan(load_plan(sample, "sample")), domain="lab.lan"))
    async with start(services, plan=None) as driver:
        await driver.says("Resume where you left off?")
        assert ("Another plan was applied since then" in driver.flat()) is says


async def test_a_second_enter_on_the_welcome_passes_no_page(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wizard.widgets.page.UNSEEN_S", 3600)
    async with start() as driver:
        await driver.until(driver.welcomed, "the welcome")
        before = driver.app.draft
        await driver.press("enter", "enter")
        await driver.page("Interfaces")
        await driver.press("enter")
        assert driver.app.draft == before
        assert "─ Interfaces ─" in driver.text()
        monkeypatch.setattr("wizard.widgets.page.UNSEEN_S", 0)
        await driver.press("enter")
        await driver.page("Network")
