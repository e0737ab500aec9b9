"""The page of the cluster's network: the picture moves as one types, and what overlaps is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork
from textual.events import Paste

from tests.tui.conftest import Shoot
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FACTS, FakeServices
from tests.tui.layout import faults
from wizard.plan.machine import Nic, Route
from wizard.widgets.subnet import Subnet, picture, short

VPN = replace(
    FACTS,
    nics=(*FACTS.nics, Nic("tun0", 7, "tunnel", up=True, carrier=True)),
    routes=(*FACTS.routes, Route(IPNetwork("192.168.0.0/25"), "tun0"), Route(IPNetwork("10.0.0.0/9"), "tun0")),
)


def subnet(cidr: str, gateway: str, first: str, last: str, *nodes: str, taken: str = "") -> Subnet:
    pool = (IPAddress(first), IPAddress(last))
    others = (IPNetwork(taken),) if taken else ()
    return Subnet(IPNetwork(cidr), IPAddress(gateway), pool, tuple(int(IPAddress(node)) for node in nodes), others)


async def retype(driver: Driver, text: str) -> None:
    await driver.press("end", "ctrl+u")
    driver.app.post_message(Paste(text))
    await driver.pilot.pause()


def test_in_a_small_network_every_address_has_its_sign() -> None:
    signs = subnet("192.168.0.0/24", "192.168.0.200", "192.168.0.65", "192.168.0.126", "192.168.0.101").signs()
    assert len(signs) == 256
    assert (signs[200], signs[101], signs[64], signs[65], signs[126], signs[127]) == ("G", "N", "·", "░", "░", "·")
    assert signs.count("░") == 61


@pytest.mark.parametrize("prefix", range(8, 33))
def test_a_picture_of_any_size_has_four_rows_and_its_legend(prefix: int) -> None:
    drawn = picture(subnet(f"10.0.0.0/{prefix}", "10.0.0.1", "10.0.0.2", "10.0.0.9", "10.0.0.3", "172.16.0.1"))
    lines = drawn.plain.splitlines()
    assert len(lines) <= 5
    assert max(map(len, lines)) <= 78
    assert "1 node" in lines[-1] or prefix > 30


def test_the_rarest_of_what_shares_a_sign_is_seen() -> None:
    large = subnet("10.0.0.0/16", "10.0.255.254", "10.0.0.0", "10.0.63.255", "10.0.1.1", taken="10.0.128.0/17")
    assert large.each == 256
    signs = large.signs()
    assert (signs[0], signs[1], signs[2], signs[64], signs[128], signs[255]) == ("░", "N", "░", "·", "×", "G")
    assert "1 sign = 256" in picture(large).plain
    assert "others'" in picture(large).plain


def test_what_lies_outside_is_left_out() -> None:
    odd = subnet("10.1.0.0/24", "192.168.0.1", "192.168.0.65", "192.168.0.70", "10.2.0.1", taken="10.0.0.0/8")
    assert set(odd.signs()) == {"×"}
    assert "gateway outside" in picture(odd).plain
    backwards = subnet("10.1.0.0/24", "10.1.0.1", "10.1.0.70", "10.1.0.65")
    assert backwards.dynamic() == 0


def test_addresses_are_as_short_as_their_network_allows() -> None:
    assert short(IPAddress("192.168.0.64"), IPNetwork("192.168.0.0/24")) == ".64"
    assert short(IPAddress("10.9.1.64"), IPNetwork("10.9.0.0/20")) == ".1.64"
    assert short(IPAddress("10.9.1.64"), IPNetwork("10.0.0.0/8")) == ".9.1.64"


async def test_the_picture_moves_as_one_types(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.says("G gateway .200", "N 4 nodes .101–.104", "░ 62 dynamic")
        await retype(driver, "10.9.0.0/16")
        # Nothing has been left yet: what lies in the old subnet is shown where it will be.
        await driver.says("1 sign = 256", "→ 10.9.0.200", "65534 hosts", "→ .0.65–.0.126, 62 addresses")
        assert "✗" not in driver.text()
        assert driver.app.draft.gateway == "192.168.0.200"
        await driver.press("tab")
        await driver.says("The addresses in the subnet moved along", "this machine, on eth1")
        assert driver.app.draft.gateway == "10.9.0.200"


async def test_nodes_without_an_address_are_drawn_where_they_will_be(start: Start, sample: str) -> None:
    bare = "\n".join(line for line in sample.splitlines() if not line.strip().startswith("ip "))
    async with start(plan=bare) as driver:
        await driver.jump("Network")
        await driver.says("N 4 nodes .1–.4")


async def test_an_overlap_is_named_and_drawn(start: Start) -> None:
    async with start(FakeServices(machine=VPN)) as driver:
        await driver.jump("Network")
        await driver.says("✗ Subnet", "192.168.0.0/24 overlaps the route 192.168.0.0/25 over tun0", "× others'")
        await driver.press("f4")
        await driver.until(lambda: "✗" not in driver.text(), "no error")
        await driver.says("free")
        first = driver.app.draft.cidr
        await driver.press("f4")
        await driver.until(lambda: driver.app.draft.cidr != first, "another subnet")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_how_it_looks(start: Start, shoot: Shoot, size: tuple[int, int]) -> None:
    shape = f"{size[0]}x{size[1]}"
    async with start(FakeServices(machine=VPN), size=size) as driver:
        await driver.jump("Network")
        await driver.says("✗ Subnet", "others'")
        await shoot(driver, f"network-vpn-{shape}")
        assert faults(driver) == []
        await retype(driver, "10.200.0.0/20")
        await driver.says("→ 10.200.0.200")
        await shoot(driver, f"network-typing-{shape}")
        assert faults(driver) == []
