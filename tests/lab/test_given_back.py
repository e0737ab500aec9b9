"""What a cluster NIC had before it was ours, and has again after a reset: also the ways behind it, also renamed."""

from __future__ import annotations

import pytest

from tests.lab.support import apply, ciao, ciao_json, differences, reset, whole
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


def test_a_nic_that_was_renamed_meanwhile_is_given_back_too(lab: Laboratory) -> None:
    before = whole(lab)
    apply(lab)
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
