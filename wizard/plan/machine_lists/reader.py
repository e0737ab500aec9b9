"""A list of machines, read line by line: each line in its own format, whatever the others are in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from wizard.plan.machine_lists import blocks, lines, tables, trees
from wizard.plan.machine_lists.decode import split_lines
from wizard.plan.machine_lists.record import Machine, Raw, finish, group_role, ip_text, mac_text, may_be_name
from wizard.plan.machine_lists.tables import Columns
from wizard.plan.machine_lists.words import by_words

_REMARK = re.compile(r"(?:^|\s)#.*")
_SECTION = re.compile(r"\[([\w.-]+)(?::(\w+))?\]$")
_WINDOWS_HEAD = re.compile(r"\S[^:]*: [0-9.]+ --- 0x[0-9a-f]+", re.IGNORECASE)
_SCAN_HEAD = re.compile(r"(?:Interface: \S+, (?:data)?(?:link|type)|Starting arp-scan)")
_RANGE = re.compile(r"\[[0-9a-zA-Z]*:[0-9a-zA-Z]*(?::[0-9]+)?\]")
_PROGRAM_HEADS = re.compile(r"(?:Address|IP address)\s+HW ?type\s|Protocol\s+Address\s+Age\s")

# What else stands in files of these formats. Such lines are passed over only where the format is there.
_DHCPD = re.compile(r"^\s*(?:host|lease)\s+\S+\s*\{?", re.MULTILINE)
_SCAFFOLDS: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (_DHCPD, re.compile(r".*[;{}]$|(?:subnet|group|pool|shared-network|option|authoritative|range|class)\b.*")),
    (
        re.compile(r"^\s*(?:--)?dhcp-host[= ]", re.MULTILINE),
        re.compile(r"(?:--)?[a-z][a-z0-9]*(?:-[a-z0-9]+)*=.*|[a-z]+(?:-[a-z0-9]+)+"),
    ),
    (re.compile(r"^\s*config\s+'?\w", re.MULTILINE), re.compile(r"(?:config|option|list|package)\s.*")),
    (re.compile(r"^dhcp\.[^=]+=", re.MULTILINE), re.compile(r"dhcp\.[^=]+=.*")),
    (
        re.compile(r"^/ip |^/interface |^add .*mac-address=", re.MULTILINE),
        re.compile(r"/[a-z].*|(?:add|set|remove)\s.*|:[a-z].*"),
    ),
    (
        re.compile(r"^Nmap scan report", re.MULTILINE),
        re.compile(
            r"(?:Starting Nmap|Nmap (?:done|scan)|Host (?:is|seems)|Not shown|All [0-9]+|PORT|[0-9]+/(?:tcp|udp|sctp)"
            r"|Other addresses|rDNS|MAC Address|Service|Device|Running|OS|Network Distance|Warning|Note|Some|Too).*"
        ),
    ),
    (re.compile(r"^# Nmap ", re.MULTILINE), re.compile(r"Host: .*")),
    (
        _SCAN_HEAD,
        re.compile(r"(?:Interface|Starting|Ending|WARNING|[0-9]+ packets|[0-9]+ hosts).*"),
    ),
    (
        re.compile(r"^server-duid |^authoring-byte-order ", re.MULTILINE),
        re.compile(r"(?:server-duid|authoring-byte-order|failover|ia-na|ia-ta)\b.*"),
    ),
    (re.compile(r"^Address\s+HWtype", re.MULTILINE), re.compile(r"Entries:.*")),
    (re.compile(r"^Protocol\s+Address\s+Age", re.MULTILINE), re.compile(r"Internet\s.*")),
)


@dataclass(frozen=True, slots=True)
class MachineList:
    """`machines` in the order of their lines. `heading` is the line that says which column is what, "" where none.

    `passed` counts what is in the list and is no machine (broadcast, groups, addresses that nobody answered at),
    `repeated` the rows that say again what another one says.
    """

    machines: tuple[Machine, ...]
    heading: str = ""
    passed: int = 0
    repeated: int = 0


def read_list(text: str) -> MachineList:
    """Every machine of a list, and every line that was to give one and gave none, with the reason."""
    notation = trees.looks_like(text)
    if notation:
        reader = _Reader([])
        reader.raws = trees.read_tree(text, notation)
    else:
        reader = _Reader(split_lines(text))
        reader.read()
    machines, passed, repeated = _finished(reader.raws)
    return MachineList(tuple(machines), reader.heading, passed + reader.passed, repeated)


class _Reader:
    """Where in the text it is, and what the lines above say of those below."""

    def __init__(self, text: Sequence[str]) -> None:
        self.lines = text
        self.raws: list[Raw] = []
        self.passed = 0
        self.heading = ""
        self._columns: Columns | None = None
        self._section: tuple[str, str] | None = None
        self._program = ""
        self._uci: list[tuple[int, str]] = []
        whole = "\n".join(text)
        self._scaffolds = [rest for tell, rest in _SCAFFOLDS if tell.search(whole)]
        self._continues = re.search(r"^(?:/ip|/interface|add) ", whole, re.MULTILINE) is not None

    def read(self) -> None:
        at = 0
        while at < len(self.lines):
            at += self._line(at)
        self.raws += blocks.uci_show(self._uci)
        self.raws.sort(key=lambda raw: raw.line)

    def _line(self, at: int) -> int:
        """Reads what begins on that line; the number of lines that it takes."""
        line, number = self.lines[at], at + 1
        bare, taken = line.strip(), 1
        if not bare:
            return taken
        if bare.startswith(("#", "//")) or (bare.startswith(";") and self._columns is None):
            return taken
        if self._continues and bare.endswith("\\"):
            while bare.endswith("\\") and at + taken < len(self.lines) and taken < blocks.LONGEST:
                bare = bare[:-1] + self.lines[at + taken].strip()
                taken += 1
        if tables.is_rule(bare) or (bare.startswith("sep=") and len(bare) == 5):
            return taken
        if _PROGRAM_HEADS.match(bare):
            self._columns = None
            return taken
        headed = tables.columns(bare)
        if headed is not None:
            self._columns, self.heading, self._section = headed, line, None
            return taken
        found = blocks.block(self.lines, at)
        if found is not None:
            self.raws += found[0]
            self.passed += not found[0] and bare.startswith("lease")
            return found[1]
        if self._columns is not None and self._columns.hold(bare) and not self._foreign(bare, number):
            return self._row(at)
        self._one(bare, number, "\n".join(self.lines[at : at + taken]))
        return taken

    def _foreign(self, bare: str, number: int) -> bool:
        """Whether a line below headings is in words of its own. Where blanks are between, much looks like a row."""
        columns = self._columns
        if columns is not None and not columns.between.strip(" "):
            return lines.known_line(bare, number, bare) is not None
        return lines.is_reservation(bare)

    def _row(self, at: int) -> int:
        """A row; where a cell of it goes on in the next lines, those too."""
        columns = self._columns
        assert columns is not None  # noqa: S101 - for the type checker
        row, taken = self.lines[at].strip(" "), 1
        if columns.between in tables.SIGNS and row.count('"') % 2:
            joined = row
            for count, more in enumerate(self.lines[at + 1 : at + 20], start=1):
                joined += " " + more
                if joined.count('"') % 2 == 0:
                    cells = tables.cells_of(joined, columns.between)
                    if cells is not None and len(cells) <= len(columns.fields):
                        row, taken = joined, count + 1
                    break
        row = row if columns.between == "\t" else row.strip()
        self.raws.append(tables.row(row, at + 1, "\n".join(self.lines[at : at + taken]), columns))
        return taken

    def _one(self, bare: str, number: int, text: str) -> None:
        section = None if bare.startswith("[[") else _SECTION.fullmatch(_REMARK.sub("", bare))
        if section is not None:
            self._section, self._columns = (section[1], section[2] or ""), None
            return
        if self._section is not None and self._section[1]:
            # Variables of a group, and groups of groups.
            return
        if _WINDOWS_HEAD.match(bare):
            self._program = "windows"
            return
        if _SCAN_HEAD.match(bare):
            self._program = "scan"
            return
        known = None
        if self._program == "windows":
            known = lines.windows_row(bare, number, text)
        elif self._program == "scan":
            known = lines.scan_row(bare, number, text)
        uncommented = _REMARK.sub("", bare).strip()
        known = known or lines.known_line(uncommented if not lines.is_reservation(bare) else bare, number, text)
        if known is not None:
            (raw,) = known
            if raw is None:
                self.passed += 1
            else:
                self.raws.append(raw)
            return
        if bare.startswith("dhcp.") and "=" in bare:
            self._uci.append((number, bare))
            return
        group = self._section[0] if self._section is not None else ""
        inventory = self._section is not None or "ansible_" in bare
        raw = lines.pairs(uncommented, number, text, inventory, group_role(group)) if "=" in uncommented else None
        if raw is None and self._section is not None:
            raw = self._host(uncommented, number, text, group_role(group))
        if raw is not None:
            if _RANGE.search(raw.name):
                raw.problem = "it stands for a range of machines: give each a line of its own"
                raw.name = ""
            self.raws.append(raw)
            return
        if any(rest.fullmatch(uncommented) for rest in self._scaffolds):
            return
        if self._program and not any(mac_text(word) for word in uncommented.split()):
            # Headings, in whatever language.
            return
        self.raws.append(by_words(bare, number, text))

    def _host(self, bare: str, number: int, text: str, role: str) -> Raw | None:
        """A host of an inventory, of which no more than its name is said here."""
        words = bare.split()
        if not words or any(mac_text(word) for word in words):
            return None
        name = lines.host_name(words[0])
        if len(words) > 1 and not all("=" in word for word in words[1:]):
            return None
        if may_be_name(name) or ip_text(name) or _RANGE.search(name):
            return Raw(number, text, name, role, listed=True, kind="inventory")
        return None


def _finished(raws: Iterable[Raw]) -> tuple[list[Machine], int, int]:
    """The machines, how many rows are none, and how many say again what others say."""
    ready, repeated = _joined(list(raws))
    _drop_repeated_words(ready)
    machines: list[Machine] = []
    passed = 0
    for raw in ready:
        machine = finish(raw)
        if machine is None:
            passed += 1
        else:
            machines.append(machine)
    found, again = _told_twice(machines)
    return found, passed, repeated + again


def _joined(raws: list[Raw]) -> tuple[list[Raw], int]:
    """Rows that complete each other as one: of an inventory's host, of ethers and hosts, of a lease and its renewal."""
    kept: list[Raw | None] = []
    hosts: dict[str, int] = {}
    by_mac: dict[str, int] = {}
    named: dict[str, int] = {}
    repeated = 0
    for raw in raws:
        if raw.kind == "inventory" and raw.name:
            held = kept[hosts[raw.name]] if raw.name in hosts else None
            if held is not None:
                trees.complete(held, raw)
                continue
            hosts[raw.name] = len(kept)
        if raw.observed and (mac := mac_text(raw.mac)):
            before = kept[by_mac[mac]] if mac in by_mac else None
            if before is not None and raw.latest and before.latest:
                kept[by_mac[mac]] = None
                raw.name = raw.name or before.name
                repeated += 1
            elif before is not None and (not raw.ip or not before.ip or raw.ip == before.ip):
                before.ip, before.name = before.ip or raw.ip, before.name or raw.name
                repeated += 1
                continue
            by_mac[mac] = len(kept)
        short = raw.name.partition(".")[0].lower()
        if short and not raw.observed:
            other = kept[named[short]] if short in named else None
            if other is not None and "hosts" in (raw.kind, other.kind) and _complete_each_other(other, raw):
                other.mac, other.ip = other.mac or raw.mac, other.ip or raw.ip
                other.role = other.role or raw.role
                other.kind = raw.kind if other.kind == "hosts" else other.kind
                repeated += 1
                continue
            named.setdefault(short, len(kept))
        kept.append(raw)
    return [raw for raw in kept if raw is not None], repeated


def _complete_each_other(one: Raw, other: Raw) -> bool:
    if one.problem or other.problem:
        return False
    return (not one.ip or not other.ip or one.ip == other.ip) and not (one.mac and other.mac)


def _drop_repeated_words(raws: list[Raw]) -> None:
    """A word behind address and MAC that several lines have is what a program says of them, not their name."""
    seen = Counter(raw.name.lower() for raw in raws if raw.trailing)
    for raw in raws:
        if raw.trailing and seen[raw.name.lower()] > 1:
            raw.name = ""


def _told_twice(machines: list[Machine]) -> tuple[list[Machine], int]:
    """The same row once; of rows that contradict each other the later ones say so."""
    found: list[Machine] = []
    first: dict[tuple[str, str], Machine] = {}
    repeated = 0
    for machine in machines:
        if not machine.problem:
            keys = [(what, value) for what in ("mac", "name", "ip") if (value := str(getattr(machine, what)))]
            held = next((first[key] for key in keys if key in first), None)
            if held is not None and (held.mac, held.name, held.ip) == (machine.mac, machine.name, machine.ip):
                repeated += 1
                continue
            clash = next((key for key in keys if key in first), None)
            if clash is not None:
                called = {"mac": "MAC", "name": "name", "ip": "address"}[clash[0]]
                told = f"{called} {clash[1]} is on line {first[clash].line} already"
                machine = replace(machine, problem=told, twice=True)
            for key in keys:
                first.setdefault(key, machine)
        found.append(machine)
    return found, repeated
