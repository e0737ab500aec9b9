"""The forwards: ports that come in sets, and ports that somebody listens on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tui.conftest import Shoot
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FACTS, FakeServices
from wizard.plan.machine import Listener
from wizard.widgets.virtual_table import VirtualKeyedTable

REGISTRY = Listener("tcp", "*", 5000, "docker-registry", 812)
BUSY = replace(FACTS, listeners=(REGISTRY,))


@pytest.fixture
def bare(sample: str) -> str:
    return sample[: sample.index("# From the company's side")]


def ports(driver: Driver) -> list[str]:
    return [forward.port for forward in driver.app.draft.forwards]


async def test_a_preset_says_what_each_port_is_and_takes_all(start: Start, bare: str) -> None:
    async with start(plan=bare) as driver:
        await driver.jump("Forwards")
        await driver.says("No forwards yet: f4 adds the ports of")
        await driver.press("f4")
        await driver.says("ciao 2017", "OpenStack", "k3s", "Proxmox", "Talos", "Keystone, administration → controller")
        await driver.press("end")
        await driver.says("50000 Talos API", "trustd's 50001 stays inside", "Enter adds all 2.")
        await driver.press("enter")
        await driver.says("2 ports added.")
        assert ports(driver) == ["50000", "6443"]
        await driver.says("50000/tcp controller company network Talos API")
        await driver.press("ctrl+z")
        assert ports(driver) == []


async def test_a_port_that_a_program_holds_is_left_out_and_the_program_named(start: Start, bare: str) -> None:
    async with start(FakeServices(machine=BUSY), plan=bare) as driver:
        await driver.jump("Forwards")
        await driver.press("f4")
        why = 'A program ("docker-registry", process 812) listens on it'
        await driver.says(f"✗ 5000 Keystone, public {why}", "Enter adds 2 of 3; 1 cannot be added (✗).")
        await driver.press("enter")
        await driver.says("2 ports added; skipped: 5000, in use on this machine")
        assert ports(driver) == ["8889", "35357"]
        await driver.press("f4")
        # What is in the plan is no mistake, and says where it leads.
        await driver.says(
            "= 8889 ciao: web interface and API → controller", "Enter adds none of 3; 2 already in the plan (=)"
        )
        await driver.press("enter")
        await driver.says("2 already in the plan; skipped: 5000")
        assert ports(driver) == ["8889", "35357"]


async def test_a_clash_is_said_in_the_form_once_and_then_on_the_page(start: Start, bare: str) -> None:
    async with start(FakeServices(machine=BUSY), plan=bare) as driver:
        await driver.jump("Forwards")
        await driver.press("f2")
        await driver.type("5000")
        await driver.press("ctrl+n")
        await driver.says('A program ("docker-registry", process 812) listens', "Press ctrl+n again to ignore this")
        assert ports(driver) == []
        await driver.press("ctrl+n")
        await driver.page("Forwards")
        assert ports(driver) == ["5000"]
        await driver.says("✗ 5000/tcp", '✗ forward 5000, port A program ("docker-registry", process 812)')


async def test_undo_goes_back_step_by_step_to_where_it_was_done(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Forwards")
        before = driver.app.draft.forwards
        table = driver.app.screen.query_one("#forwards", VirtualKeyedTable)
        await driver.press("down", "delete")
        await driver.says(f"Port {before[1].port} is closed now. ctrl+z restores it.")
        await driver.press("home", "delete", "ctrl+z")
        assert (len(driver.app.draft.forwards), table.cursor) == (len(before) - 1, 0)
        await driver.press("ctrl+z")
        assert (driver.app.draft.forwards, table.cursor) == (before, 1)
        await driver.press("ctrl+z")
        await driver.says("Nothing to undo on this page.")
        # Said of that key alone.
        await driver.press("up")
        assert driver.toasts() == ""


async def test_what_is_no_port_is_refused_however_often(start: Start, bare: str) -> None:
    async with start(plan=bare) as driver:
        await driver.jump("Forwards")
        await driver.press("f2")
        await driver.type("0")
        await driver.press("ctrl+n", "ctrl+n", "ctrl+n")
        await driver.says("A new forward", "is not a port")
        assert ports(driver) == []


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_pictures(start: Start, shoot: Shoot, size: tuple[int, int], bare: str) -> None:
    """The presets, and a clash."""
    shape = f"{size[0]}x{size[1]}"
    async with start(FakeServices(machine=BUSY), plan=bare, size=size) as driver:
        await driver.jump("Forwards")
        await driver.press("f4", "down")
        await driver.says("compute API")
        await shoot(driver, f"forwards-presets-{shape}")
        await driver.press("enter", "f2")
        await driver.type("5000")
        await driver.press("ctrl+n")
        await driver.says("listens on")
        await shoot(driver, f"forwards-clash-{shape}")
