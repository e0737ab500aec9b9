"""The lease monitor's page: what it says where it cannot look, what stays said, and how its room is shared out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tui.driver import Start
from tests.tui.fakes import NOW, row
from tests.tui.fakes_watch import HEALTH, happening
from tests.tui.layout import faults
from tests.tui.lease_rows import EVERY_KIND, opened, starter
from wizard.plan.findings import WizardError
from wizard.screens.leases.forward_health import ForwardHealthPanel


@pytest.fixture
def leases(start: Start, sample: str) -> Start:
    return starter(start, sample)


async def test_rows_that_are_old_say_of_when_they_are(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        driver.services.blind = WizardError("the plan cannot be read", "Mend it.")
        await driver.says("! As of 14:00:23; cannot refresh: the plan cannot be read Mend it.", "controller")
        # Whatever is done meanwhile, it stays where it can be seen.
        await driver.press("down", "c")
        await driver.says("As of 14:00:23", "Copied")
        driver.services.blind = None
        await driver.says("Who has which address. Live.")
        assert "As of" not in driver.text()


async def test_why_nobody_gets_an_address_is_said_where_one_looks_for_it(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        driver.services.guard_says = "The guard stopped the gateway: 10.77.0.1 answers DHCP on eth1\x1b[2J"
        await driver.says("! The guard stopped the gateway: 10.77.0.1 answers DHCP on eth1")
        assert "\x1b" not in driver.text()
        driver.services.guard_says = ""
        await driver.says("Who has which address. Live.")


async def test_what_was_said_of_one_machine_does_not_stay_for_the_next(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.press("c")
        await driver.says("Copied: ssh 192.168.0.101")
        # A board that comes in does not take it away, a step to another machine does.
        driver.services.board = (*EVERY_KIND[:3], replace(EVERY_KIND[3], state="ignored"), *EVERY_KIND[4:])
        await driver.says("ignored", "Copied: ssh 192.168.0.101")
        await driver.press("down")
        await driver.until(lambda: "Copied" not in driver.text(), "the line to go")


async def test_the_way_back_is_in_the_footer(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        footer = "/ find a adopt c copy ssh esc dashboard f1 help"
        assert " ".join(driver.text().splitlines()[-1].split()) == footer
        await driver.says("space mark · w power · s sort · x release · i instances · e events")


NOT_THROUGH = "the gateway's port 35357 does not: no answer"
LONG = "192.168.0.103 is reserved for it, but it was leased to b8:ae:ed:00:00:09, which answers there to this moment"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_nothing_of_what_happened_or_fails_is_cut(leases: Start, size: tuple[int, int]) -> None:
    health = (
        *(replace(HEALTH[0], port=8000 + number) for number in range(12)),
        replace(HEALTH[1], words=f"compute-with-a-long-name:35357 answers, {NOT_THROUGH}"),
    )
    name = "compute-with-quite-a-long-name"
    happened = [happening(1, "refused", name, LONG, NOW)]
    async with leases(size=size, happenings=happened, health=health) as driver:
        page = await opened(driver)
        if size[1] < 40:
            await driver.press("e")
        await driver.says("! " + name, *LONG.split())
        assert "…" not in driver.text()
        if size[1] < 40:
            await driver.press("e")
        panel = page.query_one(ForwardHealthPanel)
        await driver.until(lambda: panel.display and panel.health, "the forwards")
        text = " ".join(str(panel.content).split())
        assert f"✗ ✗ 35357 compute-with-a-long-name:35357 answers, {NOT_THROUGH}" in text
        # Those that answer stand together, after what does not.
        assert text.endswith("✓ ✓ 8000, 8001, 8002, 8003, 8004, 8005, 8006, 8007, 8008, 8009, 8010, 8011 answer")
        assert "…" not in driver.text()
        assert faults(driver) == []


async def test_of_many_forwards_as_many_as_have_room_and_how_many_more(leases: Start) -> None:
    health = tuple(replace(HEALTH[1], port=1000 + n, words=f"controller:{1000 + n}: no answer") for n in range(40))
    async with leases(health=health) as driver:
        await opened(driver)
        await driver.press("e", "e")
        await driver.says("✗ ✗ 1004", "… and 35 more lines: `ciao-wizard status` lists every port")
        assert faults(driver) == []


async def test_the_table_has_most_of_the_room(leases: Start) -> None:
    many = tuple(row(n, f"node{n}", "compute", ip=f"192.168.1.{n}") for n in range(200))
    async with leases(*many, size=(120, 40)) as driver:
        page = await opened(driver)
        await driver.says("No events since this page was opened.")
        assert page.table.size.height >= 25
        driver.services.happenings += [happening(n, "came", f"node{n}", "came", NOW) for n in range(50)]
        await driver.says("node49 came")
        assert page.table.size.height >= 20
