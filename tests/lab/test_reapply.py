"""An apply over an applied plan: only what differs is touched, nobody is cut off; the small resets; what others
changed meanwhile."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.cycles import (
    CHANGES,
    FORWARD_MOVED,
    LEASES_SHORTER,
    NODE_ADDED,
    RESET,
    apply,
    as_applied,
    other_plan,
    starts,
    strike_re_applies,
)
from tests.lab.striking import (
    APPLY,
    Machine,
    ciao,
    kill_tree,
    moments,
    paused,
    processes,
    status,
)
from tests.lab.support import LEASES, NODES, await_nodes, dhcp_server, differences, whole
from wizard.lab.control import Laboratory


@pytest.fixture
def applied(machine: Machine) -> Iterator[Laboratory]:
    """The example is applied; everything is taken back at the end."""
    apply(machine.lab)
    yield machine.lab
    assert ciao(machine.lab, *RESET).returncode == 0


def leased(lab: Laboratory) -> list[str]:
    """Have every node ask for its address and get it; the lease file's addresses."""
    for name in NODES:
        lab.machine("reboot", name)

    def addresses() -> list[str]:
        return sorted(line.split()[2] for line in lab.run(["cat", LEASES]).stdout.splitlines())

    lab.wait_for(lambda: addresses() == sorted(NODES.values()), 20, "a lease for every node")
    return addresses()


# Nobody is cut off

SINK = """
import socket, sys
server = socket.create_server(("", 7777))
print("ready", flush=True)
line, _ = server.accept()
got = 0
while data := line.recv(65536):
    got += len(data)
    line.sendall(len(data).to_bytes(4, "big"))
print(got, flush=True)
"""
STREAM = """
import select, socket, sys, time
line = socket.create_connection(("10.77.0.1", 7777))
print("ready", flush=True)
sent, worst, last = 0, 0.0, time.monotonic()
while not select.select([sys.stdin], [], [], 0.002)[0]:
    line.sendall(b"x" * 1000)
    assert line.recv(4) == (1000).to_bytes(4, "big")
    now = time.monotonic()
    sent, worst, last = sent + 1000, max(worst, now - last), now
line.close()
print(sent, round(worst, 3), flush=True)
"""


@contextmanager
def traffic(lab: Laboratory) -> Iterator[dict[str, Any]]:
    """A ping every 2 ms and a TCP stream, from nodes through the gateway; what came of them, once it is over."""
    told: dict[str, Any] = {}

    def begin(script: str, where: str) -> subprocess.Popen[str]:
        process = lab.popen(
            ["/usr/bin/python3", "-c", script], netns=where, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    sink, stream = begin(SINK, "corporate"), begin(STREAM, "compute2")
    ping = lab.popen(
        ["ping", "-n", "-q", "-i", "0.002", "10.77.0.1"],
        netns="compute1",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield told
        lab.run(
            ["sh", "-c", "kill -INT $(ip netns pids compute1 | xargs ps -o pid=,comm= -p | awk '/ping/ {print $1}')"]
        )
        said = ping.communicate(timeout=10)[0]
        numbers = re.search(r"(\d+) packets transmitted, (\d+) received", said)
        assert numbers, said
        told["sent"], told["received"] = int(numbers[1]), int(numbers[2])
        told["stream"] = stream.communicate("stop\n", timeout=10)[0].split()
        told["sink"] = sink.communicate(timeout=10)[0].split()
    finally:
        for process in (ping, stream, sink):
            process.kill()
            process.communicate()


def test_forwards_and_nodes_change_and_nobody_notices(applied: Laboratory) -> None:
    """No packet is lost, no connection breaks, dnsmasq is the same process; the changes are there."""
    lab = applied
    await_nodes(lab)
    server = dhcp_server(lab)
    with traffic(lab) as told:
        apply(lab, FORWARD_MOVED)
        apply(lab, FORWARD_MOVED, NODE_ADDED)
        apply(lab)
    assert told["sent"] > 500
    # The last one may be under way when the ping is ended.
    assert told["sent"] - told["received"] <= 1, told
    assert int(told["stream"][0]) == int(told["sink"][0]) > 100_000
    assert float(told["stream"][1]) < 1.0, "the stream stood still"
    assert dhcp_server(lab) == server
    assert starts(lab) == 1


def test_dnsmasq_is_restarted_only_when_its_options_changed_and_never_in_vain(applied: Laboratory) -> None:
    lab = applied
    leases = leased(lab)
    for number, changes in enumerate([(NODE_ADDED,), (LEASES_SHORTER,), (LEASES_SHORTER, NODE_ADDED), ()]):
        apply(lab, *changes)
        assert starts(lab) == (1, 2, 2, 3)[number]
    assert sorted(line.split()[2] for line in lab.run(["cat", LEASES]).stdout.splitlines()) == leases
    assert status(lab)["healthy"]


def test_nothing_to_do_does_nothing(applied: Laboratory) -> None:
    lab = applied
    before = as_applied(lab)
    server = dhcp_server(lab)
    assert "nothing to do" in ciao(lab, "apply", "--yes").stderr
    assert differences(before, as_applied(lab)) == []
    assert dhcp_server(lab) == server


# Killed in a re-apply


def test_a_re_apply_is_killed_anywhere_and_what_was_kept_goes_on(applied: Laboratory) -> None:
    """Before one step and after the next, a different part of it each time."""
    found = moments(applied, *other_plan(applied, *CHANGES), "--yes")
    apply(applied)
    found = [m for m in found if m.startswith(("noted:", "did:", "kept"))]
    assert len(found) > 10
    assert strike_re_applies(applied, found[::3]) == {}


# The small resets


def renewed(lab: Laboratory, part: str) -> str:
    done = ciao(lab, "reset", "--only", part, "--yes")
    assert done.returncode == 0, done.stderr
    return done.stderr


def only(lab: Laboratory, part: str) -> str:
    said = renewed(lab, part)
    found = status(lab)
    assert found["healthy"], found
    assert found["drift"] == []
    return said


def test_the_small_resets(applied: Laboratory) -> None:
    lab = applied
    leased(lab)
    server = dhcp_server(lab)

    # The guard would mend it before anybody has looked.
    guard = [str(p.pid) for p in processes(lab, "wizard serve")]
    lab.run(["kill", "-STOP", *guard])
    lab.run(["nft", "add", "rule", "inet", "ciao_gateway", "forward", "drop"])
    assert any("added in inet ciao_gateway: drop" in line for line in status(lab)["drift"])
    assert "drop" in renewed(lab, "rules")
    lab.run(["kill", "-CONT", *guard])
    # A guard that slept for long has to look first.
    lab.wait_for(lambda: status(lab)["healthy"], 60, "health")
    assert status(lab)["drift"] == []

    lab.run(["sh", "-c", "echo 02:00:00:00:00:99,192.168.0.99,nobody >>/run/ciao-wizard/live/tenant_dns.hosts"])
    only(lab, "nodes")
    assert dhcp_server(lab) == server

    leases = lab.run(["cat", LEASES]).stdout
    only(lab, "dhcp")
    assert dhcp_server(lab) != server
    assert lab.run(["cat", LEASES]).stdout == leases

    said = only(lab, "leases")
    assert "4 leases will be forgotten:" in said
    assert "192.168.0.101" in said
    assert lab.run(["cat", LEASES]).stdout == ""
    lab.machine("reboot", "compute1")
    lab.wait_for(lambda: "compute1" in lab.run(["cat", LEASES]).stdout, 20, "a lease anew")


def test_a_small_reset_needs_something_that_is_applied(machine: Machine) -> None:
    assert ciao(machine.lab, "reset", "--only", "rules").returncode == 3


def test_a_small_reset_that_is_killed_is_made_good(applied: Laboratory) -> None:
    lab = applied
    with paused(lab, "renew", "reset", "--only", "leases", "--yes"):
        kill_tree(lab)
    assert not status(lab)["healthy"]
    assert ciao(lab, "rollback").returncode == 0
    lab.wait_for(lambda: status(lab)["healthy"])


# What others changed since


def test_what_was_changed_since_is_named_and_a_reset_asks(applied: Laboratory) -> None:
    lab = applied
    lab.run(["sh", "-c", "echo '# mine' >>/etc/ciao-wizard/nat.sh; rm /etc/ciao-wizard/identity.toml"])
    said = ciao(lab, "status")
    assert said.returncode == 1
    drift = status(lab)["drift"]
    assert "/etc/ciao-wizard/nat.sh was changed" in drift
    assert "/etc/ciao-wizard/identity.toml is missing" in drift
    refused = ciao(lab, "reset")
    assert refused.returncode == 1
    assert "nothing was changed" in refused.stderr
    assert "/etc/ciao-wizard/nat.sh was changed" in refused.stderr
    assert status(lab)["state"] == "applied"
    assert "/etc/ciao-wizard/nat.sh was changed" in ciao(lab, "reset", "--yes").stderr
    assert ciao(lab, "apply", *APPLY[1:]).returncode == 0


THEIRS = """
iptables-nft -N DOCKER-USER
iptables-nft -A FORWARD -j DOCKER-USER
iptables-nft -P FORWARD DROP
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
nft add table inet somebody
echo 1 >/proc/sys/net/ipv4/conf/all/log_martians
"""


def test_what_others_did_since_stays(machine: Machine) -> None:
    """Docker comes, the laptop gets another stanza: a reset takes away what is ours, and nothing of that."""
    lab = machine.lab
    main = "/etc/network/interfaces"
    lab.run(
        ["sh", "-c", f"cp -a {main} /run/ciao-lab/main; printf '\\nauto lo eth1\\niface eth1 inet manual\\n' >>{main}"]
    )
    try:
        apply(lab)
        assert "# ciao-wizard: iface eth1 inet manual" in lab.run(["cat", main]).stdout
        lab.run(["sh", "-ec", THEIRS])
        lab.run(["sh", "-c", f"printf '\\niface wlan0 inet dhcp\\n' >>{main}"])
        lab.run(["sh", "-c", "echo 'iface eth7 inet manual' >/etc/network/interfaces.d/theirs"])
        apply(lab, FORWARD_MOVED)
        assert status(lab)["drift"] == []
        assert ciao(lab, *RESET).returncode == 0
        text = lab.run(["cat", main]).stdout
        assert text.endswith("\nauto lo eth1\niface eth1 inet manual\n\niface wlan0 inet dhcp\n")
        assert "ciao" not in text
        now = whole(lab)
        assert "DOCKER-USER" in str(now["network"]["iptables"])
        assert "CIAO" not in str(now["network"])
        assert "table inet somebody" in now["network"]["nft"]
        assert now["network"]["sysctls"]["/proc/sys/net/ipv4/conf/all/log_martians"] == "1\n"
        assert "/etc/network/interfaces.d/theirs" in now["files"]
    finally:
        machine.drop()


def test_reset_gives_back_what_was_before_the_first_of_many(machine: Machine) -> None:
    """The cluster NIC had a stanza of its own, and more than ifupdown knows of: addresses and a route by hand."""
    lab = machine.lab
    main = "/etc/network/interfaces"
    lab.run(
        [
            "sh",
            "-ec",
            f"printf '\\nauto eth1\\niface eth1 inet static\\n    address 192.168.77.1/24\\n' >>{main};"
            f"touch -d @1234567890 {main}; ip link set eth1 down; ifup eth1;"
            "ip addr add 192.168.78.1/25 dev eth1 label eth1:x broadcast 192.168.78.127;"
            "ip -6 addr add fd00:77::1/64 dev eth1 nodad;"
            "ip route add 192.168.99.0/24 via 192.168.78.2 dev eth1 metric 7",
        ]
    )
    lab.wait_for(lambda: "state UP" in lab.run(["ip", "link", "show", "dev", "eth1"]).stdout)
    try:
        before = whole(lab)
        apply(lab)
        apply(lab, FORWARD_MOVED)
        apply(lab, LEASES_SHORTER)
        assert ciao(lab, *RESET).returncode == 0
        assert differences(before, whole(lab)) == []
    finally:
        machine.drop()


def test_the_file_of_the_plan_in_force_may_be_edited_and_applied(applied: Laboratory) -> None:
    """What runs, and not what its file says by now, is what goes back when it is not kept."""
    lab = applied
    plan = "/etc/ciao-wizard/gateway.toml"
    before = as_applied(lab)
    lab.run(["sed", "-i", "s/192.168.0.200/192.168.0.201/", plan])
    assert any("not applied since" in line for line in status(lab)["drift"])
    assert ciao(lab, "apply", "--confirm-within", "0.1").returncode == 1
    left = [line for line in differences(before, as_applied(lab)) if plan not in line]
    assert left == []
    assert ciao(lab, "apply", "--yes").returncode == 0
    assert "192.168.0.201/24" in lab.run(["ip", "-o", "addr", "show", "dev", "eth1"]).stdout
    assert status(lab)["drift"] == []
