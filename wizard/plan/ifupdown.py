"""Which lines of ifupdown's files, see interfaces(5), configure one NIC at the next boot. Pure: reads no file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

KEYWORDS = ("iface", "mapping", "auto", "no-auto-down", "no-scripts", "source", "source-directory", "rename")
"""Words that begin a stanza or stand alone; `allow-CLASS` does too."""
_COMMANDS = frozenset({"pre-up", "up", "post-up", "down", "pre-down", "post-down"})
_UP_COMMANDS = frozenset({"pre-up", "up", "post-up"})
_MEMBERS = frozenset({"bridge-ports", "bond-slaves", "slaves", "ovs-ports", "ovs-bonds"})
# Methods by which an address, and mostly a default route too, comes from the wire.
_FROM_THE_WIRE = frozenset({"dhcp", "bootp", "ppp", "wvdial", "auto", "ipv4ll"})
_DHCP_CLIENTS = frozenset({"dhclient", "udhcpc", "dhcpcd", "pump", "pppd", "pon"})
_BEFORE_A_PROGRAM = frozenset({"", "sudo", "exec", "if", "then", "else", "do", "!", "{"})
_ADDRESS_OF_IP = re.compile(r"a(d(d(r(e(s(s)?)?)?)?)?)?|r(o(u(t(e)?)?)?)?|nexthop")
_SET_UP = re.compile(r"\b(master|netns|name|address|down)\b|\badd\b")


_WRITTEN_AT_BOOT = "It is written at every boot: have whatever writes it leave this NIC alone."


@dataclass(frozen=True, slots=True)
class InterfacesLine:
    """A line as ifupdown reads it, continuation lines joined. `number` (from 1) is where it begins."""

    file: str
    number: int
    words: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"

    @property
    def raises(self) -> bool:
        """True for `auto` and `allow-CLASS`: lines that name interfaces to bring up."""
        return self.words[0] == "auto" or self.words[0].startswith("allow-")


@dataclass(frozen=True, slots=True)
class Claim:
    """A line that would configure a NIC at the next boot.

    `own`: it concerns that NIC alone, so commenting it out affects no other. `what` completes "FILE:LINE …".
    """

    line: InterfacesLine
    what: str
    own: bool
    remedy: str = ""
    harmful: bool = True

    @property
    def can_go(self) -> bool:
        """True if an apply may comment it out. Files under /run are written again at the next boot."""
        return self.own and not self.line.file.startswith("/run/")


@dataclass(frozen=True, slots=True)
class _Stanza:
    head: InterfacesLine
    options: tuple[InterfacesLine, ...]

    @property
    def name(self) -> str:
        return self.head.words[1] if len(self.head.words) > 1 else ""

    @property
    def parents(self) -> list[str]:
        return [parent for word, parent in pairwise(self.head.words) if word == "inherits"]


def begins_stanza(words: Sequence[str]) -> bool:
    return bool(words) and (words[0] in KEYWORDS or words[0].startswith("allow-"))


def is_of(word: str, nic: str) -> bool:
    """True if a word of an `auto` or `iface` line is this NIC, an alias of it, or it mapped to another stanza."""
    name = word.partition("=")[0]
    return name == nic or name.startswith(f"{nic}:")


def is_own_stanza(words: Sequence[str], nic: str) -> bool:
    """True if an `iface` or `mapping` line begins a stanza for this NIC alone."""
    if words[:1] == ("iface",):
        return len(words) > 1 and is_of(words[1], nic)
    return words[:1] == ("mapping",) and len(words) > 1 and all(is_of(word, nic) for word in words[1:])


def claims(lines: Iterable[InterfacesLine], nic: str, mac: str = "") -> tuple[Claim, ...]:
    """Every line that would configure the NIC at the next boot, in the order in which ifupdown reads them."""
    lines = tuple(line for line in lines if line.words)
    stanzas = _stanzas(lines)
    by_head = {stanza.head: stanza for stanza in stanzas}
    raised = _raised(lines, stanzas)
    found: list[Claim] = []
    for line in lines:
        word = line.words[0]
        if line.raises:
            found += _of_raising(line, nic, mac)
        elif word == "rename":
            found += _of_renaming(line, nic, mac)
        elif line in by_head:
            found += _of_stanza(by_head[line], stanzas, raised, nic)
    return tuple(found)


def _stanzas(lines: Sequence[InterfacesLine]) -> list[_Stanza]:
    found: list[tuple[InterfacesLine, list[InterfacesLine]]] = []
    inside = False
    file = ""
    for line in lines:
        if begins_stanza(line.words):
            inside = line.words[0] in ("iface", "mapping")
            if inside:
                found.append((line, []))
        elif inside and line.file == file:
            found[-1][1].append(line)
        file = line.file
    return [_Stanza(head, tuple(options)) for head, options in found]


def _raised(lines: Sequence[InterfacesLine], stanzas: Sequence[_Stanza]) -> set[str]:
    """Names of the stanzas that come up without being asked for, and of those that they inherit from."""
    names = {stanza.name for stanza in stanzas if stanza.head.words[0] == "iface"}
    found: set[str] = set()
    for line in lines:
        if line.raises:
            for word in line.words[1:]:
                physical, _, logical = word.partition("=")
                pattern = physical.partition("/")[2].partition("/")[0] if _is_pattern(physical) else physical
                found |= {logical} if logical else {name for name in names if fnmatchcase(name, pattern)}
        elif line.words[0] == "map":
            found |= set(line.words[-1:])
        elif line.words[0] in _UP_COMMANDS and "ifup" in " ".join(line.words):
            found |= {word.partition("=")[2] or word for word in line.words[1:]}
    while more := {p for s in stanzas if s.name in found for p in s.parents} - found:
        found |= more
    return found & names


def _is_pattern(word: str) -> bool:
    return "/" in word and not word.startswith("/dev/")


def _pattern_takes(pattern: str, nic: str, mac: str) -> bool:
    """True if a pattern such as `/eth*` or `mac/02:*` matches the NIC, or if we cannot tell."""
    variable, _, value = pattern.partition("/")
    if variable == "":
        return fnmatchcase(nic, value.partition("/")[0])
    if variable == "mac":
        return not mac or fnmatchcase(mac.lower(), value.partition("/")[0].lower())
    return True


def _of_raising(line: InterfacesLine, nic: str, mac: str) -> Iterator[Claim]:
    for word in line.words[1:]:
        physical, _, logical = word.partition("=")
        if is_of(word, nic):
            what = f"brings it up as {logical}" if logical else "brings it up"
            yield Claim(line, what, own=True, remedy=_WRITTEN_AT_BOOT)
        elif logical not in ("", nic) and _is_pattern(physical) and _pattern_takes(physical, nic, mac):
            remedy = f"Write the names of the other NICs there, each with ={logical}, instead of {physical}."
            yield Claim(line, f"brings it up as {logical}", False, remedy)


def _of_renaming(line: InterfacesLine, nic: str, mac: str) -> Iterator[Claim]:
    for word in line.words[1:]:
        old, _, new = word.partition("=")
        taken = _pattern_takes(old, nic, mac) if _is_pattern(old) else old == nic
        if taken and new not in ("", nic):
            yield Claim(line, f"gives it the name {new}", False, f"Take {word} out of that line.")


def _of_stanza(stanza: _Stanza, stanzas: Sequence[_Stanza], raised: set[str], nic: str) -> Iterator[Claim]:
    head = stanza.head
    if is_own_stanza(head.words, nic):
        what = f"configures it ({' '.join(head.words[:4])})"
        yield Claim(head, what, own=True, remedy=_WRITTEN_AT_BOOT)
        # To comment this one out would take a member from the bond.
        for line in stanza.options:
            if line.words[0].replace("_", "-") == "bond-master" and line.words[1:2] != ("none",):
                remedy = f"Take that line away, or name another NIC than {nic} for the cluster."
                bond = " ".join(line.words[1:2])
                yield Claim(line, f"makes it a part of {bond} ({' '.join(line.words)})", False, remedy)
        return
    if head.words[0] == "mapping":
        if any(fnmatchcase(nic, pattern) for pattern in head.words[1:]):
            remedy = "Write a pattern there that does not match it."
            yield Claim(head, "has a script choose its configuration", False, remedy)
        return
    own = {s.name for s in stanzas if s.head.words[0] == "iface" and is_of(s.name, nic)}
    for parent in own.intersection(stanza.parents):
        what = f"has {stanza.name} inherit from the stanza of {parent}, which has to go"
        yield Claim(head, what, False, f"Write what it inherits into the stanza of {stanza.name} itself.")
    if stanza.name in raised:
        yield from _of_options(stanza, stanzas, nic)


def _of_options(stanza: _Stanza, stanzas: Sequence[_Stanza], nic: str) -> Iterator[Claim]:
    """What the stanza of another interface, one that comes up at boot, does with the NIC."""
    remedy = f"Take {nic} out of that line, or name another NIC for the cluster."
    over_it = stanza.name.partition(".")[0] == nic and "." in stanza.name
    if over_it:
        yield _of_vlan(stanza.head, stanza, stanzas)
    for line in stanza.options:
        key = line.words[0].lower().replace("_", "-")
        values = line.words[1:]
        if key in _COMMANDS:
            if key in _UP_COMMANDS and _sets_up(" ".join(values), nic):
                yield Claim(line, f"has {stanza.name} change it ({' '.join(line.words)})", False, remedy)
        elif key == "vlan-raw-device" and nic in values:
            yield _of_vlan(line, stanza, stanzas)
        elif key in _MEMBERS and _has_member(values, nic):
            yield Claim(line, f"makes it a part of {stanza.name} ({' '.join(line.words)})", False, remedy)
        elif key not in ("description", "label", "address") and nic in values:
            yield Claim(line, f"has {stanza.name} use it ({' '.join(line.words)})", False, remedy)


def _of_vlan(line: InterfacesLine, stanza: _Stanza, stanzas: Sequence[_Stanza]) -> Claim:
    method = stanza.head.words[3] if len(stanza.head.words) > 3 else ""
    family = _with_parents(stanza, stanzas)
    routed = any(line.words[0] == "gateway" or "default" in line.words for one in family for line in one.options)
    if method in _FROM_THE_WIRE or routed:
        remedy = f"Take {stanza.name} out of the lines that raise it, or name another NIC for the cluster."
        return Claim(line, f"has a default route through it, by the VLAN {stanza.name}", False, remedy)
    what = f"has the VLAN {stanza.name} on it"
    return Claim(line, what, False, "Make sure that this VLAN is the cluster's too.", harmful=False)


def _with_parents(stanza: _Stanza, stanzas: Sequence[_Stanza]) -> list[_Stanza]:
    found = [stanza]
    for one in found:
        found += [s for s in stanzas if s.name in one.parents and s not in found]
    return found


def _has_member(values: Sequence[str], nic: str) -> bool:
    by_regex = False
    for value in values:
        if value in ("regex", "noregex"):
            by_regex = value == "regex"
        elif value in (nic, "all"):
            return True
        elif by_regex:
            try:
                if re.search(value, nic):
                    return True
            except re.error:
                return True
    return False


def _sets_up(command: str, nic: str) -> bool:
    """True if a command gives the NIC an address, a route, a master or the like; setting the link up does not count."""
    for part in re.split(r"[;&|]+", command):
        words = [re.sub(r"[\"'()]", "", word) for word in part.split()]
        words = [word for word in words if word not in _BEFORE_A_PROGRAM]
        if not any(is_of(word, nic) for word in words):
            continue
        program = words[0].rpartition("/")[2]
        rest = [word for word in words[1:] if not word.startswith("-")]
        if program == "ip":
            command = " ".join(rest)
            link = bool(rest) and rest[0] in ("l", "link")
            if (link and _SET_UP.search(command)) or (rest and _ADDRESS_OF_IP.fullmatch(rest[0])):
                return True
        elif program == "ifconfig":
            if [word for word in rest if word not in (nic, "up", "promisc", "mtu") and not word.isdigit()]:
                return True
        elif program in _DHCP_CLIENTS or program in ("ifup", "route", "brctl", "vconfig", "ifenslave", "ovs-vsctl"):
            return True
    return False
