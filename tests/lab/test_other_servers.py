"""Real servers that answer known machines alone, and other neighbours that a stranger's DISCOVER does not find."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.foreign_frames import FOREIGN, OWN_MAC
from tests.lab.other_servers import EXAMPLE, NODES, SERVERS
from tests.lab.probe_bench import Bench, require_namespaces

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("other-servers")]

ITS_ADDRESS = "192.168.0.1/24"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    require_namespaces()
    made = Bench(tmp_path_factory.mktemp("others"))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_knows_the_plans_nodes_alone_is_met(bench: Bench, name: str) -> None:
    gateway, wire = bench.pair(ITS_ADDRESS)
    leases = SERVERS[name](bench, wire)
    hidden = bench.act(gateway, "probe", nic="eth1", wait=3).answer()
    assert hidden["verdict"] == "silence", "else this server proves nothing"
    seen = bench.act(gateway, "probe", nic="eth1", plan=str(EXAMPLE)).answer()
    assert seen["verdict"] == "answer", seen
    (server,) = seen["servers"]
    assert (server["server_id"], server["overheard"]) == ("192.168.0.1", False)
    assert server["offered_ip"] in NODES.values()
    assert server["client"] in ("controller", "network", "compute1", "compute2")
    assert leases() == ""


@pytest.mark.parametrize("name", ["ISC dhcpd", "Kea"])
def test_a_server_that_knows_other_machines_alone_tells_one_with_an_address_of_its_network(
    bench: Bench, name: str
) -> None:
    gateway, wire = bench.pair(ITS_ADDRESS)
    bench.ip(gateway, "addr add 192.168.0.200/24 dev eth1")
    SERVERS[name](bench, wire, {"00:16:3e:00:00:01": "192.168.0.9"})
    seen = bench.act(gateway, "probe", nic="eth1", plan=str(EXAMPLE)).answer()
    assert [server["server_id"] for server in seen["servers"]] == ["192.168.0.1"], seen


def test_a_server_that_comes_later_is_heard_as_soon_as_a_node_takes_its_offer(bench: Bench) -> None:
    ears = {}
    for name, begin in SERVERS.items():
        gateway, server, node, switch = (bench.space() for _ in range(4))
        for number, (space, nic) in enumerate(((gateway, "eth1"), (server, "eth0"), (node, "eth0"))):
            bench.cable(space, nic, switch, f"port{number}")
        bench.switch(switch, "port0", "port1", "port2")
        bench.ip(server, f"addr add {ITS_ADDRESS} dev eth0")
        bench.ip(node, f"link set eth0 address {next(iter(NODES))}")
        ears[name] = bench.act(gateway, "ear", nic="eth1", plan=str(EXAMPLE), wait=30).ready()
        begin(bench, server)
        bench.command(node, "udhcpc", "-f", "-i", "eth0", "-s", "/bin/true")
    for name, ear in ears.items():
        code, said = ear.answer()["heard"]
        assert code == "foreign-dhcp", name
        assert "192.168.0.1" in said


WAYS: dict[str, dict[str, Any]] = {
    "in pieces": {"pieces": 64},
    "in pieces, to others": {"pieces": 256, "to_others": True},
    "from our own MAC": {"mirror": True},
    "informs others": {"informs": True, "to_others": True},
    "relayed": {"relay": "10.9.0.254", "to_others": True},
}


def test_an_answer_is_heard_however_it_comes(bench: Bench) -> None:
    probes = {}
    for name, options in WAYS.items():
        gateway, wire = bench.pair()
        bench.act(wire, "server", nic="eth0", **options)
        probes[name] = bench.act(gateway, "probe", nic="eth1")
    for name, asked in probes.items():
        result = asked.answer()
        assert (result["verdict"], [s["server_id"] for s in result["servers"]]) == ("answer", ["10.9.0.1"]), name


def test_the_guards_ear_hears_a_foreign_answer_in_whatever_guise(bench: Bench) -> None:
    ears = {}
    for name, frames in FOREIGN.items():
        gateway, wire = bench.pair()
        bench.ip(gateway, f"link set eth1 address {OWN_MAC}")
        bench.act(wire, "say_often", nic="eth0", frames=[frame.hex() for frame in frames])
        ears[name] = bench.act(gateway, "ear", nic="eth1", plan=str(EXAMPLE), wait=10)
    for name, ear in ears.items():
        code, said = ear.answer()["heard"]
        six = name in ("DHCPv6", "a router")
        assert code == ("foreign-router" if six else "foreign-dhcp"), (name, said)
        assert ("fe80::1" if six else "10.9.0.1") in said
        assert ("this NIC's own" in said) == (name == "with our own MAC")


def test_our_own_answers_that_come_back_and_anothers_probe_for_our_nodes_are_no_alarm(bench: Bench) -> None:
    gateway, wire = bench.pair()
    bench.ip(gateway, "addr add 10.9.0.200/24 dev eth1")
    serves = "--dhcp-range=10.9.0.50,10.9.0.99,255.255.255.0,2m"
    log = bench.dnsmasq(gateway, "--interface=eth1", "--bind-interfaces", "--no-ping", serves) / "log"
    looped = bench.act(gateway, "ear", nic="eth1", plan=str(EXAMPLE), wait=3).ready()
    bench.act(wire, "loop", nic="eth0")
    bench.act(wire, "shouting_nodes", nic="eth0")

    probed, other = bench.pair()
    probing = bench.act(other, "probe", nic="eth0", plan=str(EXAMPLE), wait=3)
    asked_for = bench.act(probed, "ear", nic="eth1", plan=str(EXAMPLE), wait=3)
    assert looped.answer()["heard"] == ["", ""]
    assert "DHCPOFFER" in log.read_text()
    assert asked_for.answer() == {"heard": ["", ""], "node": False}
    assert probing.answer()["asked"]["nodes"] == 4


def test_another_server_of_this_machine_is_heard_by_its_name(bench: Bench) -> None:
    """One in a container, say, whose sockets are not to be seen from here."""
    gateway, wire = bench.pair()
    bench.ip(gateway, "addr add 192.168.0.7/24 dev eth1")
    ear = bench.act(gateway, "ear", nic="eth1", plan=str(EXAMPLE), wait=10).ready()
    pool = "--dhcp-range=192.168.0.150,192.168.0.160,255.255.255.0,2m"
    bench.dnsmasq(gateway, "--interface=eth1", "--bind-interfaces", "--no-ping", pool)
    bench.act(wire, "shouting_nodes", nic="eth0")
    code, said = ear.answer()["heard"]
    assert code == "foreign-dhcp"
    assert "another DHCP server on this machine, 192.168.0.7," in said


RIVAL, ROUTER = "001b21000066", "001b21000067"
GATEWAY = "c0a800c8"
FRAMES = {
    # ARP from it, as after an address that was set by hand; and the question of who is about to take it.
    "address-taken": "f" * 12 + RIVAL + "0806" + "0001080006040001" + RIVAL + GATEWAY + "0" * 12 + "c0a80065",
    "about to be taken": "f" * 12 + RIVAL + "0806" + "0001080006040001" + RIVAL + "0" * 8 + "0" * 12 + GATEWAY,
    "another-gateway": "f" * 12 + RIVAL + "88b5" + "00" * 16
    + b"ciao-wizard: are two NICs on one wire? this one is served".hex(),
    "router": "333300000001" + ROUTER + "86dd" + "60000000" + "0010" + "3aff" + "fe80" + "00" * 13 + "01" + "ff02"
    + "00" * 13 + "01" + "8600000040000708" + "00" * 8,
}  # fmt: skip


def test_who_else_is_there_is_met_and_named(bench: Bench) -> None:
    probes = {}
    for name, frame in FRAMES.items():
        gateway, wire = bench.pair()
        bench.act(wire, "say_often", nic="eth0", frames=[frame])
        probes[name] = bench.act(gateway, "probe", nic="eth1", plan=str(EXAMPLE))
    gateway, wire = bench.pair("192.168.0.200/24")
    probes["held in silence"] = bench.act(gateway, "probe", nic="eth1", plan=str(EXAMPLE))
    mac = json.loads(bench.run(wire, "ip", "-j", "link", "show", "eth0"))[0]["address"]
    found = {name: asked.answer() for name, asked in probes.items()}
    assert {result["verdict"] for result in found.values()} == {"unknown"}
    assert {name: result["cause"] for name, result in found.items()} == {
        "address-taken": "address-taken",
        "about to be taken": "address-taken",
        "another-gateway": "another-gateway",
        "router": "router",
        "held in silence": "address-taken",
    }
    for name in ("address-taken", "about to be taken", "another-gateway"):
        assert found[name]["holder"] == "00:1b:21:00:00:66"
        assert "00:1b:21:00:00:66, Intel Corporate" in found[name]["reason"]
    assert found["held in silence"]["holder"] == mac
    assert "fe80::1" in found["router"]["reason"]
    assert all(result["waited_s"] < 6 for result in found.values()), "it does not listen to the end"


def test_a_wizard_that_only_asks_is_no_gateway_and_takes_no_address(bench: Bench) -> None:
    """The one that serves asks again every minute: another that is just trying must not disturb it."""
    gateway, wire = bench.pair()
    bench.ip(gateway, "addr add 192.168.0.200/24 dev eth1")
    asked = FRAMES["about to be taken"], FRAMES["another-gateway"].removesuffix(b" this one is served".hex())
    bench.act(wire, "say_often", nic="eth0", frames=asked)
    assert bench.act(gateway, "probe", nic="eth1", plan=str(EXAMPLE), wait=2).answer()["verdict"] == "silence"


def test_thousands_of_nodes_are_asked_for_a_few_at_a_time(bench: Bench, tmp_path: Path) -> None:
    nodes = "".join(
        f'[[nodes]]\nname = "n{n}"\nrole = "compute"\nmac = "00:16:3e:00:{n >> 8:02x}:{n & 255:02x}"\n'
        for n in range(3000)
    )
    plan = tmp_path / "plan.toml"
    text = EXAMPLE.read_text().replace("192.168.0.0/24", "192.168.0.0/20")
    plan.write_text(f"{text}\n{nodes}")
    gateway, wire = bench.pair()
    seen = bench.act(gateway, "probe", nic="eth1", plan=str(plan), wait=3).answer()
    assert seen["verdict"] == "silence"
    assert seen["asked"]["of"] == 3004
    assert 32 <= seen["asked"]["nodes"] <= 64
    sent = int(json.loads(bench.run(wire, "ip", "-j", "-s", "link", "show", "eth0"))[0]["stats64"]["rx"]["packets"])
    assert sent < 120
