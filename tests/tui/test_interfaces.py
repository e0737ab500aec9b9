"""The page of the NICs: what is known of each, whose cable moves, what the wires say, and where it stops."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.tui.cables import FINE, RATES, SWAPPED, USB, news, watched
from tests.tui.cables import seen_at_once as seen_at_once
from tests.tui.conftest import Shoot
from tests.tui.driver import Start
from tests.tui.fakes import FACTS, FakeServices
from tests.tui.layout import faults
from wizard.host.facts.nic_watch import NicChange, NicEvent
from wizard.host.net.traffic import Rate
from wizard.plan.machine import Facts
from wizard.screens.interfaces import controller
from wizard.services.protocols import CablingReport, NicActivity
from wizard.widgets.spinner import Spinner
from wizard.widgets.table import KeyedTable

IN_SWITCH = replace(SWAPPED, title="STOP: this would answer the company's DHCP", swap_helps=False)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_how_it_looks(start: Start, shoot: Shoot, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    # A sign that turns makes two pictures of one screen.
    monkeypatch.setattr(Spinner, "step", lambda _: None)
    # What is told at once is pictured; once the machine is read again, this one's cable is in.
    monkeypatch.setattr(controller, "SETTLE_S", 3600)
    shape = f"{size[0]}x{size[1]}"
    nics = (FACTS.nics[0], replace(FACTS.nics[1], carries_ssh=True), *FACTS.nics[2:])
    async with start(FakeServices(wires=FINE, machine=replace(FACTS, nics=nics)), size=size) as driver:
        services = await watched(driver)
        await driver.says("Both networks look right")
        services.tell(NicActivity((), RATES))
        await driver.says("1.2 Mb/s" if size[0] == 80 else "1.4 Mb/s")
        await shoot(driver, f"interfaces-busy-{shape}")
        assert faults(driver) == []
        await driver.press("f3")
        services.tell(news(NicChange.PULLED, "eth1"))
        await driver.says("◂ cable out", "○ no cable", "eth1 has no link")
        await shoot(driver, f"interfaces-identify-{shape}")
        assert faults(driver) == []
    async with start(FakeServices(wires=SWAPPED), size=size) as driver:
        await driver.page("Interfaces")
        await driver.says("[ Swap them ]")
        await shoot(driver, f"interfaces-stop-{shape}")
        assert faults(driver) == []
        await driver.press("c")
        await driver.until(lambda: "[ Swap them ]" not in driver.text())
        await shoot(driver, f"interfaces-halt-{shape}")
        assert faults(driver) == []


async def test_many_nics_leave_room_for_what_is_said(start: Start, shoot: Shoot) -> None:
    many = tuple(replace(USB, name=f"enp{n}s0f1", index=20 + n, up=False, carrier=None) for n in range(14))
    machine = replace(FACTS, nics=(*FACTS.nics, *many))
    async with start(FakeServices(wires=FINE, machine=machine)) as driver:
        await driver.page("Interfaces")
        await driver.says("Both networks look right", "the two are separate.", "f1 help")
        await shoot(driver, "interfaces-many-80x24")
        assert faults(driver) == []


async def test_what_each_wire_answered_stands_in_its_row(start: Start) -> None:
    async with start(FakeServices(wires=FINE)) as driver:
        await driver.page("Interfaces")
        await driver.says("DHCP 10.77.0.1", "silent 12 s")


async def test_traffic_moves_without_a_key(start: Start) -> None:
    async with start(size=(120, 40)) as driver:
        services = await watched(driver)
        services.tell(NicActivity((), RATES))
        await driver.says("1.4 Mb/s", "300 b/s")
        services.tell(NicActivity((), {"eth0": (*RATES["eth0"], Rate(90e6, 10e6))}))
        await driver.says("100 Mb/s", "90 Mb/s")


async def test_the_nic_whose_cable_moves_is_the_one(start: Start) -> None:
    async with start() as driver:
        services = await watched(driver)
        await driver.press("f3")
        await driver.says("Pull a cable, then plug it in again")
        services.tell(news(NicChange.PULLED, "eth1"))
        await driver.says("eth1 lost its link: its cable is out.", "◂ cable out", "○ no cable")
        services.tell(news(NicChange.PLUGGED, "eth1"))
        await driver.says("eth1 is the one.", "◂ cable in")
        assert "Pull a cable," not in driver.text()
        # It has the cursor: space is for it.
        await driver.press("space")
        assert driver.app.draft.cluster == ""
        await driver.press("f3", "escape")
        await driver.page("Interfaces")
        assert "Pull a cable," not in driver.text()


async def test_a_cable_that_moves_unasked_marks_nothing(start: Start) -> None:
    async with start() as driver:
        services = await watched(driver)
        services.tell(news(NicChange.PULLED, "eth1"))
        await driver.says("○ no cable")
        assert "◂" not in driver.text()


async def test_a_nic_that_is_off_can_notice_nothing(start: Start) -> None:
    off = replace(FACTS.nics[2], up=False, carrier=None)
    machine = replace(FACTS, nics=(*FACTS.nics[:2], off, *FACTS.nics[3:]))
    async with start(FakeServices(machine=machine)) as driver:
        await driver.page("Interfaces")
        await driver.press("f3")
        await driver.says("Down, so it cannot show a cable: eth1.", "sudo ip link set eth1 up")


async def test_a_nic_that_is_plugged_in_appears_and_has_the_cursor(start: Start) -> None:
    async with start() as driver:
        services = await watched(driver)
        services.machine = replace(FACTS, nics=(*FACTS.nics, USB))
        # First as the kernel calls it, then as udev does.
        services.tell(news(NicChange.CAME, "eth2"))
        services.tell(news(NicChange.RENAMED, USB.name, "eth2"))
        await driver.says("enx00e04c680f12 was plugged in. space gives it a role.", "r8152")
        assert driver.app.screen.query_one(KeyedTable).current == USB.name
        services.machine = FACTS
        services.tell(news(NicChange.WENT, USB.name))
        await driver.says("enx00e04c680f12 was unplugged.")
        assert driver.app.screen.query_one(KeyedTable).row_count == len(FACTS.nics)


async def test_a_chosen_nic_that_goes_is_missed(start: Start) -> None:
    async with start() as driver:
        services = await watched(driver)
        services.machine = replace(FACTS, nics=(*FACTS.nics[:2], *FACTS.nics[3:]))
        services.tell(news(NicChange.WENT, "eth1"))
        await driver.says("eth1 was unplugged. It had a role:", 'This machine has no NIC "eth1"')


async def test_nothing_is_taken_from_others_while_a_role_is_free(start: Start) -> None:
    async with start(FakeServices(machine=replace(FACTS, nics=(*FACTS.nics, USB)))) as driver:
        await driver.page("Interfaces")
        await driver.press("down", "space")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth0", "")
        await driver.press("down", "space")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth0", USB.name)


async def test_a_moved_cable_has_the_wires_asked_anew(start: Start) -> None:
    async with start(FakeServices(wires=FINE)) as driver:
        services = await watched(driver)
        await driver.says("Both networks look right")
        services.wires = SWAPPED
        services.tell(news(NicChange.MOVED, "eth1"))
        await driver.says("STOP: the two NICs look swapped", "[ Swap them ]")
        # Somebody puts the cables right while the dialog stands there.
        services.wires = FINE
        services.tell(news(NicChange.MOVED, "eth1"))
        await driver.says("Both networks look right")
        assert "[ Swap them ]" not in driver.text()


async def test_what_the_wires_said_before_a_cable_moved_is_not_left_standing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "SETTLE_S", 3600)
    async with start(FakeServices(wires=FINE)) as driver:
        services = await watched(driver)
        await driver.says("Both networks look right")
        services.tell(news(NicChange.PULLED, "docker0"))
        services.tell(news(NicChange.PULLED, "eth1"))
        await driver.says("○ no cable")
        assert "Both networks look right" not in driver.text()


async def test_a_foreign_server_on_the_clusters_wire_cannot_be_waved_through(start: Start) -> None:
    async with start(FakeServices(wires=IN_SWITCH)) as driver:
        await driver.page("Interfaces")
        for _ in range(3):
            await driver.says("STOP: this would answer", "10.77.0.1 (00:1b:21:3c:9d:10) offered", "unplug you")
            assert "[ Swap them ]" not in driver.text()
            await driver.press("s")
            assert driver.app.draft.cluster == "eth1"
            await driver.press("escape")
            await driver.until(lambda: "[ Look again ]" not in driver.text())
            assert "─ Interfaces ─" in driver.text()
            await driver.press("ctrl+n")
        driver.services.wires = FINE
        await driver.press("l")
        await driver.says("Both networks look right")
        await driver.press("ctrl+n")
        await driver.page("Network")


async def test_swapped_nics_are_exchanged_with_one_key(start: Start) -> None:
    class Wired(FakeServices):
        def probe_cabling(self, corporate: str, cluster: str, stop: threading.Event) -> CablingReport | None:
            return SWAPPED if cluster == "eth1" else FINE

    async with start(Wired()) as driver:
        await driver.page("Interfaces")
        await driver.says("[ Swap them ]")
        # Enter, which may have been meant for the page, asks once more.
        await driver.press("enter")
        await driver.says("[ Swap them ]")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth0", "eth1")
        await driver.press("s")
        await driver.says("Both networks look right")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth1", "eth0")


async def test_a_machine_with_one_socket_is_told_what_it_lacks(start: Start) -> None:
    machine = replace(FACTS, nics=(*FACTS.nics[:2], *FACTS.nics[3:]))
    async with start(FakeServices(machine=machine), plan=None) as driver:
        services = await watched(driver)
        await driver.says("A gateway needs two NICs. Plug in a USB adapter")
        services.machine = replace(machine, nics=(*machine.nics, USB))
        services.tell(news(NicChange.CAME, USB.name))
        await driver.says("space gives it a role.")
        await driver.press("space")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth0", USB.name)
        assert "A gateway needs two NICs." not in driver.text()


async def test_a_hostile_name_in_the_news_steers_nothing(start: Start) -> None:
    evil = "\x1b]0;pwned\x07[/foo]\u202e"
    async with start() as driver:
        services = await watched(driver)
        await driver.press("f3")
        for what in NicChange:
            services.tell(news(what, evil, evil))
            await driver.pilot.pause()
            assert not set(driver.text()) & set("\x1b\x07\u202e")
        await driver.says("[/foo]")


async def test_who_may_not_ask_the_wires_is_told_when_they_are(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.says("An apply probes both networks.")


async def test_the_watch_ends_with_the_page(start: Start) -> None:
    stops: list[threading.Event] = []

    class Watched(FakeServices):
        def watch_nics(self, stop: threading.Event, tell: object) -> None:
            stops.append(stop)

    async with start(Watched()) as driver:
        await driver.page("Interfaces")
        await driver.until(lambda: stops)
        assert not stops[0].is_set()
        await driver.press("ctrl+n")
        await driver.page("Network")
        assert stops[0].is_set()


async def test_the_watch_ends_with_the_app_however_it_ends(start: Start) -> None:
    stops: list[threading.Event] = []

    class Watched(FakeServices):
        def watch_nics(self, stop: threading.Event, tell: object) -> None:
            stops.append(stop)
            stop.wait(60)

    async with start(Watched()) as driver:
        await driver.page("Interfaces")
        await driver.until(lambda: stops)
        driver.app.exit()
    assert stops[0].is_set()


def test_an_empty_machine_is_no_defect() -> None:
    assert controller.with_news(Facts(), (NicEvent(NicChange.WENT, "eth0"),)) == Facts()


async def test_enter_goes_on_and_never_changes_a_role(start: Start) -> None:
    async with start(FakeServices(wires=FINE)) as driver:
        await driver.page("Interfaces")
        await driver.says("Both networks look right")
        await driver.press("down", "enter")
        await driver.page("Network")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth0", "eth1")


async def test_enter_goes_over_nothing_that_is_objected(start: Start) -> None:
    odd = replace(FINE, fine=False, title="Could not tell")
    async with start(FakeServices(wires=odd)) as driver:
        await watched(driver)
        await driver.says("Could not tell")
        await driver.press("enter", "enter", "enter")
        await driver.says("Fix the marked problems first.")
        assert "─ Interfaces ─" in driver.text()
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth0", "eth1")


async def test_the_companys_nic_may_follow_the_default_route(start: Start) -> None:
    machine = replace(FACTS, outbound=("eth0",))
    async with start(FakeServices(wires=FINE, machine=machine)) as driver:
        await driver.page("Interfaces")
        await driver.says("Both networks look right")
        await driver.press("f6")
        await driver.says("auto, follows the default route (now eth0)", "CORP auto", "Both networks look right")
        for size in ((80, 23), (120, 40)):
            await driver.pilot.resize_terminal(*size)
            await driver.says("CORP auto")
            assert driver.text().count("follows the default route") == 1
            assert faults(driver) == []
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("auto", "eth1")
        # Neither key may make "auto" the cluster's.
        await driver.press("f4")
        await driver.says("there is nothing to swap")
        assert driver.app.draft.cluster == "eth1"
        await driver.press("f6")
        await driver.says("The company's NIC is eth0.")
        assert driver.app.draft.corporate == "eth0"
        assert driver.services.probed == [("eth0", "eth1")], "the wires are asked once"


async def test_without_a_default_route_auto_can_still_be_chosen(start: Start) -> None:
    nics = tuple(replace(nic, default_route=False) for nic in FACTS.nics)
    async with start(FakeServices(wires=FINE, machine=replace(FACTS, nics=nics, routes=()))) as driver:
        await driver.page("Interfaces")
        await driver.press("f6")
        await driver.says("(none now)")
        assert driver.app.draft.corporate == "auto"
