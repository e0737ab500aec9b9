"""The drawing of the two cables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wizard.plan.machine import Nic
from wizard.screens.interfaces.wiring import wiring

ETH0 = Nic("eth0", 2, "ethernet", up=True, carrier=True)
USB = Nic("enx00e04c680f12", 3, "ethernet", up=True, carrier=True)


def test_each_nic_stands_on_its_side_with_what_its_wire_says() -> None:
    row = wiring(ETH0, USB, {"eth0": "DHCP 10.77.0.1", USB.name: "silent 12 s"}).plain.splitlines()[2]
    left, machine, right = row.split("───────")
    assert "DHCP 10.77.0.1" in left
    assert machine.index("eth0") < machine.index("NAT · DHCP") < machine.index(USB.name)
    assert "silent 12 s" in right


@pytest.mark.parametrize("nic", [replace(USB, carrier=False), replace(USB, up=False, carrier=None)])
def test_a_wire_without_a_link_is_seen_to_be_broken(nic: Nic) -> None:
    assert wiring(ETH0, nic, {}).plain.count("╌╌ ✗ ╌╌") == 1


def test_what_is_not_chosen_has_no_wire() -> None:
    drawn = wiring(ETH0, None, {}).plain
    assert "not chosen" in drawn
    assert drawn.count("───────┤ eth0") == 1
    assert "├───────┤" in drawn.splitlines()[2]
    assert drawn.splitlines()[2].count("├") == 1


@pytest.mark.parametrize("name", ["eth0", "\x1b]0;x\x07" * 9, "網" * 15, "[/red]"])
@pytest.mark.parametrize("said", ["", "DHCP 255.255.255.255 +12", "漢" * 40])
def test_whatever_the_names_every_row_is_as_wide(name: str, said: str) -> None:
    lines = wiring(replace(ETH0, name=name), replace(USB, name=name), {name: said}).split("\n")
    assert {line.cell_len for line in lines} == {lines[0].cell_len}
    assert lines[0].cell_len <= 106
    assert "\x1b" not in "".join(line.plain for line in lines)
