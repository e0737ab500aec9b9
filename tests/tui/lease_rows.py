"""Leases of every kind, and the page that shows them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.tui.driver import Driver, Start
from tests.tui.fakes import APPLIED, FOUR_ROWS, NOW, FakeServices, row
from wizard.monitor.lease_rows import LeaseRow
from wizard.screens.leases.screen import LeasesPage
from wizard.widgets.page import Page

CNCI = row(65, "", "", kind="vm", hostname="cnci-7", mac="02:16:3e:00:00:01", ip="192.168.0.65", vendor="")
STRANGER = row(
    0,
    "",
    "",
    kind="stranger",
    hostname="nuc-05",
    mac="c0:3f:d5:67:a2:01",
    ip="",
    state="ignored",
    expires=None,
    reachable=None,
    reason="asked for an address 4 times, last at 2026-03-02 13:59 and was ignored: it is not in the plan",
)
WRONG = row(
    3,
    "compute1",
    "compute",
    ip="192.168.0.77",
    state="wrong-address",
    reason="192.168.0.103 is reserved for it, but it was leased to b8:ae:ed:00:00:09",
)
MISSING = row(4, "compute2", "compute", state="missing", expires=None, reachable=None, reason="")
CLONED = row(
    2,
    "network",
    "network",
    alarms=("one-mac",),
    reason="two machines with the MAC b8:ae:ed:7b:51:02 answer at 192.168.0.102: one is a clone of the other",
)
SEEN: dict[str, Any] = {"first_seen": NOW - timedelta(hours=2), "last_seen": NOW + timedelta(seconds=20)}
EVERY_KIND = (replace(FOUR_ROWS[0], **SEEN), CLONED, WRONG, MISSING, CNCI, STRANGER)


@pytest.fixture
def leases(start: Start, sample: str) -> Start:
    """`async with leases(rows…, services' fields…) as driver`: the page over these rows."""
    return starter(start, sample)


def starter(start: Start, sample: str) -> Start:
    def started(
        *board: LeaseRow, size: tuple[int, int] = (80, 24), **fields: Any
    ) -> AbstractAsyncContextManager[Driver]:
        services = FakeServices(state=APPLIED, in_force=sample, board=board or EVERY_KIND, **fields)
        return start(services, plan=None, size=size)

    return started


def shown(driver: Driver) -> LeasesPage:
    page = driver.shown
    assert isinstance(page, LeasesPage)
    return page


async def opened(driver: Driver) -> LeasesPage:
    await driver.page("Dashboard")
    driver.app.post_message(Page.PageRequested("leases"))
    await driver.page("Leases")
    await driver.until(lambda: shown(driver).snapshot is not None, "the first look")
    return shown(driver)


async def adopt_dialog(driver: Driver) -> None:
    await opened(driver)
    await driver.press("end", "a")
    await driver.says("Adopt as a node", "Elitegroup", '"nuc-05"')
