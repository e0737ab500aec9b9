"""Machines that take several lines: dhcpd.conf(5) and dhcpd.leases(5), OpenWrt's uci, nmap's report."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wizard.plan.machine_lists.row import Row, more_than_one, set_macs

LONGEST = 200
"""Longest block, in lines."""

_DHCPD = re.compile(r"\s*(host|lease)\s+(\"[^\"]*\"|[^\s{]+)\s*(?:\{|$)")
_HARDWARE = re.compile(r"(?<![\w-])hardware\s+(ethernet|[\w-]+)\s+([^;\s}]+)")
_FIXED = re.compile(r"(?<![\w-])fixed-address\s+([^;}]+)")
_HOST_NAME = re.compile(r"(?<![\w-])client-hostname\s+\"?([^\";}]*)")
_DHCPD_REMARK = re.compile(r"\"[^\"\n]*\"|#[^\n]*")
_UCI = re.compile(r"\s*config\s+['\"]?(\w[\w-]*)['\"]?(?:\s+['\"]?([^'\"]*?)['\"]?)?\s*$")
_UCI_OPTION = re.compile(r"\s*(?:option|list)\s+['\"]?([\w-]+)['\"]?\s+(.*)$")
_REPORT = re.compile(r"Nmap scan report for (?:(\S+) \(([^)\s]+)\)|(\S+))(.*)$")
_REPORT_MAC = re.compile(r"\s*MAC Address: (\S+)")

Block = tuple[list[Row], int]
"""The rows of a block, and the number of its lines."""


def block(lines: Sequence[str], at: int) -> Block | None:
    """The block that begins on line `at` (from 0); None if none does."""
    line = lines[at]
    start = line.lstrip()
    if start.startswith(("host", "lease")) and (match := _DHCPD.match(line)):
        return _dhcpd(lines, at, match)
    if start.startswith("config") and (match := _UCI.match(line)):
        return _uci(lines, at, match)
    if start.startswith("Nmap scan") and (match := _REPORT.match(start)):
        return _nmap(lines, at, match)
    return None


def _dhcpd(lines: Sequence[str], at: int, match: re.Match[str]) -> Block | None:
    if "{" not in lines[at] and (at + 1 >= len(lines) or not lines[at + 1].lstrip().startswith("{")):
        return None
    depth = 0
    held: list[str] = []
    for line in lines[at : at + LONGEST]:
        if held and depth and _DHCPD.match(line):
            # The one before was never closed.
            break
        bare = _DHCPD_REMARK.sub(lambda found: found[0] if found[0][0] == '"' else "", line)
        unquoted = re.sub(r"\"[^\"]*\"", "", bare)
        depth += unquoted.count("{") - unquoted.count("}")
        held.append(bare)
        if depth <= 0 and "}" in unquoted:
            depth = 0
            break
    text = "\n".join(lines[at : at + len(held)])
    body = "\n".join(held).partition("{")[2]
    if re.search(r"(?<![\w-])deleted\s*;", body):
        return [], len(held)
    kind, named = match[1], match[2].strip('"')
    row = Row(at + 1, text, listed=True)
    hardware = _HARDWARE.search(body)
    if hardware is not None:
        row.mac = hardware[2]
        if hardware[1] != "ethernet":
            row.problem = f"hardware is {hardware[1][:20]}, not ethernet"
            row.mac = ""
    if kind == "lease":
        name = _HOST_NAME.search(body)
        row.ip, row.name, row.latest, row.observed, row.listed = named, name[1] if name else "", True, True, False
        if hardware is None:
            # Abandoned, or never leased.
            return [], len(held)
    else:
        row.name = named
        fixed = _FIXED.search(body)
        addresses = [word for word in re.split(r"[,\s]+", fixed[1]) if word] if fixed else []
        # It may be a host name too, for dhcpd to resolve.
        numbers = [word for word in addresses if re.fullmatch(r"[0-9.:/a-fA-F]*[.:][0-9.:/a-fA-F]*", word)]
        row.ip = numbers[0] if numbers else ""
        if len(numbers) > 1:
            row.problem = row.problem or more_than_one("address", numbers)
    if depth:
        row.problem = row.problem or "its block is not closed"
    return [row], len(held)


def _uci(lines: Sequence[str], at: int, match: re.Match[str]) -> Block:
    end = at + 1
    options: list[tuple[str, str]] = []
    last = at
    while end < len(lines) and end - at < LONGEST:
        line = lines[end]
        option = _UCI_OPTION.match(line)
        if option is not None:
            options.append((option[1], option[2].strip().strip("'\"")))
            last = end
        elif line.strip() and not line.lstrip().startswith("#"):
            break
        end += 1
    taken = last - at + 1
    if match[1] != "host":
        return [], taken
    row = Row(at + 1, "\n".join(lines[at : last + 1]), listed=True)
    macs = [word for key, value in options if key == "mac" for word in value.split()]
    _of_options(row, dict(options), macs)
    return [row], taken


def _of_options(row: Row, options: dict[str, str], macs: list[str]) -> None:
    row.name = options.get("name", "")
    row.ip = "" if options.get("ip") == "ignore" else options.get("ip", "")
    set_macs(row, macs)


def uci_show(lines: Sequence[tuple[int, str]]) -> list[Row]:
    """The hosts of `uci show dhcp`, given as (line number, line)."""
    sections: dict[str, tuple[Row, dict[str, str]]] = {}
    for number, line in lines:
        match = re.match(r"dhcp\.([^.=]+)(?:\.([\w-]+))?=(.*)$", line)
        if match is None:
            continue
        row, options = sections.setdefault(match[1], (Row(number, "", listed=True), {}))
        row.text += f"\n{line}" if row.text else line
        options[match[2] or ""] = match[3].replace("'", "")
    found = []
    for section, (row, options) in sections.items():
        if options.get("") == "host" or section.startswith("@host["):
            _of_options(row, options, options.get("mac", "").split())
            found.append(row)
    return found


def _nmap(lines: Sequence[str], at: int, match: re.Match[str]) -> Block:
    name, address = (match[1], match[2]) if match[1] else ("", match[3])
    taken, mac = 1, ""
    for line in lines[at + 1 : at + LONGEST]:
        if not line.strip() or line.startswith(("Nmap scan", "Nmap done")):
            break
        taken += 1
        found = _REPORT_MAC.match(line)
        if found is not None:
            mac = found[1]
            break
    if "host down" in match[4]:
        return [], 1
    row = Row(at + 1, "\n".join(lines[at : at + taken]), name, mac=mac, ip=address, listed=True)
    return [row], taken
