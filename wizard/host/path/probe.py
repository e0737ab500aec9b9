"""Probes the path of a node's packets, in the name of a node that does not exist.

Its frames enter as if by the cluster's cable (see `injection`), and the answers are captured where they leave (see
`egress`). So they pass every packet filter in between, whoever loaded it, as a node's own packets do.
"""

from __future__ import annotations

import secrets
import select
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Protocol

from wizard.host.dhcp.packet import WALK_WISH, build_discover, parse_reply
from wizard.host.net.frames import arp_request, parse_arp
from wizard.host.net.link import LinkState
from wizard.host.path.egress import EgressCapture
from wizard.host.path.injection import Injector, delete_arp_entry
from wizard.host.path.packets import (
    ACK,
    NOERROR,
    NS,
    NXDOMAIN,
    RST,
    SYN,
    A,
    Ends,
    Segment,
    dns_query,
    parse_dns_answer,
    parse_segment,
    rcode_name,
    tcp,
    udp,
)
from wizard.plan import paths
from wizard.plan.checks import FAILED, OK, UNTRIED, Check
from wizard.plan.render import WALK_PORT

PATIENCE_S = (0.4, 0.9, 1.4)
"""How long each attempt waits for its answer, in seconds: a busy machine is not a broken one."""
DNS_PORT = 53
_ICMP, _UNREACHABLE = 1, 3
_NO_HOST, _PORT_CLOSED = 1, 3


@dataclass(frozen=True, slots=True)
class ReservedNode:
    """The node whose reservation is tested; MAC (six bytes) and address (four)."""

    name: str
    mac: bytes
    address: bytes


@dataclass(frozen=True, slots=True)
class ForwardPath:
    """A forward: `port` of this machine to `to_port` of a node; `source` is the client. Addresses are four bytes."""

    port: int
    name: str
    address: bytes
    to_port: int
    source: bytes
    neighbour_known: bool = False
    """Whether the kernel knows the node's MAC. If not, an ARP request leaves instead of the forwarded packet."""


@dataclass(frozen=True, slots=True)
class NodePath:
    """What to probe. Addresses are four bytes, b"" for none. `own` and `own_mac` are the made-up node's.

    `corporate` is None if that NIC has no link; `asked` is None while our DHCP is mute. `name` is one that our own
    dnsmasq must resolve to `name_is`. `outside`: whether to resolve a name outside the cluster. `beyond` is a host
    behind the corporate NIC, and `office_mac` the made-up machine that uses the forwards.
    """

    cluster: LinkState
    corporate: LinkState | None
    gateway: bytes
    own: bytes
    own_mac: bytes
    office_mac: bytes
    corporate_address: bytes
    asked: ReservedNode | None
    name: str
    name_is: bytes
    outside: bool
    beyond: bytes
    forwards: tuple[ForwardPath, ...]
    next_hop: bytes = b""
    """The router on the way to `beyond`, b"" where that is on the corporate wire."""


class PathTest(Protocol):
    """One test of a path. `settled`: it waits for no more frames."""

    settled: bool

    def ask(self, send: Callable[[bytes], None]) -> None: ...

    def read_cluster_frame(self, frame: bytes) -> None:
        """Take a frame that leaves by the cluster NIC."""

    def read_corporate_frame(self, frame: bytes, leaves: bool) -> None:
        """Take a frame at the corporate NIC. `leaves`: it goes out, else it came in."""

    def close(self, send: Callable[[bytes], None]) -> None:
        """Reset a connection that the test left half-open."""

    def result(self) -> Check: ...

    def trace_patterns(self) -> tuple[str, ...]:
        """Parts of nft's trace line by which to know this test's packets, both ways."""


class _PathTestBase:
    settled = False

    def __init__(self, path: NodePath) -> None:
        self.path = path
        self.refused = ""

    def read_cluster_frame(self, frame: bytes) -> None: ...

    def read_corporate_frame(self, frame: bytes, leaves: bool) -> None: ...

    def close(self, send: Callable[[bytes], None]) -> None: ...

    def trace_patterns(self) -> tuple[str, ...]:
        return ()

    def _ends(self, to: bytes, to_port: int, port: int) -> Ends:
        path = self.path
        return Ends(path.own_mac, path.cluster.mac, path.own, to, port, to_port)


class ArpTest(_PathTestBase):
    """Does the gateway answer ARP?"""

    def ask(self, send: Callable[[bytes], None]) -> None:
        send(arp_request(self.path.own_mac, self.path.own, self.path.gateway))

    def read_cluster_frame(self, frame: bytes) -> None:
        arp = parse_arp(frame)
        if arp is not None and arp.reply and arp.ip == self.path.gateway and frame[:6] == self.path.own_mac:
            self.settled = True

    def trace_patterns(self) -> tuple[str, ...]:
        return ("arp ",)

    def result(self) -> Check:
        gateway, nic = dotted(self.path.gateway), self.path.cluster.name
        if self.settled:
            return Check("path-arp", OK, f"machines behind {nic} find {gateway}")
        return Check(
            "path-arp",
            FAILED,
            f"no machine behind {nic} finds {gateway}: this machine does not answer ARP for it",
            f"Check that {nic} has the address, 'nft list tables arp', and the sysctl arp_ignore.",
        )


class DhcpTest(_PathTestBase):
    """Is a node offered its reserved address?"""

    def trace_patterns(self) -> tuple[str, ...]:
        return ("udp sport 68 udp dport 67", "udp sport 67 udp dport 68")

    def __init__(self, path: NodePath, asked: ReservedNode) -> None:
        super().__init__(path)
        self.asked, self.offered = asked, b""
        self.xid = secrets.randbits(32)

    def ask(self, send: Callable[[bytes], None]) -> None:
        frame = build_discover(self.asked.mac, self.xid, 0, wanted=IPv4Address(WALK_WISH).packed)
        # From our made-up MAC: nobody may take it for a sign of life of that node.
        send(frame[:6] + self.path.own_mac + frame[12:])

    def read_cluster_frame(self, frame: bytes) -> None:
        reply = parse_reply(frame)
        if reply is not None and reply.xid == self.xid:
            self.offered, self.settled = IPv4Address(reply.offer.offered_ip).packed, True

    def result(self) -> Check:
        name, reserved, nic = self.asked.name, dotted(self.asked.address), self.path.cluster.name
        if self.offered == self.asked.address:
            return Check("path-dhcp", OK, f"{name} is offered {reserved}")
        if self.offered:
            detail = f"{name} is offered {dotted(self.offered)}, and {reserved} is reserved for it"
            return Check("path-dhcp", FAILED, detail, "See why in dnsmasq's log, /run/ciao-wizard/dnsmasq.log.")
        return Check("path-dhcp", FAILED, f"{name} asks for an address, and {nic} offers none")


class DnsTest(_PathTestBase):
    """Does our dnsmasq resolve a name of the cluster?"""

    kind = A

    def __init__(self, path: NodePath, name: str, name_is: bytes = b"") -> None:
        super().__init__(path)
        self.name, self.name_is = name, name_is
        self.number, self.port = secrets.randbits(16), 32768 + secrets.randbelow(28000)
        self.rcode: int | None = None
        self.addresses: tuple[bytes, ...] = ()

    def ask(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        asked = dns_query(self.number, self.name, self.kind)
        send(udp(self._ends(self.path.gateway, DNS_PORT, self.port), asked))

    def read_cluster_frame(self, frame: bytes) -> None:
        segment = parse_segment(frame)
        if segment is None:
            code = icmp_about(frame, self.path.own, self.port)
            if code is not None:
                self.refused = "closed" if code == _PORT_CLOSED else "refused"
            return
        if (segment.ends.source, segment.ends.to, segment.ends.to_port) != (
            self.path.gateway,
            self.path.own,
            self.port,
        ):
            return
        answer = parse_dns_answer(segment.payload)
        if answer is not None and answer.number == self.number:
            self.rcode, self.addresses, self.settled = answer.rcode, answer.addresses, True

    def trace_patterns(self) -> tuple[str, ...]:
        return (f"udp sport {self.port} udp dport {DNS_PORT}", f"udp sport {DNS_PORT} udp dport {self.port}")

    def result(self) -> Check:
        at = f"{dotted(self.path.gateway)} port {DNS_PORT}"
        if self.refused == "closed":
            return Check(
                "path-dns",
                FAILED,
                f"{at} is closed to a node's questions: nothing listens there, or a rule rejects them",
            )
        if self.rcode is None:
            what = "is refused" if self.refused else "gets no answer"
            return Check("path-dns", FAILED, f"a node's question to {at} {what}")
        if self.rcode not in (NOERROR, NXDOMAIN):
            return Check("path-dns", FAILED, f"{at} answers {rcode_name(self.rcode)} for {self.name}", _LOG)
        if self.name_is and self.name_is not in self.addresses:
            detail = f"another DNS server than ours answers at {at}: it does not know {self.name}"
            return Check(
                "path-dns", FAILED, detail, "Stop it, or bind it to its own addresses: 'ss -lnup sport = :53'."
            )
        return Check("path-dns", OK, f"{at} answers for {self.name}")


_LOG = f"Its log is {paths.DNS_LOG}."


class ResolverTest(DnsTest):
    """Does it resolve other names? A failure may be in order: the caller knows whether there is a resolver at all."""

    def __init__(self, path: NodePath) -> None:
        # The root's name servers: every resolver has them at hand.
        super().__init__(path, "")
        self.kind = NS
        self.second = False

    def read_cluster_frame(self, frame: bytes) -> None:
        super().read_cluster_frame(frame)
        if self.settled and self.rcode not in (NOERROR, NXDOMAIN) and not self.second:
            # Some refuse only this one. That a name in .invalid does not exist, each must answer (RFC 6761, 6.4).
            self.second, self.settled = True, False
            self.name, self.kind = f"{secrets.token_hex(6)}.invalid", A
            self.number = secrets.randbits(16)
            self.ask(self._send)

    def trace_patterns(self) -> tuple[str, ...]:
        # Also what dnsmasq itself sends to its resolvers.
        return (*super().trace_patterns(), f"udp dport {DNS_PORT} ")

    def result(self) -> Check:
        if self.rcode is None:
            return Check("path-resolver", FAILED, "a node asks for a name outside the cluster, and gets no answer")
        if self.rcode not in (NOERROR, NXDOMAIN):
            return Check(
                "path-resolver", FAILED, f"names outside the cluster are answered with {rcode_name(self.rcode)}"
            )
        return Check("path-resolver", OK, "names outside the cluster are answered")


class OutboundTest(_PathTestBase):
    """Do a node's packets leave with this machine's address, and do the answers reach it?"""

    def __init__(self, path: NodePath) -> None:
        super().__init__(path)
        self.sequence, self.port = secrets.randbits(31), 32768 + secrets.randbelow(28000)
        self.left_as = b""
        self.looked_for = self.came_back = self.asked = False
        self.next_hop = path.next_hop or path.beyond

    def ask(self, send: Callable[[bytes], None]) -> None:
        self.asked = True
        send(tcp(self._ends(self.path.beyond, DNS_PORT, self.port), SYN, self.sequence))

    def read_corporate_frame(self, frame: bytes, leaves: bool) -> None:
        segment = parse_segment(frame)
        if segment is None:
            arp = parse_arp(frame)
            # The kernel asks for the MAC of the target or of the router to it, for other packets than ours too: once it
            # is answered, ours should have left.
            if arp is not None and leaves and not arp.reply and arp.target == self.next_hop:
                self.looked_for = True
            elif arp is not None and not leaves and arp.ip == self.next_hop:
                self.looked_for = False
            return
        if leaves and segment.flags & SYN and segment.sequence == self.sequence:
            self.left_as = segment.ends.source
        elif not leaves and self._is_answer(segment):
            self.came_back = True

    def read_cluster_frame(self, frame: bytes) -> None:
        segment = parse_segment(frame)
        if segment is None:
            code = icmp_about(frame, self.path.own, self.port)
            if code is not None:
                # What the kernel says too once it has given up asking for the next hop.
                self.refused = "no host" if code == _NO_HOST else "refused"
        elif (segment.ends.to, segment.ends.to_port) == (self.path.own, self.port) and self._is_answer(segment):
            if self.left_as:
                self.settled = True
            elif segment.flags & RST:
                self.refused = "refused"

    def _is_answer(self, segment: Segment) -> bool:
        return bool(segment.flags & ACK) and segment.acknowledged == (self.sequence + 1) % (1 << 32)

    def close(self, send: Callable[[bytes], None]) -> None:
        if self.asked:
            send(tcp(self._ends(self.path.beyond, DNS_PORT, self.port), RST, (self.sequence + 1) % (1 << 32)))

    def trace_patterns(self) -> tuple[str, ...]:
        return (f"tcp sport {self.port} tcp dport {DNS_PORT}", f"tcp sport {DNS_PORT} ")

    def result(self) -> Check:
        corporate = self.path.corporate.name if self.path.corporate is not None else ""
        to = dotted(self.path.beyond)
        if self.left_as and self.left_as == self.path.own:
            detail = f"what a node sends to {to} leaves {corporate} with the node's own address: NAT does not work"
            return Check(
                "path-out", FAILED, detail, "See who handles it before us: sudo nft list ruleset, postrouting."
            )
        if self.settled:
            return Check("path-out", OK, f"a node reaches {to} as {dotted(self.left_as)}, and gets its answer")
        if self.left_as and self.came_back:
            return Check("path-out", FAILED, f"what {to} answers a node arrives at {corporate} and goes no further")
        if self.left_as:
            left_as = dotted(self.left_as)
            detail = f"a node's packets leave {corporate} as {left_as}; {to} does not answer: the way back is not tried"
            return Check("path-out", OK, detail)
        if self.looked_for and self.refused != "refused":
            hop = dotted(self.next_hop)
            silent = f"{hop} does not answer ARP on {corporate}"
            remedy = f"Look at the cable of {corporate}, and whether {hop} is up."
            if self.refused:
                return Check("path-out", FAILED, f"what a node sends to {to} gets nowhere: {silent}", remedy)
            return Check("path-out", UNTRIED, f"not fully tried: {silent}", remedy)
        what = "is refused" if self.refused else "is dropped"
        return Check("path-out", FAILED, f"what a node sends to {to} {what} in this machine, and never leaves it")


class ForwardTest(_PathTestBase):
    """Does a forward reach its node?"""

    def __init__(self, path: NodePath, forward: ForwardPath) -> None:
        super().__init__(path)
        self.forward = forward
        self.sequence = secrets.randbits(31)
        self.answered_here = self.asked = False

    def _from_office(self, flags: int, sequence: int) -> bytes:
        path, forward = self.path, self.forward
        # A tunnel has none, and takes the packet without it.
        to_mac = (path.corporate.mac if path.corporate is not None else b"") or bytes(6)
        return tcp(
            Ends(path.office_mac, to_mac, forward.source, path.corporate_address, WALK_PORT, forward.port),
            flags,
            sequence,
        )

    def ask(self, send: Callable[[bytes], None]) -> None:
        self.asked = True
        send(self._from_office(SYN, self.sequence))

    def read_cluster_frame(self, frame: bytes) -> None:
        segment = parse_segment(frame)
        if segment is not None:
            at = (segment.ends.to, segment.ends.to_port)
            if at == (self.forward.address, self.forward.to_port) and segment.sequence == self.sequence:
                self.settled = True
        elif not self.forward.neighbour_known:
            arp = parse_arp(frame)
            # The kernel asks for the node's MAC only after the last filter.
            self.settled = self.settled or (arp is not None and not arp.reply and arp.target == self.forward.address)

    def read_corporate_frame(self, frame: bytes, leaves: bool) -> None:
        segment = parse_segment(frame)
        if leaves and segment is not None and segment.ends.to == self.forward.source:
            here = segment.ends.source_port == self.forward.port and segment.ends.to_port == WALK_PORT
            self.answered_here = self.answered_here or here

    def close(self, send: Callable[[bytes], None]) -> None:
        if self.asked:
            send(self._from_office(RST, (self.sequence + 1) % (1 << 32)))

    def trace_patterns(self) -> tuple[str, ...]:
        return tuple(f"tcp sport {WALK_PORT} tcp dport {port} " for port in (self.forward.port, self.forward.to_port))

    def result(self) -> Check:
        forward, path = self.forward, self.path
        name = f"path-in-{forward.port}"
        what = f"{dotted(path.corporate_address)}:{forward.port}"
        to = f"{forward.name} ({dotted(forward.address)}:{forward.to_port})"
        if self.settled:
            return Check(name, OK, f"{what} leads to {to}")
        if self.answered_here:
            return Check(name, FAILED, f"{what} does not lead to {to}: this machine answers itself")
        return Check(name, FAILED, f"what comes for {what} is dropped in this machine, and does not get to {to}")


def dotted(address: bytes) -> str:
    return str(IPv4Address(address))


def icmp_about(frame: bytes, to: bytes, port: int) -> int | None:
    """The code of an ICMP "unreachable" to the address `to` about a packet from its `port`; else None."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != _ICMP or frame[30:34] != to:
        return None
    start = 14 + (frame[14] & 0x0F) * 4
    inner = frame[start + 8 :]
    if len(inner) < 28 or frame[start] != _UNREACHABLE:
        return None
    ports = (inner[0] & 0x0F) * 4
    return frame[start + 1] if int.from_bytes(inner[ports : ports + 2], "big") == port else None


def path_tests(path: NodePath) -> list[PathTest]:
    """All tests of this path but ARP and DHCP: without ARP no unicast answer arrives."""
    tests: list[PathTest] = [DnsTest(path, path.name, path.name_is)]
    if path.outside:
        tests.append(ResolverTest(path))
    if path.corporate is not None:
        if path.beyond:
            tests.append(OutboundTest(path))
        if path.corporate_address:
            tests += [ForwardTest(path, forward) for forward in path.forwards]
    return tests


def path_tests_named(path: NodePath, names: Collection[str]) -> list[PathTest]:
    """The tests whose results have these names, fresh."""
    dhcp: list[PathTest] = [DhcpTest(path, path.asked)] if path.asked is not None else []
    everything: list[PathTest] = [ArpTest(path), *dhcp, *path_tests(path)]
    return [test for test in everything if test.result().name in names]


def probe_path(path: NodePath, injector: Injector) -> list[Check]:
    """Run all tests. At once if all is well, a few seconds if something is not.

    A test that does not apply to this path is not in the list. Raises OSError if a NIC disappears.
    """
    arp = ArpTest(path)
    dhcp: list[PathTest] = [DhcpTest(path, path.asked)] if path.asked is not None else []
    others = path_tests(path)
    try:
        run_tests([arp], path, injector)
        # Without ARP no answer arrives, but DHCP's: that is broadcast.
        run_tests([*dhcp, *(others if arp.settled else [])], path, injector)
    finally:
        delete_arp_entry(path.cluster.name, path.own)
    found = [test.result() for test in (arp, *dhcp)]
    if arp.settled:
        return found + [test.result() for test in others]
    return found + [
        replace(test.result(), outcome=UNTRIED, detail="not tried: no machine finds the gateway") for test in others
    ]


def run_tests(
    tests: Sequence[PathTest], path: NodePath, injector: Injector, patience: Sequence[float] = PATIENCE_S
) -> None:
    """Run these tests until all are settled, one attempt for each of `patience` (seconds). Raises OSError."""
    with ExitStack() as stack:
        cluster = stack.enter_context(EgressCapture(path.cluster.name))
        corporate = None
        if path.corporate is not None:
            nic = path.corporate
            corporate = stack.enter_context(EgressCapture(nic.name, both_ways=True, ethernet=nic.ethernet))
        try:
            for seconds in patience:
                waiting = [test for test in tests if not test.settled]
                if not waiting:
                    return
                for test in waiting:
                    test.ask(injector.send)
                _listen(waiting, cluster, corporate, seconds)
        finally:
            for test in tests:
                test.close(injector.send)


def _listen(tests: Sequence[PathTest], cluster: EgressCapture, corporate: EgressCapture | None, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    sockets = [one for one in (cluster, corporate) if one is not None]
    while any(not test.settled for test in tests):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        select.select(sockets, [], [], left)
        while (heard := cluster.next()) is not None:
            for test in tests:
                test.read_cluster_frame(heard[0])
        while corporate is not None and (heard := corporate.next()) is not None:
            for test in tests:
                test.read_corporate_frame(*heard)
