"""Wake, restart and power off from the leases."""

from __future__ import annotations

import threading

import pytest

from tests.tui.conftest import Shoot
from tests.tui.driver import Start
from tests.tui.gateways import thousand
from tests.tui.lease_rows import leases as leases
from tests.tui.lease_rows import opened
from wizard.plan.findings import WizardError
from wizard.widgets.plain_text import PlainText


async def test_what_can_be_done_and_what_became_of_it(leases: Start, shoot: Shoot) -> None:
    stubborn = {"compute2": "compute2 does not answer: nobody has that address"}
    async with leases(stubborn=stubborn) as driver:
        await opened(driver)
        await driver.press("down", "down", "w")
        await driver.says("Power", "▸ compute1", "the 2 compute nodes shown", "the 4 nodes shown")
        await shoot(driver, "leases-power-80x24")
        await driver.press("a", "r")
        await driver.says("Restart the 2 compute nodes shown?", "compute1, compute2")
        await shoot(driver, "leases-power-asks-80x24")
        await driver.press("y")
        await driver.says("✗ compute2", "nobody has that address", "Try it by hand.", "✓ compute1", "done")
        await shoot(driver, "leases-power-outcomes-80x24")
        assert driver.services.did == ["reboot compute1 compute2"]
        await driver.press("escape")
        await driver.page("Leases")


async def test_each_outcome_is_shown_as_it_comes(leases: Start) -> None:
    held = threading.Event()
    async with leases(slow={"compute2": held}) as driver:
        await opened(driver)
        await driver.press("down", "down", "w", "a", "w")
        await driver.says("Wake the 2 compute nodes shown", "✓ compute1", "waiting for 1 node")
        held.set()
        await driver.says("✓ compute2")
        assert "waiting for" not in driver.text()


async def test_how_many_are_done_stands_on_top(leases: Start) -> None:
    held = threading.Event()
    async with leases(slow={"compute2": held}, stubborn={"compute1": "nobody has that address"}) as driver:
        await opened(driver)
        await driver.press("down", "down", "w", "a", "w")
        await driver.says("✗ compute1", "waiting for 1 node")
        assert driver.text().index("waiting for 1 node") < driver.text().index("✗ compute1")
        held.set()
        await driver.says("1 of 2 done")
        assert driver.text().index("1 of 2 done") < driver.text().index("✗ compute1")


async def test_many_outcomes_are_drawn_together(leases: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draws all that there are by then."""
    drawn: list[object] = []
    update = PlainText.update

    def count(text: PlainText, *args: object, **kwargs: object) -> None:
        drawn.extend([text] if text.id == "outcomes-text" else [])
        update(text, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(PlainText, "update", count)
    async with leases(*thousand()) as driver:
        await opened(driver)
        await driver.press("w", "a", "w")
        await driver.says("1002 of 1002 done")
    assert 0 < len(drawn) < 300


async def test_nothing_is_restarted_or_powered_off_unasked(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        for keys in (("w", "escape"), ("w", "r", "escape"), ("w", "o", "n"), ("w", "o", "enter")):
            await driver.press(*keys)
            await driver.page("Leases")
        assert driver.services.did == []


async def test_what_is_found_narrows_whom_it_is_done_to(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.press("slash", *"missing")
        await driver.says("1 of 6")
        await driver.press("enter", "w")
        await driver.says("▸ compute2")
        assert "nodes shown" not in driver.text()


async def test_marked_nodes_are_meant_first_wherever_the_cursor_is_and_whatever_is_shown(
    leases: Start, shoot: Shoot
) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.press("space", "down", "space")
        await driver.says("◆controller", "◆compute1", "2 marked")
        await shoot(driver, "leases-marked-80x24")
        await driver.press("slash", *"stranger", "enter", "w")
        await driver.says("▸ the 2 marked nodes")
        await driver.press("r")
        await driver.says("Restart the 2 marked nodes?", "controller, compute1")
        await driver.press("y")
        await driver.says("✓ controller", "✓ compute1")
        assert driver.services.did == ["reboot controller compute1"]


async def test_a_mark_is_taken_off_again(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.press("space", "up", "space")
        await driver.until(lambda: "marked" not in driver.text())
        await driver.press("end", "space")
        await driver.says("Only nodes of the plan can be marked.")


async def test_only_nodes_have_a_switch(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.press("end", "w")
        await driver.says("Only nodes of the plan")


async def test_why_nothing_could_be_begun_is_told(leases: Start) -> None:
    refusal = WizardError("the guard does not vouch for the cluster's wire", "See the status.")
    async with leases(no_action=refusal) as driver:
        await opened(driver)
        await driver.press("w", "w")
        await driver.says("✗ the guard does not vouch")
        assert "waiting for" not in driver.text()
