"""The instances behind CNCIs: who is asked, what each said, the lines that lead there."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from textual.widgets import Input

from tests.tui.conftest import Shoot
from tests.tui.driver import Start
from tests.tui.fakes import APPLIED, FOUR_ROWS, FakeServices, row
from tests.tui.fakes_watch import instance
from tests.tui.layout import faults
from tests.tui.walks import opened
from wizard.monitor.instances import CnciReading
from wizard.widgets.page import Page

CNCI = row(65, "", "", kind="vm", hostname="cnci-7", mac="02:16:3e:00:00:01", ip="192.168.0.65", vendor="")
SECOND = replace(CNCI, mac="02:16:3e:00:00:02", ip="192.168.0.66", hostname="cnci-8")
READ = CnciReading(
    "192.168.0.65",
    "192.168.0.65",
    "read",
    subnets=("172.16.0.0+24", "172.16.200.0+24"),
    instances=(
        instance("172.16.0.2", "192.168.0.65", hostname="web"),
        instance("172.16.0.3", "192.168.0.65", reachable=False),
        instance("172.16.200.7", "192.168.0.65", subnet="172.16.200.0+24", reachable=None),
    ),
)
DOWN = CnciReading("192.168.0.66", "192.168.0.66", "down", "192.168.0.66 does not answer.", "Is the CNCI switched on?")
CHANGED = CnciReading(
    "192.168.0.66",
    "192.168.0.66",
    "changed-host-key",
    "192.168.0.66 shows another host key than the one you know: it is another machine by now, or somebody stands "
    "between. Nothing was read.",
    "Find out which. If it was set up again: ssh-keygen -R 192.168.0.66, then ssh 192.168.0.66",
)


def services(sample: str, second: CnciReading = CHANGED, **fields: Any) -> FakeServices:
    cncis = {"192.168.0.65": READ, "192.168.0.66": second}
    board = (*FOUR_ROWS, CNCI, SECOND)
    return FakeServices(state=APPLIED, in_force=sample, board=board, cncis=cncis, **fields)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_pictures(start: Start, shoot: Shoot, sample: str, size: tuple[int, int]) -> None:
    shape = f"{size[0]}x{size[1]}"
    async with start(services(sample), plan=None, size=size) as driver:
        await opened(driver)
        await driver.press("enter")
        await driver.says("could not be read")
        await driver.press("down")
        await driver.says("ssh -p 33002")
        await shoot(driver, f"instances-{shape}")
        if shape == "80x24":
            await driver.press("end")
            await driver.says("another host key")
            await shoot(driver, "instances-key-changed-80x24")


async def test_vms_of_the_board_are_asked_and_a_slow_one_holds_nobody_up(start: Start, sample: str) -> None:
    late = threading.Event()
    async with start(services(sample, DOWN, slow={"192.168.0.66": late}), plan=None) as driver:
        await opened(driver)
        await driver.press("enter")
        try:
            await driver.says("172.16.0.2", "… asking")
            assert driver.services.did[-1] == "instances 192.168.0.65 192.168.0.66 as demouser"
        finally:
            late.set()
        await driver.says("✗ no answer", "1 could not be read")
        await driver.press("end")
        await driver.says("does not answer. Is the CNCI switched on?")


async def test_each_way_is_copied(start: Start, sample: str) -> None:
    async with start(services(sample), plan=None) as driver:
        await opened(driver)
        await driver.press("enter")
        await driver.says("could not be read")
        await driver.press("c")
        assert "Nothing to copy" in driver.toasts()
        await driver.press("down")
        for key, line in {
            "1": "ssh demouser@172.16.0.2",
            "2": "ssh -p 33002 demouser@192.168.0.65",
            "3": "ssh -J root@10.77.0.98 -p 33002 demouser@192.168.0.65",
            "c": "ssh -p 33002 demouser@192.168.0.65",
        }.items():
            await driver.press(key)
            assert driver.app.clipboard == line
            assert line in driver.toasts()
        await driver.press("end", "up")
        await driver.press("2")
        # No port leads to a third octet of 127 and above.
        assert driver.app.clipboard == "ssh -J 192.168.0.65 demouser@172.16.200.7"
        await driver.says("the ports end before 127")


async def test_what_was_typed_is_asked_and_never_overwritten(start: Start, sample: str) -> None:
    async with start(services(sample), plan=None) as driver:
        page = await opened(driver)
        await driver.press("ctrl+u", *"192.168.0.66", "tab", "ctrl+u", *"root", "enter")
        await driver.says("KEY CHANGED")
        assert driver.services.did[-1] == "instances 192.168.0.66 as root"
        page.offer(("192.168.0.65",))
        assert page.query_one("#field-instances-cncis Input", Input).value == "192.168.0.66"


async def test_more_vms_than_the_field_holds_are_asked_by_an_empty_field(start: Start, sample: str) -> None:
    many = tuple(replace(CNCI, mac=f"02:16:3e:00:01:{n:02x}", ip=f"192.168.0.{n}", hostname="") for n in range(1, 76))
    cncis = {vm.ip: replace(READ, cnci=vm.ip, address=vm.ip) for vm in many}
    there = FakeServices(state=APPLIED, in_force=sample, board=(*FOUR_ROWS, *many), cncis=cncis)
    async with start(there, plan=None) as driver:
        await driver.page("Dashboard")
        driver.app.post_message(Page.PageRequested("instances"))
        await driver.says("all 75 VMs with a lease here", "75 VMs with a lease here. Press enter to ask them all")
        assert faults(driver) == []
        await driver.press(*"192.168.0.7")
        await driver.until(lambda: "Press enter to ask" not in driver.text(), "the line to go")
        await driver.press("enter")
        await driver.says("behind 1 CNCI.")
        assert there.did[-1] == "instances 192.168.0.7 as demouser"
        await driver.press("shift+tab", "shift+tab", "ctrl+u", "enter")
        await driver.says("225 instances behind 75 CNCIs.")
        assert there.did[-1].split()[1:-2] == [vm.ip for vm in many]
        await driver.press("end")
        await driver.until(lambda: "behind 75 CNCIs" not in driver.text(), "the line to go")
        await driver.says("192.168.0.75 ✓ 3 instances")


async def test_a_login_and_a_subnet_of_usual_length_are_whole(start: Start, sample: str) -> None:
    there = services(sample)
    there.cncis["cloud-admin@192.168.0.65"] = READ
    async with start(there, plan=None) as driver:
        await opened(driver)
        await driver.press("ctrl+u", *"cloud-admin@192.168.0.65", "enter")
        await driver.says("behind 1 CNCI.", "cloud-admin@192.168.0.65 ✓ 3 instances", "172.16.200.0+24")
        assert faults(driver) == []
        await driver.press("down")
        # What has no column here is told below.
        await driver.says('reach 172.16.0.2, "web"', "02:00:ac:10:00:02")


async def test_what_is_no_machine_is_refused_with_the_remedy(start: Start, sample: str) -> None:
    async with start(services(sample), plan=None) as driver:
        await opened(driver)
        await driver.press("ctrl+u", "enter")
        await driver.says("Type at least one CNCI")
        await driver.press(*"-oProxyCommand=evil", "enter")
        await driver.says("is not a machine that ssh could be sent to", "Write [USER@]HOST.")


async def test_escape_leads_back_to_the_same_monitor(start: Start, sample: str) -> None:
    async with start(services(sample), plan=None) as driver:
        await opened(driver)
        await driver.press("escape")
        await driver.page("Leases")
        await driver.says("controller")
        assert len(driver.services.watches) == 1
        assert not driver.services.watches[0].closed


async def test_hostile_leases_of_a_cnci_are_harmless(start: Start, sample: str) -> None:
    evil = "[/foo]\x1b]0;pwned\x07\x9b2J\u202e"
    one = instance("172.16.0.2", "192.168.0.65", hostname=evil, subnet=evil, reason=evil)
    bad = CnciReading(evil, evil, "read", subnets=(evil,), instances=(one,))
    async with start(services(sample, replace(CHANGED, reason=evil, remedy=evil)), plan=None) as driver:
        driver.services.cncis["192.168.0.65"] = bad
        await opened(driver)
        await driver.press("enter")
        await driver.says("could not be read")
        for _ in range(3):
            await driver.press("down")
            assert not set(driver.text()) & set("\x1b\x07\x9b\u202e")
