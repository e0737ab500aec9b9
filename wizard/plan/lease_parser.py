"""The lease file of dnsmasq, read: a line `EXPIRY MAC IP HOSTNAME CLIENT-ID` for each IPv4 lease.

EXPIRY is in seconds since 1970, 0 for an infinite lease; "*" stands for what is not known. Everybody who reads the
file reads it with this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address

from wizard.plan.text import clean

LONGEST_NAME = 64
LONGEST_LINE_SHOWN = 80
MOST_LINES_SHOWN = 100

_MAC = re.compile(r"(?:[0-9a-f]{2}-)?[0-9a-f]{2}(?::[0-9a-f]{2}){0,15}")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_NUMBER = re.compile(r"[0-9]{1,12}")
_IAID = re.compile(r"T?[0-9]{1,10}")
# Lines that dnsmasq writes beside IPv4 leases.
_ASIDES = frozenset({"duid", "vendorclass", "agent-info"})


@dataclass(frozen=True, slots=True)
class Lease:
    """One IPv4 lease. `expires` is None for an infinite one; `hostname` and `client_id` are "" where unknown."""

    expires: datetime | None
    mac: str
    ip: str
    hostname: str = ""
    client_id: str = ""


def parse_leases(text: str, cache: dict[str, Lease] | None = None) -> tuple[tuple[Lease, ...], tuple[str, ...]]:
    """The IPv4 leases of a lease file of dnsmasq's, and the lines that make no sense, made fit to be shown.

    IPv6 leases are passed over. A last line without its end is believed only as far as it is surely
    whole. `cache` holds, by line, what was parsed the last time, and afterwards what was parsed now.
    """
    leases: list[Lease] = []
    strange: list[str] = []
    before = cache or {}
    parsed: dict[str, Lease] = {}
    # Not splitlines(), and fields only at blanks: to Python many a control character ends a line.
    *lines, torn = text.split("\n")
    for line in lines:
        lease = before.get(line) or parse_line(line)
        if lease is not None:
            leases.append(lease)
            parsed[line] = lease
        elif not _is_aside(line):
            strange.append(line)
    if torn:
        # Whatever stands before a blank is whole; only the client id, the last field, may be cut.
        whole, _, _ = torn.rpartition(" ")
        lease = parse_line(f"{whole} *") if whole.count(" ") == 3 and not torn.endswith(" ") else None
        if lease is not None:
            leases.append(lease)
        elif not _is_aside(torn):
            strange.append(torn)
    shown = [clean(line, LONGEST_LINE_SHOWN) for line in strange[:MOST_LINES_SHOWN]]
    if len(strange) > MOST_LINES_SHOWN:
        shown.append(f"… and {len(strange) - MOST_LINES_SHOWN} lines more")
    if cache is not None:
        cache.clear()
        cache.update(parsed)
    return tuple(leases), tuple(shown)


def parse_line(line: str) -> Lease | None:
    """The IPv4 lease that a line without its end stands for, or None where it stands for none."""
    fields = line.removesuffix("\r").split(" ")
    if len(fields) != 5:
        return None
    expiry, mac, ip, hostname, client_id = fields
    mac = mac.lower()
    if not (_NUMBER.fullmatch(expiry) and _MAC.fullmatch(mac) and hostname and client_id):
        return None
    if not _IPV4.fullmatch(ip) or "\0" in line:
        return None
    try:
        expires = datetime.fromtimestamp(int(expiry), UTC) if int(expiry) else None
    except (OSError, ValueError, OverflowError):
        return None
    return Lease(
        expires=expires,
        mac=mac,
        ip=ip,
        hostname="" if hostname == "*" else clean(hostname, LONGEST_NAME),
        client_id="" if client_id == "*" else clean(client_id, LONGEST_LINE_SHOWN),
    )


def _is_aside(line: str) -> bool:
    """Whether a line is empty, or what dnsmasq writes for IPv6 and for its own memory."""
    fields = line.removesuffix("\r").split(" ")
    if fields == [""] or fields[0] in _ASIDES:
        return True
    if len(fields) != 5 or not _NUMBER.fullmatch(fields[0]) or not _IAID.fullmatch(fields[1]):
        return False
    try:
        IPv6Address(fields[2])
    except ValueError:
        return False
    return "%" not in fields[2]


def leased_address(line: str) -> str:
    """The address that a line holds, "" where it has none; also of a line that `parse_line` makes nothing of.

    For those who must not take an address for free, or not leave a lease in place, because a line is strange.
    """
    fields = line.split()
    return fields[2] if len(fields) > 2 else ""
