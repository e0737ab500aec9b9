"""Ways through the pages that several tests take."""

from __future__ import annotations

from tests.tui.driver import Driver
from wizard.screens.instances.screen import InstancesPage
from wizard.widgets.page import Page


async def opened(driver: Driver) -> InstancesPage:
    await driver.page("Dashboard")
    driver.app.post_message(Page.PageRequested("leases"))
    await driver.page("Leases")
    await driver.press("i")
    await driver.page("Instances")
    await driver.says("2 VMs with a lease here")
    page = driver.shown
    assert isinstance(page, InstancesPage)
    return page


STEPS = ("Network", "Nodes", "Forwards", "Review")


async def walk_to_review(driver: Driver) -> None:
    await driver.page("Interfaces")
    for title in STEPS:
        await driver.press("ctrl+n")
        await driver.page(title)
