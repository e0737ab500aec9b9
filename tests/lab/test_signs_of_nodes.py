"""What is taken for a node of the plan behind the cluster NIC, and how the guard asks for one."""

from __future__ import annotations

import json
import sys

import pytest

from tests.lab.guarded import hidden as hidden
from tests.lab.guarding import armed, await_mode, sh, steadily, told
from tests.lab.support import NODES, apply, await_nodes
from wizard.lab.control import Laboratory

__all__ = ["hidden"]

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("wrong-socket")]

# The sample's, compute1's first.
OWN = MAC, *_ = "b8aeed7b7258", "b8aeed7b5150", "c03fd567a76f", "c03fd567a1fb"
SPEAK = """
import socket, struct, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
mac, tag, ip = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]), socket.inet_aton(sys.argv[3])
said = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + ip + bytes(6) + socket.inet_aton("10.77.0.1")
while True:
    wire.send(b"\\xff" * 6 + mac + tag + b"\\x08\\x06" + said + bytes(18))
    time.sleep(0.2)
"""
LISTEN = """
import json, socket, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
wire.bind(("eth0", 0x0806))
wire.settimeout(0.5)
asker, until, seen = bytes.fromhex(sys.argv[1]), time.monotonic() + float(sys.argv[2]), set()
while time.monotonic() < until:
    try:
        frame = wire.recv(2048)
    except TimeoutError:
        continue
    if frame[6:12] == asker and frame[20:22] == b"\\0\\1":
        seen.add((frame[:6].hex(), socket.inet_ntoa(frame[28:32]), socket.inet_ntoa(frame[38:42])))
print(json.dumps(sorted(seen)))
"""


@pytest.mark.parametrize(
    ("tag", "ip"), [("81000014", NODES["compute1"]), ("", "10.77.0.55")], ids=["tagged", "an office's address"]
)
def test_what_is_of_another_network_is_no_sign(hidden: Laboratory, tag: str, ip: str) -> None:
    lab = hidden
    lab.machine("unplug", "eth1")
    lab.machine("unplug", "eth0")
    lab.machine("move", "eth1", "corporate")
    sh(lab, "pkill dhclient; pkill udhcpc; ip address flush dev eth0", check=False)
    await_mode(lab, "muted")
    lab.wait_for(lambda: "nodes is heard" in told(lab)["reason"], 60, "a wire that shows nothing")
    speaker = lab.popen([sys.executable, "-c", SPEAK, MAC, tag, ip], netns="colleague")
    try:
        # Longer than one round of asking takes.
        assert steadily(lambda: not armed(lab), 8)
    finally:
        speaker.kill()
        speaker.wait()
    # What is a sign: the same without a tag, and from the address that the plan gives it.
    speaker = lab.popen([sys.executable, "-c", SPEAK, MAC, "", NODES["compute1"]], netns="colleague")
    try:
        await_mode(lab, "armed", deadline=60)
    finally:
        speaker.kill()
        speaker.wait()


def test_each_node_is_asked_at_its_own_mac_and_takes_no_question_for_a_claim(lab: Laboratory) -> None:
    apply(lab)
    await_nodes(lab)
    await_mode(lab, "armed")
    mine = sh(lab, "cat /sys/class/net/eth1/address").strip().replace(":", "")
    sh(lab, "ip link set eth0 down")
    for name in NODES:
        lab.machine("unplug", name)
    lab.machine("unplug", "eth1")
    await_mode(lab, "muted")
    # It has its address and says nothing by itself; it hears its questions, and its kernel answers none.
    sh(lab, "kill -STOP $(ip netns pids compute1)")
    sh(lab, "ip netns exec compute1 ip link set eth0 arp off")
    lab.machine("plug", "compute1")
    lab.machine("plug", "eth1")
    listener = [sys.executable, "-c", LISTEN, mine, "6"]
    heard = json.loads(lab.run(listener, netns="compute1").stdout)
    # Nobody but the gateway's address is asked of everybody, and that in nobody's name.
    heard = [told for told in heard if told != ["f" * 12, "0.0.0.0", "192.168.0.200"]]  # noqa: S104
    # A switch that does not know where the others are sends theirs everywhere; they are for nobody else all the same.
    assert [MAC, "192.168.0.200", NODES["compute1"]] in heard
    assert {(to, asker) for to, asker, _ in heard} <= {(mac, "192.168.0.200") for mac in OWN}
    assert json.loads(lab.run(listener, netns="colleague").stdout) == []
    sh(lab, "ip netns exec compute1 ip link set eth0 arp on")
    await_mode(lab, "armed", deadline=60)
