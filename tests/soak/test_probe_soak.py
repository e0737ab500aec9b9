"""The probe's figures: a hundred runs each of what must always be found, and of what must never be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.probe_bench import Actor, Bench, require_namespaces

pytestmark = [pytest.mark.lab, pytest.mark.slow]

RUNS = 100
AT_ONCE = 10
RANGE = "--dhcp-range=10.9.0.20,10.9.0.220,255.255.255.0,2m"

Begin = Callable[[Bench, int], tuple[Actor, Path | None]]


def dnsmasq(*options: str) -> Begin:
    def begin(bench: Bench, _which: int) -> tuple[Actor, Path | None]:
        gateway, wire = bench.pair("10.9.0.1/24")
        home = bench.dnsmasq(wire, "--interface=eth0", "--bind-interfaces", RANGE, *options)
        return bench.act(gateway, "probe", nic="eth1", repeat=RUNS // AT_ONCE), home

    return begin


def relayed(bench: Bench, _which: int) -> tuple[Actor, Path | None]:
    gateway, relay, far = bench.space(), bench.space(), bench.space()
    bench.cable(gateway, "eth1", relay, "eth0", "10.9.0.1/24")
    bench.cable(far, "eth0", relay, "eth9", "10.8.0.1/24")
    bench.ip(far, "addr add 10.8.0.2/24 dev eth0", "route add default via 10.8.0.1")
    home = bench.dnsmasq(far, "--interface=eth0", RANGE)
    bench.dnsmasq(relay, "--dhcp-relay=10.9.0.1,10.8.0.2")
    return bench.act(gateway, "probe", nic="eth1", repeat=RUNS // AT_ONCE), home


def slow_server(**options: Any) -> Begin:
    def begin(bench: Bench, which: int) -> tuple[Actor, Path | None]:
        gateway, wire = bench.pair()
        bench.act(wire, "server", nic="eth0", delay=3 * which / (AT_ONCE - 1), **options)
        return bench.act(gateway, "probe", nic="eth1", repeat=RUNS // AT_ONCE), None

    return begin


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    require_namespaces()
    made = Bench(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(dnsmasq(), id="dnsmasq, pings first"),
        pytest.param(dnsmasq("--no-ping"), id="dnsmasq, does not ping"),
        pytest.param(relayed, id="dnsmasq behind a relay"),
        pytest.param(slow_server(), id="broadcast after 0 to 3 s"),
        pytest.param(slow_server(unicast=True), id="unicast after 0 to 3 s"),
    ],
)
def test_a_server_is_always_found(bench: Bench, begin: Begin) -> None:
    begun = [begin(bench, which) for which in range(AT_ONCE)]
    results = [result for actor, _ in begun for result in actor.answer()]
    delays = sorted(server["delay_s"] for result in results for server in result["servers"])
    found = sum(result["verdict"] == "answer" for result in results)
    sys.stdout.write(f"found {found} of {RUNS}, after {delays[0]:.3f} to {delays[-1]:.3f} s\n")  # pytest -rP shows it
    assert len(results) == RUNS
    assert [result for result in results if result["verdict"] != "answer"] == []
    homes = [home for _, home in begun if home]
    assert [(home / "leases").read_text() for home in homes] == [""] * len(homes)
    assert not any("DHCPREQUEST" in (home / "log").read_text() for home in homes)


def test_nodes_that_shout_are_no_server(bench: Bench) -> None:
    probes = []
    for _ in range(2 * AT_ONCE):
        gateway, wire = bench.pair()
        bench.act(wire, "shouting_nodes", nic="eth0")
        probes.append(bench.act(gateway, "probe", nic="eth1", repeat=RUNS // AT_ONCE // 2))
    results = [result for actor in probes for result in actor.answer()]
    assert len(results) == RUNS
    assert [result for result in results if result["verdict"] != "silence"] == []


def test_one_wire_is_always_told_from_two(bench: Bench) -> None:
    gateway, switch, other = bench.space(), bench.space(), bench.space()
    for nic in ("eth0", "eth1"):
        bench.cable(gateway, nic, switch, nic)
    bench.cable(gateway, "eth2", other, "eth0")
    bench.switch(switch, "eth0", "eth1")
    same = bench.act(gateway, "one_wire", first="eth0", second="eth1", repeat=RUNS)
    apart = bench.act(gateway, "one_wire", first="eth0", second="eth2", repeat=RUNS // AT_ONCE)
    assert same.answer()["one_wire"] == [True] * RUNS
    assert same.answer()["took_s"] < 5
    assert apart.answer()["one_wire"] == [False] * (RUNS // AT_ONCE)


def test_a_switch_that_has_just_booted_is_waited_for(bench: Bench) -> None:
    gateway, wire, far = bench.space(), bench.space(), bench.space()
    bench.cable(far, "eth0", wire, "eth1")
    bench.act(far, "server", nic="eth0")
    bench.switch(wire, "eth1", options="stp_state 1 forward_delay 1500")
    bench.cable(gateway, "eth1", wire, "eth0")
    bench.ip(wire, "link set eth0 master br0")
    result = bench.act(gateway, "probe", nic="eth1", fresh_link=True).answer()
    assert result["verdict"] == "answer"
    assert 28 < result["servers"][0]["delay_s"] < 35


def test_a_flood_never_passes_for_silence(bench: Bench) -> None:
    gateway, wire = bench.pair()
    bench.act(wire, "server", nic="eth0")
    bench.act(wire, "flood", nic="eth0")
    result = bench.act(gateway, "probe", nic="eth1", wait=5).answer()
    assert result["verdict"] in ("answer", "unknown")
