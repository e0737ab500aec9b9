"""What a cluster NIC had before it was ours, and has again after a reset: also the ways behind it, also renamed."""

from __future__ import annotations

import pytest

from tests.lab.support import EXAMPLE, apply, ciao, ciao_json, differences, reset, whole
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab

WAYS = """
ip link set eth1 up
ip address add 10.44.0.1 peer 10.44.0.2/32 dev eth1
ip address add 10.45.0.1/24 dev eth1 noprefixroute
ip route add 10.45.0.0/24 dev eth1 metric 300
ip route add 10.46.0.0/16 via 10.44.0.2 table 100
ip route add 10.47.0.0/16 nexthop via 10.44.0.2 dev eth1 nexthop via 10.77.0.1 dev eth0
ip rule add from 10.44.0.1 table 100
ip neigh add 10.44.0.2 lladdr 02:00:00:00:44:02 dev eth1 nud permanent
"""


def test_addresses_routes_and_neighbours_of_every_kind_come_back(lab: Laboratory) -> None:
    lab.run(["sh", "-e", "-c", WAYS])
    before = whole(lab)
    neighbours = lab.run(["ip", "neigh", "show", "nud", "permanent"]).stdout
    assert "02:00:00:00:44:02" in neighbours
    apply(lab)
    reset(lab)
    assert differences(before, whole(lab)) == []
    assert lab.run(["ip", "neigh", "show", "nud", "permanent"]).stdout == neighbours


def test_the_very_address_that_is_there_already_is_taken_over_and_given_back(lab: Laboratory) -> None:
    """ifup fails over an address that is there; it is the person's, and so is one more in the same network."""
    shell = "ip link set eth1 up; ip address add 192.168.0.200/24 dev eth1; ip address add 192.168.0.7/24 dev eth1"
    lab.run(["sh", "-ec", f"{shell}; ip route add 10.99.0.0/16 via 192.168.0.7 dev eth1"])
    before = whole(lab)
    assert [f["code"] for f in ciao_json(lab, "check", "-c", str(EXAMPLE)) if f["severity"] == "error"] == []
    apply(lab)
    assert sorted(lab.addresses(nic="eth1")) == ["192.168.0.200", "192.168.0.7"]
    assert ciao_json(lab, "status")["healthy"]
    reset(lab)
    assert sorted(lab.addresses(nic="eth1")) == ["192.168.0.200", "192.168.0.7"]
    assert differences(before, whole(lab)) == []


FORWARDING = """
cd /proc/sys/net/ipv4
echo 1 >ip_forward
echo 0 >conf/eth0/forwarding
echo 0 >conf/eth1/forwarding
"""
WIPED = "rm /run/ciao-wizard/forwarding.*; /run/ciao-wizard/live/nat.sh up"


def test_a_nic_that_was_renamed_meanwhile_is_given_back_too(lab: Laboratory) -> None:
    """Its forwarding too, where the note of what that was has been wiped and made again, too late."""
    lab.run(["sh", "-e", "-c", FORWARDING])
    before = whole(lab)
    apply(lab)
    lab.run(["sh", "-e", "-c", WIPED])
    lab.run(["sh", "-e", "-c", "ip link set eth1 down; ip link set eth1 name lan7; ip link set lan7 up"])
    lab.wait_for(lambda: ciao_json(lab, "status")["state"] == "tripped", what="the guard's trip")
    reset(lab)
    left = lab.run(["ip", "-4", "-o", "address", "show", "dev", "lan7"]).stdout
    assert left == ""
    lab.run(["sh", "-e", "-c", "ip link set lan7 down; ip link set lan7 name eth1"])
    if "UP" in before["network"]["links"][2]["flags"]:
        lab.run(["ip", "link", "set", "eth1", "up"])
    lab.wait_for(lambda: differences(before, whole(lab)) == [], what="the machine as it was")


def test_two_nics_that_exchanged_their_names_keep_what_is_theirs(lab: Laboratory) -> None:
    """The corporate NIC is called eth1 now: taking the cluster's address back must not take its link down."""
    apply(lab)
    exchange = "down {0}; {0} name old; down {1}; {1} name {0}; old name {1}"
    for words in exchange.format("eth0", "eth1").split("; "):
        lab.run(["ip", "link", "set", *(words.split()[::-1] if words.startswith("down") else words.split())])
    lab.run(["ip", "link", "set", "eth1", "up"])
    lab.run(["ip", "route", "replace", "default", "via", "10.77.0.1", "dev", "eth1"])
    lab.wait_for(lambda: ciao_json(lab, "status")["state"] == "tripped", what="the guard's trip")
    done = ciao(lab, "reset", "--yes", "--forget-leases")
    assert done.returncode == 0, done.stderr
    assert "default via 10.77.0.1 dev eth1" in lab.run(["ip", "route"]).stdout
    assert "10.77.0." in lab.run(["ip", "-4", "-o", "address", "show", "dev", "eth1", "up"]).stdout
    assert "192.168.0." not in lab.run(["ip", "-4", "-o", "address"]).stdout


def test_rules_are_taken_back_where_the_programs_that_made_them_are_gone(lab: Laboratory) -> None:
    lab.run(["iptables-nft", "-P", "FORWARD", "DROP"])
    before = whole(lab)
    apply(lab)
    programs = [f"/usr/sbin/{name}" for name in ("nft", "xtables-nft-multi")] + ["/usr/bin/flock"]
    for program in programs:
        lab.run(["mount", "--bind", "/dev/null", program])
    try:
        reset(lab)
    finally:
        lab.run(["umount", *programs])
    assert differences(before, whole(lab)) == []


OFF_LINK = """
ip link set eth1 up
ip address add 172.31.9.9/32 dev eth1
ip route add 172.16.5.1 dev eth1
ip route add 10.99.0.0/16 via 172.16.5.1 dev eth1
ip route add 192.168.200.0/24 via 172.16.5.1 dev eth1
ip neigh add 172.16.5.1 lladdr 02:00:00:00:00:77 dev eth1 nud permanent
"""
OBJECTS = """
ip link set eth1 up
ip address add 10.1.1.1/24 dev eth1
ip address add fd00:1::1/64 dev eth1 nodad
ip nexthop add id 7 via 10.1.1.8 dev eth1
ip nexthop add id 8 via 10.77.0.1 dev eth0
ip nexthop add id 9 group 7,3/8,2
ip route add 10.96.0.0/16 nhid 7
ip route add 10.97.0.0/16 nhid 9 metric 5
ip -6 nexthop add id 10 via fd00:1::9 dev eth1
ip -6 route add fd00:2::/64 nhid 10
ip -6 route add fd00:3::/64 via fd00:1::9 dev eth1
ip neigh add proxy 10.1.1.66 dev eth1
"""


def ways(lab: Laboratory) -> list[str]:
    """What leads over eth1, as `ip` tells it; also what is no part of a whole machine."""
    asked = (
        ("-4", "route"),
        ("-6", "route"),
        ("nexthop",),
        ("neigh", "show", "proxy"),
        ("neigh", "show", "nud", "permanent"),
    )
    return [line.strip() for words in asked for line in sorted(lab.run(["ip", "-o", *words]).stdout.splitlines())]


@pytest.mark.parametrize("words", [OFF_LINK, OBJECTS], ids=["off-link gateway", "nexthop objects"])
def test_ways_that_need_one_another_come_back_when_nobody_answers(lab: Laboratory, words: str) -> None:
    lab.run(["sh", "-e", "-c", words])
    before, led = whole(lab), ways(lab)
    ended = ciao(lab, "apply", "-c", str(EXAMPLE), "--confirm-within", "0.1")
    assert "no answer within" in ended.stderr
    assert (differences(before, whole(lab)), ways(lab)) == ([], led)
    apply(lab)
    reset(lab)
    assert (differences(before, whole(lab)), ways(lab)) == ([], led)


def test_a_way_that_cannot_be_put_back_is_said_and_keeps_nothing_else(lab: Laboratory) -> None:
    words = """
    ip link add eth7 type veth peer name eth7p; ip link set eth7 up; ip link set eth7p up
    ip address add 10.7.7.1/24 dev eth7
    ip link set eth1 up; ip address add 10.1.1.1/24 dev eth1
    ip route add 10.98.0.0/16 nexthop via 10.1.1.7 dev eth1 nexthop via 10.7.7.7 dev eth7
    ip route add 10.99.0.0/16 via 10.1.1.7
    """
    lab.run(["sh", "-e", "-c", words])
    apply(lab)
    lab.run(["ip", "link", "del", "eth7"])
    said = reset(lab).stderr
    assert "could not be put back: ip -4 route replace 10.98.0.0/16" in said
    assert "10.99.0.0/16 via 10.1.1.7" in lab.run(["ip", "route", "show", "dev", "eth1"]).stdout
    assert ciao_json(lab, "status")["state"] == "absent"
    apply(lab)
    reset(lab)


THEIRS = """
ip link set eth1 up
ip address add 10.1.1.1/24 dev eth1
ip address add fd00:1::1/64 dev eth1 nodad
ip route add 10.99.0.0/16 via 10.1.1.7 dev eth1
"""
MOVED = EXAMPLE.read_text().replace("192.168.0.200", "192.168.0.201")


def test_another_gateway_address_changes_ours_alone(lab: Laboratory) -> None:
    lab.run(["sh", "-e", "-c", THEIRS])
    before = whole(lab)
    apply(lab)
    led = ways(lab)
    apply(lab, MOVED)
    held = lab.run(["ip", "-o", "address", "show", "dev", "eth1"]).stdout
    assert "192.168.0.201/24" in held
    assert "192.168.0.200" not in held
    assert "10.1.1.1/24" in held
    assert "fd00:1::1/64" in held
    assert ways(lab) == [line.replace("192.168.0.200", "192.168.0.201") for line in led]
    assert ciao_json(lab, "status")["drift"] == []
    reset(lab)
    assert differences(before, whole(lab)) == []


@pytest.mark.parametrize("begin", ["", THEIRS], ids=["a bare NIC", "a NIC in use"])
def test_what_was_added_since_is_named_and_stays(lab: Laboratory, begin: str) -> None:
    lab.run(["sh", "-e", "-c", begin or "true"])
    apply(lab)
    assert ciao_json(lab, "status")["drift"] == []
    added = "ip address add 10.1.2.3/24 dev eth1; ip route add 10.55.0.0/16 via 10.1.2.4 dev eth1"
    lab.run(["sh", "-e", "-c", f"{added}; ip route add 10.56.0.0/16 via 192.168.0.101 dev eth1"])
    drift = ciao_json(lab, "status")["drift"]
    assert len(drift) == 3, drift
    for line, word in zip(drift, ("10.1.2.3/24", "10.55.0.0/16 via 10.1.2.4", "10.56.0.0/16"), strict=True):
        assert "eth1" in line
        assert word in line
    refused = ciao(lab, "reset")
    assert refused.returncode == 1
    assert "10.1.2.3/24" in refused.stderr
    assert "10.55.0.0/16 via 10.1.2.4" in refused.stderr
    said = reset(lab).stderr
    assert "could not be put back: ip -4 route replace 10.56.0.0/16" in said
    held = lab.run(["ip", "-o", "address", "show", "dev", "eth1"]).stdout
    assert "10.1.2.3/24" in held
    assert "192.168.0." not in held
    assert ("10.1.1.1/24" in held) is bool(begin)
    assert "10.55.0.0/16 via 10.1.2.4" in lab.run(["ip", "route", "show", "dev", "eth1"]).stdout
