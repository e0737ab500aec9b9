"""What dnsmasq's log says of machines that the lease file does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from wizard.host.dhcp.packet import WALK_WISH
from wizard.plan.lease_parser import LONGEST_NAME
from wizard.plan.text import clean

MAX_CLIENTS = 70_000
"""Machines that a log is followed for: more than any network of ours has addresses."""

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# With log-dhcp every line carries the transaction's number.
_LINE = re.compile(
    r"^(?:(?P<stamp>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T\S+) )?"
    r"(?:\S+ )??dnsmasq-dhcp(?:\[[0-9]+\])?: (?:(?P<number>[0-9]+) )?(?P<said>.*)$"
)
_PACKET = re.compile(
    r"^(?P<what>DHCP[A-Z]+|BOOTP)\([^)]*\) (?:(?P<ip>[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+) )?"
    r"(?P<mac>(?:[0-9a-f]{2}-)?[0-9a-f]{2}(?::[0-9a-f]{2})+)(?: (?P<rest>.*))?$"
)
_NAMED = re.compile(r"^client provides name: (?P<name>.+)$")
_CONFIGURED = re.compile(r"^not using configured address (?P<ip>[0-9.]+) because it (?P<why>.+)$")

# dnsmasq's words -> ours. {ip} is the address that was asked for.
_REFUSALS = {
    "static lease available": "it asked to keep {ip}, but another address is reserved for it",
    "address reserved": "it asked for {ip}, which is reserved for another machine",
    "wrong network": "it asked for {ip}, an address of some other network",
    "wrong server-ID": "it took {ip} from another DHCP server: two of them answer on this wire",
    "wrong address": "it asked for {ip}, which is not the address leased to it",
    "lease not found": "it asked for {ip}, of which there is no lease",
    "address not available": "it asked for {ip}, which cannot be given to it",
    "address in use": "it asked for {ip}, which another machine uses",
    "no address available": "no address is left for it in the range",
    "no leases left": "dnsmasq gives out no more leases",
    "no address configured": "no address is configured for it",
}


@dataclass(frozen=True, slots=True)
class IgnoredClient:
    """A machine that asked for an address and got no answer. `last_seen` is None where the log has no times."""

    mac: str
    count: int = 0
    last_seen: datetime | None = None
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class _Said:
    """One line of the log. `number`: of its transaction, "" unless log-dhcp is on."""

    at: datetime | None
    number: str
    text: str


class DnsmasqLog:
    """What a log says, fed piece by piece: who was ignored, who was refused and why, who was heard when.

    All three are by MAC. `ignored`: those who have got no address since. `reasons`: without those that have
    what they wanted by now. `heard`: first and last time that a machine asked; only lines with a time count.
    """

    def __init__(self) -> None:
        self.ignored: dict[str, IgnoredClient] = {}
        self.reasons: dict[str, str] = {}
        self.heard: dict[str, tuple[datetime, datetime]] = {}
        self._names: dict[str, str] = {}
        self._reserved: dict[str, str] = {}
        self._pending: re.Match[str] | None = None
        self._walked = ""

    def feed(self, text: str, now: datetime | None = None) -> None:
        """Take whole lines. `now` gives the year that the log leaves out."""
        for said in _lines(text, now):
            if named := _NAMED.match(said.text):
                self._names[said.number] = clean(named["name"], LONGEST_NAME)
                _bound(self._names)
            elif configured := _CONFIGURED.match(said.text):
                self._pending = configured
            elif packet := _PACKET.match(said.text):
                self._packet(said, packet)

    def _packet(self, said: _Said, packet: re.Match[str]) -> None:
        mac, what, rest = packet["mac"], packet["what"], (packet["rest"] or "").strip()
        if self._is_walk(mac, what, packet["ip"]):
            return
        if said.at is not None:
            first, _ = self.heard.pop(mac, (said.at, said.at))
            self.heard[mac] = (first, said.at)
            _bound(self.heard)
        if self._pending is not None:
            # dnsmasq says whose packet it was about only in the line after.
            self._reserved[mac] = self._pending["ip"]
            self.reasons[mac] = f"{self._pending['ip']} is reserved for it, but {clean(self._pending['why'], 80)}"
            self._pending = None
        if rest == "ignored":
            before = self.ignored.pop(mac, IgnoredClient(mac))
            name = self._names.get(said.number, "") if said.number else ""
            name = name or before.hostname
            self.ignored[mac] = replace(before, count=before.count + 1, last_seen=said.at, hostname=name)
            _bound(self.ignored)
        elif what in ("DHCPOFFER", "DHCPACK"):
            self.ignored.pop(mac, None)
        if rest in _REFUSALS and what != "DHCPACK":
            self.reasons[mac] = _REFUSALS[rest].format(ip=packet["ip"] or "an address")
        elif what == "DHCPACK" and packet["ip"] == self._reserved.get(mac, packet["ip"]):
            self.reasons.pop(mac, None)
            self._reserved.pop(mac, None)
        _bound(self.reasons)
        _bound(self._reserved)

    def _is_walk(self, mac: str, what: str, ip: str | None) -> bool:
        """Whether it was the gateway itself that asked in that node's place, or is the answer to that."""
        if what == "DHCPDISCOVER":
            self._walked = mac if ip == WALK_WISH else ""
            if self._walked:
                self._pending = None
        return bool(self._walked) and mac == self._walked and what in ("DHCPDISCOVER", "DHCPOFFER")


def _bound(kept: dict[str, Any]) -> None:
    """Forget the oldest: whoever makes up MACs is not to fill our memory."""
    if len(kept) > MAX_CLIENTS:
        kept.pop(next(iter(kept)))


def ignored_in(text: str, *, now: datetime | None = None) -> dict[str, IgnoredClient]:
    """By MAC, who was ignored and has got no address since. `now` gives the year that the log leaves out."""
    log = DnsmasqLog()
    log.feed(text, now)
    return log.ignored


def reasons_in(text: str) -> dict[str, str]:
    """By MAC, why it did not get the address it should have or wanted; without those that have it by now."""
    log = DnsmasqLog()
    log.feed(text)
    return log.reasons


def _lines(text: str, now: datetime | None) -> Iterator[_Said]:
    for line in text.split("\n"):
        told = _LINE.match(line.rstrip("\r"))
        if told:
            yield _Said(_time(told["stamp"], now), told["number"] or "", told["said"])


def _time(stamp: str | None, now: datetime | None) -> datetime | None:
    if stamp is None:
        return None
    now = now or datetime.now().astimezone()
    try:
        if stamp[0].isdigit():
            at = datetime.fromisoformat(stamp)
            return at if at.tzinfo else at.replace(tzinfo=now.tzinfo)
        month = _MONTHS.index(stamp[:3]) + 1
        hour, minute, second = (int(part) for part in stamp[7:].split(":"))
        at = datetime(now.year, month, int(stamp[4:6]), hour, minute, second, tzinfo=now.tzinfo)
        # A December line read in January.
        return at.replace(year=now.year - 1) if at > now + timedelta(days=1) else at
    except ValueError:
        return None
