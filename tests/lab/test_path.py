"""A node's path, broken in every way that we know of: never healthy meanwhile, the cause named, and healthy again
by itself once it is mended.

One gateway for all of it, and no node is asked anything: what is broken is found by the gateway itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from tests.lab.guarding import RUN, report, sh
from tests.lab.support import apply, await_nodes, ciao, ciao_json, plan_with, start_ciao
from wizard.lab.control import Laboratory
from wizard.lab.world import SWITCHES

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("path")]

WITHIN_S = 15.0
"""How soon it must be said, which the wait itself demands."""
PATIENCE_S = 45.0


@pytest.fixture(scope="module")
def gateway(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        apply(lab)
        await_nodes(lab)
        yield lab


def failed(lab: Laboratory) -> dict[str, str]:
    """What `status` says is wrong, by name; {} exactly where it says healthy."""
    seen = ciao_json(lab, "status")
    found = {check["name"]: check["detail"] for check in seen["checks"] if check["ok"] is False}
    assert seen["healthy"] == (not found) or seen["state"] != "applied"
    return found


@dataclass(frozen=True)
class Break:
    """How a path is broken, what must be said then, and how it is mended. `names`: of the checks that must fail."""

    name: str
    harm: str
    mend: str
    names: Sequence[str] = ()
    words: Sequence[str] = ()


def chain(hook: str, body: str, table: str = "theirs") -> str:
    """A table of somebody else's with one chain, loaded."""
    judge = f"type filter hook {hook} priority 0; policy accept; {body};"
    return f"nft 'table inet {table} {{ chain judge {{ {judge} }}; }}'"


OUR_DNSMASQ = f"$(grep -oE '\"(dnsmasq|dns)\": .\"pid\": [0-9]+' {RUN}/serve.json | grep -oE '[0-9]+$')"
UNCHAIN = "nft delete table inet theirs"
TAKER = "/run/ciao-lab/taker"
# Faults that do not hide each other come together: each is looked for by itself.
BREAKS = [
    Break(
        "DHCP in, DNS in, NAT",
        f"{chain('input', 'iifname eth1 udp dport 67 drop')}; {chain('input', 'udp dport 53 reject', 'others')};"
        " nft add table ip early; nft 'add chain ip early judge { type nat hook postrouting priority 90; }';"
        " nft add rule ip early judge ip saddr 192.168.0.0/24 snat to ip saddr",
        f"{UNCHAIN}; nft delete table inet others; nft delete table ip early",
        ["path-dhcp", "path-dns", "path-out"],
        ["inet theirs judge drops it by its rule 'iifname \"eth1\" udp dport 67 drop'", "inet others judge", "NAT"],
    ),
    Break(
        "forward",
        chain("forward", "ct state established accept; reject with icmpx admin-prohibited"),
        UNCHAIN,
        ["path-out", "path-in-8889"],
        ["inet theirs judge drops it by its rule 'reject with icmpx admin-prohibited'"],
    ),
    Break(
        "return path, resolver",
        f"{chain('forward', 'iifname eth0 drop')}; {chain('output', 'meta skuid != 0 udp dport 53 drop', 'others')}",
        f"{UNCHAIN}; nft delete table inet others",
        ["path-out", "path-in-8889", "path-resolver"],
        ["inet theirs judge", "inet others judge"],
    ),
    Break(
        "ARP",
        "nft 'table arp theirs { chain judge { type filter hook input priority 0; iifname \"eth1\" drop; }; }'",
        "nft delete table arp theirs",
        ["path-arp"],
        ["arp theirs judge"],
    ),
    Break(
        "dnsmasq stopped",
        f"kill -STOP {OUR_DNSMASQ}",
        f"kill -CONT {OUR_DNSMASQ}",
        ["path-dhcp", "path-dns"],
    ),
    Break(
        "address gone",
        # Again and again: once is mended by the guard.
        f"setsid sh -c 'echo $$ >{TAKER}; while sleep 0.2; do ip addr del 192.168.0.200/24 dev eth1; done'"
        " >/dev/null 2>&1 &",
        f"kill $(cat {TAKER}); ip addr add 192.168.0.200/24 dev eth1",
        ["address", "path-arp"],
        ["taken away"],
    ),
    Break(
        "address taken",
        "machine add rival --mac 00:1b:21:00:00:77 --address 192.168.0.200/24;"
        " ip netns exec rival ping -c 2 -W 1 192.168.0.101 || true",
        "machine remove rival",
        ["address-conflict", "guard"],
        ["192.168.0.200, the address of gateway, is also at 00:1b:21:00:00:77"],
    ),
    Break(
        "the company comes home into the subnet, a VPN takes a part of it, a DNS server lies in it",
        "ip addr add 192.168.0.57/24 dev eth0; ip link add vpn0 type veth peer vpn1; ip link set vpn0 up;"
        " ip route add 192.168.0.96/27 dev vpn0;"
        " cp /etc/resolv.conf /run/ciao-lab/resolv; echo nameserver 192.168.0.9 >>/etc/resolv.conf",
        "ip addr del 192.168.0.57/24 dev eth0; ip link del vpn0; cat /run/ciao-lab/resolv >/etc/resolv.conf",
        ["subnet-overlap", "nameserver-in-subnet"],
        ["192.168.0.57/24 of eth0", "over vpn0", "DNS server 192.168.0.9"],
    ),
    Break(
        "a VPN takes the world by halves, a rule takes a node",
        "ip link add vpn0 type veth peer vpn1; ip link set vpn0 up; ip addr add 10.88.0.2/24 dev vpn0;"
        " ip route add 0.0.0.0/1 via 10.88.0.1; ip route add 128.0.0.0/1 via 10.88.0.1;"
        " ip route add default via 10.88.0.1 table 77; ip rule add to 192.168.0.103 table 77",
        "ip rule del to 192.168.0.103 table 77; ip link del vpn0",
        ["path-world", "path-nodes"],
        ["leaves by vpn0, and is refused", "compute1, 192.168.0.103, leaves by vpn0"],
    ),
    Break(
        "the way out moves",
        "ip link add vpn0 type veth peer vpn1; ip link set vpn0 up; ip addr add 10.88.0.2/24 dev vpn0;"
        " ip route replace default via 10.88.0.1 dev vpn0",
        "ip route replace default via 10.77.0.1 dev eth0; ip link del vpn0",
        ["corporate-no-default-route"],
    ),
]


@pytest.mark.parametrize("harm", BREAKS, ids=lambda harm: harm.name)
def test_a_broken_path_is_never_healthy_and_its_cause_is_named(gateway: Laboratory, harm: Break) -> None:
    lab = gateway
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "a healthy gateway")
    sh(lab, harm.harm)
    begun = time.monotonic()
    try:
        lab.wait_for(lambda: set(harm.names) <= set(failed(lab)), WITHIN_S, f"{harm.names}")
        report(f"{harm.name}: said after {time.monotonic() - begun:.1f} s ({WITHIN_S:g} are allowed)")

        def unsaid() -> list[str]:
            said = " ".join(each["detail"] for each in ciao_json(lab, "status")["checks"] if each["ok"] is False)
            return [word for word in harm.words if word not in said]

        lab.wait_for(lambda: unsaid() == [], PATIENCE_S, f"{harm.words}")
    finally:
        sh(lab, harm.mend)
        begun = time.monotonic()
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "healthy again")
    report(f"{harm.name}: healthy again after {time.monotonic() - begun:.1f} s")


def test_what_others_let_through_raises_no_alarm(gateway: Laboratory) -> None:
    """Rules that drop by policy, and name the NIC in a set, or by its network, or all but what is the company's."""
    lab = gateway
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "a healthy gateway")
    sh(
        lab,
        'nft \'table inet theirs { set inside { type ifname; elements = { "eth1" }; };'
        " chain INPUT { type filter hook input priority 0; policy drop; iif lo accept; ct state established accept;"
        " iifname @inside accept; iifname eth0 tcp dport { 1, 22, 8889, 5000, 35357 } accept; udp sport 67 accept; };"
        " chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept;"
        " ip saddr 192.168.0.0/16 accept; ip daddr 192.168.0.0/16 accept; }; }'",
    )
    try:
        wish = "echo >/run/ciao-wizard/path.wish"
        for _ in range(2):
            sh(lab, wish)
            assert failed(lab) == {}
    finally:
        sh(lab, UNCHAIN)


HEARING = """
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.bind((sys.argv[1], 3))
tap.settimeout(0.2)
print("ready", flush=True)
end, seen = False, set()
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        frame = tap.recv(2048)
    except TimeoutError:
        continue
    port_one = frame[12:14] == b"\\x08\\0" and frame[23] == 6 and b"\\0\\1" in (frame[34:36], frame[36:38])
    seen.add((frame[6:9] == b"\\x0e\\xc1\\xa0", port_one, frame[0:3] == b"\\x0e\\xc1\\xa0"))
print(sorted(seen), flush=True)
"""


def test_a_walk_leaves_no_trace_in_the_office_and_puts_nothing_onto_a_wire(gateway: Laboratory) -> None:
    """Made-up MACs come from nowhere; what a node answers to a made-up colleague gets no further than the gateway."""
    lab = gateway
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "a healthy gateway")
    ears = {}
    for netns, nic in (("corporate", SWITCHES["corporate"].bridge), ("controller", "eth0")):
        argv = ["/usr/bin/python3", "-c", HEARING, nic]
        ears[netns] = lab.popen(argv, netns=netns, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out = ears[netns].stdout
        assert out is not None
        assert out.readline() == "ready\n"
    for _ in range(3):
        before = walked(lab)
        sh(lab, "echo >/run/ciao-wizard/path.wish")
        lab.wait_for(partial(lambda before: walked(lab) > before, before), PATIENCE_S, "a walk")
    heard = {netns: eval(ear.communicate("end\n", timeout=20)[0]) for netns, ear in ears.items()}  # noqa: S307
    assert not [one for one in heard["corporate"] if any(one)]
    # The node met the forward's SYN, and what was said to the made-up one; nothing that came from that.
    assert any(port_one for _, port_one, _ in heard["controller"])
    assert not [one for one in heard["controller"] if one[0]]


def walked(lab: Laboratory) -> float:
    return float(json.loads(lab.run(["cat", f"{RUN}/path.json"]).stdout)["begun"])


def test_what_went_bad_while_it_waited_is_not_kept(gateway: Laboratory) -> None:
    lab = gateway
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "a healthy gateway")
    other = "/run/ciao-lab/other.toml"
    lab.run(["sh", "-c", f"cat >{other}"], input=plan_with(('lease_time = "12h"', 'lease_time = "7h"')))
    front = start_ciao(lab, "apply", "-c", other, "--confirm-within", "300")
    try:
        lab.wait_for(lambda: ciao_json(lab, "status")["remaining_s"], PATIENCE_S, "a pending apply")
        sh(lab, chain("forward", 'iifname "eth1" drop'))
        ciao(lab, "confirm")
        told, said = front.communicate(timeout=90)
    finally:
        front.kill()
        sh(lab, UNCHAIN, check=False)
    assert front.returncode == 1, told + said + lab.run(["cat", f"{RUN}/path.json"]).stdout
    assert "no longer holds: path-out" in said
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "the former gateway, healthy")
    assert "12h" in lab.run(["cat", "/etc/ciao-wizard/gateway.toml"]).stdout


def test_what_somebody_adds_to_our_table_goes(gateway: Laboratory) -> None:
    lab = gateway
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "a healthy gateway")
    before = lab.run(["nft", "-s", "list", "tables"]).stdout
    sh(lab, "nft 'add chain inet ciao_gateway mine; add rule inet ciao_gateway forward jump mine'")
    lab.wait_for(
        lambda: "mine" not in lab.run(["nft", "list", "table", "inet", "ciao_gateway"]).stdout, PATIENCE_S, "our rules"
    )
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "a healthy gateway")
    assert lab.run(["nft", "-s", "list", "tables"]).stdout == before


def test_a_name_that_is_no_text_is_no_end_of_the_guard(gateway: Laboratory) -> None:
    """Linux cuts a name after 15 bytes, in the middle of a letter too."""
    lab = gateway
    server = "import ctypes, socket, time; ctypes.CDLL(None).prctl(15, b'dhcp-helfer-\\xc3', 0, 0, 0);"
    bind = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(1, 2, 1); s.setsockopt(1, 25, b'eth1');"
    process = lab.popen([sys.executable, "-c", f"{server} {bind} s.bind(('', 67)); time.sleep(600)"])
    try:
        lab.wait_for(lambda: "dhcp-helfer" in failed(lab).get("guard", ""), PATIENCE_S, "a second server, by its name")
    finally:
        process.kill()
        process.wait()
    lab.wait_for(lambda: failed(lab) == {}, PATIENCE_S, "a healthy gateway")
