"""The frames of a walk, and what is read out of those that answer it."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wizard.host.dhcp.discovery import parse_machine
from wizard.host.dhcp.packet import WALK_WISH, build_discover, parse_request
from wizard.host.net.bpf import path_traffic
from wizard.host.net.frames import arp_request
from wizard.host.net.link import LinkState
from wizard.host.path import injection, probe
from wizard.host.path.packets import RST, SYN, A, Ends, dns_query, parse_dns_answer, parse_segment, tcp, udp
from wizard.plan.checks import Check

ip = socket.inet_aton
GATEWAY, OWN, BEYOND, OFFICE = ip("192.168.0.200"), ip("192.168.0.9"), ip("10.77.0.1"), ip("10.77.0.98")
MAC = injection.synthetic_mac()
CLUSTER = LinkState(3, "eth1", b"\x00\x1b\x21\0\0\1", True, True, True, False, 1, 0, 0)
CORPORATE = LinkState(2, "eth0", b"\x00\x1b\x21\0\0\2", True, True, True, False, 1, 0, 0)
FORWARD = probe.ForwardPath(8889, "controller", ip("192.168.0.101"), 9000, BEYOND, neighbour_known=True)
PATH = probe.NodePath(
    CLUSTER, CORPORATE, GATEWAY, OWN, MAC, MAC, OFFICE, None, "gateway.ciao.lan", GATEWAY, True, BEYOND, (FORWARD,)
)


def ends(source: bytes, port: int, to: bytes, to_port: int) -> Ends:
    return Ends(MAC, CLUSTER.mac, source, to, port, to_port)


def test_what_is_built_is_read_back() -> None:
    at = ends(OWN, 4000, BEYOND, 53)
    assert (segment := parse_segment(tcp(at, SYN, 7))) is not None
    assert (segment.ends, segment.flags, segment.sequence) == (at, SYN, 7)
    assert (segment := parse_segment(udp(at, b"abc"))) is not None
    assert (segment.ends, segment.payload) == (at, b"abc")


@given(st.binary(max_size=120))
def test_bytes_from_a_wire_never_raise(data: bytes) -> None:
    frame = bytes(12) + b"\x08\x00" + data
    parse_segment(frame)
    parse_dns_answer(data)
    probe.icmp_about(frame, OWN, 4000)


def answer(number: int, rcode: int, *addresses: bytes, name: str = "gateway.ciao.lan") -> bytes:
    asked = dns_query(number, name, A)
    rows = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + each for each in addresses)
    return struct.pack("!HHHHHH", number, 0x8180 | rcode, 1, len(addresses), 0, 0) + asked[12:] + rows


@pytest.mark.parametrize(
    ("rcode", "addresses", "fine"),
    [(0, [GATEWAY], True), (0, [BEYOND], False), (3, [], False), (5, [], False), (2, [], False)],
    ids=["ours", "another's", "NXDOMAIN", "REFUSED", "SERVFAIL"],
)
def test_only_our_own_dnsmasq_knows_the_gateways_name(rcode: int, addresses: list[bytes], fine: bool) -> None:
    test = probe.DnsTest(PATH, PATH.name, PATH.name_is)
    test.read_cluster_frame(udp(ends(GATEWAY, 53, OWN, test.port), answer(test.number, rcode, *addresses)))
    assert test.result().ok is fine


def test_an_answer_to_somebody_else_is_none() -> None:
    test = probe.DnsTest(PATH, PATH.name, PATH.name_is)
    test.read_cluster_frame(udp(ends(GATEWAY, 53, OWN, test.port), answer(test.number ^ 1, 0, GATEWAY)))
    test.read_cluster_frame(udp(ends(GATEWAY, 53, BEYOND, test.port), answer(test.number, 0, GATEWAY)))
    assert test.result().ok is False


def test_a_resolver_that_refuses_the_root_is_asked_for_a_name() -> None:
    sent: list[bytes] = []
    test = probe.ResolverTest(PATH)
    test.ask(sent.append)
    test.read_cluster_frame(udp(ends(GATEWAY, 53, OWN, test.port), answer(test.number, 5)))
    assert not test.settled
    assert len(sent) == 2
    test.read_cluster_frame(udp(ends(GATEWAY, 53, OWN, test.port), answer(test.number, 3)))
    assert test.result().ok is True


def out(left_as: bytes | None, *, comes_back: bool = False, goes_on: bool = False) -> Check:
    test = probe.OutboundTest(PATH)
    test.ask(lambda _: None)
    back = (test.sequence + 1).to_bytes(4, "big")
    if left_as is not None:
        test.read_corporate_frame(tcp(ends(left_as, 4000, BEYOND, 53), SYN, test.sequence), True)

    def reply(to: bytes, port: int) -> bytes:
        frame = tcp(ends(BEYOND, 53, to, port), SYN | 0x10, 99)
        return frame[:42] + back + frame[46:]

    if comes_back:
        test.read_corporate_frame(reply(OFFICE, 4000), False)
    if goes_on:
        test.read_cluster_frame(reply(OWN, test.port))
    return test.result()


def test_the_way_out_is_walked_to_where_it_ends() -> None:
    assert out(OFFICE, comes_back=True, goes_on=True).ok is True
    silent = out(OFFICE)
    assert silent.ok is True
    assert "does not answer" in silent.detail
    for found, word in (
        (out(None), "dropped in this machine"),
        (out(OWN), "NAT"),
        (out(OFFICE, comes_back=True), "goes no further"),
    ):
        assert found.ok is False
        assert word in found.detail


def test_who_is_beyond_and_cannot_be_found_is_no_fault_of_ours() -> None:
    test = probe.OutboundTest(PATH)
    test.ask(lambda _: None)
    test.read_corporate_frame(arp_request(CORPORATE.mac, OFFICE, BEYOND), True)
    assert test.result().ok is None


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "gets nowhere: 10.77.0.254 does not answer ARP on eth0"), (13, "is refused in this machine")],
    ids=["no such host", "prohibited"],
)
def test_a_router_that_is_silent_is_not_taken_for_a_filter(code: int, words: str) -> None:
    test = probe.OutboundTest(replace(PATH, next_hop=ip("10.77.0.254")))
    sent: list[bytes] = []
    test.ask(sent.append)
    test.read_corporate_frame(arp_request(CORPORATE.mac, OFFICE, ip("10.77.0.254")), True)
    header = bytes((0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0)) + GATEWAY + OWN
    test.read_cluster_frame(sent[0][:12] + b"\x08\x00" + header + bytes((3, code)) + bytes(6) + sent[0][14:])
    found = test.result()
    assert found.ok is False
    assert words in found.detail
    assert ("10.77.0.254" in found.remedy) is (code == 1)


def test_who_is_looked_for_by_others_excuses_no_drop() -> None:
    """The kernel renews what it knows of the router all the time, and the router answers."""
    router = bytes((10, 77, 0, 254))
    asked, answer = arp_request(CORPORATE.mac, OFFICE, router), arp_request(MAC, router, OFFICE)
    for frames in (
        [(arp_request(CORPORATE.mac, OFFICE, bytes((10, 77, 0, 9))), True)],
        [(arp_request(CORPORATE.mac, OFFICE, BEYOND), True)],
        [(asked, True), (answer, False)],
    ):
        test = probe.OutboundTest(replace(PATH, next_hop=router))
        test.ask(lambda _: None)
        for frame, leaves in frames:
            test.read_corporate_frame(frame, leaves)
        assert test.result().ok is False
    test.read_corporate_frame(asked, True)
    assert test.result().ok is None


def test_a_forward_leads_to_its_node_and_nothing_stays_half_open() -> None:
    sent: list[bytes] = []
    test = probe.ForwardTest(PATH, FORWARD)
    test.ask(sent.append)
    assert test.result().ok is False
    # For a node that is known a question for it proves nothing: it may be somebody else's.
    test.read_cluster_frame(arp_request(CLUSTER.mac, GATEWAY, FORWARD.address))
    assert not test.settled
    test.read_cluster_frame(tcp(ends(BEYOND, 1, FORWARD.address, 9000), SYN, test.sequence))
    assert test.result().ok is True
    test.close(sent.append)
    first, last = (parse_segment(frame) for frame in sent)
    assert first is not None
    assert last is not None
    assert (last.flags, last.sequence) == (RST, first.sequence + 1)
    assert first.ends.source_port == 1


def test_what_a_walk_says_is_told_apart_from_a_nodes_own() -> None:
    node = bytes.fromhex("b8aeed7b5150")
    frame = build_discover(node, 1, 0, wanted=ip(WALK_WISH))
    frame = frame[:6] + MAC + frame[12:]
    assert (asked := parse_request(frame)) is not None
    assert (asked.mac, asked.wanted_ip) == (node.hex(":"), WALK_WISH)
    assert parse_machine(frame) is None
    assert parse_machine(arp_request(MAC, OWN, GATEWAY)) is None


def runs(program: tuple[tuple[int, int, int, int], ...], frame: bytes, packet_type: int) -> bool:
    """What the kernel's filter does with a frame."""
    at, a, x = 0, 0, 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == 0x20:
            a = packet_type
        elif code == 0x28:
            # Beyond every frame there is what the kernel knows of it: here, that it is IPv4.
            a = 0x0800 if value == 0xFFFFF000 else int.from_bytes(frame[value : value + 2], "big")
        elif code == 0x30:
            a = frame[value]
        elif code == 0xB1:
            x = (frame[value] & 15) * 4
        elif code == 0x48:
            a = int.from_bytes(frame[x + value : x + value + 2], "big")
        elif code == 0x50:
            a = frame[x + value]
        elif code == 0x15:
            at += yes if a == value else no
        elif code == 0x45:
            at += yes if a & value else no
        else:
            return value > 0


@pytest.mark.parametrize(
    ("frame", "passes"),
    [
        (arp_request(MAC, OWN, GATEWAY), True),
        (tcp(ends(OWN, 4000, BEYOND, 53), SYN, 1), True),
        (tcp(ends(OWN, 4000, BEYOND, 53), 0x10, 1), False),
        (udp(ends(GATEWAY, 53, OWN, 4000), b"x" * 12), True),
        (udp(ends(GATEWAY, 67, OWN, 68), b"x" * 12), True),
        (udp(ends(GATEWAY, 5353, OWN, 53), b"x" * 12), False),
    ],
    ids=["arp", "syn", "ack", "dns", "dhcp", "mdns"],
)
def test_the_kernel_keeps_back_what_is_none_of_our_business(frame: bytes, passes: bool) -> None:
    assert runs(path_traffic(only_leaving=False), frame, socket.PACKET_HOST) is passes
    leaving = path_traffic(only_leaving=True)
    # Of a tunnel's packets the link's header is not there.
    bare = path_traffic(only_leaving=False, ethernet=False)
    if frame[12:14] == b"\x08\x00":
        assert runs(bare, frame[14:], socket.PACKET_HOST) is passes
    assert runs(leaving, frame, socket.PACKET_OUTGOING) is passes
    assert runs(leaving, frame, socket.PACKET_HOST) is False
