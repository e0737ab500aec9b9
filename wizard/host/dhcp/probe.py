"""Probes whether a DHCP server answers on this network.

Sends only DISCOVER, from the NIC's own MAC: no lease is taken, no address is needed, and a DHCP client on the same NIC
notices nothing. A server that has no free address, or that knows only certain MACs, does not answer this. So before a
plan is served here, the probe also asks in the name of its nodes (see `probe_questions`), and it counts a server's
answers to others while it listens.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from wizard.host.dhcp.own_replies import OwnReplyFilter
from wizard.host.dhcp.packet import CLIENT_PORT, Offer, build_discover, build_inform
from wizard.host.dhcp.probe_questions import NOTHING_MORE, ProbeQuestions, address_of, address_text
from wizard.host.facts.vendors import named_mac
from wizard.host.net.adjacency import LOCAL_EXPERIMENTAL, is_serving_marker
from wizard.host.net.bpf import any_of, ether_type, everything, ipv6_routers, udp_fragments, udp_to_port, with_length
from wizard.host.net.fragments import FragmentReassembler
from wizard.host.net.frames import ARP, NOBODY, ArpMessage, arp_request, parse_arp
from wizard.host.net.ipv6_packet import ALL_NODES_MAC, build_solicitation, server_in
from wizard.host.net.link import LinkState, read_link
from wizard.host.net.packet_socket import PacketSocket
from wizard.host.net.spanning_tree import HEAD, PortEvidence

FULL_WAIT = 12.0
"""Seconds. dnsmasq first checks for 3 s that an address is free; other servers wait for `secs` to grow."""
FRESH_WAIT = 35.0
"""Seconds, if the link has just come up and its port never shows that it forwards: a spanning tree blocks it for 30."""

_FIRST_SENDS = (0.0, 1.0, 3.0)
_CHECK_EVERY = 0.25
_PACE_S, _PACES = 0.125, 64
"""Between two questions for nodes: a switch that limits DHCP must not close its port. Shorter if `wait` is."""
_TIME_TO_ANSWER = 4.0
_TIME_AFTER_MEETING = 1.0
"""Seconds to go on after meeting a router or gateway: it may be a DHCP server too."""
_MOST_SERVERS = 16


class ProbeOutcome(StrEnum):
    SILENCE = "silence"
    ANSWER = "answer"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why the outcome of a probe is unknown."""

    NO_NIC = "no-nic"
    NOT_ETHERNET = "not-ethernet"
    DOWN = "down"
    NO_CARRIER = "no-carrier"
    NOT_AUTHORISED = "not-authorised"
    LINK_LOST = "link-lost"
    NO_SOCKET = "no-socket"
    NOT_SENT = "not-sent"
    NOT_HEARD = "not-heard"
    ADDRESS_TAKEN = "address-taken"
    ANOTHER_GATEWAY = "another-gateway"
    ROUTER = "router"
    STOPPED = "stopped"


_WORDS = {
    Cause.NO_NIC: "there is no such NIC",
    Cause.NOT_ETHERNET: "this is not an Ethernet NIC",
    Cause.DOWN: "the NIC is down",
    Cause.NO_CARRIER: "no carrier: no cable, or nothing alive at its other end",
    Cause.NOT_AUTHORISED: "the link is not authorised yet (802.1X)",
    Cause.LINK_LOST: "the link went down, or the NIC was renamed or removed, while listening",
    Cause.NO_SOCKET: "the kernel refuses us a packet socket",
    Cause.NOT_SENT: "no DISCOVER could be sent in time",
    Cause.NOT_HEARD: "frames were lost while listening",
    Cause.ADDRESS_TAKEN: "another machine has the gateway's address",
    Cause.ANOTHER_GATEWAY: "another ciao-wizard gateway is there",
    Cause.ROUTER: "a router of another network is there",
    Cause.STOPPED: "stopped before the end",
}


@dataclass(frozen=True, slots=True)
class DhcpServerSeen:
    """A DHCP server that answered, `delay_s` seconds after the first DISCOVER.

    `server_id` and `relay` are "" if the answer lacks them; `overheard`: it answered another machine. `client` is the
    node in whose name we asked, "" for our own NIC.
    """

    server_id: str
    source_ip: str
    source_mac: str
    offered_ip: str
    delay_s: float
    relay: str = ""
    vlan: int | None = None
    overheard: bool = False
    client: str = ""

    def in_words(self) -> str:
        """For a person: who offered what, and how soon."""
        who = self.server_id or self.source_ip
        through = f", through relay {self.relay}" if self.relay else ""
        to = f" to {self.client}" if self.client else ""
        did = f"offered {self.offered_ip}{to}"
        if self.overheard:
            did = "answered another machine"
        elif self.offered_ip in ("", "0.0.0.0"):  # noqa: S104
            did = "answered without an address"
        return f"{who} ({self.source_mac}{through}) {did} after {self.delay_s:.1f} s"


@dataclass(frozen=True, slots=True)
class ProbeCoverage:
    """What was asked besides our own DISCOVER: for `nodes` of `of` nodes of the plan, `vms` made-up VMs, and who has
    `gateway`, an address."""

    nodes: int = 0
    of: int = 0
    vms: int = 0
    gateway: str = ""

    def in_words(self) -> str:
        if not self.of:
            return ""
        return f"asked for {self.nodes} of {self.of} nodes too"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`reason`: why the verdict is unknown, or what a short silence may hide; else "".

    `holder` is the MAC of another machine that has, or wants, the gateway's address, or of another gateway; "" if none
    was met.
    """

    nic: str
    verdict: ProbeOutcome
    waited_s: float
    servers: tuple[DhcpServerSeen, ...] = ()
    reason: str = ""
    cause: Cause | None = None
    holder: str = ""
    asked: ProbeCoverage = ProbeCoverage()

    def in_words(self) -> str:
        """For a person, in half a line."""
        if self.servers:
            return "DHCP: " + ", ".join(s.server_id or s.source_ip for s in self.servers)
        if self.verdict is ProbeOutcome.SILENCE:
            return ", ".join(filter(None, (f"silent for {self.waited_s:.0f} s", self.asked.in_words())))
        return f"could not tell: {self.reason}"

    def as_json(self) -> dict[str, object]:
        """The shape of `probe --json`; times in seconds, null for what is unknown."""
        servers = [
            asdict(s)
            | {key: getattr(s, key) or None for key in ("server_id", "relay", "client")}
            | {"delay_s": round(s.delay_s, 3)}
            for s in self.servers
        ]
        return {
            "nic": self.nic,
            "verdict": str(self.verdict),
            "waited_s": round(self.waited_s, 3),
            "servers": servers,
            "reason": self.reason,
            "cause": self.cause and str(self.cause),
            "holder": self.holder or None,
            "asked": asdict(self.asked),
        }


def probe(
    nic: str,
    *,
    wait: float | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
    until_first: bool = True,
    fresh_link: bool = False,
    questions: ProbeQuestions = NOTHING_MORE,
) -> ProbeResult:
    """Ask on the network behind `nic`, and listen for `wait` seconds (default 12; more with `fresh_link`).

    Ends at the first answer unless `until_first` is False. `stop` ends it early, within a quarter of a
    second; `progress` is called as often with the seconds gone, in the calling thread. `fresh_link`: the
    carrier came up less than 35 s ago, and a switch may hold the port back: the 12 s begin once it forwards (see
    `PortEvidence`). `questions` are for the wire that is to be the cluster's, and no other.
    Raises NeedsRoot; anything else that prevents it makes the verdict unknown.
    """
    evidence: PortEvidence | None = None
    try:
        with (
            PacketSocket(_FILTER, outgoing=True) as tap,
            PacketSocket(udp_fragments()) as pieces,
            PacketSocket(everything(HEAD)) as port,
        ):
            link = read_link(nic)
            cause = _why_unfit(link)
            if link is None or cause:
                return _could_not_tell(nic, cause or Cause.NO_NIC, 0.0)
            tap.listen(nic)
            pieces.listen(nic)
            if questions.for_a_plan:
                with contextlib.suppress(OSError):
                    tap.join(ALL_NODES_MAC)
            if fresh_link and wait is None:
                evidence = PortEvidence(link.mac, FULL_WAIT, FRESH_WAIT)
                port.listen(nic)
                port.join_all()
            sockets = tap, pieces, port
            probe_run = _ProbeRun(sockets, nic, link, wait, until_first, fresh_link, evidence, questions)
            probe_run.run(stop, progress)
            return probe_run.result()
    except OSError as error:
        return _could_not_tell(nic, _cause_of(error, Cause.NO_SOCKET), 0.0)


_FILTER = any_of(udp_to_port(CLIENT_PORT), ether_type(ARP), ether_type(LOCAL_EXPERIMENTAL), ipv6_routers())


class _ProbeRun:
    """One run of a probe: the transaction, what was sent and when, and who answered."""

    def __init__(
        self,
        sockets: tuple[PacketSocket, PacketSocket, PacketSocket],
        nic: str,
        link: LinkState,
        wait: float | None,
        until_first: bool,
        fresh: bool,
        evidence: PortEvidence | None,
        questions: ProbeQuestions,
    ) -> None:
        self.tap, self.pieces, self.port = sockets
        self.nic, self.link, self.evidence = nic, link, evidence
        self.wait = FULL_WAIT if wait is None else wait
        self.until_first, self.fresh = until_first, fresh
        self.questions = questions
        self.own_ip = address_of(nic) if questions.for_a_plan else NOBODY
        self.xid = secrets.randbelow((1 << 32) - 1) + 1
        self.servers: dict[tuple[object, ...], DhcpServerSeen] = {}
        self.holder = self.router = self.gateway = ""
        self.met_at: float | None = None
        self.sent: list[float] = []
        self.turns: deque[bytes] = deque()
        self.asked_for: set[bytes] = set()
        self.cause: Cause | None = None
        self.replies, self.fragments = OwnReplyFilter(link.mac), FragmentReassembler()
        self.begun = time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self.begun

    @property
    def end(self) -> float:
        """When to stop, in s since the beginning."""
        return self.wait if self.evidence is None else self.evidence.listen_until()

    @property
    def held(self) -> bool:
        """Whether a switch may still hold the port back."""
        return self.evidence is not None and self.evidence.forwarding_at is None

    def run(self, stop: threading.Event | None, progress: Callable[[float], None] | None) -> None:
        """Ask and listen to the end, however it comes; then `result` has the verdict."""
        try:
            self._ask_and_listen(stop, progress)
            self.check_link()
        except OSError as error:
            self.cause = self.cause or _cause_of(error, Cause.NOT_SENT)

    def _ask_and_listen(self, stop: threading.Event | None, progress: Callable[[float], None] | None) -> None:
        sends = _send_times(0.0, self.fresh)
        next_send, next_check, next_turn = next(sends), 0.0, 0.0
        pace = min(_PACE_S, self.wait / _PACES)
        while (now := self.elapsed()) < self.end and not (self.until_first and self._met_enough(now)):
            if now >= next_check:
                next_check = now + _CHECK_EVERY
                if stop is not None and stop.is_set():
                    self.cause = Cause.STOPPED
                    return
                if not self.check_link():
                    return
                if progress is not None:
                    progress(now)
            if now >= next_send:
                self._send_round(now)
                next_send = next(sends)
            if self.turns and now >= next_turn:
                next_turn = now + pace
                self._send_for(self.turns.popleft(), now)
            until = min(next_send, next_check, self.end, next_turn if self.turns else self.end)
            held = self.held
            self._receive(max(until - self.elapsed(), 0))
            if held and not self.held:
                # What was asked until now may have got no further than the switch.
                sends = _send_times(self.elapsed(), False)
                next_send = next(sends)

    def check_link(self) -> bool:
        """Whether the link was up all the time; a cable out for an instant may have cost us the answer."""
        now, was = read_link(self.link.index), self.link
        same = now is not None and (now.name, now.mac, now.carrier_changes, now.carrier) == (
            was.name,
            was.mac,
            was.carrier_changes,
            True,
        )
        if not same:
            self.cause = self.cause or Cause.LINK_LOST
        return same

    def _met_enough(self, now: float) -> bool:
        return bool(self.servers) or (self.met_at is not None and now - self.met_at > _TIME_AFTER_MEETING)

    def _send_round(self, now: float) -> None:
        """Send one round: our own questions at once; the plan's machines follow one by one."""
        frames = [build_discover(self.link.mac, self.xid, int(now))]
        if self.questions.for_a_plan:
            frames.append(build_solicitation(self.link.mac))
            if self.own_ip != NOBODY:
                frames.append(build_inform(self.link.mac, self.own_ip, self.xid))
            if self.questions.gateway != NOBODY:
                # An ARP probe (RFC 5227): without a sender address, so that no ARP table changes.
                frames.append(arp_request(self.link.mac, NOBODY, self.questions.gateway))
        for frame in frames:
            if not self._send_frame(frame):
                return
        self.sent.append(now)
        if not self.turns:
            self.turns.extend(self.questions.in_turn())

    def _send_for(self, client: bytes, now: float) -> None:
        if self._send_frame(build_discover(self.link.mac, self.xid, int(now), client=client)):
            self.asked_for.add(client)

    def _send_frame(self, frame: bytes) -> bool:
        try:
            self.tap.send(frame)
        except OSError as error:
            # The queue is not open yet, just after the link came up; the next DISCOVER may get out.
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise
            return False
        return True

    def _receive(self, timeout: float) -> None:
        watched = [self.tap, self.pieces, *([self.port] if self.evidence is not None else [])]
        ready, _, _ = select.select(watched, [], [], timeout)
        if self.port in ready and self.evidence is not None:
            head = self.port.receive(0)
            if head is not None and head[0]:
                self.evidence.add(head[0], self.elapsed(), head[1])
                if not self.held:
                    # A busy wire has thousands of frames a second. BPDUs may still take the evidence back.
                    self.port.refilter(with_length(HEAD))
        if self.tap in ready:
            received = self.tap.receive_any(0)
            if received is not None:
                self._read_frame(*received)
        if self.pieces in ready:
            piece = self.pieces.receive(0)
            whole = self.fragments.add(piece[0]) if piece is not None else None
            if piece is not None and whole is not None:
                self._read_frame(whole, piece[1], False)

    def _read_frame(self, frame: bytes, vlan: int | None, ours: bool) -> None:
        if ours:
            self.replies.record(frame)
            return
        if self.questions.for_a_plan and vlan is None and frame[6:12] != self.link.mac:
            self._read_neighbour(frame)
        reply = self.replies.parse_foreign(frame)
        if reply is None:
            return
        offer = reply.offer
        asked = reply.xid == self.xid and (reply.mac == self.link.mac or reply.mac in self.asked_for)
        if not asked and not reply.decides:
            return
        key = (offer.server_id, offer.source_ip, offer.source_mac, offer.relay)
        if key not in self.servers and len(self.servers) < _MOST_SERVERS:
            client = self.questions.name_of(reply.mac) if asked else ""
            server = _server(offer, self.elapsed() - (self.sent or [0.0])[0], vlan, not asked)
            self.servers[key] = replace(server, client=client)

    def _read_neighbour(self, frame: bytes) -> None:
        """Record who has the gateway's address, or is about to take it; another gateway; a router, a DHCPv6 server."""
        arp, speaker = parse_arp(frame), server_in(frame)
        if arp is not None:
            self.holder = self.holder or self._holder(arp)
        elif is_serving_marker(frame):
            self.gateway = self.gateway or frame[6:12].hex(":")
        elif speaker is not None and frame[6:12] not in self.questions.clients:
            if speaker.router:
                self.router = self.router or f"{speaker.ip} ({named_mac(speaker.mac)})"
            else:
                delay = self.elapsed() - (self.sent or [0.0])[0]
                self.servers.setdefault(
                    (speaker,), DhcpServerSeen("", speaker.ip, speaker.mac, "", delay, overheard=True)
                )
        if self.met_at is None and (self.holder or self.router or self.gateway):
            self.met_at = self.elapsed()

    def _holder(self, arp: ArpMessage) -> str:
        gateway = self.questions.gateway
        # A machine that probes for the address is about to take it, unless we defend it (RFC 5227, 2.1.1).
        wants_it = arp.ip == NOBODY and arp.target == gateway and self.own_ip != gateway
        has_it = arp.ip == gateway or wants_it
        return arp.mac.hex(":") if gateway != NOBODY and has_it and arp.mac != self.link.mac else ""

    def result(self) -> ProbeResult:
        waited = self.elapsed()
        asked = self._asked()
        # An answer counts, whatever happened to the link after it.
        if self.servers:
            servers = tuple(self.servers.values())
            return ProbeResult(
                self.nic, ProbeOutcome.ANSWER, waited, servers, holder=self.holder or self.gateway, asked=asked
            )
        cause, reason = self.cause, ""
        if self.holder:
            cause = Cause.ADDRESS_TAKEN
            reason = f"{asked.gateway}, the gateway's address, is another machine's: {self._named(self.holder)}"
        elif self.gateway:
            cause = Cause.ANOTHER_GATEWAY
            reason = f"another ciao-wizard's guard serves this wire: {named_mac(self.gateway)}"
        elif self.router:
            cause, reason = Cause.ROUTER, f"the IPv6 router {self.router} is there, so this is another network"
        if cause is None and not any(at + min(_TIME_TO_ANSWER, self.wait / 2) <= waited for at in self.sent):
            cause = Cause.NOT_SENT
        if cause is None and self.tap.dropped():
            cause = Cause.NOT_HEARD
        if cause is not None:
            unknown = _could_not_tell(self.nic, cause, waited)
            return replace(unknown, reason=reason or unknown.reason, holder=self.holder or self.gateway, asked=asked)
        short = f"listened for only {waited:.0f} s; a server may take longer" if waited < FULL_WAIT else ""
        return ProbeResult(self.nic, ProbeOutcome.SILENCE, waited, reason=short, asked=asked)

    def _asked(self) -> ProbeCoverage:
        nodes, gateway = self.questions.clients, self.questions.gateway
        found = sum(1 for mac in nodes if mac in self.asked_for)
        return ProbeCoverage(found, len(nodes), len(self.asked_for) - found, address_text(gateway))

    def _named(self, mac: str) -> str:
        node = self.questions.clients.get(bytes.fromhex(mac.replace(":", "")))
        return f"{named_mac(mac)}, the plan's {node}" if node else named_mac(mac)


def _send_times(start: float, held: bool) -> Iterator[float]:
    """`start` and 1, 3, 7 s later, then every 8; every 4 while a switch may hold frames back."""
    yield from (start + at for at in _FIRST_SENDS)
    at = start + 7.0
    while True:
        yield at
        at += 4.0 if held else 8.0


def _server(offer: Offer, delay: float, vlan: int | None, overheard: bool) -> DhcpServerSeen:
    return DhcpServerSeen(
        server_id=offer.server_id,
        source_ip=offer.source_ip,
        source_mac=offer.source_mac,
        offered_ip=offer.offered_ip,
        delay_s=delay,
        relay=offer.relay,
        vlan=vlan or offer.vlan,
        overheard=overheard,
    )


def _why_unfit(link: LinkState | None) -> Cause | None:
    """Why it is pointless to ask here; None if it is not."""
    if link is None:
        return Cause.NO_NIC
    if not link.ethernet or len(link.mac) != 6:
        return Cause.NOT_ETHERNET
    if not link.up:
        return Cause.DOWN
    if not link.carrier:
        return Cause.NO_CARRIER
    return Cause.NOT_AUTHORISED if link.dormant else None


def _cause_of(error: OSError, otherwise: Cause) -> Cause:
    return Cause.LINK_LOST if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENETDOWN) else otherwise


def _could_not_tell(nic: str, cause: Cause, waited: float) -> ProbeResult:
    return ProbeResult(nic, ProbeOutcome.UNKNOWN, waited, reason=_WORDS[cause], cause=cause)
