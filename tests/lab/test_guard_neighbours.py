"""The guard and who else is on its wire: answers in every guise, addresses that others take, servers on this laptop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.foreign_frames import EVERYONE, FOREIGN, TWINS
from tests.lab.guarded import GATEWAY
from tests.lab.guarded import served as served
from tests.lab.guarded import world as world
from tests.lab.guarding import armed, await_mode, sh, steadily, told
from tests.lab.support import HERE, NODES, apply, ciao_json
from tests.needs import need
from wizard.lab.control import Laboratory
from wizard.lab.world import LAPTOP_MACS

__all__ = ["served", "world"]

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("guard-neighbours")]

ROGUE = "00:1b:21:00:00:66"


@contextmanager
def saying(lab: Laboratory, *frames: bytes, times: int = 0) -> Iterator[None]:
    """The rogue on the cluster's switch says these."""
    told = json.dumps({"nic": "eth0", "frames": [frame.hex() for frame in frames], "times": times})
    argv = [sys.executable, str(HERE / "probe_actors.py"), "say_often", told]
    process = lab.popen(argv, netns="rogue", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        # What a guard hears of this it hears in the two seconds of a probe.
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.wait()


def test_a_router_of_another_network_trips(served: Laboratory) -> None:
    with saying(served, *FOREIGN["a router"]):
        state = await_mode(served, "tripped", code="foreign-router")
    assert "fe80::1 (02:aa:bb:cc:dd:01)" in state["reason"]
    assert state["dnsmasq"] is None


# Addresses


def arp(claimed: str) -> bytes:
    mac, ip = bytes.fromhex(ROGUE.replace(":", "")), bytes(map(int, claimed.split(".")))
    return EVERYONE + mac + bytes.fromhex("08060001080006040001") + mac + ip + bytes(6) + ip


def gateway_of(lab: Laboratory, node: str) -> str:
    """Whom a node takes for the gateway."""
    rows = json.loads(sh(lab, f"ip -n {node} -j neigh show to {GATEWAY}") or "[]")
    return str(rows[0].get("lladdr", "")) if rows else ""


def test_a_single_claim_on_the_gateways_address_is_answered_and_the_nodes_keep_it(served: Laboratory) -> None:
    sh(served, f"ip netns exec compute1 ping -c 1 -W 5 {GATEWAY}")
    assert gateway_of(served, "compute1") == LAPTOP_MACS["eth1"]
    # The rogue's switch port is asked in vain afterwards: it has not got the address.
    with saying(served, arp(GATEWAY), times=1):
        assert steadily(lambda: armed(served) and told(served)["mode"] == "armed", 4), told(served)
    assert gateway_of(served, "compute1") == LAPTOP_MACS["eth1"]
    assert told(served)["conflicts"] == []


def test_nodes_that_know_another_gateway_learn_of_this_one(served: Laboratory) -> None:
    known = f"ip -n compute1 neigh replace {GATEWAY} lladdr {ROGUE} dev eth0 nud stale"
    sh(served, f"machine unplug eth1; {known}")
    await_mode(served, "muted")
    served.machine("plug", "eth1")
    await_mode(served, "armed")
    served.wait_for(lambda: gateway_of(served, "compute1") == LAPTOP_MACS["eth1"], 10, "the gateway's own MAC")


def test_an_address_that_another_machine_keeps_is_given_up_loudly_and_taken_back(served: Laboratory) -> None:
    sh(served, f"ip -n rogue address add {GATEWAY}/24 dev eth0")
    try:
        sh(served, f"ip netns exec rogue ping -c 1 -W 1 {NODES['compute1']}", check=False)
        state = await_mode(served, "muted", code="address-conflict")
        assert not armed(served)
        assert f"{ROGUE}, Intel Corporate" in state["reason"]
        assert state["conflicts"][0] == {"ip": GATEWAY, "mac": ROGUE, "name": "gateway"}
        assert not ciao_json(served, "status")["healthy"]
    finally:
        sh(served, f"ip -n rogue address del {GATEWAY}/24 dev eth0")
    assert await_mode(served, "armed", deadline=40)["conflicts"] == []
    served.wait_for(lambda: gateway_of(served, "compute1") in ("", LAPTOP_MACS["eth1"]), 5, "the nodes' tables")


def test_a_nodes_address_at_another_machine_is_named_and_served_on(served: Laboratory) -> None:
    theirs = NODES["compute2"]
    sh(served, f"ip -n rogue address add {theirs}/24 dev eth0")
    wanted = {"ip": theirs, "mac": ROGUE, "name": "compute2"}
    try:
        # Nobody but the guard asks for it.
        served.wait_for(lambda: told(served)["conflicts"] == [wanted], 60, "the conflict")
        assert armed(served)
    finally:
        sh(served, f"ip -n rogue address del {theirs}/24 dev eth0")


@pytest.mark.parametrize("sign", TWINS)
def test_a_gateway_that_comes_to_anothers_switch_leaves_that_one_the_address(served: Laboratory, sign: str) -> None:
    """Such as a laptop that served at home, and is plugged in where its twin serves."""
    served.machine("unplug", "eth1")
    await_mode(served, "muted")
    with saying(served, TWINS[sign]):
        served.machine("plug", "eth1")
        state = await_mode(served, "tripped", code="another-gateway")
        assert "02:aa:bb:cc:dd:01" in state["reason"]
        served.wait_for(lambda: GATEWAY not in sh(served, "ip address show dev eth1"), 5, "the address to go")
    apply(served)
    await_mode(served, "armed")
    assert GATEWAY in sh(served, "ip address show dev eth1")


def test_a_gateway_whose_mark_comes_late_is_left_the_address_too(served: Laboratory) -> None:
    """A switch may hold a fresh port back until the wire is taken for silent."""
    served.machine("unplug", "eth1")
    await_mode(served, "muted")
    served.machine("plug", "eth1")
    await_mode(served, "armed")
    with saying(served, TWINS["its mark"]):
        state = await_mode(served, "tripped", code="another-gateway")
        assert "02:aa:bb:cc:dd:01" in state["reason"]
    apply(served)
    await_mode(served, "armed")


# Servers on this very laptop


@contextmanager
def running(lab: Laboratory, *argv: str) -> Iterator[int]:
    """A program in the laptop's place; its pid there."""
    process = lab.popen(
        ["sh", "-c", 'echo $$; exec "$@" >/dev/null 2>&1', "sh", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def dnsmasq(*options: str) -> tuple[str, ...]:
    common = ("--conf-file=/dev/null", "--port=0", "--keep-in-foreground", "--user=root", "--group=")
    return ("dnsmasq", *common, "--pid-file=", "--dhcp-leasefile=/run/ciao-lab/second.leases", *options)


ON_IT = ("--interface=eth1", "--bind-interfaces", "--dhcp-range=192.168.0.150,192.168.0.160")


def test_a_second_server_on_this_laptop_is_named(served: Laboratory) -> None:
    with running(served, *dnsmasq(*ON_IT)) as pid:
        state = await_mode(served, "muted", code="second-server")
        assert f"dnsmasq (process {pid})" in state["reason"]
        assert not armed(served)
    await_mode(served, "armed")


def test_a_second_server_that_sends_raw_frames_is_named(served: Laboratory) -> None:
    need("dhcpd")
    sh(served, "ip link add lan9 type bridge; ip address add 10.66.0.1/24 dev lan9; ip link set lan9 up")
    subnets = "subnet 192.168.0.0 netmask 255.255.255.0 { } subnet 10.66.0.0 netmask 255.255.255.0 { }"
    sh(served, f"echo '{subnets}' >/run/ciao-lab/dhcpd.conf; : >/run/ciao-lab/dhcpd.leases")
    files = ("-cf", "/run/ciao-lab/dhcpd.conf", "-lf", "/run/ciao-lab/dhcpd.leases", "--no-pid")
    try:
        with running(served, "dhcpd", "-f", "-4", *files, "lan9"):
            # Its socket takes every NIC, and it serves one alone.
            served.wait_for(lambda: "dhcpd" in sh(served, "ss -H -lunp 'sport = :67'"), 10, "dhcpd")
            assert steadily(lambda: told(served)["mode"] == "armed", 3), told(served)
        with running(served, "dhcpd", "-f", "-4", *files, "eth1"):
            assert "dhcpd (process" in await_mode(served, "muted", code="second-server")["reason"]
        await_mode(served, "armed")
    finally:
        sh(served, "ip link delete lan9")


def test_a_server_for_another_nic_is_no_alarm(served: Laboratory) -> None:
    """Such as libvirt's, for its own bridge."""
    sh(served, "ip link add virbr0 type bridge; ip address add 192.168.122.1/24 dev virbr0; ip link set virbr0 up")
    theirs = (
        "--interface=virbr0",
        "--except-interface=lo",
        "--bind-dynamic",
        "--dhcp-range=192.168.122.2,192.168.122.9",
    )
    try:
        with running(served, *dnsmasq(*theirs)):
            served.wait_for(lambda: "virbr0" in sh(served, "ss -H -lun 'sport = :67'"), 10, "its socket")
            assert steadily(lambda: told(served)["mode"] == "armed" and armed(served), 3), told(served)
    finally:
        sh(served, "ip link delete virbr0")
