"""The gateway and what is at the other ends of its two cables, for packets to be sent and looked at.

The gateway is the machine that the tests run in; the office and a node are network namespaces of it. So one process has
a socket in each, and looks at both wires.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from wizard.plan.file.read import load_plan
from wizard.plan.render import render

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
OFFICE, NODE = "office", "node"
NIC_TO = {OFFICE: "eth0", NODE: "eth1"}
CORPORATE_ADDRESS, GATEWAY = "10.77.0.98", "192.168.0.200"
COLLEAGUE, FAR_AWAY, CONTROLLER = "10.77.0.1", "198.51.100.10", "192.168.0.101"
ADDRESS_OF = {OFFICE: COLLEAGUE, NODE: CONTROLLER}
CONTROLLER_MAC = "b8:ae:ed:7b:51:50"
NOBODY = "0.0.0.0"  # noqa: S104
DNSMASQ = 60867
ANSWER_S = 60.0
"""How long to wait for what must come."""

_BUILD = f"""
netns add {OFFICE}
netns add {NODE}
link add eth0 type veth peer name eth0 netns {OFFICE}
link add eth1 type veth peer name eth0 address {CONTROLLER_MAC} netns {NODE}
address add {CORPORATE_ADDRESS}/24 dev eth0
address add {GATEWAY}/24 dev eth1
address add fd00:bad::98/64 dev eth0 nodad
address add fd00:bad:1::200/64 dev eth1 nodad
link set eth0 up
link set eth1 up
route add default via {COLLEAGUE}
"""
_ENDS = {
    OFFICE: f"""
address add {COLLEAGUE}/24 dev eth0
address add {FAR_AWAY}/32 dev lo
link set lo up
link set eth0 up
route add 192.168.0.0/24 via {CORPORATE_ADDRESS}
""",
    NODE: f"""
address add {CONTROLLER}/24 dev eth0
link set lo up
link set eth0 up
route add default via {GATEWAY}
""",
}
_CLONE_NEWNET = 0x40000000
_MARK = 0x88B5
"""An EtherType for experiments."""
_libc = ctypes.CDLL(None, use_errno=True)


def run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}{done.stdout}"
    return done.stdout


def plan_with(*changes: tuple[str, str]) -> str:
    """The example with texts in it replaced, each exactly once."""
    text = EXAMPLE.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def script_of(text: str, directory: Path) -> str:
    """The path of the nat.sh that a plan is rendered to."""
    (file,) = (file for file in render(load_plan(text, "plan"), text) if file.path.endswith("/nat.sh"))
    path = directory / "nat.sh"
    path.write_text(file.text)
    return str(path)


@contextmanager
def laid() -> Iterator[None]:
    """The two cables, and what is at their ends."""
    try:
        run("ip", "-batch", "-", stdin=_BUILD)
        for end, lines in _ENDS.items():
            run("ip", "-n", end, "-batch", "-", stdin=lines)
        yield
    finally:
        # The namespaces live on for as long as a packet is on its way; the cables are to go now.
        for nic in NIC_TO.values():
            subprocess.run(["ip", "link", "delete", nic], check=False)
        for end in NIC_TO:
            subprocess.run(["ip", "netns", "delete", end], check=False)


@contextmanager
def loaded(script: str) -> Iterator[None]:
    """The rules of a nat.sh, for a while."""
    try:
        run("sh", script, "up")
        yield
    finally:
        run("sh", script, "down")


@contextmanager
def at(end: str) -> Iterator[None]:
    """Sockets made meanwhile are in the namespace of that end."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{end}", os.O_RDONLY)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(there)
        os.close(home)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def as_dnsmasq() -> Iterator[None]:
    """Sockets made meanwhile are those of dnsmasq's user, as the packet filter sees it."""
    _libc.setfsuid(DNSMASQ)
    try:
        yield
    finally:
        _libc.setfsuid(0)


# What is on the wires


def frames_of(what: Callable[[], None]) -> dict[str, list[bytes]]:
    """Every frame that comes to the ends of the cables from the gateway while something is done."""
    ears = {end: _packet_socket(end) for end in NIC_TO}
    try:
        what()
        found = {}
        for end, ear in ears.items():
            # Frames keep their order, so what was to come has come when this one does.
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as marking:
                marking.bind((NIC_TO[end], 0))
                marking.send(b"\xff" * 6 + bytes(6) + struct.pack("!H", _MARK) + bytes(46))
            found[end] = list(iter(partial(_next, ear), b""))
        return found
    finally:
        for ear in ears.values():
            ear.close()


def _packet_socket(end: str) -> socket.socket:
    with at(end):
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        ear.bind(("eth0", 3))
    ear.settimeout(ANSWER_S)
    return ear


def _next(ear: socket.socket) -> bytes:
    """The next frame that came to this end; nothing where it is the mark."""
    while True:
        frame, where = ear.recvfrom(65536)
        if where[2] == socket.PACKET_OUTGOING:
            continue
        return b"" if frame[12:14] == struct.pack("!H", _MARK) else frame


def udp_from(frames: list[bytes], *ports: int) -> list[bytes]:
    """The IPv4 and IPv6 frames with UDP from these ports."""
    found = []
    for frame in frames:
        if frame[12:14] == b"\x08\x00" and frame[23] == 17:
            at_port = 14 + 4 * (frame[14] & 15)
        elif frame[12:14] == b"\x86\xdd" and frame[20] == 17:
            at_port = 54
        else:
            continue
        if int.from_bytes(frame[at_port : at_port + 2], "big") in ports:
            found.append(frame)
    return found


def router_advertisements(frames: list[bytes]) -> list[bytes]:
    return [frame for frame in frames if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 134]


def mss_of_syns(frames: list[bytes]) -> list[int]:
    """What the SYNs and SYN-ACKs over IPv4 among these frames say their sender takes; 0 where one says nothing."""
    found = []
    for frame in frames:
        tcp = frame[14 + 4 * (frame[14] & 15) :]
        if frame[12:14] != b"\x08\x00" or frame[23] != 6 or not tcp[13] & 2:
            continue
        options, mss = tcp[20 : 4 * (tcp[12] >> 4)], 0
        while options and options[0]:
            if options[0] == 2:
                mss = int.from_bytes(options[2:4], "big")
            options = options[1:] if options[0] == 1 else options[options[1] :]
        found.append(mss)
    return found


def arp_answers(frames: list[bytes]) -> list[str]:
    """The addresses that ARP answers are for."""
    return [socket.inet_ntoa(f[28:32]) for f in frames if f[12:14] == b"\x08\x06" and f[20:22] == b"\x00\x02"]


def ask_who_has(end: str, address: str) -> None:
    """A machine at this end asks for an address by ARP."""
    mac = bytes.fromhex("001b21000099")
    with at(end):
        asking = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with asking:
        asking.bind(("eth0", 0))
        head = b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
        asked = socket.inet_aton(ADDRESS_OF[end]) + bytes(6) + socket.inet_aton(address)
        asking.send(head + mac + asked)


# What dnsmasq says


def dhcp_answer(kind: int, mac: str, message: str = "", yours: str = NOBODY) -> bytes:
    """A DHCP answer as dnsmasq lays it out: the kind, the server, for a refusal its reason."""
    client = bytes.fromhex(mac.replace(":", "")).ljust(16, b"\0")
    options = b"\x63\x82\x53\x63\x35\x01" + bytes([kind]) + b"\x36\x04" + socket.inet_aton(GATEWAY)
    if message:
        options += bytes([56, len(message)]) + message.encode()
    head = struct.pack("!BBBBIHH", 2, 1, 6, 0, 0x12345, 0, 0x8000)
    addresses = bytes(4) + socket.inet_aton(yours) + bytes(8)
    return (head + addresses + client + bytes(192) + options + b"\xff").ljust(300, b"\0")


def say(nic: str, answer: bytes, to: str = "255.255.255.255") -> bool:
    """Send a DHCP answer as dnsmasq does. Whether the packet filter took it."""
    with as_dnsmasq():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode())
        server.bind(("", 67))
        return _sent(server, answer, (to, 68))


def say_ipv6(nic: str) -> list[bool]:
    """Send a router advertisement and a DHCPv6 answer as dnsmasq does. Whether the packet filter took each."""
    index = socket.if_nametoindex(nic)
    with as_dnsmasq():
        router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with router, server:
        server.bind(("::", 547))
        return [
            _sent(router, struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index)),
            _sent(server, b"\x07\x00\x00\x01", ("ff02::1", 546, 0, index)),
        ]


def _sent(by: socket.socket, what: bytes, to: tuple[object, ...]) -> bool:
    try:
        by.sendto(what, to)
    except PermissionError:
        return False
    return True


# Connections


def listening(end: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A server at one end."""
    with at(end):
        server = socket.socket(socket.AF_INET, kind)
    server.settimeout(ANSWER_S)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    return server


def client(end: str, source: str = "", kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    with at(end):
        asking = socket.socket(socket.AF_INET, kind)
    asking.settimeout(ANSWER_S)
    asking.bind((source, 0))
    return asking
