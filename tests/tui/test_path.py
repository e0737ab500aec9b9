"""The whole way through, by keyboard, at 80×24, the size of a console, and at 80×23."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.events import Key, Paste

from tests.tui.driver import Start
from tests.tui.fakes import APPLIED, FACTS, FakeServices, asks, steps_done
from tests.tui.walks import STEPS, walk_to_review
from wizard.deploy.file_changes import FileChange
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan
from wizard.widgets.page import Page


async def test_the_suggested_values_lead_to_four_leases(start: Start, sample: str) -> None:
    async with start() as driver:
        await walk_to_review(driver)
        await driver.says("1/3", "iface eth1 inet static")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        driver.services.change.fed += [*steps_done(), asks()]
        await driver.says("Keep it?", "going back in 1:47")
        await driver.press("k")
        await driver.page("Leases")
        for name, address in (("controller", 101), ("network", 102), ("compute1", 103), ("compute2", 104)):
            await driver.says(name, f"192.168.0.{address}")
        await driver.says("4 of 4 nodes")
        assert driver.services.did == ["apply", "confirm"]
        assert driver.services.applied_text == sample
        assert driver.services.drafts == {}


async def test_nics_that_are_not_here_give_way_to_those_suggested(start: Start) -> None:
    nics = tuple(replace(nic, name=nic.name.replace("eth", "enp0s")) for nic in FACTS.nics)
    routes = tuple(replace(route, nic=route.nic.replace("eth", "enp0s")) for route in FACTS.routes)
    machine = replace(FACTS, nics=nics, routes=routes)
    async with start(FakeServices(machine=machine)) as driver:
        await walk_to_review(driver)
        await driver.says("iface enp0s1")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("enp0s0", "enp0s1")


async def test_without_a_plan_network_and_nics_are_suggested(start: Start) -> None:
    async with start(plan=None) as driver:
        await driver.page("Interfaces")
        draft = driver.app.draft
        assert (draft.corporate, draft.cluster, draft.cidr) == ("eth0", "eth1", "192.168.0.0/24")
        assert draft.nodes == ()


async def test_where_something_is_applied_the_dashboard_comes_first(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.says("Gateway is running.", "✓ dnsmasq", "applied, healthy")
        await driver.press("l")
        await driver.page("Leases")
        await driver.press("escape")
        await driver.page("Dashboard")
        await driver.press("e")
        await driver.page("Interfaces")
        await driver.press("escape")
        await driver.page("Dashboard")
        await driver.press("a")
        await driver.page("Review")
        await driver.says("1/3")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        assert driver.services.applied_text == sample


async def test_a_machine_that_cannot_be_read_is_no_endless_wait(start: Start) -> None:
    services = FakeServices(refuse=WizardError("/sys is not mounted", "Mount it."))
    async with start(services) as driver:
        await driver.says("✗ /sys is not mounted Mount it.")
        services.refuse = None
        await driver.press("ctrl+r")
        await driver.page("Interfaces")


async def test_a_defect_in_a_thread_is_no_endless_wait(start: Start) -> None:
    class Defective(FakeServices):
        def changes(self, plan: Plan, plan_text: str) -> tuple[FileChange, ...]:
            raise KeyError("nothing")

    async with start(Defective()) as driver:
        await driver.until(lambda: driver.app.facts is not None)
        driver.app.post_message(Page.PageRequested("review"))
        await driver.says("KeyError", "a bug in the wizard")
        await driver.press("ctrl+a")
        assert driver.services.did == []


async def test_a_window_too_small_says_so_and_heals(start: Start) -> None:
    async with start(size=(70, 20)) as driver:
        await driver.says("needs 80×23")
        assert "eth0" not in driver.text()
        await driver.pilot.resize_terminal(80, 23)
        await driver.says("eth0")
        assert "needs 80×23" not in driver.text()


KEYS = [
    "enter",
    "space",
    "escape",
    "tab",
    "delete",
    "y",
    "n",
    "a",
    "k",
    "r",
    "s",
    "ctrl+n",
    "ctrl+a",
    "ctrl+r",
    "ctrl+z",
]
KEYS += ["ctrl+p", *(f"f{number}" for number in range(1, 9))]


@pytest.mark.parametrize("name", ["welcome", *(step.lower() for step in ("Interfaces", *STEPS)), "dashboard", "reset"])
async def test_no_key_acts_on_a_page_that_is_not_shown(start: Start, name: str, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample) if name in ("dashboard", "reset") else None
    async with start(services, plan=None if services else sample) as driver:
        await driver.until(lambda: driver.app.facts is not None)
        driver.app.post_message(Page.PageRequested(name))
        await driver.until(lambda: type(driver.shown).__name__.lower().startswith(name))
        await driver.until(lambda: driver.shown is not None and not driver.shown.unseen)
        draft, page, focused = driver.app.draft, driver.app.screen, driver.app.focused
        await driver.pilot.resize_terminal(80, 22)
        await driver.says("needs 80×23")
        await driver.press(*KEYS)
        driver.app.post_message(Paste("10.0.0.0/8\n"))
        await driver.pilot.pause()
        assert "needs 80×23" in driver.text()
        await driver.pilot.resize_terminal(80, 23)
        await driver.until(lambda: "needs 80×23" not in driver.text())
        assert (driver.app.draft, driver.app.screen, driver.app.focused) == (draft, page, focused)
        assert driver.services.did == []


async def test_a_small_window_can_be_left(start: Start) -> None:
    async with start(size=(60, 10)) as driver:
        await driver.says("leave with ctrl+q")
        await driver.press("ctrl+q")
        await driver.until(lambda: driver.app.return_code is not None)


async def test_help_names_the_keys_of_the_page(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("f1")
        await driver.says("Help: Interfaces", "ctrl+r look again", "f4 swap")
        await driver.press("escape")
        await driver.until(lambda: "Help: Interfaces" not in driver.text())


async def test_keys_act_in_their_order_however_fast_they_come(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        burst: list[tuple[str, str | None]] = [("ctrl+n", None), ("end", None), ("ctrl+u", None)]
        burst += [(c, c) for c in "10.9.0.0/25"]
        burst += [("backspace", None), ("4", "4"), ("tab", None), ("tab", None), ("tab", None), ("ctrl+u", None)]
        burst += [(c, c) for c in "45m"]
        burst += [("ctrl+n", None), ("ctrl+n", None), ("ctrl+n", None)]
        for key, character in burst:
            driver.app.post_message(Key(key, character))
        await driver.page("Review")
        draft = driver.app.draft
        assert (draft.cidr, draft.gateway, draft.lease_time) == ("10.9.0.0/24", "10.9.0.200", "45m")


SET_UP = ["welcome", "interfaces", "network", "nodes", "forwards", "review"]
IN_FORCE = ["dashboard", "leases", "instances", "reset", "export"]


@pytest.mark.parametrize("name", [*SET_UP, *IN_FORCE])
async def test_the_help_of_every_page_is_seen_whole(start: Start, name: str) -> None:
    async with start() as driver:
        await driver.until(lambda: driver.app.facts is not None)
        driver.app.post_message(Page.PageRequested(name))
        await driver.until(lambda: type(driver.shown).__name__.lower().startswith(name))
        await driver.press("f1")
        await driver.says("Help: ", "leave")
        assert driver.app.screen.query_one("VerticalScroll").max_scroll_y == 0
