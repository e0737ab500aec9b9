"""dnsmasq's log: who was ignored, who was refused and why. The lease file has none of these."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from wizard.host.dhcp.packet import WALK_WISH
from wizard.plan import paths
from wizard.plan.lease_parser import LONGEST_NAME
from wizard.plan.text import clean

MAX_CLIENTS = 70_000
"""Clients to remember; no network of ours has as many addresses."""

TAIL = 500_000
"""Bytes of a log that one poll reads at most; of a longer addition, the last ones."""

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# With log-dhcp every line carries the transaction's number.
_LINE = re.compile(
    r"^(?:(?P<stamp>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T\S+) )?"
    r"(?:\S+ )??dnsmasq-dhcp(?:\[[0-9]+\])?: (?:(?P<transaction>[0-9]+) )?(?P<message>.*)$"
)
_PACKET = re.compile(
    r"^(?P<what>DHCP[A-Z]+|BOOTP)\([^)]*\) (?:(?P<ip>[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+) )?"
    r"(?P<mac>(?:[0-9a-f]{2}-)?[0-9a-f]{2}(?::[0-9a-f]{2})+)(?: (?P<rest>.*))?$"
)
_NAMED = re.compile(r"^client provides name: (?P<name>.+)$")
_CONFIGURED = re.compile(r"^not using configured address (?P<ip>[0-9.]+) because it (?P<why>.+)$")

RANGE_FULL = "no address is left for it in the range"
# dnsmasq's reason -> ours. {ip}: the address that was requested.
_REFUSALS = {
    "static lease available": "it asked to keep {ip}, but another address is reserved for it",
    "address reserved": "it asked for {ip}, which is reserved for another machine",
    "wrong network": "it asked for {ip}, an address of some other network",
    "wrong server-ID": "it took {ip} from another DHCP server: two of them answer on this wire",
    "wrong address": "it asked for {ip}, which is not the address leased to it",
    "lease not found": "it asked for {ip}, of which there is no lease",
    "address not available": "it asked for {ip}, which cannot be given to it",
    "address in use": "it asked for {ip}, which another machine uses",
    "no address available": RANGE_FULL,
    "no leases left": "dnsmasq gives out no more leases",
    "no address configured": "no address is configured for it",
}


@dataclass(frozen=True, slots=True)
class IgnoredClient:
    """A client whose requests got no answer. `last_seen` is None where the log has no times."""

    mac: str
    count: int = 0
    last_seen: datetime | None = None
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class _LogLine:
    """One line of the log. `at` is None where it has no time, `transaction` "" unless log-dhcp is on."""

    at: datetime | None
    transaction: str
    message: str


class DnsmasqLog:
    """The state of each client, by MAC, from a log that is fed piece by piece.

    `ignored`: clients that were ignored and have had no answer since. `reasons`: why a client did not get the address
    that it requested or that is reserved for it, until it gets it. `request_times`: first and last request, from lines
    with a time. `most`: clients to remember.
    """

    def __init__(self, most: int = MAX_CLIENTS) -> None:
        self.most = most
        self.ignored: dict[str, IgnoredClient] = {}
        self.reasons: dict[str, str] = {}
        self.request_times: dict[str, tuple[datetime, datetime]] = {}
        self._names: dict[str, str] = {}
        self._reserved: dict[str, str] = {}
        self._pending: re.Match[str] | None = None
        self._probed_mac = ""

    def feed(self, text: str, now: datetime | None = None) -> None:
        """Parse whole lines. `now` gives the year, which the log leaves out."""
        for entry in _lines(text, now):
            if named := _NAMED.match(entry.message):
                self._names[entry.transaction] = clean(named["name"], LONGEST_NAME)
                _drop_oldest(self._names, self.most)
            elif configured := _CONFIGURED.match(entry.message):
                self._pending = configured
            elif packet := _PACKET.match(entry.message):
                self._take_packet(entry, packet)

    def _take_packet(self, entry: _LogLine, packet: re.Match[str]) -> None:
        mac, what, rest = packet["mac"], packet["what"], (packet["rest"] or "").strip()
        if self._is_path_probe(mac, what, packet["ip"]):
            return
        if entry.at is not None:
            first, _ = self.request_times.pop(mac, (entry.at, entry.at))
            self.request_times[mac] = (first, entry.at)
            _drop_oldest(self.request_times, self.most)
        configured = self._pending
        if self._pending is not None:
            # The line before names no client: it is about the one of this line.
            self._reserved[mac] = self._pending["ip"]
            self.reasons[mac] = f"{self._pending['ip']} is reserved for it, but {clean(self._pending['why'], 80)}"
            self._pending = None
        # Behind an ACK stands what the client calls itself.
        if rest == "ignored" and what != "DHCPACK":
            before = self.ignored.pop(mac, IgnoredClient(mac))
            name = self._names.get(entry.transaction, "") if entry.transaction else ""
            name = name or before.hostname
            self.ignored[mac] = replace(before, count=before.count + 1, last_seen=entry.at, hostname=name)
            _drop_oldest(self.ignored, self.most)
        elif what in ("DHCPOFFER", "DHCPACK"):
            self.ignored.pop(mac, None)
        if what == "DHCPDECLINE":
            self.reasons[mac] = f"it declined {packet['ip'] or 'an address'}: another machine answers there"
        elif rest in _REFUSALS and what != "DHCPACK":
            why = _REFUSALS[rest].format(ip=packet["ip"] or "an address")
            # Why its own is not to be had says more than that there is no other.
            self.reasons[mac] = f"{self.reasons[mac]}; {why}" if configured is not None else why
        elif what == "DHCPACK" and packet["ip"] == self._reserved.get(mac, packet["ip"]):
            self.reasons.pop(mac, None)
            self._reserved.pop(mac, None)
        _drop_oldest(self.reasons, self.most)
        _drop_oldest(self._reserved, self.most)

    def _is_path_probe(self, mac: str, what: str, ip: str | None) -> bool:
        """Whether this is the guard's path probe, sent in a node's place, or the offer to it."""
        if what == "DHCPDISCOVER":
            self._probed_mac = mac if ip == WALK_WISH else ""
            if self._probed_mac:
                self._pending = None
        return bool(self._probed_mac) and mac == self._probed_mac and what in ("DHCPDISCOVER", "DHCPOFFER")


class LogFollower:
    """A log that another process appends to and rotates. Each byte is read once."""

    def __init__(self, path: str | Path = paths.DNSMASQ_LOG, most: int = MAX_CLIENTS) -> None:
        self.path = Path(path)
        self.log = DnsmasqLog(most)
        self._inode = 0
        self._offset = 0

    def poll(self, now: datetime) -> bool:
        """Feed `log` with what was added; False where nothing was, or where the file cannot be read."""
        try:
            with self.path.open("rb") as handle:
                status = os.fstat(handle.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                if status.st_size == self._offset:
                    return False
                # Of a flood the end will do, from its first whole line on.
                skipped = status.st_size - self._offset > TAIL
                handle.seek(status.st_size - TAIL if skipped else self._offset)
                start = handle.tell()
                raw = handle.read(TAIL)
        except OSError:
            return False
        whole, newline, _ = raw.rpartition(b"\n")
        if not newline:
            return False
        self._offset = start + len(whole) + 1
        if skipped:
            whole = whole.partition(b"\n")[2]
        self.log.feed(whole.decode("utf-8", "replace"), now)
        return True


def _drop_oldest(entries: dict[str, Any], most: int) -> None:
    """Keep at most so many: made-up MACs must not fill the memory."""
    if len(entries) > most:
        entries.pop(next(iter(entries)))


def ignored_in(text: str, *, now: datetime | None = None) -> dict[str, IgnoredClient]:
    """`DnsmasqLog.ignored` of a whole log. `now` gives the year, which the log leaves out."""
    log = DnsmasqLog()
    log.feed(text, now)
    return log.ignored


def reasons_in(text: str) -> dict[str, str]:
    """`DnsmasqLog.reasons` of a whole log."""
    log = DnsmasqLog()
    log.feed(text)
    return log.reasons


def _lines(text: str, now: datetime | None) -> Iterator[_LogLine]:
    for line in text.split("\n"):
        match = _LINE.match(line.rstrip("\r"))
        if match:
            yield _LogLine(_time(match["stamp"], now), match["transaction"] or "", match["message"])


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
        # A line of December, read in January.
        return at.replace(year=now.year - 1) if at > now + timedelta(days=1) else at
    except ValueError:
        return None
