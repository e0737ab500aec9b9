"""The probe, the marked frame and the two-sided look, on real wires between namespaces.

Everything is started at once and asked about afterwards: silence takes twelve seconds to prove, and one
does not get more certain by waiting for it thirty times in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.probe_bench import Actor, Bench, require_namespaces, until

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("probe")]

RANGE = "--dhcp-range=10.9.0.50,10.9.0.59,255.255.255.0,2m"
SERVER_MAC = "02:aa:bb:cc:dd:01"
UDHCPC_SCRIPT = '#!/bin/sh\n[ "$1" = bound ] && ip addr replace "$ip/24" dev "$interface"\nexit 0\n'


NEIGHBOUR = "02000000cc01"
CLASSIC_BPDU = f"0180c2000000{NEIGHBOUR}0026424203" + "00000000" + "00" * 40
NODES_FRAME = "ffffffffffff02aa00000101" + "0800" + "00" * 46


def rapid_bpdu(forwards: bool) -> str:
    """A designated port's, in hexadecimal digits."""
    return f"0180c2000000{NEIGHBOUR}0027424203" + "00000202" + ("3c" if forwards else "0e") + "00" * 40


class Started:
    """What was started, by name: `probes` that will answer, and the directories of the `servers`."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.probes: dict[str, Actor] = {}
        self.servers: dict[str, Path] = {}

    def result(self, name: str) -> Any:
        return self.probes[name].answer()


def _real_servers(bench: Bench, started: Started) -> None:
    for name, options in {"pings first": [], "does not ping": ["--no-ping"]}.items():
        gateway, wire = bench.pair("10.9.0.1/24")
        started.servers[name] = bench.dnsmasq(wire, "--interface=eth0", "--bind-interfaces", RANGE, *options)
        started.probes[name] = bench.act(gateway, "probe", nic="eth1")


def _relayed(bench: Bench, started: Started) -> None:
    gateway, relay, far = bench.space(), bench.space(), bench.space()
    bench.cable(gateway, "eth1", relay, "eth0", "10.9.0.1/24")
    bench.cable(far, "eth0", relay, "eth9", "10.8.0.1/24")
    bench.ip(far, "addr add 10.8.0.2/24 dev eth0", "route add default via 10.8.0.1")
    started.servers["real relay"] = bench.dnsmasq(far, "--interface=eth0", "--no-ping", RANGE)
    bench.dnsmasq(relay, "--dhcp-relay=10.9.0.1,10.8.0.2")
    started.probes["real relay"] = bench.act(gateway, "probe", nic="eth1")


def _odd_servers(bench: Bench, started: Started) -> None:
    servers: dict[str, dict[str, Any]] = {
        "broadcast": {},
        "unicast": {"unicast": True},
        "after 1 s": {"delay": 1},
        "unicast after 3 s": {"delay": 3, "unicast": True},
        "waits for secs": {"patience": 3},
        "relay": {"relay": "10.9.0.254"},
        "vlan": {"tags": [42]},
        "vlan in vlan": {"tags": [42, 7]},
        "options overloaded": {"overload": True},
        "known MACs only": {"to_others": True},
    }
    for name, options in servers.items():
        gateway, wire = bench.pair()
        bench.act(wire, "server", nic="eth0", **options)
        started.probes[name] = bench.act(gateway, "probe", nic="eth1")

    gateway, wire = bench.pair()
    bench.act(wire, "server", nic="eth0", ip="10.9.0.1")
    bench.act(wire, "server", nic="eth0", ip="10.9.0.2", delay=0.5)
    started.probes["two servers"] = bench.act(gateway, "probe", nic="eth1", until_first=False, wait=2)

    gateway, wire = bench.pair()
    bench.act(wire, "hostile", nic="eth0", then_offer=2.5)
    started.probes["hostile, then an offer"] = bench.act(gateway, "probe", nic="eth1")


def _hard_places(bench: Bench, started: Started) -> None:
    """Hosts on which an ordinary socket would hear nothing."""
    gateway, wire = bench.pair("10.9.0.1/24")
    bench.run(gateway, "sysctl", "-w", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.eth1.rp_filter=1")
    drop = "{ type filter hook %s priority 0; policy drop; }"
    bench.run(
        gateway,
        "nft",
        "add table inet t; " + "; ".join(f"add chain inet t {h} {drop % h}" for h in ("input", "output")),
    )
    bench.act(gateway, "hold_port_68")
    started.servers["firewalled"] = bench.dnsmasq(wire, "--interface=eth0", "--bind-interfaces", RANGE)
    started.probes["firewalled"] = bench.act(gateway, "probe", nic="eth1")

    gateway, wire = bench.pair()
    bench.switch(gateway, "eth1")
    bench.act(wire, "server", nic="eth0", unicast=True)
    started.probes["bridge port"] = bench.act(gateway, "probe", nic="eth1")
    started.probes["bridge itself"] = bench.act(gateway, "probe", nic="br0")


def _fresh_links(bench: Bench, started: Started) -> None:
    """A port of a switch that has just seen us: of one with a spanning tree, and of one without."""
    held = "stp_state 1 forward_delay"
    switches: dict[str, tuple[str, str, dict[str, Any]]] = {
        "held for 8 s": (f"{held} 400", "server", {}),
        "held for 8 s, slow server": (f"{held} 400", "server", {"patience": 3}),
        "held for 30 s": (f"{held} 1500", "server", {}),
        "held for 8 s, nodes": (f"{held} 400", "shouting_nodes", {}),
        "held for 30 s, idle": (f"{held} 1500", "", {}),
        "not held, idle": ("", "", {}),
        "not held, nodes": ("", "shouting_nodes", {}),
        "not held, a BPDU": ("", "say_often", {"frames": [CLASSIC_BPDU]}),
        "not held, a BPDU and nodes": ("", "say_often", {"frames": [CLASSIC_BPDU, NODES_FRAME]}),
        "rapid, forwarding": ("", "say_often", {"frames": [rapid_bpdu(forwards=True)]}),
        "rapid behind a switch with nodes": ("", "say_often", {"frames": [rapid_bpdu(forwards=False), NODES_FRAME]}),
    }
    for name, (options, actor, arguments) in switches.items():
        gateway, wire, far = bench.space(), bench.space(), bench.space()
        for quiet in (wire, far):
            # Else each of them is heard by its IPv6.
            bench.run(quiet, "sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=1")
        if "say_often" in actor:
            bench.cable(gateway, "eth1", wire, "eth0")
            bench.act(wire, actor, nic="eth0", **arguments)
        else:
            bench.cable(far, "eth0", wire, "eth1")
            if actor:
                bench.act(far, actor, nic="eth0", **arguments)
            # A bridge that snoops reports itself to the group of those who do.
            bench.switch(wire, "eth1", options=f"{options} mcast_snooping 0")
            bench.cable(gateway, "eth1", wire, "eth0")
            bench.ip(wire, "link set eth0 master br0")
        started.probes[name] = bench.act(gateway, "probe", nic="eth1", fresh_link=True)


def _silent_wires(bench: Bench, started: Started) -> None:
    for name, actor in {"nodes shout": "shouting_nodes", "hostile": "hostile"}.items():
        gateway, wire = bench.pair()
        bench.act(wire, actor, nic="eth0")
        started.probes[name] = bench.act(gateway, "probe", nic="eth1")

    # The wire that we serve ourselves: our own answers are no foreign server's, not even where they come back.
    for name in ("we serve", "we serve, and a loop"):
        gateway, wire = bench.pair()
        bench.ip(gateway, "addr add 10.9.0.1/24 dev eth1")
        if name == "we serve":
            bench.command(wire, "udhcpc", "-f", "-i", "eth0", "-s", "/bin/true")
        else:
            bench.act(wire, "loop", nic="eth0")
        started.servers[name] = bench.dnsmasq(gateway, "--interface=eth1", "--bind-interfaces", "--no-ping", RANGE)
        started.probes[name] = bench.act(gateway, "probe", nic="eth1")


def _dead_links(bench: Bench, started: Started) -> None:
    gateway, wire = bench.pair()
    bench.ip(wire, "link set eth0 down")
    bench.ip(gateway, "link add eth2 type veth peer name peer2")
    started.probes["no carrier"] = bench.act(gateway, "probe", nic="eth1")
    started.probes["down"] = bench.act(gateway, "probe", nic="eth2")
    started.probes["missing"] = bench.act(gateway, "probe", nic="eth7")
    started.probes["absurd name"] = bench.act(gateway, "probe", nic="eth\x1b[31m; reboot \x00 and more")
    started.probes["loopback"] = bench.act(gateway, "probe", nic="lo")
    bounded = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    started.probes["not root"] = bench.act(gateway, "probe", bounded, nic="eth1")

    meanwhile: dict[str, Callable[[int, int], None]] = {
        "removed": lambda gateway, _: bench.ip(gateway, "link del eth1"),
        "set down": lambda gateway, _: bench.ip(gateway, "link set eth1 down"),
        "cable pulled": lambda _, wire: bench.ip(wire, "link set eth0 down"),
        "cable out and in": lambda _, wire: bench.ip(wire, "link set eth0 down", "link set eth0 up"),
        "renamed": lambda gateway, _: bench.ip(gateway, "link set eth1 name eth5"),
    }
    for name, happen in meanwhile.items():
        gateway, wire = bench.pair()
        started.probes[name] = bench.act(gateway, "probe", nic="eth1").ready()
        happen(gateway, wire)

    # What a packet filter on the NIC itself keeps from leaving was never asked.
    gateway, wire = bench.pair()
    bench.run(
        gateway,
        "nft",
        "add table netdev t; add chain netdev t e { type filter hook egress device eth1 priority 0; policy drop; }",
    )
    bench.act(wire, "server", nic="eth0")
    started.probes["not let out"] = bench.act(gateway, "probe", nic="eth1", wait=2)


def _two_wires(bench: Bench, started: Started) -> None:
    gateway, company, cluster = bench.space(), bench.space(), bench.space()
    bench.cable(gateway, "eth0", company, "eth0", "10.9.0.1/24")
    bench.cable(gateway, "eth1", cluster, "eth0")
    bench.dnsmasq(company, "--interface=eth0", "--bind-interfaces", RANGE)
    bench.act(cluster, "shouting_nodes", nic="eth0")
    started.probes["as it should be"] = bench.act(gateway, "look", corporate="eth0", cluster="eth1")
    started.probes["swapped"] = bench.act(gateway, "look", corporate="eth1", cluster="eth0")
    started.probes["two wires"] = bench.act(gateway, "one_wire", first="eth0", second="eth1")

    gateway, company, cluster = bench.space(), bench.space(), bench.space()
    bench.cable(gateway, "eth0", company, "eth0")
    bench.cable(gateway, "eth1", cluster, "eth0")
    bench.cable(gateway, "eth2", cluster, "eth2")
    bench.ip(cluster, "link set eth2 down")
    bench.act(cluster, "server", nic="eth0")
    started.probes["no cable"] = bench.act(gateway, "look", corporate="eth0", cluster="eth2", wait=1)
    started.probes["no cable, one wire?"] = bench.act(gateway, "one_wire", first="eth0", second="eth2")

    gateway, switch = bench.space(), bench.space()
    for nic in ("eth0", "eth1"):
        bench.cable(gateway, nic, switch, nic)
    bench.switch(switch, "eth0", "eth1", options="stp_state 1 forward_delay 300")
    started.probes["one network, late"] = bench.act(gateway, "look", corporate="eth0", cluster="eth1", wait=9)

    gateway, switch = bench.space(), bench.space()
    for nic in ("eth0", "eth1"):
        bench.cable(gateway, nic, switch, nic)
    bench.switch(switch, "eth0", "eth1")
    started.probes["one network"] = bench.act(gateway, "look", corporate="eth0", cluster="eth1", wait=1)
    started.probes["one wire"] = bench.act(gateway, "one_wire", first="eth0", second="eth1", repeat=20)

    gateway, switch = bench.space(), bench.space()
    for nic in ("eth0", "eth1"):
        bench.cable(gateway, nic, switch, nic)
    bench.switch(gateway, "eth0", "eth1")
    bench.ip(gateway, "link add mv0 link br0 type macvlan mode bridge", "link set mv0 up")
    started.probes["joined by us"] = bench.act(gateway, "one_wire", first="eth0", second="eth1")
    started.probes["bridge and its port"] = bench.act(gateway, "one_wire", first="br0", second="eth1")
    started.probes["macvlan and its NIC"] = bench.act(gateway, "one_wire", first="mv0", second="br0")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    require_namespaces()
    bench = Bench(tmp_path_factory.mktemp("probe"))
    everything = Started(bench)
    try:
        for begin in (
            _silent_wires,
            _two_wires,
            _real_servers,
            _relayed,
            _odd_servers,
            _hard_places,
            _fresh_links,
            _dead_links,
        ):
            begin(bench, everything)
        yield everything
    finally:
        bench.close()


def only_server(result: Any) -> Any:
    assert result["verdict"] == "answer", result
    assert len(result["servers"]) == 1
    return result["servers"][0]


@pytest.mark.parametrize(("name", "soonest"), [("pings first", 2.5), ("does not ping", 0.0), ("firewalled", 2.5)])
def test_a_real_server_is_found_and_gives_no_lease(started: Started, name: str, soonest: float) -> None:
    result = started.result(name)
    server = only_server(result)
    assert (server["server_id"], server["source_ip"], server["relay"]) == ("10.9.0.1", "10.9.0.1", None)
    assert server["offered_ip"].startswith("10.9.0.5")
    assert soonest <= server["delay_s"] < soonest + 2
    assert result["waited_s"] == pytest.approx(server["delay_s"], abs=0.5), "it ends at the first answer"
    home = started.servers[name]
    assert (home / "leases").read_text() == ""
    assert "DHCPDISCOVER" in (home / "log").read_text()
    assert "DHCPREQUEST" not in (home / "log").read_text()


def test_a_server_behind_a_relay_is_found(started: Started) -> None:
    server = only_server(started.result("real relay"))
    assert server["server_id"] in ("10.8.0.2", "10.9.0.1")
    assert server["source_ip"] == "10.9.0.1"
    assert server["relay"] == "10.9.0.1"
    assert (started.servers["real relay"] / "leases").read_text() == ""


@pytest.mark.parametrize(
    ("name", "soonest"),
    [
        ("broadcast", 0), ("unicast", 0), ("after 1 s", 1), ("unicast after 3 s", 3), ("waits for secs", 3),
        ("relay", 0), ("vlan", 0), ("vlan in vlan", 0), ("options overloaded", 0), ("bridge port", 0),
        ("hostile, then an offer", 2.5),
    ],
)  # fmt: skip
def test_whatever_the_way_of_answering_it_is_heard(started: Started, name: str, soonest: float) -> None:
    server = only_server(started.result(name))
    assert server["server_id"] == "10.9.0.1"
    assert server["source_mac"] == SERVER_MAC
    assert server["offered_ip"] == "10.9.0.77"
    assert soonest <= server["delay_s"] < soonest + 2
    assert server["relay"] == ("10.9.0.254" if name == "relay" else None)
    assert server["vlan"] == (42 if name.startswith("vlan") else None)
    assert server["overheard"] is False


def test_a_server_that_answers_only_others_is_overheard(started: Started) -> None:
    assert only_server(started.result("known MACs only"))["overheard"] is True


def test_the_bridge_itself_can_be_asked(started: Started) -> None:
    assert started.result("bridge itself")["verdict"] == "answer"


def test_all_servers_are_named_where_that_is_asked(started: Started) -> None:
    result = started.result("two servers")
    assert sorted(server["server_id"] for server in result["servers"]) == ["10.9.0.1", "10.9.0.2"]
    assert result["waited_s"] >= 2


@pytest.mark.parametrize(
    ("name", "at_least", "at_most"),
    [("held for 8 s", 7, 14), ("held for 8 s, slow server", 10, 20), ("held for 30 s", 28, 40)],
)
def test_a_server_behind_a_port_that_the_spanning_tree_holds_is_heard(
    started: Started, name: str, at_least: int, at_most: int
) -> None:
    # The port is held for two times its forward delay, and every DISCOVER until then is lost.
    assert at_least < only_server(started.result(name))["delay_s"] < at_most


@pytest.mark.parametrize(
    ("name", "waited"),
    [
        ("not held, idle", 17),
        ("not held, nodes", 12),
        ("not held, a BPDU", 35),
        ("not held, a BPDU and nodes", 12),
        ("rapid, forwarding", 12),
        ("rapid behind a switch with nodes", 35),
        # It was held since before it was asked.
        ("held for 8 s, nodes", 17),
        ("held for 30 s, idle", 35),
    ],
)
def test_a_fresh_link_is_listened_to_until_its_port_has_surely_forwarded(
    started: Started, name: str, waited: int
) -> None:
    result = started.result(name)
    assert (result["verdict"], result["servers"]) == ("silence", [])
    assert waited <= result["waited_s"] < waited + 5


@pytest.mark.parametrize("name", ["nodes shout", "hostile", "we serve", "we serve, and a loop"])
def test_a_wire_without_a_foreign_server_is_silent(started: Started, name: str) -> None:
    result = started.result(name)
    assert (result["verdict"], result["servers"], result["reason"]) == ("silence", [], "")
    assert 12 <= result["waited_s"] < 14


def test_our_own_server_was_answering_all_the_while(started: Started) -> None:
    started.result("we serve")
    started.result("we serve, and a loop")
    assert "DHCPACK" in (started.servers["we serve"] / "log").read_text()
    assert "DHCPOFFER" in (started.servers["we serve, and a loop"] / "log").read_text()


@pytest.mark.parametrize(
    ("name", "cause", "at_most"),
    [
        ("no carrier", "no-carrier", 1), ("down", "down", 1), ("missing", "no-nic", 1), ("absurd name", "no-nic", 1),
        ("loopback", "not-ethernet", 1), ("removed", "link-lost", 4), ("set down", "link-lost", 4),
        ("cable pulled", "link-lost", 4), ("cable out and in", "link-lost", 4), ("renamed", "link-lost", 4),
        ("not let out", "not-sent", 4),
    ],
)  # fmt: skip
def test_what_could_not_be_asked_is_not_called_silent(started: Started, name: str, cause: str, at_most: float) -> None:
    result = started.result(name)
    assert (result["verdict"], result["cause"]) == ("unknown", cause)
    assert result["reason"].isprintable()
    assert result["reason"]
    assert result["waited_s"] < at_most, "it does not wait for what cannot come"


def test_without_the_right_to_listen_it_asks_for_root(started: Started) -> None:
    result = started.result("not root")
    assert result["needs root"] == 4
    assert "sudo" in result["remedy"]


def test_a_dhcp_client_on_the_same_nic_keeps_its_lease_and_renews_it(started: Started, tmp_path: Path) -> None:
    bench = started.bench
    gateway, wire = bench.pair("10.9.0.1/24")
    home = bench.dnsmasq(wire, "--interface=eth0", "--bind-interfaces", "--no-ping", RANGE)
    script = tmp_path / "script"
    script.write_text(UDHCPC_SCRIPT)
    script.chmod(0o755)
    client = bench.command(gateway, "udhcpc", "-f", "-i", "eth1", "-s", str(script))

    def said(what: str) -> int:
        return (home / "log").read_text().count(what)

    def leased() -> list[list[str]]:
        return [line.split()[1:] for line in (home / "leases").read_text().splitlines()]

    until(lambda: said("DHCPACK") == 1 and leased(), "a lease")
    before = leased()
    assert bench.act(gateway, "probe", nic="eth1").answer()["verdict"] == "answer"
    # The file is written in place.
    until(lambda: leased() == before, "the same lease")
    assert client.process.poll() is None
    client.process.send_signal(10)  # SIGUSR1: renew now
    until(lambda: said("DHCPACK") == 2, "the renewal")
    until(lambda: leased() == before, "the same lease")
    assert said("DHCPNAK") == 0


def test_one_wire_is_told_from_two(started: Started) -> None:
    one, two = started.result("one wire"), started.result("two wires")
    assert one["one_wire"] == [True] * 20
    assert one["took_s"] < 2
    assert two["one_wire"] == [False]
    assert started.result("no cable, one wire?")["one_wire"] == [None]


@pytest.mark.parametrize("name", ["joined by us", "bridge and its port", "macvlan and its NIC"])
def test_nics_that_this_machine_joins_are_one_wire(started: Started, name: str) -> None:
    assert started.result(name)["one_wire"] == [True]


@pytest.mark.parametrize(
    ("name", "pattern", "may_serve"),
    [
        ("as it should be", "as-it-should-be", True),
        ("swapped", "swapped", False),
        ("one network", "one-network", False),
        ("one network, late", "one-network", False),
        ("no cable", "no-carrier", False),
    ],
)
def test_both_wires_together_are_named(started: Started, name: str, pattern: str, may_serve: bool) -> None:
    seen = started.result(name)
    assert (seen["pattern"], seen["may_serve"]) == (pattern, may_serve)
    assert seen["told"] > 2, "progress is told while it lasts"
