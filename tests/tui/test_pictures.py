"""How the screens look. Each was looked at as a picture before it was accepted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tui.conftest import Shoot
from tests.tui.driver import Start
from tests.tui.fakes import APPLIED, FOUR_ROWS, FakeServices, asks, event, row, steps_done
from wizard.services import WiresSaid

AS_IT_SHOULD_BE = WiresSaid(
    True,
    "As it should be",
    "A DHCP server answers on the corporate wire, eth0:\n  10.77.0.1 offered 10.77.0.98 after 0.1 s\n"
    "None does on the cluster wire, eth1, and the two are not one network.",
    "",
)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_the_set_up(start: Start, shoot: Shoot, size: tuple[int, int]) -> None:
    """Every step with the sample's plan."""
    shape = f"{size[0]}x{size[1]}"
    async with start(FakeServices(wires=AS_IT_SHOULD_BE), size=size) as driver:
        for title in ("Interfaces", "Network", "Nodes", "Forwards", "Review"):
            await driver.jump(title)
            if title == "Interfaces":
                await driver.says("As it should be")
            if title == "Nodes":
                await driver.says("Elitegroup")
            if shape == "80x24" or title in ("Interfaces", "Network", "Review"):
                await shoot(driver, f"{title.lower()}-{shape}")


async def test_an_apply(start: Start, shoot: Shoot) -> None:
    """Half-way, and at the question."""
    async with start() as driver:
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        driver.services.change.fed += steps_done()[:8]
        await driver.says("guard is in place")
        await shoot(driver, "apply-running-80x24")
        driver.services.change.fed += [*steps_done()[8:], asks()]
        await driver.says("Keep it?")
        await shoot(driver, "apply-asks-80x24")


async def test_a_failed_apply(start: Start, shoot: Shoot) -> None:
    """What failed, why, and what was undone."""
    async with start() as driver:
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        why = "dnsmasq could not bind to 192.168.0.200: address in use. Another dnsmasq runs here (pid 812)."
        driver.services.change.fed += [
            *steps_done()[:9],
            event(5, step="dnsmasq", state="failed", detail=why),
            event(6, step="rules", state="undone", detail="the table is gone"),
            event(6, step="address", state="undone", detail="192.168.0.200 is off eth1"),
            event(7, result="failed", reason=why),
        ]
        await driver.says("This did not work.")
        await shoot(driver, "apply-failed-80x24")


async def test_a_refused_field(start: Start, shoot: Shoot) -> None:
    """The sign stands at the field, the remedy below."""
    async with start() as driver:
        await driver.jump("Network")
        await driver.press("end", "ctrl+u", *"10.77.0.0/24", "tab")
        await driver.says("✗ Subnet")
        await shoot(driver, "network-overlap-80x24")


async def test_the_node_dialog(start: Start, shoot: Shoot) -> None:
    """A form over the page."""
    async with start() as driver:
        await driver.jump("Nodes")
        await driver.press("f2", *"b8:ae:ed", "ctrl+n")
        await driver.says("is not a MAC address")
        await shoot(driver, "node-dialog-80x24")


async def test_help(start: Start, shoot: Shoot) -> None:
    """What the page is for, and its keys."""
    async with start() as driver:
        await driver.jump("Nodes")
        await driver.press("f1")
        await driver.says("Help: Nodes")
        await shoot(driver, "help-80x24")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_what_is_in_force(start: Start, shoot: Shoot, sample: str, size: tuple[int, int]) -> None:
    """Dashboard with drift; leases of every kind; reset."""
    shape = f"{size[0]}x{size[1]}"
    state = replace(APPLIED, drift=("/etc/ciao-wizard/nat.sh was changed",))
    board = (
        *FOUR_ROWS[:3],
        row(4, "compute2", "compute", state="missing", expires=None, reachable=None, reason="never asked"),
        row(65, "", "", kind="vm", hostname="cnci-7", mac="02:16:3e:00:00:01", ip="192.168.0.65", vendor=""),
        row(0, "", "", kind="stranger", ip="", state="ignored", expires=None, reachable=None, reason="asked 4 times"),
    )
    async with start(FakeServices(state=state, in_force=sample, board=board), plan=None, size=size) as driver:
        await driver.says("Changed by hand")
        await shoot(driver, f"dashboard-{shape}")
        await driver.press("l")
        await driver.says("3 of 4 nodes")
        await shoot(driver, f"leases-{shape}")
        if shape == "80x24":
            await driver.press("escape")
            await driver.page("Dashboard")
            await driver.press("r")
            await driver.page("Reset")
            await shoot(driver, f"reset-{shape}")


async def test_without_colour(start: Start, shoot: Shoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR: the cursor's row and every state can still be told."""
    monkeypatch.setenv("NO_COLOR", "1")
    async with start(theme=None) as driver:
        await driver.page("Interfaces")
        await shoot(driver, "interfaces-no-colour-80x24")
        await driver.jump("Network")
        await shoot(driver, "network-no-colour-80x24")
