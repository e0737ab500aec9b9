"""The way out moves, goes, and is of every kind that laptops have: the nodes go out by it, and by nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.lab.guarding import OURS, RUN, asking, await_mode, hearing, macs, report, seconds_until, sh, told
from tests.lab.support import HERE, await_nodes, ciao, ciao_json, page, peer, plan_with, reset, usable
from tests.lab.support import apply as apply_plan
from wizard.lab.control import Laboratory
from wizard.lab.world import COLLEAGUE_ADDRESS, INTERNET_ADDRESS, LAPTOP_ADDRESS

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("uplinks")]

AUTO = plan_with(('corporate = "eth0"', 'corporate = "auto"'))
WLAN_MAC = "00:1b:21:5a:02:98"
AT_HOME, HOME_ROUTER = "192.168.178.20", "192.168.178.1"
IN_TUNNEL, BEHIND_TUNNEL = "10.9.0.2", "10.9.0.1"
PAGE = f"http://{INTERNET_ADDRESS}:5000/"


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    """Beside the office a network at home, on the laptop's wlan0. Both lead to the same page on the internet."""
    with Laboratory() as lab:
        sh(
            lab,
            f"""
            ip netns add home
            ip link add wlan0 address {WLAN_MAC} type veth peer name eth0 netns home
            ip address add {AT_HOME}/24 dev wlan0
            ip -n home address add {HOME_ROUTER}/24 dev eth0
            ip -n home address add {INTERNET_ADDRESS}/32 dev lo
            ip -n home link set lo up
            ip -n home link set eth0 up
            ip link set wlan0 up
            """,
        )
        with peer(lab, "serve", "home", "5000", netns="home"):
            apply_plan(lab, AUTO)
            await_nodes(lab)
            yield lab


@pytest.fixture
def office(world: Laboratory) -> Iterator[Laboratory]:
    """The default route leads to the office, as the laptop's DHCP client left it."""
    yield world
    sh(world, "ip route del default dev wlan0; ip route del default dev vpn0", check=False)
    sh(world, "ip route replace default via 10.77.0.1 dev eth0")
    follows(world, "eth0")


def go_home(lab: Laboratory) -> None:
    sh(lab, f"ip route replace default via {HOME_ROUTER} dev wlan0")


def followed(lab: Laboratory) -> list[str]:
    """The NICs that the kernel lets the nodes out by."""
    listed = sh(lab, "nft list set inet ciao_gateway uplinks", check=False)
    return sorted(listed.split('"')[1::2])


def follows(lab: Laboratory, *nics: str) -> None:
    lab.wait_for(lambda: followed(lab) == sorted(nics), 15, f"the uplinks {nics}; the guard says {log(lab)}")


def log(lab: Laboratory) -> str:
    return sh(lab, f"tail -n 20 {RUN}/serve.log", check=False)


def forwarding(lab: Laboratory) -> set[str]:
    switches = sh(lab, "grep -l 1 /proc/sys/net/ipv4/conf/*/forwarding", check=False).split()
    return {switch.split("/")[-2] for switch in switches} - {"all", "default"}


def forwards_on(lab: Laboratory, *nics: str) -> None:
    lab.wait_for(lambda: forwarding(lab) == set(nics), what=f"forwarding on {nics} alone")


def sees(lab: Laboratory, name: str, by: str, asked_by: str, node: str = "compute1") -> Callable[[], bool]:
    """Whether a node gets that page from there, and as whom."""
    return lambda: lab.fetch(PAGE, netns=node, timeout=2) == page(name, 5000, by, asked_by)


def healthy(lab: Laboratory) -> bool:
    return bool(ciao_json(lab, "status")["healthy"])


def checks(lab: Laboratory) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in ciao_json(lab, "status")["checks"]}


@contextmanager
def tunnel(lab: Laboratory, to: str = "corporate") -> Iterator[None]:
    """vpn0: point to point, without a MAC, to a machine that is on the internet as well."""
    argv = [sys.executable, str(HERE / "tunnel.py"), "vpn0", IN_TUNNEL, BEHIND_TUNNEL, to]
    process = lab.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.communicate(timeout=10)


def test_a_node_goes_on_while_the_default_route_moves(office: Laboratory) -> None:
    guard, dnsmasq = told(office)["process"], told(office)["dnsmasq"]
    assert sees(office, "corporate", INTERNET_ADDRESS, LAPTOP_ADDRESS)()
    pinging = office.popen(["ping", "-i", "0.2", INTERNET_ADDRESS], netns="compute2", stdout=subprocess.PIPE)
    try:
        since = time.monotonic()
        go_home(office)
        took = seconds_until(lambda: followed(office) == ["wlan0"], since)
        office.wait_for(sees(office, "home", INTERNET_ADDRESS, AT_HOME), what="the way by home")
        forwards_on(office, "wlan0", "eth1")
        office.wait_for(partial(healthy, office), 20, "health at home")
        sh(office, "ip route replace default via 10.77.0.1 dev eth0")
        follows(office, "eth0")
        office.wait_for(sees(office, "corporate", INTERNET_ADDRESS, LAPTOP_ADDRESS), what="the way by the office")
        assert forwarding(office) == {"eth0", "eth1"}
    finally:
        sh(office, "kill -INT $(pgrep -x ping)")
        said = pinging.communicate(timeout=10)[0]
    sent, received = (int(word) for word in said.split("ping statistics ---")[1].split()[0:4:3])
    report(f"followed after {took:.2f} s; of {sent} pings in two moves {sent - received} were lost")
    assert sent > 5
    # Of each move the packets are lost that come before the guard has heard of it.
    assert sent - received <= 10, said
    # Nothing was started again.
    assert (told(office)["process"], told(office)["dnsmasq"]) == (guard, dnsmasq)
    assert told(office)["mode"] == "armed"


def test_without_a_default_route_it_is_said_and_dhcp_goes_on(office: Laboratory) -> None:
    sh(office, "ip route del default")
    follows(office)
    found = checks(office)["way-out"]
    assert (found["ok"], found["detail"]) == (False, "no way out now: this machine has no default route")
    assert ciao(office, "status").returncode == 1
    assert told(office)["mode"] == "armed"
    office.machine("reboot", "compute1")
    await_nodes(office)
    go_home(office)
    follows(office, "wlan0")
    office.wait_for(partial(healthy, office), 20, "health, by itself")


@contextmanager
def astray(lab: Laboratory, to: str) -> Iterator[Callable[[], int]]:
    """Traffic to one machine leads by wlan0, which is no uplink and forwards; how many packets get to the other end."""
    switch = "/proc/sys/net/ipv4/conf/wlan0/forwarding"
    count = "type filter hook prerouting priority -400; iifname eth0 ip daddr " + to + " counter"
    sh(lab, f"ip netns exec home nft 'table ip seen {{ chain judge {{ {count}; }}; }}'")
    sh(lab, f"ip route add {to}/32 via {HOME_ROUTER} dev wlan0; echo 1 >{switch}")

    def seen() -> int:
        return int(sh(lab, "ip netns exec home nft list table ip seen").split("packets")[1].split()[0])

    try:
        yield seen
    finally:
        sh(lab, f"ip route del {to}/32 dev wlan0; echo 0 >{switch}; ip netns exec home nft delete table ip seen")


def test_what_leaves_by_another_nic_than_an_uplink_is_held_back(office: Laboratory) -> None:
    with astray(office, INTERNET_ADDRESS) as seen:
        assert office.fetch(PAGE, netns="compute1", timeout=2) is None
        assert seen() == 0
        assert followed(office) == ["eth0"]
        # The laptop's own traffic is nobody's business.
        assert office.fetch(PAGE) is not None
        assert seen() > 0


def test_so_is_what_answers_a_forward_by_another_nic(office: Laboratory) -> None:
    """It is of a connection that was let in, and not masqueraded."""
    sh(office, "for nic in all eth0; do echo 0 >/proc/sys/net/ipv4/conf/$nic/rp_filter; done")
    with astray(office, COLLEAGUE_ADDRESS) as seen:
        assert office.fetch(f"http://{LAPTOP_ADDRESS}:8889/", netns="colleague", timeout=2) is None
        assert seen() == 0
    assert office.fetch(f"http://{LAPTOP_ADDRESS}:8889/", netns="colleague") is not None


BY_HALVES = "ip route add 0.0.0.0/1 dev vpn0; ip route add 128.0.0.0/1 dev vpn0"
NOT_BY_HALVES = "ip route del 0.0.0.0/1 dev vpn0; ip route del 128.0.0.0/1 dev vpn0"
BY_A_TABLE = (
    "ip route add default dev vpn0 table 51820; ip rule add not fwmark 51820 table 51820 priority 900;"
    " ip rule add table main suppress_prefixlength 0 priority 800"
)
NOT_BY_A_TABLE = "ip rule del priority 900; ip rule del priority 800; ip route flush table 51820"
BY_METRIC = (
    "ip route add default dev vpn0 metric 50; ip route del default dev eth0;"
    " ip route add default via 10.77.0.1 dev eth0 metric 100"
)
NOT_BY_METRIC = "ip route del default dev vpn0; ip route del default; ip route add default via 10.77.0.1 dev eth0"

VPNS = {
    "halves": (BY_HALVES, NOT_BY_HALVES),
    "rules": (BY_A_TABLE, NOT_BY_A_TABLE),
    "metric": (BY_METRIC, NOT_BY_METRIC),
}


@pytest.mark.parametrize(("up", "down"), VPNS.values(), ids=VPNS)
def test_a_vpn_that_takes_everything_takes_the_nodes_along(office: Laboratory, up: str, down: str) -> None:
    with tunnel(office, "home"):
        sh(office, up)
        try:
            follows(office, "eth0", "vpn0")
            office.wait_for(sees(office, "home", INTERNET_ADDRESS, IN_TUNNEL), what="the way through the tunnel")
            # The company's network is beside the tunnel still.
            assert office.fetch("http://10.77.0.1/", netns="compute1") == page(
                "corporate", 80, "10.77.0.1", LAPTOP_ADDRESS
            )
            landed = page("controller", 8889, "192.168.0.101", COLLEAGUE_ADDRESS)
            assert office.fetch(f"http://{LAPTOP_ADDRESS}:8889/", netns="colleague") == landed
            office.wait_for(partial(healthy, office), 20, "health under the VPN")
        finally:
            sh(office, down)
    follows(office, "eth0")
    office.wait_for(sees(office, "corporate", INTERNET_ADDRESS, LAPTOP_ADDRESS), what="the way without it")


def test_a_forward_comes_in_by_the_nic_that_leads_out(office: Laboratory) -> None:
    go_home(office)
    follows(office, "wlan0")
    landed = page("controller", 8889, "192.168.0.101", HOME_ROUTER)
    office.wait_for(
        lambda: office.fetch(f"http://{AT_HOME}:8889/", netns="home", timeout=2) == landed, what="the forward at home"
    )
    assert office.fetch(f"http://{LAPTOP_ADDRESS}:8889/", netns="colleague", timeout=2) is None


def test_a_bridge_takes_the_default_route_over(office: Laboratory) -> None:
    """As a desktop with virtual machines has it."""
    sh(
        office,
        f"""
        ip link add br0 type bridge
        ip link set br0 up
        ip address del {LAPTOP_ADDRESS}/24 dev eth0
        ip link set eth0 master br0
        ip address add {LAPTOP_ADDRESS}/24 dev br0
        ip route add default via 10.77.0.1 dev br0
        """,
    )
    try:
        follows(office, "br0")
        office.wait_for(sees(office, "corporate", INTERNET_ADDRESS, LAPTOP_ADDRESS), 20, "the way by the bridge")
        office.wait_for(partial(healthy, office), 20, "health with a bridge")
    finally:
        sh(office, f"ip link del br0; ip address add {LAPTOP_ADDRESS}/24 dev eth0")
        sh(office, "ip route replace default via 10.77.0.1 dev eth0")


def test_nothing_that_shares_the_clusters_wire_leads_out(office: Laboratory) -> None:
    """A macvlan, as not every kernel has VLANs; to the guard either is a NIC with the cluster's for its parent."""
    sh(
        office,
        """
        ip link add link eth1 name eth1.7 type macvlan mode private
        ip address add 172.18.0.1/24 dev eth1.7
        ip link set eth1.7 up
        ip route replace default via 172.18.0.2 dev eth1.7
        """,
    )
    try:
        follows(office)
        forwards_on(office, "eth1")
    finally:
        sh(office, "ip link del eth1.7")


def test_neither_docker_nor_the_clusters_own_nic_leads_out(office: Laboratory) -> None:
    sh(office, "ip link add docker0 type bridge; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up")
    try:
        sh(office, "ip route replace default via 172.17.0.2 dev docker0")
        follows(office)
        forwards_on(office, "eth1")
        # By hand, too.
        sh(office, f"sh {RUN}/live/nat.sh uplinks eth1 docker0 lo")
        assert followed(office) == []
    finally:
        sh(office, "ip link del docker0")


def test_dhcp_is_answered_on_no_uplink(office: Laboratory) -> None:
    with hearing(office, "home") as heard, asking(office, "home", macs=macs(3), every=0.2) as asked:
        go_home(office)
        follows(office, "wlan0")
        await_mode(office, "armed")
        office.machine("reboot", "compute1")
        await_nodes(office)
        found, frames = asked.end(), heard.end()
    assert [seen["offers"] for seen in found.values()] == [[]] * 3
    assert not [frame for frame in frames if frame["source"] in OURS | {WLAN_MAC}]


def test_docker_closing_forward_closes_no_uplink(office: Laboratory) -> None:
    usable(office, "iptables-nft")
    try:
        sh(office, "iptables-nft -P FORWARD DROP")
        office.wait_for(lambda: "CIAO-FORWARD" in sh(office, "iptables-nft -S FORWARD"), 20, "our accepts")
        go_home(office)
        follows(office, "wlan0")
        office.wait_for(sees(office, "home", INTERNET_ADDRESS, AT_HOME), 20, "the way by home")
        landed = page("controller", 8889, "192.168.0.101", HOME_ROUTER)
        assert office.fetch(f"http://{AT_HOME}:8889/", netns="home") == landed
    finally:
        sh(office, f"iptables-nft -P FORWARD ACCEPT; sh {RUN}/live/nat.sh leave; nft delete table ip filter")


def test_the_wire_behind_the_uplink_of_now_is_listened_to(office: Laboratory) -> None:
    """The network at home is joined with the cluster: our own mark comes in at wlan0."""
    go_home(office)
    follows(office, "wlan0")
    await_mode(office, "armed")
    sh(
        office,
        """
        ip -n home link add joint type bridge
        ip -n home link set joint up
        ip -n home link add patch type veth peer name home-patch netns switch
        ip -n home link set patch master joint up
        ip -n home link set eth0 master joint
        ip -n switch link set home-patch master cluster up
        """,
    )
    try:
        await_mode(office, "tripped", code="one-wire")
    finally:
        sh(office, "ip -n home link del patch; ip -n home link del joint")
    apply_plan(office, AUTO)
    await_mode(office, "armed")


@contextmanager
def joined_and_silent(lab: Laboratory) -> Iterator[None]:
    """The two switches are joined, by a cable that the company's DHCP does not cross."""
    silent = "type filter hook {0} priority 0; udp sport 67 drop;"
    chains = " ".join(f"chain {hook} {{ {silent.format(hook)} }};" for hook in ("forward", "output"))
    sh(lab, f"ip netns exec corporate nft 'table bridge silent {{ {chains} }}'")
    try:
        lab.machine("join")
        yield
    finally:
        lab.machine("part")
        sh(lab, "ip netns exec corporate nft delete table bridge silent")


@pytest.mark.parametrize("way_out", ["wi-fi", "vpn"])
def test_the_offices_cable_is_listened_to_whichever_way_packets_leave(office: Laboratory, way_out: str) -> None:
    with tunnel(office, "home"):
        if way_out == "vpn":
            sh(office, BY_METRIC)
            follows(office, "eth0", "vpn0")
        else:
            go_home(office)
            follows(office, "wlan0")
        await_mode(office, "armed")
        with joined_and_silent(office):
            await_mode(office, "tripped", code="one-wire")
            # Neither does an apply believe the silence.
            assert ciao(office, "apply", "--yes").returncode == 1
            await_mode(office, "tripped", code="one-wire")
        sh(office, NOT_BY_METRIC, check=False)
    apply_plan(office, AUTO)
    await_mode(office, "armed")


def test_the_default_route_over_the_cluster_nic_trips_as_ever(world: Laboratory) -> None:
    sh(world, "ip route replace default via 192.168.0.101 dev eth1")
    try:
        follows(world)
        await_mode(world, "tripped", code="default-route")
    finally:
        sh(world, "ip route del default; ip route add default via 10.77.0.1 dev eth0")
    follows(world, "eth0")
    apply_plan(world, AUTO)
    await_mode(world, "armed")


def test_a_captive_portal_is_named(office: Laboratory) -> None:
    """By what NetworkManager knows; that is asked for its connectivity, and nothing is sent."""
    fake = "/run/ciao-lab/bin/nmcli"
    sh(office, f"mkdir -p /run/NetworkManager; printf '#!/bin/sh\\necho portal\\n' >{fake}; chmod 755 {fake}")
    try:
        office.wait_for(lambda: "captive portal" in checks(office)["path-world"]["detail"], 20, "the portal")
        found = checks(office)["path-world"]
        assert not found["ok"]
        assert "log in" in found["remedy"]
        sh(office, f"printf '#!/bin/sh\\necho full\\n' >{fake}")
        office.wait_for(partial(healthy, office), 20, "health once logged in")
    finally:
        sh(office, f"rm -rf {fake} /run/NetworkManager")


def test_a_named_tunnel_without_a_mac_is_a_way_out(lab: Laboratory) -> None:
    """PPPoE, LTE, a VPN: named in the plan, and walked like any other."""
    with tunnel(lab):
        sh(lab, "ip route replace default dev vpn0")
        apply_plan(lab, plan_with(('corporate = "eth0"', 'corporate = "vpn0"')))
        await_nodes(lab)
        await_mode(lab, "armed", deadline=30)
        assert sees(lab, "corporate", INTERNET_ADDRESS, IN_TUNNEL)()
        found = lab.wait_for(lambda: (now := checks(lab))["path-in-8889"]["ok"] and now, 20, "the walk")
        assert f"{IN_TUNNEL}:8889 leads to controller" in found["path-in-8889"]["detail"]
        assert found["path-out"]["ok"], found["path-out"]
        assert found["path-world"]["ok"], found["path-world"]
        sh(lab, "ip route replace default via 10.77.0.1 dev eth0")


def test_applied_without_a_default_route_it_waits_for_a_node_and_then_for_the_route(lab: Laboratory) -> None:
    sh(lab, "ip route del default")
    apply_plan(lab, AUTO)
    await_nodes(lab)
    await_mode(lab, "armed")
    assert [check["name"] for check in checks(lab).values() if check["ok"] is False] == ["way-out"]
    sh(lab, "ip route add default via 10.77.0.1 dev eth0")
    lab.wait_for(partial(healthy, lab), 20, "health with the route")


def test_auto_to_a_name_and_back_leaves_no_set_and_reset_gives_all_back(lab: Laboratory) -> None:
    before = forwarding(lab)
    apply_plan(lab, AUTO)
    assert followed(lab) == ["eth0"]
    apply_plan(lab)
    assert "uplinks" not in sh(lab, "nft list ruleset")
    assert forwarding(lab) == {"eth0", "eth1"}
    apply_plan(lab, AUTO)
    follows(lab, "eth0")
    await_nodes(lab)
    reset(lab)
    assert forwarding(lab) == before
    assert "ciao" not in sh(lab, "nft list ruleset")
