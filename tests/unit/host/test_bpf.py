"""The filters, run by the kernel itself: on a socket of our own, which needs neither root nor a NIC."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import pytest

from tests.unit.host.dhcp_frames import answer
from wizard.host.net import bpf, frames
from wizard.host.net.bpf import Instruction

MAC = bytes.fromhex("b8aeed7b5150")
OWN, GATEWAY = bytes((10, 0, 0, 9)), bytes((10, 0, 0, 1))


def passes(program: Sequence[Instruction], frame: bytes) -> bool:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        bpf.attach(here, program)
        here.setblocking(False)
        there.send(frame)
        try:
            return here.recv(1 << 16) == frame
        except BlockingIOError:
            return False


def datagram(ports: tuple[int, int], payload: bytes = b"x" * 12, *, fragment: int = 0, protocol: int = 17) -> bytes:
    header = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    packet = frames.ipv4(OWN, GATEWAY, protocol, header + payload, 6, flags=fragment)
    return frames.ethernet(frames.BROADCAST_MAC, MAC, frames.IPV4, packet)


def ipv6(kind: int, payload: bytes) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, len(payload), kind, 255) + bytes(32)
    return frames.ethernet(frames.BROADCAST_MAC, MAC, frames.IPV6, header + payload)


ARP = frames.arp_request(MAC, OWN, GATEWAY)
DHCP = datagram((67, 68))
LONG_HEADER = answer(ip_options=b"\x01" * 8)
TAGGED = {number: answer(tags=number.to_bytes(2, "big") + b"\0\x2a") for number in (0x8100, 0x88A8, 0x9100)}
PIECE = datagram((67, 68), fragment=0x2000)
LATER = datagram((0, 0), fragment=0x0007)
ADVERTISEMENT, SOLICITATION = ipv6(58, bytes((134,)) + bytes(15)), ipv6(58, bytes((133,)) + bytes(15))
DHCP6 = ipv6(17, struct.pack("!HHHH", 547, 546, 12, 0) + bytes(4))
EVERYTHING = {
    "arp": ARP,
    "dhcp": DHCP,
    "ip options": LONG_HEADER,
    "first piece": PIECE,
    "later piece": LATER,
    "tcp": datagram((67, 68), protocol=6),
    "question": datagram((68, 67)),
    "advertisement": ADVERTISEMENT,
    "solicitation": SOLICITATION,
    "dhcpv6": DHCP6,
    "cut short": DHCP[:20],
    "empty": b"\0",
} | {f"tagged {number:x}": frame for number, frame in TAGGED.items()}
TAGS = {f"tagged {number:x}" for number in TAGGED}


@pytest.mark.parametrize(
    ("program", "let_pass"),
    [
        (bpf.udp_to_port(68), {"dhcp", "ip options", "first piece"} | TAGS),
        (bpf.udp_to_port(67), {"question"} | TAGS),
        (bpf.ether_type(frames.ARP), {"arp"}),
        (bpf.udp_fragments(), {"first piece", "later piece"}),
        (bpf.ipv6_routers(), {"advertisement", "dhcpv6"}),
        (bpf.arp_from(OWN), {"arp"}),
        (bpf.arp_from(GATEWAY), set[str]()),
        (
            bpf.any_of(bpf.ether_type(frames.ARP), bpf.udp_to_port(67), bpf.udp_fragments()),
            {"arp", "question", "first piece", "later piece"} | TAGS,
        ),
        (bpf.any_of(bpf.ipv6_routers(), bpf.arp_from(OWN)), {"arp", "advertisement", "dhcpv6"}),
    ],
    ids=["68", "67", "arp", "pieces", "ipv6", "from us", "from another", "arp, 67 or pieces", "ipv6 or us"],
)
def test_the_kernel_lets_pass_what_a_filter_is_for(program: Sequence[Instruction], let_pass: set[str]) -> None:
    assert {name for name, frame in EVERYTHING.items() if passes(program, frame)} == let_pass


def test_what_does_not_leave_is_kept_back() -> None:
    assert passes(bpf.path_traffic(only_leaving=False), ARP)
    assert not passes(bpf.path_traffic(only_leaving=True), ARP)


def test_a_program_that_the_kernel_does_not_take_is_an_error() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there, pytest.raises(OSError, match="Invalid argument"):
        bpf.attach(here, [(0x15, 9, 9, 0)])
