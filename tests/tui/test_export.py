"""The plan as other tools read it, on the screen."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.tui.driver import Driver, Start
from tests.tui.fakes import APPLIED, FakeServices
from tests.tui.layout import faults
from wizard.cli.parser import EXPORTS
from wizard.plan.findings import WizardError


async def to_export(driver: Driver) -> None:
    await driver.page("Dashboard")
    await driver.press("x")
    await driver.page("Export")
    await driver.says("ansible")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_nothing_is_cut_off(start: Start, sample: str, size: tuple[int, int]) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None, size=size) as driver:
        await to_export(driver)
        for _ in EXPORTS:
            assert faults(driver) == []
            await driver.press("down")


async def test_every_format_is_there_with_what_it_says(start: Start, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample)
    texts = {one.form: one.text for one in services.exported_files()}
    async with start(services, plan=None, size=(120, 40)) as driver:
        await to_export(driver)
        for number, form in enumerate(EXPORTS):
            if number:
                await driver.press("down")
            first = next(line for line in texts[form].splitlines() if line)
            await driver.until(partial(lambda first: first[:60] in driver.text(), first), f"{form}: {first}")


async def test_the_lines_for_a_colleague(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await to_export(driver)
        await driver.press("end")
        await driver.says("10.77.0.98 controller.ciao.lan controller # 8889, 35357, 5000")


async def test_saving_asks_for_a_name_and_says_where(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await to_export(driver)
        await driver.press("s")
        await driver.says("Save ansible", f"Saves to {Path.cwd() / 'inventory.ini'}", "enter save esc cancel")
        await driver.press("end", *".bak")
        await driver.says("inventory.ini.bak")
        await driver.press("ctrl+u", *"~nosuch/x")
        await driver.says("✗", "nosuch")
        await driver.press("ctrl+u", *"/tmp/inventory.ini")
        await driver.until(lambda: "Saves to /tmp/inventory.ini" in driver.text())
        await driver.press("ctrl+u", *"inventory.ini", "enter")
        await driver.says("Saved as /root/inventory.ini.")
        assert driver.services.did == ["save inventory.ini"]


async def test_what_cannot_be_saved_is_told(start: Start, sample: str) -> None:
    class Full(FakeServices):
        def save_file(self, path: str, plan_text: str, over: bool = False) -> str:
            raise WizardError(f"{path} cannot be written: No space left on device.", "Choose another place.")

    async with start(Full(state=APPLIED, in_force=sample), plan=None) as driver:
        await to_export(driver)
        await driver.press("s", "enter")
        await driver.says("✗ inventory.ini cannot be written: No space left on device. Choose another place.")
        await driver.press("s", "escape", "escape")
        await driver.page("Dashboard")


async def test_over_a_file_that_is_there_it_asks_first(start: Start, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample, files=("inventory.ini",))
    async with start(services, plan=None) as driver:
        await to_export(driver)
        await driver.press("s", "enter")
        await driver.says("Overwrite it?", "/root/inventory.ini already exists.")
        assert faults(driver) == []
        await driver.press("enter")
        await driver.says("Not saved: /root/inventory.ini is unchanged.")
        assert services.did == []
        await driver.press("s", "enter")
        await driver.says("Overwrite it?")
        await driver.press("y")
        await driver.says("Saved as /root/inventory.ini.")
        assert services.did == ["save inventory.ini over another"]


async def test_copying_takes_the_whole_text(start: Start, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample)
    async with start(services, plan=None) as driver:
        await to_export(driver)
        await driver.press("down", "c")
        await driver.says("k3s-ansible: copied")
        assert driver.app.clipboard == services.exported_files()[1].text


async def test_without_a_plan_there_is_nothing_to_hand_over(start: Start) -> None:
    async with start(FakeServices(state=APPLIED), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("x")
        await driver.says("No plan is in force: nothing to export.")
        await driver.press("s", "c")
        assert "Save" not in driver.text()
        await driver.press("escape")
        await driver.page("Dashboard")
