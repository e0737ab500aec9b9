"""Read a list of machines. Each line may be in a format of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wizard.plan.machine_lists import blocks, program_lines, tables, trees
from wizard.plan.machine_lists.decode import split_lines
from wizard.plan.machine_lists.free_form import by_words
from wizard.plan.machine_lists.merging import merge_rows
from wizard.plan.machine_lists.row import NOBODY, ListedMachine, Nobody, Row
from wizard.plan.machine_lists.scaffolding import SCAN_HEADING, Scaffolding
from wizard.plan.machine_lists.values import group_role, ip_text, mac_text, may_be_name

_REMARK = re.compile(r"(?:^|\s)#.*")
_SECTION = re.compile(r"\[([\w.-]+)(?::(\w+))?\]$")
_WINDOWS_HEADING = re.compile(r"\S[^:]*: [0-9.]+ --- 0x[0-9a-f]+", re.IGNORECASE)
_RANGE = re.compile(r"\[[0-9a-zA-Z]*:[0-9a-zA-Z]*(?::[0-9]+)?\]")
# Headings of programs whose rows are recognized without them.
_PROGRAM_HEADING = re.compile(r"(?:Address|IP address)\s+HW ?type\s|Protocol\s+Address\s+Age\s")
# RouterOS breaks long commands with a backslash.
_ROUTEROS = re.compile(r"^(?:/ip|/interface|add) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MachineList:
    """`machines` in the order of their lines. `heading` is the line that names the columns, "" without one.

    `passed` counts entries that are no machine (broadcast, multicast, addresses without an answer), `repeated` the
    rows that repeat another one.
    """

    machines: tuple[ListedMachine, ...]
    heading: str = ""
    passed: int = 0
    repeated: int = 0


def read_list(text: str) -> MachineList:
    """Every machine of a list, and with its reason every line that should have given one. Never raises."""
    notation = trees.looks_like(text)
    if notation:
        machines, passed, repeated = merge_rows(trees.read_tree(text, notation))
        return MachineList(tuple(machines), "", passed, repeated)
    reader = _LineReader(split_lines(text))
    reader.read()
    machines, passed, repeated = merge_rows(reader.rows)
    return MachineList(tuple(machines), reader.heading, passed + reader.passed, repeated)


class _LineReader:
    """Reads from top to bottom. Its state is what earlier lines say of later ones: columns, section, program."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.rows: list[Row] = []
        self.passed = 0
        self.heading = ""
        self._columns: tables.Columns | None = None
        self._section: tuple[str, str] | None = None
        self._program = ""
        self._uci: list[tuple[int, str]] = []
        whole = "\n".join(lines)
        self._scaffolding = Scaffolding(whole)
        self._has_routeros = _ROUTEROS.search(whole) is not None

    def read(self) -> None:
        at = 0
        while at < len(self.lines):
            at += self._read_from(at)
        self.rows += blocks.uci_show(self._uci)
        self.rows.sort(key=lambda row: row.line)

    def _read_from(self, at: int) -> int:
        """Read what begins on line `at` (from 0); return how many lines it takes.

        The surest sign goes first: headings, then blocks of several lines, rows below headings, single lines.
        """
        line, taken = self._whole_line(at)
        if not line or self._is_remark(line) or tables.is_rule(line) or re.fullmatch("sep=.", line):
            return taken
        if _PROGRAM_HEADING.match(line):
            self._columns = None
            return taken
        headed = tables.columns(line)
        if headed is not None:
            self._columns, self.heading, self._section = headed, self.lines[at], None
            return taken
        block = blocks.block(self.lines, at)
        if block is not None:
            rows, taken = block
            self.rows += rows
            self.passed += not rows and line.startswith("lease")
            return taken
        if self._columns is not None and self._columns.hold(line) and not self._is_foreign(line, self._columns):
            row, taken = tables.row_from(self.lines, at, self._columns)
            self.rows.append(row)
            return taken
        self._read_line(line, at + 1, "\n".join(self.lines[at : at + taken]))
        return taken

    def _whole_line(self, at: int) -> tuple[str, int]:
        """The line, stripped and joined with its continuation lines, and how many lines that are."""
        line, taken = self.lines[at].strip(), 1
        if self._has_routeros and not line.startswith("#"):
            while line.endswith("\\") and at + taken < len(self.lines) and taken < blocks.LONGEST:
                line = line[:-1] + self.lines[at + taken].strip()
                taken += 1
        return line, taken

    def _is_remark(self, line: str) -> bool:
        return line.startswith(("#", "//")) or (line.startswith(";") and self._columns is None)

    def _is_foreign(self, line: str, columns: tables.Columns) -> bool:
        """True if a line below headings is in another format. With blanks between columns much looks like a row."""
        if columns.between.strip(" "):
            return program_lines.is_reservation(line)
        return program_lines.known_line(line, 0, line) is not None

    def _read_line(self, line: str, number: int, text: str) -> None:
        """Read a line outside of tables and blocks. `text` is the original."""
        if self._takes_as_context(line):
            return
        uncommented = _REMARK.sub("", line).strip()
        known = self._known(line, uncommented, number, text)
        if known is NOBODY:
            self.passed += 1
        elif known is not None:
            self.rows.append(known)
        elif line.startswith("dhcp.") and "=" in line:
            self._uci.append((number, line))
        elif (row := self._inventory_host(line, uncommented, number, text)) is not None:
            self.rows.append(row)
        elif not self._scaffolding.has(uncommented) and not self._is_program_heading(uncommented):
            self.rows.append(by_words(line, number, text))

    def _takes_as_context(self, line: str) -> bool:
        """True if the line describes those below it, or is in a section without hosts."""
        section = None if line.startswith("[[") else _SECTION.fullmatch(_REMARK.sub("", line))
        if section is not None:
            self._section, self._columns = (section[1], section[2] or ""), None
            return True
        if self._section is not None and self._section[1]:
            # Variables of a group, and groups of groups.
            return True
        if _WINDOWS_HEADING.match(line):
            self._program = "windows"
        elif SCAN_HEADING.match(line):
            self._program = "scan"
        else:
            return False
        return True

    def _known(self, line: str, uncommented: str, number: int, text: str) -> Row | Nobody | None:
        """The row of a line in a program's format, or NOBODY; None if it is in none."""
        found: Row | Nobody | None = None
        if self._program == "windows":
            found = program_lines.windows_row(line, number, text)
        elif self._program == "scan":
            found = program_lines.scan_row(line, number, text)
        if found is not None:
            return found
        return program_lines.known_line(line if program_lines.is_reservation(line) else uncommented, number, text)

    def _inventory_host(self, line: str, uncommented: str, number: int, text: str) -> Row | None:
        """A line of an INI inventory, or one of key=value."""
        role = group_role(self._section[0]) if self._section is not None else ""
        is_inventory = self._section is not None or "ansible_" in line
        row = program_lines.pairs(uncommented, number, text, is_inventory, role) if "=" in uncommented else None
        if row is None and self._section is not None:
            row = _bare_host(uncommented, number, text, role)
        if row is not None and _RANGE.search(row.name):
            row.problem = "it means a range of machines: write one line for each"
            row.name = ""
        return row

    def _is_program_heading(self, line: str) -> bool:
        """True for column headings of a known program, in any language."""
        return bool(self._program) and not any(mac_text(word) for word in line.split())


def _bare_host(line: str, number: int, text: str, role: str) -> Row | None:
    """A host of an inventory without a MAC on its line."""
    words = line.split()
    if not words or any(mac_text(word) for word in words):
        return None
    name = program_lines.host_name(words[0])
    if len(words) > 1 and not all("=" in word for word in words[1:]):
        return None
    if may_be_name(name) or ip_text(name) or _RANGE.search(name):
        return Row(number, text, name, role, listed=True, kind="inventory")
    return None
