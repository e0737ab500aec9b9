"""Our DHCPNAK never reaches a machine that is not the plan's own."""

import pytest

from tests.lab.support import apply, await_nodes
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab

ASK = """
import socket, struct, sys, time
mac, wanted = bytes.fromhex(sys.argv[1].replace(":", "")), socket.inet_aton(sys.argv[2])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 0))
options = b"\\x63\\x82\\x53\\x63\\x35\\x01\\x03\\x32\\x04" + wanted + b"\\xff"
head = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x12345, 0, 0x8000) + bytes(16) + mac.ljust(16, b"\\0") + bytes(192)
bootp = (head + options).ljust(300, b"\\0")
udp = struct.pack("!HHHH", 68, 67, 8 + len(bootp), 0) + bootp
ip = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + bytes(4) + b"\\xff" * 4)
total = sum(struct.unpack("!10H", ip))
total = (total & 0xFFFF) + (total >> 16)
ip[10:12] = struct.pack("!H", ~total & 0xFFFF)
wire.send(b"\\xff" * 6 + mac + b"\\x08\\0" + bytes(ip) + udp)
end = time.monotonic() + 3
try:
    while True:
        wire.settimeout(max(end - time.monotonic(), 0.001))
        frame = wire.recv(2000)
        udp = frame[12:14] == b"\\x08\\0" and frame[23] == 17
        if udp and frame[34:38] == b"\\0\\x43\\0\\x44" and frame[70:76] == mac:
            print("kind", frame[284])
            break
except TimeoutError:
    print("nothing")
"""


def answer_to(lab: Laboratory, machine: str, mac: str, wanted: str) -> str:
    """What a client that asks for an old address hears: "kind 6" for a refusal, or "nothing"."""
    return lab.run(["python3", "-c", ASK, mac, wanted], netns=machine).stdout.strip()


def test_only_a_node_of_the_plan_is_refused_an_address(lab: Laboratory) -> None:
    apply(lab)
    await_nodes(lab)
    assert answer_to(lab, "compute2", "c0:3f:d5:67:a1:fb", "10.77.0.188") == "kind 6"
    assert answer_to(lab, "compute2", "02:42:0a:4d:00:07", "10.77.0.188") == "nothing"
    # Two VMs that boot in a burst may be offered one address: who comes second has to hear of it.
    assert answer_to(lab, "compute2", "02:42:0a:4d:00:08", "192.168.0.90") == "kind 5"
    assert answer_to(lab, "compute1", "02:42:0a:4d:00:09", "192.168.0.90") == "kind 6"
    log = lab.run(["cat", "/run/ciao-wizard/dnsmasq.log"]).stdout
    assert "192.168.0.90 02:42:0a:4d:00:09 address in use" in log
    assert "10.77.0.188 02:42:0a:4d:00:07 wrong network" in log
