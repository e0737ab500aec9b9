"""What is said on the page of the NICs: whole, once, and only for as long as it is true."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from netaddr import IPNetwork

from tests.tui.cables import FINE, SWAPPED, USB, news, watched
from tests.tui.cables import seen_at_once as seen_at_once
from tests.tui.conftest import ROOT
from tests.tui.driver import Start
from tests.tui.fakes import FACTS, FakeServices
from tests.tui.layout import faults
from wizard.host.facts.nic_watch import NicChange
from wizard.plan.machine import Address, Nic, Suggestion
from wizard.screens.interfaces import dialogs as stop
from wizard.screens.nic_words import about
from wizard.services.protocols import CablingReport


def test_a_word_that_is_driver_and_kind_is_said_once() -> None:
    nic = Nic("eth0", 2, "veth", permanent_mac="00:1b:21:5a:00:98", driver="veth", vendor="Intel Corporate")
    assert about(nic, None, ()).plain == "Intel Corporate · veth · 00:1b:21:5a:00:98"
    assert about(replace(nic, kind="ethernet"), Suggestion("eth0", None, ()), ()).plain.startswith(
        "Intel Corporate · veth · 00:1b:21:5a:00:98 · ethernet\n"
    )


async def test_a_key_meant_for_the_page_does_not_answer_what_comes_over_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "UNSEEN_S", 3600)
    async with start(FakeServices(wires=SWAPPED)) as driver:
        await driver.page("Interfaces")
        await driver.says("[ Swap them ]")
        await driver.press("enter", "s", "escape")
        assert "[ Swap them ]" in driver.text()
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth0", "eth1")
        monkeypatch.setattr(stop, "UNSEEN_S", 0)
        await driver.press("escape")
        await driver.until(lambda: "[ Swap them ]" not in driver.text())


async def test_the_one_that_has_its_role_already_is_not_promised_another(start: Start) -> None:
    async with start() as driver:
        services = await watched(driver)
        await driver.press("f3")
        services.tell(news(NicChange.MOVED, "eth1"))
        await driver.says("eth1 is the one. It is CLUSTER: space changes that, f3 tries another.")


@pytest.mark.parametrize("key", ["up", "space", "f3", "f4"])
async def test_what_is_said_of_a_nic_goes_with_it(start: Start, key: str) -> None:
    async with start(FakeServices(machine=replace(FACTS, nics=(*FACTS.nics, USB)))) as driver:
        services = await watched(driver)
        await driver.press("f3")
        services.tell(news(NicChange.MOVED, USB.name))
        await driver.says(f"{USB.name} is the one. space gives it a role, f3 tries another.")
        await driver.press(key)
        await driver.until(lambda: "is the one" not in driver.text())


async def test_what_the_wires_were_said_to_say_goes_when_they_are_asked_anew(start: Start) -> None:
    odd = replace(FINE, fine=False, title="Could not tell")
    async with start(FakeServices(wires=odd)) as driver:
        services = await watched(driver)
        await driver.says("Could not tell")
        await driver.press("ctrl+n")
        await driver.says("See what the probe found. Press ctrl+n again to ignore this.")
        services.wires = FINE
        services.tell(news(NicChange.MOVED, "eth1"))
        await driver.says("Both networks look right")
        assert "See what the probe found" not in driver.text()


async def test_what_is_marked_no_more_is_not_spoken_of(start: Start) -> None:
    machine = replace(FACTS, nics=(*FACTS.nics[:2], replace(FACTS.nics[2], master="br0"), *FACTS.nics[3:]))
    async with start(FakeServices(machine=machine)) as driver:
        await driver.page("Interfaces")
        await driver.says("eth1 is part of")
        await driver.press("ctrl+n")
        await driver.says("See the ✗ fields.")
        driver.services.machine = FACTS
        await driver.press("ctrl+r")
        await driver.until(lambda: "eth1 is part of" not in driver.text())
        assert "See the ✗ fields" not in driver.text()


LEASED = replace(
    FACTS.nics[2],
    name="enx00e04c680f12",
    carries_ssh=True,
    default_route=True,
    dhcp_client=True,
    addresses=(Address(IPNetwork("10.77.0.198/24"), dynamic=True),),
)


@pytest.mark.parametrize("said", [None, FINE])
async def test_remedies_are_read_whole_on_the_smallest_terminal(start: Start, said: CablingReport | None) -> None:
    routes = tuple(replace(route, nic=LEASED.name) for route in FACTS.routes)
    machine = replace(FACTS, nics=(FACTS.nics[1], LEASED, *FACTS.nics[3:]), routes=routes)
    plan = (ROOT / "examples" / "ciao.toml").read_text().replace('"eth1"', f'"{LEASED.name}"')
    async with start(FakeServices(machine=machine, wires=said), plan=plan) as driver:
        await driver.page("Interfaces")
        await driver.says(
            "or stop the DHCP client there if it really leads to the nodes.",
            "or work at the machine's own keyboard.",
        )
        await driver.press("ctrl+n")
        await driver.says("See the ✗ fields.", "or work at the machine's own keyboard.", "f1 help")
        assert driver.text().count("✗") >= 3
        assert faults(driver) == []


async def test_cables_that_changed_places_are_told_from_nics_that_were_mixed_up(start: Start) -> None:
    class Wired(FakeServices):
        def probe_cabling(self, corporate: str, cluster: str, stop: threading.Event) -> CablingReport | None:
            return SWAPPED if cluster == "eth1" else FINE

    async with start(Wired()) as driver:
        await driver.page("Interfaces")
        await driver.says("default route goes through eth0: more likely the cables", "[ Swap them ]")
        assert faults(driver) == []
        await driver.press("s")
        await driver.says(
            "✓ Both networks look right", "The probe shows that the two cables are swapped: exchange the cables."
        )
        assert "exchange them (f4)" not in driver.flat()


async def test_all_servers_of_a_wire_can_be_read(start: Start) -> None:
    servers = "\n".join(f"  10.77.0.{n} offered 10.77.0.98" for n in range(1, 21))
    many = replace(SWAPPED, text=f"You chose eth1 for the cluster, but:\n{servers}")
    async with start(FakeServices(wires=many)) as driver:
        await driver.page("Interfaces")
        await driver.says("[ Swap them ]")
        await driver.press(*["down"] * 12)
        await driver.until(lambda: "then look again." in driver.flat())
        await driver.press(*["up"] * 12)
        await driver.says("You chose eth1 for the cluster, but:")


async def test_one_warning_is_read_whole_too(start: Start) -> None:
    machine = replace(FACTS, nics=(*FACTS.nics[:2], replace(FACTS.nics[2], carrier=False), *FACTS.nics[3:]))
    async with start(FakeServices(machine=machine)) as driver:
        await driver.page("Interfaces")
        await driver.says("Plug the cable in; without a link the network cannot be probed.")
        assert faults(driver) == []


async def test_no_dialog_comes_over_cables_that_are_being_pulled(start: Start) -> None:
    async with start(FakeServices(wires=FINE)) as driver:
        services = await watched(driver)
        await driver.says("Both networks look right")
        await driver.press("f3")
        services.wires = SWAPPED
        services.tell(news(NicChange.PULLED, "eth1"))
        await driver.says("STOP: the two NICs look swapped")
        assert "[ Swap them ]" not in driver.text()
        await driver.press("escape", "ctrl+n")
        await driver.says("[ Swap them ]")


async def test_a_warning_among_errors_is_read_whole(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("f4")
        await driver.says("Check that this is the NIC that leads to the company, and that its cable is in.")
        assert driver.flat().count("✗") == 2
        assert faults(driver) == []
