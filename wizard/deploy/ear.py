"""The guard's ear: hears at once what must not be on the cluster wire, between the probes.

Three things tell of it: a DHCP server's answer to anybody behind the cluster NIC (ours leave, they do not come in);
a client that takes what such a server offered, which it says to everybody where the answer went past us; and a mark
of ours, sent out of the cluster NIC, that comes in at the corporate one: then both are one wire.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import secrets
import time
from collections.abc import Callable, Container, Mapping

from netaddr import IPAddress

from wizard.host.adjacency import LOCAL_EXPERIMENTAL, marked_frame
from wizard.host.dhcp_packet import CLIENT_PORT, SERVER_PORT, chosen_server, parse_reply
from wizard.host.link import Link
from wizard.host.presence import ARP, arp_in, arp_request
from wizard.host.tap import Tap, ether_type, udp_to_port
from wizard.plan.addresses import assign
from wizard.plan.model import Plan

MARK_EVERY_S = ASK_EVERY_S = 1.0
_MOST_AT_ONCE = 64
_ASKED_AT_ONCE = 8
_REST_S = 0.05


class Ear:
    """Listens behind two NICs, from when it is made until `close`. Raises OSError, NeedsRoot.

    `ours` holds the gateway's addresses, its former ones too: clients may still name those. Its Taps are for a
    select of the caller's; `hear` says what they mean. `nodes`: the plan's, MAC -> address; `node_heard` is whether
    one of them has been heard behind the cluster NIC.
    """

    def __init__(
        self, cluster: Link, corporate: Link | None, ours: Container[IPAddress], nodes: Mapping[bytes, IPAddress]
    ) -> None:
        self.cluster, self.corporate, self.ours, self.nodes = cluster, corporate, ours, nodes
        self.node_heard = False
        self._asking = itertools.cycle(nodes.items())
        # Nobody else can know it: a stranger with our MAC, or a replayed old mark, is not taken for us.
        self.token = secrets.token_bytes(16)
        self.marked = self.asked = 0.0
        self.rests_until = 0.0
        self._close = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self.answers = opened.enter_context(Tap(udp_to_port(CLIENT_PORT)))
            self.answers.listen(cluster.name)
            self.requests = opened.enter_context(Tap(udp_to_port(SERVER_PORT)))
            self.requests.listen(cluster.name)
            self.arp = opened.enter_context(Tap(ether_type(ARP)))
            self.arp.listen(cluster.name)
            self.marks = None
            if corporate is not None:
                self.marks = opened.enter_context(Tap(ether_type(LOCAL_EXPERIMENTAL)))
                self.marks.listen(corporate.name)
            self._close = opened.pop_all()

    def close(self) -> None:
        self._close.close()

    def is_behind(self, cluster: Link, corporate: Link | None) -> bool:
        """Whether it is these very NICs that it listens behind."""
        return _key(cluster) == _key(self.cluster) and _key(corporate) == _key(self.corporate)

    def taps(self) -> list[Tap]:
        """What to select on now: nothing for a moment where the wire is flooded."""
        if self.rests():
            return []
        arp = None if self.node_heard else self.arp
        return [tap for tap in (self.answers, self.requests, arp, self.marks) if tap is not None]

    def rests(self) -> bool:
        return time.monotonic() < self.rests_until

    def hear(self) -> tuple[str, str]:
        """What came in since the last time: ("foreign-dhcp", who answered whom) or ("one-wire", in words), or ("", "").

        Raises OSError where a NIC is gone.
        """
        for tap, code, judge in (
            (self.answers, "foreign-dhcp", self._foreign_server),
            (self.requests, "foreign-dhcp", self._foreign_choice),
            (None if self.node_heard else self.arp, "", self._note_arp),
            (self.marks, "one-wire", self._ourselves),
        ):
            said = self._first(tap, judge)
            if said:
                return code, said
        return "", ""

    def _first(self, tap: Tap | None, judge: Callable[[bytes, bool], str]) -> str:
        """What the first frame of this tap says that says anything."""
        for _ in range(_MOST_AT_ONCE if tap is not None else 0):
            heard = _next(tap) if tap is not None else None
            if heard is None:
                return ""
            frame, vlan = heard
            said = judge(frame, vlan is not None)
            if said:
                return said
        if tap is not None:
            # A flood must not keep the guard from its work; what the kernel cannot keep is lost, and probes tell.
            self.rests_until = time.monotonic() + _REST_S
        return ""

    def mark(self) -> None:
        """Send the mark, once in a while. Raises OSError."""
        now = time.monotonic()
        if self.marks is None or now - self.marked < MARK_EVERY_S:
            return
        self.marked = now
        try:
            self.answers.send(marked_frame(self.cluster.mac, self.token))
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise

    def ask_for_nodes(self, sender: bytes) -> None:
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

    def _foreign_server(self, frame: bytes, _tagged: bool) -> str:
        # Our own answer, come back through a loop in the cluster's switch, is no stranger's.
        reply = parse_reply(frame)
        if reply is None or not reply.decides or frame[6:12] == self.cluster.mac:
            return ""
        offer = reply.offer
        return f"{offer.server_id or offer.source_ip} ({offer.source_mac}) answered a client there"

    def _note_arp(self, frame: bytes, tagged: bool) -> str:
        said = arp_in(frame)
        if said is not None and said.mac == frame[6:12] and not tagged:
            # At its own address: one that was taken to another network has one of that.
            node = self.nodes.get(said.mac)
            self.node_heard = self.node_heard or (node is not None and node.packed == said.ip)
        return ""

    def _foreign_choice(self, frame: bytes, tagged: bool) -> str:
        # What comes with the tag of a VLAN is another network's, whose trunk this may be.
        self.node_heard = self.node_heard or (frame[6:12] in self.nodes and not tagged)
        server = chosen_server(frame)
        if not server or IPAddress(server) in self.ours:
            return ""
        return f"a client there took the address that {server} offered: a DHCP server that answered it"

    def _ourselves(self, frame: bytes, _tagged: bool) -> str:
        return "what leaves it comes in at the corporate NIC" if self.token in frame else ""


def nodes_by_mac(plan: Plan) -> dict[bytes, IPAddress]:
    """The plan's nodes as an Ear takes them."""
    return {node.mac.packed: node.ip for node in assign(plan).nodes if node.ip is not None}


def _key(link: Link | None) -> tuple[int, str, bytes] | None:
    return (link.index, link.name, link.mac) if link is not None else None


def _next(tap: Tap) -> tuple[bytes, int | None] | None:
    """The next frame that is there already, with its VLAN. Raises OSError where the NIC is gone."""
    try:
        return tap.receive(0)
    except OSError as error:
        # Told once when a NIC goes down; when it comes up again the kernel has us hear again.
        if error.errno == errno.ENETDOWN:
            return None
        raise
