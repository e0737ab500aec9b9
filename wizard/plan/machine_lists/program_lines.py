"""Machines on one line each, in the format of a known program. Formats: the programs' manuals."""

from __future__ import annotations

import re
from collections.abc import Callable

from wizard.plan.machine_lists.row import NOBODY, Nobody, Row, fields_of, more_than_one, row_of, set_macs
from wizard.plan.machine_lists.values import ip_text, is_ipv6, mac_text, may_be_name
from wizard.plan.machine_lists.vocabulary import field_of, is_state

_RESERVATION = re.compile(r"\s*(?:--)?dhcp-host\s*[= ]\s*")
_NEIGHBOUR = re.compile(r"(\S+)\s+dev\s+\S+(?:\s+lladdr\s+(\S+))?(?:\s.*)?$")
_AT = re.compile(r"(\S+)\s+\(([0-9a-fA-F.:%\w]+)\)\s+at\s+(\S+)(?:\s.*)?$")
_ARP = re.compile(r"(\S+)\s+(?:ether|ieee802)\s+(\S+)\s+[A-Z]+(?:\s.*)?$")
_ARP_NONE = re.compile(r"\S+\s+\(incomplete\)(?:\s.*)?$")
_PROC_ARP = re.compile(r"([0-9.]+)\s+0x[0-9a-f]+\s+0x[0-9a-f]+\s+(\S+)\s+\S+\s+\S+$")
_CISCO = re.compile(r"Internet\s+([0-9.]+)\s+(?:[0-9]+|-)\s+(\S+)\s+ARPA(?:\s.*)?$")
_WINDOWS = re.compile(r"([0-9.]+)\s+([0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5})(?:\s+(\S+))?$")
_LEASE = re.compile(r"([0-9]+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)$")
_HOSTS = re.compile(r"([0-9.]+|[0-9a-fA-F:%\w]*:[0-9a-fA-F:.%\w]*)((?:\s+[A-Za-z0-9_][A-Za-z0-9_.-]*)+)$")
_SCAN_HOST = re.compile(r"Host: ([0-9.]+) \(([^)]*)\)\s+Status: (\w+)")
_LEASE_TIME = re.compile(r"[0-9]+[smhdwSMHDW]?|infinite|deprecated")
_PAIR = re.compile(r"([A-Za-z][\w.-]*)=(\"[^\"]*\"|'[^']*'|\S*)")

Reader = Callable[[str, int, str], Row | Nobody | None]
"""(line, its number, its original text) -> its row, NOBODY, or None for a line in another format."""


def known_line(line: str, number: int, text: str) -> Row | Nobody | None:
    """The row of a line in any known format, or NOBODY; None for a line in none of them."""
    for reader in _READERS:
        found = reader(line, number, text)
        if found is not None:
            return found
    return None


def is_reservation(line: str) -> bool:
    return _RESERVATION.match(line) is not None


def _reservation(line: str, number: int, text: str) -> Row | Nobody | None:
    match = _RESERVATION.match(line)
    return reservation(line[match.end() :], number, text) if match is not None else None


def reservation(fields: str, number: int, text: str) -> Row:
    """dnsmasq(8), --dhcp-host: fields in any order, recognized by their form."""
    row = Row(number, text, listed=True)
    macs: list[str] = []
    names: list[str] = []
    ips: list[str] = []
    # IPv6 addresses are in brackets, and may contain a comma.
    bare = re.sub(r"\[[^\]]*\](?:,[0-9]+)?", "", re.sub(r"\s#.*", "", fields))
    for word in (part.strip().strip("\"'") for part in bare.split(",")):
        lower = word.lower()
        if not word or lower.startswith(("id:", "set:", "tag:", "net:")) or lower == "ignore" or word == "*":
            continue
        # The hardware type: 1 is Ethernet.
        typed = re.sub(r"^(?:0?1)-(?=[0-9A-Fa-f*]{1,2}:)", "", word)
        if mac_text(typed) and not re.fullmatch(r"[0-9A-Fa-f]{12}", typed):
            macs.append(mac_text(typed))
        elif ip_text(word):
            ips.append(word)
        elif _LEASE_TIME.fullmatch(lower):
            continue
        elif re.fullmatch(r"(?:[0-9A-Fa-f]{1,2}-)?[0-9A-Fa-f*]{1,2}(?::[0-9A-Fa-f*]{1,2}){5}", word):
            macs.append(word)
        else:
            names.append(word)
    set_macs(row, macs)
    row.ip, row.name = (found[0] if found else "" for found in (ips, names))
    for what, found in (("address", ips), ("name", names)):
        if len(found) > 1:
            row.problem = row.problem or more_than_one(what, found)
    return row


def _seen(number: int, text: str, address: str, mac: str, name: str = "") -> Row | Nobody:
    """An entry of a neighbour table; NOBODY without a MAC."""
    if not mac_text(mac):
        return NOBODY
    row = Row(number, text, name, mac=mac, ip=address, observed=True)
    if not ip_text(address):
        row.ip, row.name = "", row.name or ("" if is_ipv6(address) else address)
    return row


def _neighbour(line: str, number: int, text: str) -> Row | Nobody | None:
    match = _NEIGHBOUR.fullmatch(line)
    if match is None or not (ip_text(match[1]) or is_ipv6(match[1])):
        return None
    return _seen(number, text, match[1], match[2] or "")


def _at(line: str, number: int, text: str) -> Row | Nobody | None:
    match = _AT.fullmatch(line)
    return _seen(number, text, match[2], match[3], match[1]) if match is not None else None


def _arp(line: str, number: int, text: str) -> Row | Nobody | None:
    match = _ARP.fullmatch(line)
    if match is not None and mac_text(match[2]):
        return _seen(number, text, match[1], match[2])
    if _ARP_NONE.fullmatch(line):
        return NOBODY
    match = _PROC_ARP.fullmatch(line) or _CISCO.fullmatch(line)
    return _seen(number, text, match[1], match[2]) if match is not None else None


def _windows(line: str, number: int, text: str) -> Row | Nobody | None:
    match = _WINDOWS.fullmatch(line)
    if match is None or not (match[3] is None or is_state(match[3])):
        return None
    return _seen(number, text, match[1], match[2])


def windows_row(line: str, number: int, text: str) -> Row | Nobody | None:
    """A row of Windows' arp: address, MAC, and the type in any language."""
    match = _WINDOWS.fullmatch(re.sub(r"(\S+\s+\S+\s+\S+)\s.*$", r"\1", line))
    return _seen(number, text, match[1], match[2]) if match is not None else None


def scan_row(line: str, number: int, text: str) -> Row | Nobody | None:
    """A row of arp-scan: address, MAC, vendor."""
    words = line.split(None, 2)
    if len(words) > 1 and ip_text(words[0]) and mac_text(words[1]):
        return _seen(number, text, words[0], words[1])
    return None


def _lease(line: str, number: int, text: str) -> Row | Nobody | None:
    if line.startswith("duid "):
        return NOBODY
    match = _LEASE.fullmatch(line)
    if match is None:
        return None
    if is_ipv6(match[3]):
        return NOBODY
    mac = re.sub(r"^0?1-(?=[0-9A-Fa-f]{2}:)", "", match[2])
    if not mac_text(mac) or not ip_text(match[3]):
        return None
    return Row(number, text, match[4], mac=mac, ip=match[3], observed=True, latest=True)


def _hosts(line: str, number: int, text: str) -> Row | Nobody | None:
    match = _HOSTS.fullmatch(line)
    if match is None:
        return None
    names = match[2].split()
    if any(mac_text(name) or ip_text(name) for name in names) or not (ip_text(match[1]) or is_ipv6(match[1])):
        return None
    if not ip_text(match[1]) or match[1].startswith(("127.", "0.", "255.")):
        return NOBODY
    # The first is the name, the others are aliases.
    return Row(number, text, names[0], ip=match[1], kind="hosts")


def _scan_host(line: str, number: int, text: str) -> Row | Nobody | None:
    match = _SCAN_HOST.match(line)
    if match is None:
        return None
    return Row(number, text, match[2], ip=match[1], listed=True) if match[3] == "Up" else NOBODY


_READERS: tuple[Reader, ...] = (_reservation, _neighbour, _at, _arp, _windows, _lease, _scan_host, _hosts)


def pairs(line: str, number: int, text: str, inventory: bool, role: str = "") -> Row | None:
    """key=value pairs, as in Ansible's INI and RouterOS. `inventory`: the line begins with the name."""
    found = _PAIR.findall(line)
    if not any(field_of(key) for key, _ in found):
        return None
    rest = _PAIR.sub(" ", line).split()
    fields = fields_of((key, value.strip("\"'")) for key, value in found)
    name = ""
    if rest and rest[0] not in ("add", "set") and (inventory or may_be_name(rest[0])) and not mac_text(rest[0]):
        name = host_name(rest[0])
    if not name and "mac" not in fields and not {"name", "ip"} <= fields.keys():
        return None
    row = row_of(fields, number, name, role)
    row.text = text
    row.kind = "inventory" if inventory and name else ""
    return row


def host_name(word: str) -> str:
    """The host of an inventory's line, without its port."""
    return re.sub(r":[0-9]+$", "", word)
