"""The first page: what was found, what is missing, what is in the way, and the ways on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tui.conftest import Shoot
from tests.tui.driver import Start
from tests.tui.fakes import ABSENT, APPLIED, FACTS, FakeServices
from tests.tui.fakes_setup import DEBIAN
from tests.tui.layout import faults
from tests.tui.troubles import troubled
from wizard.plan.draft.model import dump_draft, first_draft
from wizard.plan.machine import Facts, Listener
from wizard.widgets.page import Page

INTERRUPTED = replace(ABSENT, state="interrupted", reason="a run was cut off: 'ciao-wizard rollback' takes it back")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_how_it_looks(start: Start, shoot: Shoot, size: tuple[int, int]) -> None:
    shape = f"{size[0]}x{size[1]}"
    async with start(size=size) as driver:
        await driver.says("everything an apply needs is installed")
        await shoot(driver, f"welcome-{shape}")
        assert faults(driver) == []
    async with start(troubled(), size=size) as driver:
        await driver.says("sudo apt install")
        await shoot(driver, f"welcome-troubled-{shape}")
        assert faults(driver) == []


async def test_one_key_goes_on(start: Start) -> None:
    for key in ("enter", "ctrl+n"):
        async with start() as driver:
            await driver.says(
                "Debian GNU/Linux 12", "everything an apply needs is installed", "nothing is applied here"
            )
            await driver.press(key)
            await driver.page("Interfaces")
            await driver.press("escape")
            await driver.page("Welcome")


async def test_what_is_missing_comes_with_its_command(start: Start) -> None:
    async with start(troubled()) as driver:
        await driver.says("dnsmasq, ifup, setpriv", "sudo apt install dnsmasq-base ifupdown util-linux")
        await driver.says("not root")


async def test_who_is_in_the_way_is_named_and_who_is_not_as_well(start: Start) -> None:
    async with start(troubled(), size=(100, 30)) as driver:
        await driver.says(
            "dnsmasq (pid 812) serves DHCP on every NIC (port 67)", "sudo systemctl disable --now dnsmasq.service"
        )
        await driver.says("another program serves DNS on every NIC (port 53)", "sudo ss -lntup 'sport = :53'")
        await driver.says("systemd-resolve (pid 300) serves only 127.0.0.53%lo; no conflict")
        await driver.says("tun0 to 10.8.0.0/16, 192.168.0.0/16", "Docker, ufw")


async def test_what_was_cut_off_is_taken_back_with_one_key(start: Start) -> None:
    async with start(FakeServices(state=INTERRUPTED)) as driver:
        await driver.says("A change was interrupted.", "enter undo it", "s set up again", "r reset")
        driver.services.state = ABSENT
        await driver.press("enter")
        await driver.says("nothing is applied here", "enter begin")
        assert driver.services.did == ["rollback"]


async def test_what_was_cut_off_keeps_nobody_from_planning(start: Start) -> None:
    async with start(FakeServices(state=INTERRUPTED)) as driver:
        await driver.says("A change was interrupted.")
        await driver.press("s")
        await driver.page("Interfaces")
        await driver.press("escape")
        await driver.page("Welcome")
        await driver.press("r")
        await driver.page("Reset")


async def test_what_is_in_force_can_be_welcomed_too(start: Start, sample: str) -> None:
    state = replace(APPLIED, healthy=False, drift=("/etc/ciao-wizard/nat.sh was changed", "another"))
    async with start(FakeServices(state=state, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        driver.app.post_message(Page.PageRequested("welcome"))
        await driver.says("running, and something is wrong", "nat.sh was changed (and 1 more)", "enter dashboard")
        await driver.press("enter")
        await driver.page("Dashboard")


async def test_the_reason_of_a_trip_is_told(start: Start, sample: str) -> None:
    state = replace(APPLIED, state="tripped", healthy=False, reason="10.77.0.1 answered DHCP on eth1")
    async with start(FakeServices(state=state, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        driver.app.post_message(Page.PageRequested("welcome"))
        await driver.says("the guard has stopped the gateway: 10.77.0.1 answered DHCP on eth1")


async def test_a_draft_is_offered_and_taken_with_one_key(start: Start) -> None:
    left = dump_draft(replace(first_draft(None, FACTS), domain="other.lan"))
    async with start(FakeServices(drafts={"draft": left}), plan=None) as driver:
        await driver.says("Resume where you left off?", "your changes of", "enter resume n start over")
        assert "f1 help" in driver.text().splitlines()[-1]
        assert driver.services.drafts == {"draft": left}
        await driver.press("enter")
        await driver.page("Interfaces")
        assert driver.app.draft.domain == "other.lan"


async def test_a_draft_is_not_lost_over_something_cut_off(start: Start) -> None:
    left = dump_draft(replace(first_draft(None, FACTS), domain="other.lan"))
    async with start(FakeServices(state=INTERRUPTED, drafts={"draft": left}), plan=None) as driver:
        await driver.says("A change was interrupted.", "your changes of")
        await driver.press("s")
        await driver.page("Interfaces")
        assert driver.app.draft.domain == "other.lan"


async def test_looking_again_loses_nothing_that_was_typed(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("f4", "escape")
        await driver.page("Welcome")
        assert driver.app.draft.cluster == "eth0"
        driver.services.machine = replace(FACTS, system="Another system")
        await driver.press("ctrl+r")
        await driver.says("Another system", "enter begin")
        assert "Resume where you left off?" not in driver.text()
        await driver.press("enter")
        await driver.page("Interfaces")
        assert driver.app.draft.cluster == "eth0"


async def test_hostile_words_steer_nothing(start: Start) -> None:
    evil = "\x1b]0;pwned\x07[/foo]\u202e"
    machine = Facts(
        nics=(replace(FACTS.nics[1], name=evil, usable_name=False),),
        listeners=(Listener("udp", "::", 67, evil, 1),),
        host_name=evil,
        system=evil,
    )
    state = replace(ABSENT, state="interrupted", reason=evil)
    async with start(FakeServices(machine=machine, state=state, around=replace(DEBIAN, missing=(evil,)))) as driver:
        await driver.says("A change was interrupted")
        assert not set(driver.text()) & set("\x1b\x07\u202e")
        assert "[/foo]" in driver.text()


async def test_it_is_said_which_plan_the_pages_begin_with(start: Start) -> None:
    async with start() as driver:
        await driver.says("· Plan ciao.toml: 4 nodes, subnet 192.168.0.0/24")
        await driver.press("enter")
        await driver.page("Interfaces")
        await driver.press("f4", "escape")
        await driver.page("Welcome")
        await driver.says("ciao.toml: 4 nodes, subnet 192.168.0.0/24, and what you have changed")
    async with start(plan=None) as driver:
        await driver.says("nothing is applied here")
        assert "Plan " not in driver.text()


async def test_the_plan_in_force_is_named_before_one_that_was_given(start: Start, sample: str) -> None:
    smaller = sample[: sample.rindex("[[nodes]]")]
    services = FakeServices(state=APPLIED, in_force=smaller)
    async with start(services) as driver:
        await driver.page("Dashboard")
        driver.app.post_message(Page.PageRequested("welcome"))
        await driver.says("· Plan /etc/ciao-wizard/gateway.toml: 3 nodes")
    async with start(FakeServices(state=APPLIED, in_force="no plan at all")) as driver:
        await driver.page("Dashboard")
        driver.app.post_message(Page.PageRequested("welcome"))
        await driver.says("running and healthy")
        assert "Plan " not in driver.text()


async def test_a_wide_window_has_the_nics_one_by_one(start: Start) -> None:
    many = tuple(replace(FACTS.nics[2], name=f"enp{n}s0", index=20 + n) for n in range(20))
    async with start(FakeServices(machine=replace(FACTS, nics=(*FACTS.nics, *many))), size=(120, 40)) as driver:
        await driver.says("eth0 ● 1 Gb/s 10.77.0.98/24 Intel Corporate · e1000e default route", "enp5s0", "DNS · guard")
        await driver.says("… and 14 more")
        assert "enp19s0" not in driver.text()
        assert faults(driver) == []
        await driver.pilot.resize_terminal(80, 24)
        await driver.until(lambda: "enp5s0" not in driver.text())
        await driver.says("22 wired (22 with a link)", "DNS · guard")
        assert faults(driver) == []
