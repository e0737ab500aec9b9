"""The guard's ear: hears at once what must not be on the cluster wire, between the probes.

These tell of it: a DHCP server's answer to anybody behind the cluster NIC, in pieces, to a relay or from this machine
too; a client that takes what such a server offered, which it says to everybody where the answer went past us; a router,
or a DHCPv6 server; and a mark of ours, sent out of the cluster NIC, that comes in at the corporate one: then both are
one wire. It also hears who says that he has the gateway's address, or a node's.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import secrets
import time
from collections.abc import Callable, Container, Iterator, Mapping

from netaddr import IPAddress

from wizard.deploy.guard.address_defence import AddressDefence
from wizard.host.dhcp.own_replies import OwnReplyFilter
from wizard.host.dhcp.packet import CLIENT_PORT, SERVER_PORT, Reply, chosen_server, parse_reply
from wizard.host.facts.vendors import named_mac
from wizard.host.net.adjacency import LOCAL_EXPERIMENTAL, marked_frame
from wizard.host.net.bpf import arp_from, ether_type, ipv6_routers, udp_fragments, udp_to_port
from wizard.host.net.fragments import FragmentReassembler
from wizard.host.net.frames import ARP, NOBODY, arp_request, parse_arp
from wizard.host.net.ipv6_packet import ALL_NODES_MAC, server_in
from wizard.host.net.link import LinkState
from wizard.host.net.packet_socket import PacketSocket
from wizard.plan.addresses import assign
from wizard.plan.model import Plan

MARK_EVERY_S = ASK_EVERY_S = 1.0
_MOST_AT_ONCE = 64
_ASKED_AT_ONCE = 8
_REST_S = 0.05
_ADDRESSES_AT_ONCE, _ADDRESSES_EVERY_S = 4, 8.0
_MOST_HOLDERS = 256


class LinkListener:
    """Listens behind two NICs, from when it is made until `close`. Raises OSError, NeedsRoot.

    `ours` holds the gateway's addresses, its former ones too: clients may still name those. Its Taps are for a
    select of the caller's; `hear` says what they mean. `nodes`: the plan's, MAC -> address; `node_heard` is whether
    one of them has been heard behind the cluster NIC. `gateway` is the address that `address` guards, where it is on
    the NIC already.
    """

    def __init__(
        self,
        cluster: LinkState,
        corporate: LinkState | None,
        ours: Container[IPAddress],
        nodes: Mapping[bytes, IPAddress],
        gateway: IPAddress | None = None,
    ) -> None:
        self.cluster, self.corporate, self.ours, self.nodes = cluster, corporate, ours, nodes
        self.node_heard = False
        self.gateway = gateway.packed if gateway is not None else NOBODY
        self.address = AddressDefence()
        # Whether the wire is proven to be ours, and so the address on it.
        self.may_defend = False
        # Whether the server that was heard bears the gateway's own address: the same plan, served by another laptop.
        self.same_gateway_heard = False
        self._announced = False
        self._asking = itertools.cycle(nodes.items())
        self._owners = {ip.packed: mac for mac, ip in nodes.items()}
        self._holders: dict[bytes, tuple[bytes, float]] = {}
        self._looking: Iterator[bytes] = iter(())
        self._looking_since = self._announce_again = 0.0
        self._replies, self._fragments = OwnReplyFilter(cluster.mac), FragmentReassembler()
        # Nobody else can know it: a stranger with our MAC, or a replayed old mark, is not taken for us.
        self.token = secrets.token_bytes(16)
        self.marked = self.asked = 0.0
        self._rests: dict[PacketSocket, float] = {}
        self._close = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self.answers, self.pieces, self.requests, self.routers, self.arp = (
                opened.enter_context(PacketSocket(program, outgoing=number == 0))
                for number, program in enumerate(
                    (
                        udp_to_port(CLIENT_PORT),
                        udp_fragments(),
                        udp_to_port(SERVER_PORT),
                        ipv6_routers(),
                        ether_type(ARP),
                    )
                )
            )
            self.claims = None
            if gateway is not None:
                self.claims = opened.enter_context(PacketSocket(arp_from(self.gateway)))
            for tap in (self.answers, self.pieces, self.requests, self.routers, self.arp, self.claims):
                if tap is not None:
                    tap.listen(cluster.name)
            with contextlib.suppress(OSError):
                self.routers.join(ALL_NODES_MAC)
            self.marks = None
            if corporate is not None:
                self.marks = opened.enter_context(PacketSocket(ether_type(LOCAL_EXPERIMENTAL)))
                self.marks.listen(corporate.name)
            self._close = opened.pop_all()

    def close(self) -> None:
        self._close.close()

    def is_behind(self, cluster: LinkState, corporate: LinkState | None) -> bool:
        """Whether it is these very NICs that it listens behind."""
        return _key(cluster) == _key(self.cluster) and _key(corporate) == _key(self.corporate)

    def sockets(self) -> list[PacketSocket]:
        """What to select on now: none that is flooded, for a moment."""
        return [tap for tap in self._urgent() if not self._at_rest(tap)]

    def is_throttled(self) -> bool:
        return any(self._at_rest(tap) for tap in self._urgent())

    def _urgent(self) -> list[PacketSocket]:
        # Who has a node's address can wait, and machines ask for each other all day.
        arp = None if self.node_heard else self.arp
        every = (self.answers, self.pieces, self.requests, self.routers, self.claims, arp, self.marks)
        return [tap for tap in every if tap is not None]

    def _at_rest(self, tap: PacketSocket) -> bool:
        return time.monotonic() < self._rests.get(tap, 0.0)

    def poll(self) -> tuple[str, str]:
        """What came in since the last time: a code such as "foreign-dhcp" or "one-wire", and it in words; or ("", "").

        Raises OSError where a NIC is gone.
        """
        for tap, code, judge in (
            (self.answers, "foreign-dhcp", self._foreign_server),
            (self.pieces, "foreign-dhcp", self._foreign_pieces),
            (self.requests, "foreign-dhcp", self._foreign_choice),
            (self.routers, "foreign-router", self._foreign_router),
            (self.claims, "", self._note_claim),
            (self.arp, "", self._note_arp),
            (self.marks, "one-wire", self._ourselves),
        ):
            said = self._first(tap, judge)
            if said:
                return code, said
        return "", ""

    def _first(self, tap: PacketSocket | None, judge: Callable[[bytes, bool, bool], str]) -> str:
        """What the first frame of this tap says that says anything."""
        for _ in range(_MOST_AT_ONCE if tap is not None else 0):
            heard = _next(tap) if tap is not None else None
            if heard is None:
                return ""
            frame, vlan, ours = heard
            said = judge(frame, vlan is not None, ours)
            if said:
                return said
        if tap is not None:
            # A flood must not keep the guard from its work; what the kernel cannot keep is lost, and probes tell.
            self._rests[tap] = time.monotonic() + _REST_S
        return ""

    def send_mark(self) -> None:
        """Send the mark, once in a while. Raises OSError."""
        now = time.monotonic()
        if self.marks is None or now - self.marked < MARK_EVERY_S:
            return
        self.marked = now
        try:
            self.answers.send(marked_frame(self.cluster.mac, self.token, serving=self.may_defend))
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise

    def probe_nodes(self, sender: bytes) -> None:
        """Ask the next few of the plan's nodes for a sign of life, once in a while, until one was heard.

        Each is asked at its own MAC, so that nobody else learns anything. `sender` is the gateway's address where
        that is on this NIC already, else NOBODY: a node that is just taking its address up then thinks it taken.
        """
        now = time.monotonic()
        if self.node_heard or now - self.asked < ASK_EVERY_S:
            return
        self.asked = now
        for mac, address in itertools.islice(self._asking, min(_ASKED_AT_ONCE, len(self.nodes))):
            with contextlib.suppress(OSError):
                self.answers.send(arp_request(self.cluster.mac, sender, address.packed, mac))

    def probe_addresses(self) -> None:
        """On our own wire: ask everybody who has the plan's addresses, a few at a time; say again that ours is ours.

        Only where the gateway's address is on this NIC: it is the sender's.
        """
        now = time.monotonic()
        with contextlib.suppress(OSError):
            if self.may_defend and not self._announced:
                # Nodes may know whoever had it before, or us behind another port of the switch.
                self._announced, self._announce_again = True, now + 2 * ASK_EVERY_S
                self._announce()
            if self._announce_again and now >= self._announce_again:
                self._announce_again = 0.0
                self._announce()
            if self.address.probe_is_due(now):
                self.answers.send(arp_request(self.cluster.mac, NOBODY, self.gateway))
            if not self.may_defend or now - self.asked < ASK_EVERY_S:
                return
            self.asked = now
            if now - self._looking_since > _ADDRESSES_EVERY_S:
                self._looking, self._looking_since = iter(tuple(self._owners)), now
                self.answers.send(arp_request(self.cluster.mac, NOBODY, self.gateway))
            for address in itertools.islice(self._looking, _ADDRESSES_AT_ONCE):
                self._looking_since = now
                self.answers.send(arp_request(self.cluster.mac, self.gateway, address))

    def address_conflicts(self) -> list[tuple[bytes, bytes, bytes]]:
        """(address, node's MAC, MAC of the other machine that has it) of each address that is not its node's alone."""
        # Whoever still has it answers within two rounds of asking.
        heard_since = time.monotonic() - 2 * (_ADDRESSES_EVERY_S + ASK_EVERY_S * len(self.nodes) / _ADDRESSES_AT_ONCE)
        self._holders = {ip: held for ip, held in self._holders.items() if held[1] > heard_since}
        return [(ip, self._owners[ip], mac) for ip, (mac, _) in sorted(self._holders.items())]

    def _foreign_server(self, frame: bytes, _tagged: bool, ours: bool) -> str:
        if ours:
            return self._server_here(frame, self._replies.record(frame))
        return self._foreign_reply(self._replies.parse_foreign(frame), frame)

    def _foreign_pieces(self, frame: bytes, _tagged: bool, _ours: bool) -> str:
        whole = self._fragments.add(frame)
        return self._foreign_reply(self._replies.parse_foreign(whole), whole) if whole is not None else ""

    def _foreign_reply(self, reply: Reply | None, frame: bytes) -> str:
        if reply is None or not reply.decides:
            return ""
        offer = reply.offer
        self.same_gateway_heard = self.gateway != NOBODY and offer.server_id == str(
            IPAddress(int.from_bytes(self.gateway, "big"))
        )
        mac = f"{offer.source_mac}, which is this NIC's own" if frame[6:12] == self.cluster.mac else offer.source_mac
        relayed = f", through relay {offer.relay}," if offer.relay else ""
        return f"{offer.server_id or offer.source_ip} ({mac}){relayed} answered a client there"

    def _server_here(self, frame: bytes, reply: Reply | None) -> str:
        """Another server of this very machine: ours answers by no other name and from no other MAC."""
        if reply is None or not reply.decides:
            return ""
        name = reply.offer.server_id
        if frame[6:12] == self.cluster.mac and (not name or IPAddress(name) in self.ours):
            return ""
        return f"another DHCP server on this machine, {name or reply.offer.source_ip}, answered a client there"

    def _foreign_router(self, frame: bytes, tagged: bool, _ours: bool) -> str:
        speaker = server_in(frame)
        if speaker is None or tagged or frame[6:12] == self.cluster.mac or frame[6:12] in self.nodes:
            return ""
        what = "IPv6 router" if speaker.router else "DHCPv6 server"
        return f"the {what} {speaker.ip} ({named_mac(speaker.mac)}) speaks there"

    def _note_claim(self, frame: bytes, tagged: bool, _ours: bool) -> str:
        said = parse_arp(frame)
        if said is None or tagged or said.mac == self.cluster.mac or said.ip != self.gateway:
            return ""
        now = time.monotonic()
        if self.address.note_claim(said.mac.hex(":"), now, self.may_defend):
            self._announce_again = now + 2 * ASK_EVERY_S
            with contextlib.suppress(OSError):
                self._announce()
        return ""

    def address_is_over(self) -> bool:
        """Whether a conflict about the gateway's address has just ended; everybody is told that it is ours."""
        over = self.address.is_over(time.monotonic())
        if over:
            with contextlib.suppress(OSError):
                self._announce()
        return over

    def _announce(self) -> None:
        self.answers.send(arp_request(self.cluster.mac, self.gateway, self.gateway))

    def _note_arp(self, frame: bytes, tagged: bool, _ours: bool) -> str:
        said = parse_arp(frame)
        if said is None or tagged:
            return ""
        if said.mac == frame[6:12]:
            # At its own address: one that was taken to another network has one of that.
            node = self.nodes.get(said.mac)
            self.node_heard = self.node_heard or (node is not None and node.packed == said.ip)
        owner = self._owners.get(said.ip)
        if owner is not None and said.mac not in (owner, self.cluster.mac) and len(self._holders) < _MOST_HOLDERS:
            self._holders[said.ip] = said.mac, time.monotonic()
        return ""

    def _foreign_choice(self, frame: bytes, tagged: bool, _ours: bool) -> str:
        # What comes with the tag of a VLAN is another network's, whose trunk this may be.
        self.node_heard = self.node_heard or (frame[6:12] in self.nodes and not tagged)
        if frame[6:12] != self.cluster.mac:
            relayed = self._foreign_reply(parse_reply(frame, SERVER_PORT), frame)
            if relayed:
                return relayed
        server = chosen_server(frame)
        if not server or IPAddress(server) in self.ours:
            return ""
        return f"a client there took the address that {server} offered: a DHCP server that answered it"

    def _ourselves(self, frame: bytes, _tagged: bool, _ours: bool) -> str:
        return "what leaves it comes in at the corporate NIC" if self.token in frame else ""


def nodes_by_mac(plan: Plan) -> dict[bytes, IPAddress]:
    """The plan's nodes as an Ear takes them."""
    return {node.mac.packed: node.ip for node in assign(plan).nodes if node.ip is not None}


def _key(link: LinkState | None) -> tuple[int, str, bytes] | None:
    return (link.index, link.name, link.mac) if link is not None else None


def _next(tap: PacketSocket) -> tuple[bytes, int | None, bool] | None:
    """The next frame that is there already, its VLAN, and whether it left. Raises OSError where the NIC is gone."""
    try:
        return tap.receive_any(0)
    except OSError as error:
        # Told once when a NIC goes down; when it comes up again the kernel has us hear again.
        if error.errno == errno.ENETDOWN:
            return None
        raise
