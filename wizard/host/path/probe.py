"""Walks the path of a node that does not exist, and tells what it met.

Its frames come in as if by the cluster's cable (see injection), the answers are heard where they leave (see leaving):
what stands between, whoever put it there, has its say as it has with a node's own packets.
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
"""How long each attempt waits for its answer: a machine that is busy is no machine that is broken."""
DNS_PORT = 53
_ICMP, _UNREACHABLE = 1, 3
_PORT_CLOSED = 3


@dataclass(frozen=True, slots=True)
class ReservedNode:
    """The node whose reservation is asked for; MAC and address as bytes."""

    name: str
    mac: bytes
    address: bytes


@dataclass(frozen=True, slots=True)
class ForwardPath:
    """A forward: `port` of this machine to `to_port` of a node; `source` is who asks for it. Addresses as bytes."""

    port: int
    name: str
    address: bytes
    to_port: int
    source: bytes
    neighbour_known: bool = False
    """Whether the kernel knows the node's MAC: then what reaches it leaves at once, else a question for it does."""


@dataclass(frozen=True, slots=True)
class NodePath:
    """What to walk. Addresses as bytes, b"" for none. `own` is the made-up node's.

    `corporate` is None where that NIC has no link; `asked` None while our DHCP is mute. `name` is one that our own
    dnsmasq must know as `name_is`. `outside`: whether names of others are to be asked for. `beyond` is somebody past
    the corporate NIC.
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
    passages: tuple[ForwardPath, ...]


class PathTest(Protocol):
    """One question of the walk. `settled`: nothing more is to be waited for."""

    settled: bool

    def ask(self, send: Callable[[bytes], None]) -> None: ...

    def hear_cluster(self, frame: bytes) -> None:
        """A frame that leaves by the cluster NIC."""

    def hear_corporate(self, frame: bytes, leaves: bool) -> None:
        """A frame at the corporate NIC."""

    def end(self, send: Callable[[bytes], None]) -> None:
        """Leave nothing half-open behind."""

    def found(self) -> Check: ...

    def marks(self) -> tuple[str, ...]:
        """What nft says in a packet's line of what belongs to this part, there and back."""


class _Part:
    settled = False

    def __init__(self, path: NodePath) -> None:
        self.path = path
        self.refused = ""

    def hear_cluster(self, frame: bytes) -> None: ...

    def hear_corporate(self, frame: bytes, leaves: bool) -> None: ...

    def end(self, send: Callable[[bytes], None]) -> None: ...

    def marks(self) -> tuple[str, ...]:
        return ()

    def _ends(self, to: bytes, to_port: int, port: int) -> Ends:
        path = self.path
        return Ends(path.own_mac, path.cluster.mac, path.own, to, port, to_port)


class ArpTest(_Part):
    """Is the gateway found at all?"""

    def ask(self, send: Callable[[bytes], None]) -> None:
        send(arp_request(self.path.own_mac, self.path.own, self.path.gateway))

    def hear_cluster(self, frame: bytes) -> None:
        said = parse_arp(frame)
        if said is not None and said.reply and said.ip == self.path.gateway and frame[:6] == self.path.own_mac:
            self.settled = True

    def marks(self) -> tuple[str, ...]:
        return ("arp ",)

    def found(self) -> Check:
        gateway, nic = dotted(self.path.gateway), self.path.cluster.name
        if self.settled:
            return Check("path-arp", OK, f"{gateway} is found by who is behind {nic}")
        return Check(
            "path-arp",
            FAILED,
            f"nobody behind {nic} finds {gateway}: this machine does not answer who asks for it (ARP)",
            f"Look whether {nic} has the address, and at 'nft list tables arp' and the sysctl arp_ignore.",
        )


class DhcpTest(_Part):
    """Is a node offered its address?"""

    def marks(self) -> tuple[str, ...]:
        return ("udp sport 68 udp dport 67", "udp sport 67 udp dport 68")

    def __init__(self, path: NodePath, asked: ReservedNode) -> None:
        super().__init__(path)
        self.asked, self.offered = asked, b""
        self.xid = secrets.randbits(32)

    def ask(self, send: Callable[[bytes], None]) -> None:
        frame = build_discover(self.asked.mac, self.xid, 0, wanted=IPv4Address(WALK_WISH).packed)
        # Nobody is to take it for a sign of life of that node.
        send(frame[:6] + self.path.own_mac + frame[12:])

    def hear_cluster(self, frame: bytes) -> None:
        reply = parse_reply(frame)
        if reply is not None and reply.xid == self.xid:
            self.offered, self.settled = IPv4Address(reply.offer.offered_ip).packed, True

    def found(self) -> Check:
        name, reserved, nic = self.asked.name, dotted(self.asked.address), self.path.cluster.name
        if self.offered == self.asked.address:
            return Check("path-dhcp", OK, f"{name} is offered {reserved}")
        if self.offered:
            told = f"{name} is offered {dotted(self.offered)}, and {reserved} is reserved for it"
            return Check("path-dhcp", FAILED, told, "See why in dnsmasq's log, /run/ciao-wizard/dnsmasq.log.")
        return Check("path-dhcp", FAILED, f"{name} asks for an address and is offered none by {nic}")


class DnsTest(_Part):
    """Does our dnsmasq answer, for a name of the cluster's own?"""

    part, kind = "path-dns", A

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

    def hear_cluster(self, frame: bytes) -> None:
        said = parse_segment(frame)
        if said is None:
            code = icmp_about(frame, self.path.own, self.port)
            if code is not None:
                self.refused = "closed" if code == _PORT_CLOSED else "refused"
            return
        if (said.ends.source, said.ends.to, said.ends.to_port) != (self.path.gateway, self.path.own, self.port):
            return
        answer = parse_dns_answer(said.payload)
        if answer is not None and answer.number == self.number:
            self.rcode, self.addresses, self.settled = answer.rcode, answer.addresses, True

    def marks(self) -> tuple[str, ...]:
        return (f"udp sport {self.port} udp dport {DNS_PORT}", f"udp sport {DNS_PORT} udp dport {self.port}")

    def found(self) -> Check:
        at = f"{dotted(self.path.gateway)} port {DNS_PORT}"
        if self.refused == "closed":
            return Check(
                "path-dns", FAILED, f"{at} is closed to a node's questions: nothing listens, or a rule says so"
            )
        if self.rcode is None:
            what = "is refused" if self.refused else "gets no answer"
            return Check("path-dns", FAILED, f"a node's question to {at} {what}")
        if self.rcode not in (NOERROR, NXDOMAIN):
            return Check("path-dns", FAILED, f"{at} answers {rcode_name(self.rcode)} for {self.name}", _LOG)
        if self.name_is and self.name_is not in self.addresses:
            told = f"another DNS server than ours answers at {at}: it does not know {self.name}"
            return Check("path-dns", FAILED, told, "Stop it, or bind it to its own addresses: 'ss -lnup sport = :53'.")
        return Check("path-dns", OK, f"{at} answers for {self.name}")


_LOG = f"Its log is {paths.DNS_LOG}."


class ResolverTest(DnsTest):
    """And for a name of somebody else's? What comes of it, the caller has to say: it may have no resolver at all."""

    def __init__(self, path: NodePath) -> None:
        # No cache keeps it, and every resolver has it at hand.
        super().__init__(path, "")
        self.kind = NS
        self.second = False

    def hear_cluster(self, frame: bytes) -> None:
        super().hear_cluster(frame)
        if self.settled and self.rcode not in (NOERROR, NXDOMAIN) and not self.second:
            # Some refuse just this; what does not exist anywhere (RFC 6761, 6.4) they have to say.
            self.second, self.settled = True, False
            self.name, self.kind = f"{secrets.token_hex(6)}.invalid", A
            self.number = secrets.randbits(16)
            self.ask(self._send)

    def marks(self) -> tuple[str, ...]:
        # What dnsmasq itself asks of others.
        return (*super().marks(), f"udp dport {DNS_PORT} ")

    def found(self) -> Check:
        if self.rcode is None:
            return Check("path-resolver", FAILED, "a name of others is asked for, and no answer comes")
        if self.rcode not in (NOERROR, NXDOMAIN):
            return Check("path-resolver", FAILED, f"names of others are answered with {rcode_name(self.rcode)}")
        return Check("path-resolver", OK, "names of others are answered")


class OutboundTest(_Part):
    """Does a node get out, as this machine, and its answer in?"""

    def __init__(self, path: NodePath) -> None:
        super().__init__(path)
        self.sequence, self.port = secrets.randbits(31), 32768 + secrets.randbelow(28000)
        self.left_as = b""
        self.looked_for = self.came_back = self.asked = False

    def ask(self, send: Callable[[bytes], None]) -> None:
        self.asked = True
        send(tcp(self._ends(self.path.beyond, DNS_PORT, self.port), SYN, self.sequence))

    def hear_corporate(self, frame: bytes, leaves: bool) -> None:
        said = parse_segment(frame)
        if said is None:
            arp = parse_arp(frame)
            # Somebody of us looks for who is beyond, or for the way there.
            self.looked_for = self.looked_for or (leaves and arp is not None and not arp.reply)
            return
        if leaves and said.flags & SYN and said.sequence == self.sequence:
            self.left_as = said.ends.source
        elif not leaves and self._answers(said):
            self.came_back = True

    def hear_cluster(self, frame: bytes) -> None:
        said = parse_segment(frame)
        if said is None:
            if icmp_about(frame, self.path.own, self.port) is not None:
                self.refused = "refused"
        elif (said.ends.to, said.ends.to_port) == (self.path.own, self.port) and self._answers(said):
            if self.left_as:
                self.settled = True
            elif said.flags & RST:
                self.refused = "refused"

    def _answers(self, said: Segment) -> bool:
        return bool(said.flags & ACK) and said.acknowledged == (self.sequence + 1) % (1 << 32)

    def end(self, send: Callable[[bytes], None]) -> None:
        if self.asked:
            send(tcp(self._ends(self.path.beyond, DNS_PORT, self.port), RST, (self.sequence + 1) % (1 << 32)))

    def marks(self) -> tuple[str, ...]:
        return (f"tcp sport {self.port} tcp dport {DNS_PORT}", f"tcp sport {DNS_PORT} ")

    def found(self) -> Check:
        corporate = self.path.corporate.name if self.path.corporate is not None else ""
        to = dotted(self.path.beyond)
        if self.left_as and self.left_as == self.path.own:
            told = f"what a node sends to {to} leaves {corporate} with the node's own address: NAT does not work"
            return Check("path-out", FAILED, told, "See who handles it before us: sudo nft list ruleset, postrouting.")
        if self.settled:
            return Check("path-out", OK, f"a node reaches {to} as {dotted(self.left_as)}, and hears its answer")
        if self.left_as and self.came_back:
            return Check("path-out", FAILED, f"what {to} answers a node comes in at {corporate} and goes no further")
        if self.left_as:
            told = f"a node's packets leave {corporate} as {dotted(self.left_as)}; {to} does not answer, so no further"
            return Check("path-out", OK, told)
        if self.looked_for and not self.refused:
            return Check("path-out", UNTRIED, f"not tried to its end: nobody is found at {to}, or on the way there")
        what = "is refused" if self.refused else "is dropped"
        return Check("path-out", FAILED, f"what a node sends to {to} {what} in this machine, and leaves by no cable")


class ForwardTest(_Part):
    """Does a forward lead to its node?"""

    def __init__(self, path: NodePath, passage: ForwardPath) -> None:
        super().__init__(path)
        self.passage = passage
        self.sequence = secrets.randbits(31)
        self.answered_here = self.asked = False

    def _from_office(self, flags: int, sequence: int) -> bytes:
        path, passage = self.path, self.passage
        to_mac = path.corporate.mac if path.corporate is not None else b""
        return tcp(
            Ends(path.office_mac, to_mac, passage.source, path.corporate_address, WALK_PORT, passage.port),
            flags,
            sequence,
        )

    def ask(self, send: Callable[[bytes], None]) -> None:
        self.asked = True
        send(self._from_office(SYN, self.sequence))

    def hear_cluster(self, frame: bytes) -> None:
        said = parse_segment(frame)
        if said is not None:
            at = (said.ends.to, said.ends.to_port)
            if at == (self.passage.address, self.passage.to_port) and said.sequence == self.sequence:
                self.settled = True
        elif not self.passage.neighbour_known:
            arp = parse_arp(frame)
            # The kernel looks for the node's MAC after the last filter.
            self.settled = self.settled or (arp is not None and not arp.reply and arp.target == self.passage.address)

    def hear_corporate(self, frame: bytes, leaves: bool) -> None:
        said = parse_segment(frame)
        if leaves and said is not None and said.ends.to == self.passage.source:
            here = said.ends.source_port == self.passage.port and said.ends.to_port == WALK_PORT
            self.answered_here = self.answered_here or here

    def end(self, send: Callable[[bytes], None]) -> None:
        if self.asked:
            send(self._from_office(RST, (self.sequence + 1) % (1 << 32)))

    def marks(self) -> tuple[str, ...]:
        return tuple(f"tcp sport {WALK_PORT} tcp dport {port} " for port in (self.passage.port, self.passage.to_port))

    def found(self) -> Check:
        passage, path = self.passage, self.path
        name = f"path-in-{passage.port}"
        what = f"{dotted(path.corporate_address)}:{passage.port}"
        to = f"{passage.name} ({dotted(passage.address)}:{passage.to_port})"
        if self.settled:
            return Check(name, OK, f"{what} leads to {to}")
        if self.answered_here:
            return Check(name, FAILED, f"{what} does not lead to {to}: this machine answers itself")
        return Check(name, FAILED, f"what comes for {what} is dropped in this machine, and does not get to {to}")


def dotted(address: bytes) -> str:
    return str(IPv4Address(address))


def icmp_about(frame: bytes, to: bytes, port: int) -> int | None:
    """The code of an ICMP "unreachable" to an address that is about what came from its `port`; else None."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != _ICMP or frame[30:34] != to:
        return None
    start = 14 + (frame[14] & 0x0F) * 4
    inner = frame[start + 8 :]
    if len(inner) < 28 or frame[start] != _UNREACHABLE:
        return None
    ports = (inner[0] & 0x0F) * 4
    return frame[start + 1] if int.from_bytes(inner[ports : ports + 2], "big") == port else None


def path_tests(path: NodePath) -> list[PathTest]:
    """Everything on this path but ARP, without which nothing that is meant for one machine would be answered."""
    parts: list[PathTest] = [DnsTest(path, path.name, path.name_is)]
    if path.outside:
        parts.append(ResolverTest(path))
    if path.corporate is not None:
        if path.beyond:
            parts.append(OutboundTest(path))
        if path.corporate_address:
            parts += [ForwardTest(path, passage) for passage in path.passages]
    return parts


def path_tests_named(path: NodePath, names: Collection[str]) -> list[PathTest]:
    """These parts of the path, to be tried once more."""
    dhcp: list[PathTest] = [DhcpTest(path, path.asked)] if path.asked is not None else []
    everything: list[PathTest] = [ArpTest(path), *dhcp, *path_tests(path)]
    return [part for part in everything if part.found().name in names]


def probe_path(path: NodePath, injector: Injector) -> list[Check]:
    """Ask everything; takes no time where all is well, and a few seconds where something is not.

    What was not tried has no place in the list. Raises OSError where a NIC goes meanwhile.
    """
    arp = ArpTest(path)
    dhcp: list[PathTest] = [DhcpTest(path, path.asked)] if path.asked is not None else []
    others = path_tests(path)
    try:
        run_tests([arp], path, injector)
        # Without it nobody is told an answer; DHCP's goes to everybody.
        run_tests([*dhcp, *(others if arp.settled else [])], path, injector)
    finally:
        delete_arp_entry(path.cluster.name, path.own)
    found = [part.found() for part in (arp, *dhcp)]
    if arp.settled:
        return found + [part.found() for part in others]
    return found + [
        replace(part.found(), outcome=UNTRIED, detail="not tried: nobody finds the gateway") for part in others
    ]


def run_tests(
    parts: Sequence[PathTest], path: NodePath, injector: Injector, patience: Sequence[float] = PATIENCE_S
) -> None:
    """Ask these parts, again where no answer comes, until all are settled or patience ends. Raises OSError."""
    with ExitStack() as stack:
        cluster = stack.enter_context(EgressCapture(path.cluster.name))
        corporate = None
        if path.corporate is not None:
            corporate = stack.enter_context(EgressCapture(path.corporate.name, both_ways=True))
        try:
            for seconds in patience:
                waiting = [part for part in parts if not part.settled]
                if not waiting:
                    return
                for part in waiting:
                    part.ask(injector.send)
                _listen(waiting, cluster, corporate, seconds)
        finally:
            for part in parts:
                part.end(injector.send)


def _listen(parts: Sequence[PathTest], cluster: EgressCapture, corporate: EgressCapture | None, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    sockets = [one for one in (cluster, corporate) if one is not None]
    while any(not part.settled for part in parts):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        select.select(sockets, [], [], left)
        while (heard := cluster.next()) is not None:
            for part in parts:
                part.hear_cluster(heard[0])
        while corporate is not None and (heard := corporate.next()) is not None:
            for part in parts:
                part.hear_corporate(*heard)
