"""What dnsmasq's log says of machines that the lease file does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wizard.plan.text import clean

LONGEST_NAME = 64

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# With log-dhcp every line carries the transaction's number.
_LINE = re.compile(
    r"^(?:(?P<stamp>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T\S+) )?"
    r"(?:\S+ )??dnsmasq-dhcp(?:\[[0-9]+\])?: (?:(?P<number>[0-9]+) )?(?P<said>.*)$"
)
_PACKET = re.compile(
    r"^(?P<what>DHCP[A-Z]+|BOOTP)\((?P<nic>[^)]*)\) (?:(?P<ip>[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+) )?"
    r"(?P<mac>(?:[0-9a-f]{2}-)?[0-9a-f]{2}(?::[0-9a-f]{2})+)(?: (?P<rest>.*))?$"
)
_NAMED = re.compile(r"^client provides name: (?P<name>.+)$")
_CONFIGURED = re.compile(r"^not using configured address (?P<ip>[0-9.]+) because it (?P<why>.+)$")
_NO_RANGE = re.compile(r"^no address range available for DHCP request via (?P<nic>\S+)$")
_NO_ADDRESS = re.compile(r"^DHCP packet received on (?P<nic>\S+) which has no address$")

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
class Ignored:
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


def ignored_in(text: str, *, now: datetime | None = None) -> dict[str, Ignored]:
    """By MAC, who was ignored and has got no address since. `now` gives the year that the log leaves out."""
    found: dict[str, Ignored] = {}
    names: dict[str, str] = {}
    for said in _lines(text, now):
        if named := _NAMED.match(said.text):
            names[said.number] = clean(named["name"], LONGEST_NAME)
            continue
        packet = _PACKET.match(said.text)
        if packet is None:
            continue
        mac = packet["mac"]
        if packet["rest"] == "ignored":
            before = found.pop(mac, Ignored(mac))
            name = names.get(said.number, "") if said.number else ""
            found[mac] = replace(before, count=before.count + 1, last_seen=said.at, hostname=name or before.hostname)
        elif packet["what"] in ("DHCPOFFER", "DHCPACK"):
            found.pop(mac, None)
    return found


def reasons_in(text: str) -> dict[str, str]:
    """By MAC, why it did not get the address it should have or wanted; without those that have it by now."""
    found: dict[str, str] = {}
    reserved: dict[str, str] = {}
    pending: re.Match[str] | None = None
    for said in _lines(text, None):
        if configured := _CONFIGURED.match(said.text):
            pending = configured
            continue
        packet = _PACKET.match(said.text)
        if packet is None:
            continue
        mac, what, rest = packet["mac"], packet["what"], (packet["rest"] or "").strip()
        if pending is not None:
            # dnsmasq says whose packet it was about only in the line after.
            reserved[mac] = pending["ip"]
            found[mac] = f"{pending['ip']} is reserved for it, but {clean(pending['why'], 80)}"
            pending = None
        if rest in _REFUSALS and what != "DHCPACK":
            found[mac] = _REFUSALS[rest].format(ip=packet["ip"] or "an address")
        elif what == "DHCPACK" and packet["ip"] == reserved.get(mac, packet["ip"]):
            found.pop(mac, None)
            reserved.pop(mac, None)
    return found


def nic_troubles_in(text: str) -> dict[str, str]:
    """By NIC, why dnsmasq could not serve it at all when it was last asked there."""
    found: dict[str, str] = {}
    for said in _lines(text, None):
        if without := _NO_ADDRESS.match(said.text):
            found[clean(without["nic"], 40)] = "it has no address"
        elif outside := _NO_RANGE.match(said.text):
            found[clean(outside["nic"], 40)] = "none of its addresses is in the DHCP range's network"
        elif packet := _PACKET.match(said.text):
            found.pop(clean(packet["nic"], 40), None)
    return found


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
