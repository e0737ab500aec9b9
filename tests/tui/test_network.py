"""The page of the cluster's network: the picture moves as one types, and what overlaps is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork
from textual.events import Paste
from textual.widgets import Input, TextArea

from tests.tui.conftest import Shoot
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FACTS, FakeServices
from tests.tui.layout import faults
from wizard.plan.machine import Nic, Route
from wizard.screens.network.subnet import Subnet, picture, roomy_picture, short

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


@pytest.mark.parametrize("prefix", range(8, 33))
def test_the_legend_breaks_between_its_parts_alone(prefix: int) -> None:
    cidr = IPNetwork(f"10.0.0.0/{prefix}")
    nodes = tuple(range(cidr.first + 1, min(cidr.last, cidr.first + 3000)))
    full = Subnet(cidr, IPAddress("10.0.0.1"), (IPAddress(cidr.first), IPAddress(cidr.last)), nodes)
    for width in (73, 78):
        lines = picture(full, width).plain.splitlines()
        assert max(map(len, lines)) <= width
        assert "1 sign =" not in "".join(lines) or any(f"1 sign = {full.each}" in line for line in lines)
    assert len(lines) <= 6


@pytest.mark.parametrize("prefix", range(8, 33))
def test_a_roomy_picture_has_eight_rows_and_its_legend_beside_them(prefix: int) -> None:
    cidr = IPNetwork(f"10.0.0.0/{prefix}")
    lines = roomy_picture(Subnet(cidr, IPAddress(cidr.last), (IPAddress(cidr.first), IPAddress(cidr.last)))).plain
    rows = lines.splitlines()
    assert len(rows) <= 8
    assert max(map(len, rows)) <= 116
    assert f"G  gateway {IPAddress(cidr.last)}" in rows[0]
    # The sign of the last address stands in the last row.
    assert lines.count("G") == 2


def test_a_roomy_picture_shows_twice_as_much_of_a_large_network() -> None:
    large = subnet("10.0.0.0/16", "10.0.255.254", "10.0.0.0", "10.0.0.127", "10.0.0.128")
    rows = roomy_picture(large).plain.splitlines()
    assert rows[0].startswith("  .0.0 ░N·")
    assert "1 sign = 128 addresses" in rows[4]
    assert "░  128 dynamic .0.0–.0.127" in rows[2]


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
        await driver.says("The addresses moved with the subnet", "this machine, on eth1")
        assert driver.app.draft.gateway == "10.9.0.200"


async def test_what_is_half_typed_takes_no_picture_away(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.says("G gateway .200")
        picture = driver.app.screen.query_one("#picture")
        await driver.press("end", *["backspace"] * 3)
        await driver.says("✗ Subnet", "G gateway .200")
        assert picture.has_class("-past")
        await driver.press("/", "2", "5")
        await driver.until(lambda: not picture.has_class("-past"), "the picture of what stands there")
        await driver.says("126 hosts")


async def test_a_large_window_has_a_large_picture(start: Start) -> None:
    async with start(size=(120, 40)) as driver:
        await driver.jump("Network")
        await driver.says("G gateway 192.168.0.200", "N 4 nodes .101–.104", "░ 62 dynamic .65–.126")
        assert faults(driver) == []
        await driver.pilot.resize_terminal(80, 24)
        await driver.says("G gateway .200 N 4 nodes .101–.104 ░ 62 dynamic · 187 free")
        assert faults(driver) == []


async def test_where_a_vpn_takes_all_that_is_said(start: Start) -> None:
    private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    routes = (*FACTS.routes, *(Route(IPNetwork(network), "tun0") for network in private))
    async with start(FakeServices(machine=replace(VPN, routes=routes))) as driver:
        await driver.jump("Network")
        await driver.says("192.168.0.0/24 overlaps the route 192.168.0.0/16 over tun0")
        await driver.press("f4")
        await driver.says("No private /24 is free on this machine. Stop the VPN that uses them all")
        assert faults(driver) == []


async def test_a_subnet_too_small_for_a_moment_costs_no_address(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        before = driver.app.draft
        await retype(driver, "192.168.0.0/28")
        await driver.press("tab")
        await driver.says("4 nodes did not fit and will get another.")
        assert not any(node.ip for node in driver.app.draft.nodes)
        await driver.press("shift+tab")
        await retype(driver, "192.168.0.0/24")
        await driver.press("tab")
        await driver.until(lambda: driver.app.draft == before, "the draft as it was")


async def test_what_is_typed_in_a_subnet_that_was_moved_to_moves_on_from_there(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await retype(driver, "10.9.0.0/24")
        await driver.press("tab")
        await retype(driver, "10.9.0.7")
        await driver.press("shift+tab")
        await retype(driver, "10.10.0.0/24")
        await driver.press("tab")
        await driver.until(lambda: driver.app.draft.gateway == "10.10.0.7", "the gateway moved")
        assert driver.app.draft.pool == "10.10.0.64/26"
        assert driver.app.draft.nodes[0].ip == "10.10.0.101"


async def test_what_moved_along_is_said_for_a_moment(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await retype(driver, "10.9.0.0/24")
        await driver.press("enter")
        await driver.says("The addresses moved with the subnet, the nodes' too.")
        await driver.press("tab")
        await driver.until(lambda: "moved with the subnet" not in driver.text())


async def test_back_keeps_an_unfinished_field(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await retype(driver, "10.9.0.")
        await driver.press("tab", "tab")
        await retype(driver, "10.9.0.64 -")
        await driver.press("escape")
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        await driver.page("Network")
        await driver.says("10.9.0.", "10.9.0.64 -", "✗ Subnet")
        # Finished, it takes along what lay in the subnet that it began with.
        await retype(driver, "10.9.0.0/24")
        await driver.press("tab")
        await driver.until(lambda: driver.app.draft.gateway == "10.9.0.200", "the gateway moved")
        assert driver.app.draft.pool == "10.9.0.64 -"
        assert [node.ip for node in driver.app.draft.nodes] == [f"10.9.0.{n}" for n in (101, 102, 103, 104)]


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


MORE = '[[devices]]\nname = "switch"\nmac = "00:0c:42:00:00:01"\nip = "192.168.0.250"\n'


async def fill(driver: Driver, **fields: str) -> None:
    for key, text in fields.items():
        driver.app.screen.query_one(f"#field-{key.replace('_', '-')} Input", Input).value = text
    await driver.pilot.pause()


async def test_f6_has_another_kind_of_cluster_and_devices(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.press("f6")
        area = driver.app.screen.query_one("#sections", TextArea)
        area.text = MORE.replace("00:0c", "zz:0c")
        await driver.press("ctrl+n")
        await driver.says("six pairs of hex digits")
        area.text = MORE
        await fill(driver, cluster_kind="plain")
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.app.draft.kind == "plain")
        assert driver.app.draft.sections == MORE


async def test_f6_takes_who_gives_the_time_and_begins_in_its_first_field(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.press("f6")
        await driver.press("ctrl+u", *"plain")
        await fill(driver, network_ntp="of")
        await driver.press("ctrl+n")
        await driver.says('"auto", "off" or a list')
        await fill(driver, network_ntp="off")
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.app.draft.ntp == "off")
        assert driver.app.draft.kind == "plain"


async def test_f6_stays_open_over_what_belongs_elsewhere(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.press("f6")
        driver.app.screen.query_one("#sections", TextArea).text = f'{MORE}\n[network]\nntp = "auto"\n'
        await driver.press("ctrl+n")
        await driver.says("More settings", '"network" is another part of the plan', "Here belong devices")


async def test_f6_throws_nothing_away_unasked(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.press("f6", "escape")
        await driver.until(lambda: "More settings" not in driver.text())
        await driver.press("f6")
        driver.app.screen.query_one("#sections", TextArea).text = MORE
        await driver.press("escape")
        await driver.says("Discard these changes?")
        await driver.press("n")
        assert driver.app.screen.query_one("#sections", TextArea).text == MORE
        await driver.press("escape", "y")
        await driver.until(lambda: "More settings" not in driver.text())
        assert driver.app.draft.sections == ""


async def test_of_another_kind_a_role_is_any_word(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.press("f6")
        await fill(driver, cluster_kind="k3s")
        await driver.press("ctrl+n")
        await driver.jump("Nodes")
        await driver.says("server and agent")
        await driver.press("f2")
        await fill(driver, node_role="agent, gpu", node_mac="00:1b:21:00:00:01, 00:1b:21:00:00:02")
        await driver.press("ctrl+n")
        await driver.until(lambda: len(driver.app.draft.nodes) == 5, "the node")
        node = driver.app.draft.nodes[-1]
        assert (node.role, node.mac) == ("agent, gpu", "00:1b:21:00:00:01, 00:1b:21:00:00:02")
