"""The link listener: packet sockets that detect between the probes what must not be on the cluster wire.

`wire_watch.WireWatch` polls one in the guard's main thread; an apply's step "wires" opens another while it probes.

It reports: a DHCP server's reply to anybody behind the cluster NIC, also in fragments, to a relay or from this machine;
a client's broadcast that accepts such a server's offer, where the reply itself went past us; an IPv6 router or a DHCPv6
server; the mark of another gateway that serves there; and our own mark, sent out of the cluster NIC, received at
another one: then both are one wire. It also notes who claims the gateway's address by ARP, or a node's.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import secrets
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

from netaddr import IPAddress

from wizard.deploy.guard.address_defence import AddressDefence
from wizard.host.dhcp.own_replies import OwnReplyFilter
from wizard.host.dhcp.packet import CLIENT_PORT, SERVER_PORT, Reply, chosen_server, parse_reply
from wizard.host.facts.vendors import named_mac
from wizard.host.net.adjacency import LOCAL_EXPERIMENTAL, is_serving_marker, marked_frame
from wizard.host.net.bpf import arp_from, ether_type, ipv6_routers, udp_fragments, udp_to_port
from wizard.host.net.fragments import FragmentReassembler
from wizard.host.net.frames import ARP, NOBODY, arp_request, parse_arp
from wizard.host.net.ipv6_packet import ALL_NODES_MAC, server_in
from wizard.host.net.link import LinkState
from wizard.host.net.packet_socket import PacketSocket
from wizard.plan.addresses import assign
from wizard.plan.model import Plan

MARK_EVERY_S = ARP_EVERY_S = 1.0
_MAX_FRAMES_PER_POLL = 64
_NODES_PER_PROBE = 8
_THROTTLE_S = 0.05
_ADDRESSES_AT_ONCE, _ADDRESSES_EVERY_S = 4, 8.0
_MAX_HOLDERS = 256
_NEWCOMER_S = 60.0
ANOTHER_GATEWAY = "another-gateway"

_Key = tuple[int, str, bytes]
"""A NIC by its index, name and MAC."""


class LinkListener:
    """Listens from its construction until `close`. Raises OSError, NeedsRoot.

    `others`: Ethernet NICs whose wire must be another one than the cluster's; one that is gone is left out.

    `ours`: the gateway's addresses, former ones too, since clients may still name those. `nodes`: the plan's,
    MAC -> address; `node_heard` is True once one of them was heard behind the cluster NIC. `gateway`: the address that
    `address` defends, given where it is on the NIC already.

    The caller selects on `sockets` and calls `poll`.
    """

    def __init__(
        self,
        cluster: LinkState,
        others: Sequence[LinkState],
        ours: Container[IPAddress],
        nodes: Mapping[bytes, IPAddress],
        gateway: IPAddress | None = None,
    ) -> None:
        self.cluster, self.ours, self.nodes = cluster, ours, nodes
        self.node_heard = False
        self.gateway = gateway.packed if gateway is not None else NOBODY
        self.address = AddressDefence()
        # True while the wire is proven, and with it the right to the gateway's address.
        self.may_defend = False
        # True once a server with the gateway's own address was heard: another laptop serves the same plan.
        self.same_gateway_heard = False
        self._announced = False
        self._next_nodes = itertools.cycle(nodes.items())
        self._owners: dict[bytes, set[bytes]] = {}
        for mac, ip in nodes.items():
            self._owners.setdefault(ip.packed, set()).add(mac)
        self._holders: dict[bytes, tuple[bytes, float]] = {}
        self._next_addresses: Iterator[bytes] = iter(())
        self._round_began_at = self._announce_again_at = 0.0
        self._replies, self._reassembler = OwnReplyFilter(cluster.mac), FragmentReassembler()
        # Secret: another machine with our MAC, or a replayed old mark, is not taken for ours.
        self.token = secrets.token_bytes(16)
        self.mark_sent_at = self.arp_sent_at = 0.0
        self._opened_at = time.monotonic()
        self._throttled_until: dict[PacketSocket, float] = {}
        self._close = contextlib.ExitStack()
        self._marks: dict[_Key, tuple[PacketSocket, contextlib.ExitStack]] = {}
        with contextlib.ExitStack() as opened:
            self.answers, self.fragments, self.requests, self.routers, self.arp = (
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
            for sock in (self.answers, self.fragments, self.requests, self.routers, self.arp, self.claims):
                if sock is not None:
                    sock.listen(cluster.name)
            with contextlib.suppress(OSError):
                self.routers.join(ALL_NODES_MAC)
            self.others_marks = self._listen_for_marks(cluster, opened)
            self._close = opened.pop_all()
        self.follow(others)

    def close(self) -> None:
        self._close.close()
        self.follow(())

    def is_behind(self, cluster: LinkState) -> bool:
        """Whether it listens on this cluster NIC, by index, name and MAC."""
        return _key(cluster) == _key(self.cluster)

    def follow(self, others: Sequence[LinkState]) -> None:
        """Listen for our mark on these NICs from now on; what was heard on the cluster NIC holds. Never raises."""
        wanted = {_key(nic): nic for nic in others}
        for key in [key for key in self._marks if key not in wanted]:
            self._marks.pop(key)[1].close()
        for key, nic in wanted.items():
            if key not in self._marks:
                with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
                    marks = self._listen_for_marks(nic, opened)
                    self._marks[key] = marks, opened.pop_all()

    @staticmethod
    def _listen_for_marks(nic: LinkState, opened: contextlib.ExitStack) -> PacketSocket:
        marks = opened.enter_context(PacketSocket(ether_type(LOCAL_EXPERIMENTAL)))
        marks.listen(nic.name)
        return marks

    def sockets(self) -> list[PacketSocket]:
        """The sockets to select on now; a flooded one is left out for 50 ms."""
        return [sock for sock in self._urgent() if not self._is_flooded(sock)]

    def is_throttled(self) -> bool:
        return any(self._is_flooded(sock) for sock in self._urgent())

    def _urgent(self) -> list[PacketSocket]:
        # ARP is frequent, and a conflict about a node's address can wait for the next tick.
        arp = None if self.node_heard else self.arp
        every = (
            self.answers,
            self.fragments,
            self.requests,
            self.routers,
            self.claims,
            arp,
            *(marks for marks, _ in self._marks.values()),
            self.others_marks,
        )
        return [sock for sock in every if sock is not None]

    def _is_flooded(self, sock: PacketSocket) -> bool:
        return time.monotonic() < self._throttled_until.get(sock, 0.0)

    def poll(self) -> tuple[str, str]:
        """Read the frames that came in since the last call.

        Returns the code of the first that must not be there ("foreign-dhcp", "foreign-router", "one-wire",
        "another-gateway") and a
        description for people, or ("", ""). Raises OSError where a NIC is gone.
        """
        for sock, code, describe in (
            (self.answers, "foreign-dhcp", self._foreign_server),
            (self.fragments, "foreign-dhcp", self._foreign_fragment),
            (self.requests, "foreign-dhcp", self._foreign_choice),
            (self.routers, "foreign-router", self._foreign_router),
            (self.claims, "", self._note_claim),
            (self.arp, "", self._note_arp),
            (self.others_marks, ANOTHER_GATEWAY, self._others_mark),
        ):
            detail = self._first_finding(sock, describe)
            if detail:
                return code, detail
        return self._heard_elsewhere()

    def _heard_elsewhere(self) -> tuple[str, str]:
        """Whether our own mark came in by one of the other NICs: a code and a description, or ("", "")."""
        for key, (marks, opened) in list(self._marks.items()):
            try:
                if self._first_finding(marks, self._own_mark):
                    return "one-wire", f"what leaves it comes in at {key[1]} too"
            except OSError:
                # That NIC is gone; the next `follow` leaves it out, or listens on it anew.
                del self._marks[key]
                opened.close()
        return "", ""

    def _first_finding(self, sock: PacketSocket | None, describe: Callable[[bytes, bool, bool], str]) -> str:
        """The first description that `describe` returns for a frame of this socket, or ""; reads 64 frames at most."""
        for _ in range(_MAX_FRAMES_PER_POLL if sock is not None else 0):
            received = _next_frame(sock) if sock is not None else None
            if received is None:
                return ""
            frame, vlan, ours = received
            detail = describe(frame, vlan is not None, ours)
            if detail:
                return detail
        if sock is not None:
            # A flood must not stall the guard. Frames that overflow the socket are lost; the probes make up for them.
            self._throttled_until[sock] = time.monotonic() + _THROTTLE_S
        return ""

    def send_mark(self) -> None:
        """Send the marked frame out of the cluster NIC, at most once a second. Raises OSError."""
        now = time.monotonic()
        if now - self.mark_sent_at < MARK_EVERY_S:
            return
        self.mark_sent_at = now
        try:
            self.answers.send(marked_frame(self.cluster.mac, self.token, serving=self.may_defend))
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise

    def probe_nodes(self, sender: bytes) -> None:
        """Send an ARP request to the next eight of the plan's nodes, at most once a second, until one was heard.

        Unicast to each node's MAC, so that no other machine learns of it. `sender`: the gateway's address where that
        is on this NIC already, else NOBODY, for a node that is configuring its address takes that for a conflict.
        """
        now = time.monotonic()
        if self.node_heard or now - self.arp_sent_at < ARP_EVERY_S:
            return
        self.arp_sent_at = now
        for mac, address in itertools.islice(self._next_nodes, min(_NODES_PER_PROBE, len(self.nodes))):
            with contextlib.suppress(OSError):
                self.answers.send(arp_request(self.cluster.mac, sender, address.packed, mac))

    def probe_addresses(self) -> None:
        """On a proven wire: broadcast ARP requests for the plan's addresses, four a second, and announce our own.

        Only where the gateway's address is on this NIC, as it is the sender's.
        """
        now = time.monotonic()
        with contextlib.suppress(OSError):
            if self.may_defend and not self._announced:
                # Nodes and switches may remember another MAC for it, or another port.
                self._announced, self._announce_again_at = True, now + 2 * ARP_EVERY_S
                self._announce()
            if self._announce_again_at and now >= self._announce_again_at:
                self._announce_again_at = 0.0
                self._announce()
            if self.address.probe_is_due(now):
                self.answers.send(arp_request(self.cluster.mac, NOBODY, self.gateway))
            if not self.may_defend or now - self.arp_sent_at < ARP_EVERY_S:
                return
            self.arp_sent_at = now
            if now - self._round_began_at > _ADDRESSES_EVERY_S:
                self._next_addresses, self._round_began_at = iter(tuple(self._owners)), now
                self.answers.send(arp_request(self.cluster.mac, NOBODY, self.gateway))
            for address in itertools.islice(self._next_addresses, _ADDRESSES_AT_ONCE):
                self._round_began_at = now
                self.answers.send(arp_request(self.cluster.mac, self.gateway, address))

    def address_conflicts(self) -> list[tuple[bytes, bytes, bytes]]:
        """(address, its node's MAC, the other machine's MAC) for each node's address that another machine uses."""
        # A machine that still uses it answers within two rounds of requests.
        heard_since = time.monotonic() - 2 * (_ADDRESSES_EVERY_S + ARP_EVERY_S * len(self.nodes) / _ADDRESSES_AT_ONCE)
        self._holders = {ip: held for ip, held in self._holders.items() if held[1] > heard_since}
        return [(ip, min(self._owners[ip]), mac) for ip, (mac, _) in sorted(self._holders.items())]

    def _foreign_server(self, frame: bytes, _tagged: bool, ours: bool) -> str:
        if ours:
            return self._server_here(frame, self._replies.record(frame))
        return self._foreign_reply(self._replies.parse_foreign(frame), frame)

    def _foreign_fragment(self, frame: bytes, _tagged: bool, _ours: bool) -> str:
        whole = self._reassembler.add(frame)
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
        """Another DHCP server on this machine: ours uses no other server id and no other MAC."""
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
        arp = parse_arp(frame)
        if arp is None or tagged or arp.mac == self.cluster.mac or arp.ip != self.gateway:
            return ""
        now = time.monotonic()
        if self.address.note_claim(arp.mac.hex(":"), now, self.may_defend):
            self._announce_again_at = now + 2 * ARP_EVERY_S
            with contextlib.suppress(OSError):
                self._announce()
        return ""

    def address_conflict_is_over(self) -> bool:
        """True once, when a conflict about the gateway's address has ended; announces the address then."""
        over = self.address.is_over(time.monotonic())
        if over:
            with contextlib.suppress(OSError):
                self._announce()
        return over

    def _announce(self) -> None:
        self.answers.send(arp_request(self.cluster.mac, self.gateway, self.gateway))

    def _note_arp(self, frame: bytes, tagged: bool, _ours: bool) -> str:
        arp = parse_arp(frame)
        if arp is None or tagged:
            return ""
        if arp.mac == frame[6:12]:
            # Only at its own address: a node that was moved to another network has one of that network.
            node = self.nodes.get(arp.mac)
            self.node_heard = self.node_heard or (node is not None and node.packed == arp.ip)
        owners = self._owners.get(arp.ip)
        if owners is not None and arp.mac not in (*owners, self.cluster.mac) and len(self._holders) < _MAX_HOLDERS:
            self._holders[arp.ip] = arp.mac, time.monotonic()
        return ""

    def _foreign_choice(self, frame: bytes, tagged: bool, _ours: bool) -> str:
        # A tagged frame belongs to another network: this wire may be a trunk.
        self.node_heard = self.node_heard or (frame[6:12] in self.nodes and not tagged)
        if frame[6:12] != self.cluster.mac:
            relayed = self._foreign_reply(parse_reply(frame, SERVER_PORT), frame)
            if relayed:
                return relayed
        server = chosen_server(frame)
        if not server or IPAddress(server) in self.ours:
            return ""
        return f"a client there took the address that {server} offered: a DHCP server that answered it"

    def _own_mark(self, frame: bytes, _tagged: bool, _ours: bool) -> str:
        return "our mark" if self.token in frame else ""

    def _others_mark(self, frame: bytes, tagged: bool, _ours: bool) -> str:
        if tagged or self.token in frame or not is_serving_marker(frame):
            return ""
        if not must_yield(self.may_defend, time.monotonic() - self._opened_at):
            return ""
        mac = frame[6:12].hex(":")
        return f"another gateway, {named_mac(mac)}, serves there"


def must_yield(proven: bool, behind_link_s: float) -> bool:
    """Whether we are the newcomer where another gateway serves: the wire is not proven, or the link is fresh.

    A switch may hold a fresh port back, so that the other one is first heard after the proof.
    """
    return not proven or behind_link_s < _NEWCOMER_S


def nodes_by_mac(plan: Plan) -> dict[bytes, IPAddress]:
    """The plan's nodes and devices, MAC -> address, as a LinkListener takes them."""
    return {mac.packed: one.ip for one in assign(plan).machines if one.ip is not None for mac in one.macs}


def _key(link: LinkState) -> _Key:
    return link.index, link.name, link.mac


def _next_frame(sock: PacketSocket) -> tuple[bytes, int | None, bool] | None:
    """The next queued frame, its VLAN id, and whether this machine sent it. Raises OSError where the NIC is gone."""
    try:
        return sock.receive_any(0)
    except OSError as error:
        # Reported once when a NIC goes down; the socket receives again when it comes up.
        if error.errno == errno.ENETDOWN:
            return None
        raise
