"""Does a DHCP server answer on this wire?

Asks with DISCOVER alone, from the NIC's own MAC: no lease is taken, no address is needed, a DHCP client
on the same NIC notices nothing. A server that is out of addresses, or that knows only certain MACs, stays
silent to this as to any stranger; answers that it gives to others are counted while we listen.
"""

from __future__ import annotations

import errno
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from wizard.host.dhcp_packet import CLIENT_PORT, Offer, build_discover, parse_offer, parse_reply
from wizard.host.link import Link, read_link
from wizard.host.tap import Tap, udp_to_port

FULL_WAIT = 12.0
"""Seconds. dnsmasq makes sure that an address is free for 3 s before it offers it, others wait for `secs` to grow."""
FRESH_WAIT = 35.0
"""Seconds, where the link has just come up: a switch's spanning tree may let nothing through for 30."""

_FIRST_SENDS = (0.0, 1.0, 3.0)
_LOOK_EVERY = 0.25
_TIME_TO_ANSWER = 4.0
_MOST_SERVERS = 16


class Verdict(StrEnum):
    SILENCE = "silence"
    ANSWER = "answer"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why a probe could not tell."""

    NO_NIC = "no-nic"
    NOT_ETHERNET = "not-ethernet"
    DOWN = "down"
    NO_CARRIER = "no-carrier"
    NOT_AUTHORISED = "not-authorised"
    LINK_LOST = "link-lost"
    NO_SOCKET = "no-socket"
    NOT_SENT = "not-sent"
    NOT_HEARD = "not-heard"
    STOPPED = "stopped"


_WORDS = {
    Cause.NO_NIC: "there is no such NIC",
    Cause.NOT_ETHERNET: "this is no Ethernet NIC",
    Cause.DOWN: "the NIC is down",
    Cause.NO_CARRIER: "no carrier: no cable, or nothing alive at its other end",
    Cause.NOT_AUTHORISED: "the link is not authorised yet (802.1X)",
    Cause.LINK_LOST: "the link went down, or the NIC was renamed or taken away, while listening",
    Cause.NO_SOCKET: "the kernel gives us no packet socket",
    Cause.NOT_SENT: "no DISCOVER could be sent in time",
    Cause.NOT_HEARD: "frames were lost while listening",
    Cause.STOPPED: "stopped before the end",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A DHCP server that was heard, `delay_s` seconds after the first DISCOVER.

    `server_id` and `relay` are "" where the answer does not have them; `overheard`: it answered somebody else.
    """

    server_id: str
    source_ip: str
    source_mac: str
    offered_ip: str
    delay_s: float
    relay: str = ""
    vlan: int | None = None
    overheard: bool = False

    def in_words(self) -> str:
        """For a person: who offered what, and how soon."""
        who = self.server_id or self.source_ip
        through = f", through relay {self.relay}" if self.relay else ""
        did = "answered another machine" if self.overheard else f"offered {self.offered_ip}"
        return f"{who} ({self.source_mac}{through}) {did} after {self.delay_s:.1f} s"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`reason` says why where `verdict` is unknown, and what a short silence may hide; else it is ""."""

    nic: str
    verdict: Verdict
    waited_s: float
    servers: tuple[Server, ...] = ()
    reason: str = ""
    cause: Cause | None = None

    def in_words(self) -> str:
        """For a person, in half a line."""
        if self.servers:
            return "DHCP: " + ", ".join(s.server_id or s.source_ip for s in self.servers)
        if self.verdict is Verdict.SILENCE:
            return f"silent for {self.waited_s:.0f} s"
        return f"could not tell: {self.reason}"

    def as_json(self) -> dict[str, object]:
        """The shape of `probe --json`; times in seconds, null for what was not heard."""
        servers = [
            asdict(s) | {"server_id": s.server_id or None, "relay": s.relay or None, "delay_s": round(s.delay_s, 3)}
            for s in self.servers
        ]
        return {
            "nic": self.nic,
            "verdict": str(self.verdict),
            "waited_s": round(self.waited_s, 3),
            "servers": servers,
            "reason": self.reason,
            "cause": self.cause and str(self.cause),
        }


def probe(
    nic: str,
    *,
    wait: float | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
    until_first: bool = True,
    fresh_link: bool = False,
) -> ProbeResult:
    """Ask the wire behind `nic`, and listen for `wait` seconds (12; 35 where `fresh_link`).

    Ends at the first answer unless `until_first` is False. `stop` ends it early, within a quarter of a
    second; `progress` is called as often with the seconds gone, in the calling thread. `fresh_link`: the
    carrier came up less than 35 s ago. Raises NeedsRoot; whatever else prevents it is a verdict of unknown.
    """
    asked = wait if wait is not None else FRESH_WAIT if fresh_link else FULL_WAIT
    try:
        with Tap(udp_to_port(CLIENT_PORT)) as tap:
            link = read_link(nic)
            cause = _unfit(link)
            if link is None or cause:
                return _could_not_tell(nic, cause or Cause.NO_NIC, 0.0)
            tap.listen(nic)
            listening = _Listening(tap, nic, link, asked, until_first, fresh_link)
            listening.run(stop, progress)
            return listening.result()
    except OSError as error:
        return _could_not_tell(nic, _cause_of(error, Cause.NO_SOCKET), 0.0)


class _Listening:
    """One run: the transaction, what was sent and when, and who answered."""

    def __init__(self, tap: Tap, nic: str, link: Link, wait: float, until_first: bool, fresh: bool) -> None:
        self.tap, self.nic, self.link = tap, nic, link
        self.wait, self.until_first, self.fresh = wait, until_first, fresh
        self.xid = secrets.randbelow((1 << 32) - 1) + 1
        self.servers: dict[tuple[object, ...], Server] = {}
        self.sent: list[float] = []
        self.cause: Cause | None = None
        self.begun = time.monotonic()

    def gone(self) -> float:
        return time.monotonic() - self.begun

    def run(self, stop: threading.Event | None, progress: Callable[[float], None] | None) -> None:
        """Ask and listen to the end, whatever makes it come; after it, `result` has the verdict."""
        try:
            self._ask_and_listen(stop, progress)
            self.check_link()
        except OSError as error:
            self.cause = self.cause or _cause_of(error, Cause.NOT_SENT)

    def _ask_and_listen(self, stop: threading.Event | None, progress: Callable[[float], None] | None) -> None:
        sends = _send_times(self.fresh)
        next_send, next_look = next(sends), 0.0
        while (now := self.gone()) < self.wait and not (self.servers and self.until_first):
            if now >= next_look:
                next_look = now + _LOOK_EVERY
                if stop is not None and stop.is_set():
                    self.cause = Cause.STOPPED
                    return
                if not self.check_link():
                    return
                if progress is not None:
                    progress(now)
            if now >= next_send:
                self._send(now)
                next_send = next(sends)
            heard = self.tap.receive(min(next_send, next_look, self.wait) - self.gone())
            if heard is not None:
                self._judge(*heard)

    def check_link(self) -> bool:
        """Whether the link has been there all the time; a cable out for an instant may have cost us the answer."""
        now, was = read_link(self.link.index), self.link
        same = now is not None and (now.name, now.mac, now.changes, now.carrier) == (
            was.name,
            was.mac,
            was.changes,
            True,
        )
        if not same:
            self.cause = self.cause or Cause.LINK_LOST
        return same

    def _send(self, now: float) -> None:
        try:
            self.tap.send(build_discover(self.link.mac, self.xid, int(now)))
        except OSError as error:
            # A queue that is not open yet, just after the link came up; the next DISCOVER may get out.
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise
        else:
            self.sent.append(now)

    def _judge(self, frame: bytes, vlan: int | None) -> None:
        if frame[6:12] == self.link.mac:  # our own server's answer, come back through a loop
            return
        offer = parse_offer(frame, self.xid, self.link.mac)
        overheard = offer is None
        if offer is None:
            reply = parse_reply(frame)
            if reply is None or not reply.decides:
                return
            offer = reply.offer
        key = (offer.server_id, offer.source_ip, offer.source_mac, offer.relay)
        if key not in self.servers and len(self.servers) < _MOST_SERVERS:
            self.servers[key] = _server(offer, self.gone() - (self.sent or [0.0])[0], vlan, overheard)

    def result(self) -> ProbeResult:
        waited = self.gone()
        if self.servers:  # an answer stays one, whatever happened to the link after it
            return ProbeResult(self.nic, Verdict.ANSWER, waited, tuple(self.servers.values()))
        cause = self.cause
        if cause is None and not any(at + min(_TIME_TO_ANSWER, self.wait / 2) <= waited for at in self.sent):
            cause = Cause.NOT_SENT
        if cause is None and self.tap.dropped():
            cause = Cause.NOT_HEARD
        if cause is not None:
            return _could_not_tell(self.nic, cause, waited)
        short = f"listened for only {waited:.0f} s; a server may take longer" if waited < FULL_WAIT else ""
        return ProbeResult(self.nic, Verdict.SILENCE, waited, reason=short)


def _send_times(fresh: bool) -> Iterator[float]:
    """Seconds after the start: 0, 1, 3, 7, then every 8; every 4 while a spanning tree may hold frames back."""
    yield from _FIRST_SENDS
    at = 7.0
    while True:
        yield at
        at += 4.0 if fresh else 8.0


def _server(offer: Offer, delay: float, vlan: int | None, overheard: bool) -> Server:
    return Server(
        server_id=offer.server_id,
        source_ip=offer.source_ip,
        source_mac=offer.source_mac,
        offered_ip=offer.offered_ip,
        delay_s=delay,
        relay=offer.relay,
        vlan=vlan or offer.vlan,
        overheard=overheard,
    )


def _unfit(link: Link | None) -> Cause | None:
    """What makes it pointless to ask here, if anything does."""
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
    return ProbeResult(nic, Verdict.UNKNOWN, waited, reason=_WORDS[cause], cause=cause)
