"""The page Boot over a real gateway: armed by keyboard, followed as nodes boot, disarmed when they have reported."""

from __future__ import annotations

import pytest

from tests.lab.booting import arm_two, ask_as_firmware, at_the_boot_page, bootable, fetch
from tests.lab.support import ciao_json

pytestmark = pytest.mark.lab


def test_two_nodes_are_armed_by_keyboard_and_followed_to_the_end(lab_possible: None) -> None:
    with bootable() as lab, at_the_boot_page(lab) as terminal:

        def row(name: str) -> list[str]:
            return next((line.split() for line in terminal.text().splitlines() if line.strip().startswith(name)), [])

        arm_two(terminal)
        assert [each["node"] for each in ciao_json(lab, "boot", "status") if each["armed"]] == ["compute1", "compute2"]
        ask_as_firmware(lab, "compute1")
        fetch(lab, "compute1", "script", "kernel", "initrd")
        terminal.until(lambda: row("compute1")[3:5] == ["●·●●●○○○", "initrd"], "the initrd")
        fetch(lab, "compute1", "seed", "reported")
        terminal.until(lambda: row("compute1")[1:3] == ["–", "–"] and "reported" in row("compute1"), "disarmed")
        terminal.says("1 armed")
        terminal.press("end")
        terminal.press("d")
        terminal.says("compute2 disarmed")
        assert not any(each["armed"] for each in ciao_json(lab, "boot", "status"))
