"""Tables: a line of headings names the columns, in any order."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from wizard.plan.machine_lists.row import Row, set_macs, several
from wizard.plan.machine_lists.values import ip_text, mac_text
from wizard.plan.machine_lists.vocabulary import RANK, field_of, plain_key

SIGNS = ("\t", ";", "|", ",")
_RULE = re.compile(r"[\s|:+=-]*[-=]{2,}[\s|:+=-]*")
_MOST_LINES = 20
_REMARK = re.compile(r"\s#(?:\s.*)?$")


@dataclass(frozen=True, slots=True)
class Columns:
    """The separator `between` columns, and for each column its field, "" for one to ignore."""

    between: str
    fields: tuple[str, ...]
    leases: bool = False
    """True for Kea's lease file: a machine's last row counts, a row without a MAC is no machine."""

    def hold(self, line: str) -> bool:
        """True if a line has the separator. Other lines below the table are read by themselves."""
        return len(self.fields) == 1 or (self.between or " ") in line


def is_rule(line: str) -> bool:
    """True for a rule of dashes, as many programs draw below their headings."""
    return _RULE.fullmatch(line) is not None


def columns(line: str) -> Columns | None:
    """The columns of a line of headings; None if it is none."""
    if len(line) > 4000:
        return None
    between = next((sign for sign in SIGNS if sign in line), "")
    if not between:
        # Headings of two words: such columns are two blanks apart.
        apart = re.split(r" {2,}", line.strip())
        if len(apart) > 1 and any(" " in cell for cell in apart) and (found := _headings(apart, "  ")) is not None:
            return found
    return _headings(cells_of(line, between), between)


def _headings(cells: list[str] | None, between: str) -> Columns | None:
    if cells is None or any(mac_text(cell) or ip_text(cell) for cell in cells):
        return None
    ranked: dict[str, int] = {}
    for place, cell in enumerate(cells):
        field = field_of(cell)
        if field and (field not in ranked or _rank(cell) < _rank(cells[ranked[field]])):
            ranked[field] = place
    # One such word alone is chance.
    if "mac" in ranked:
        is_one = len(ranked) > 1 or len(cells) == 1
    else:
        is_one = bool(between) and {"name", "ip"} <= ranked.keys()
    if not is_one:
        return None
    places = {place: field for field, place in ranked.items()}
    leases = {"valid_lifetime", "subnet_id"} <= set(cells)
    return Columns(between, tuple(places.get(place, "") for place in range(len(cells))), leases)


def _rank(cell: str) -> int:
    return RANK.get(plain_key(cell), 99)


def cells_of(line: str, between: str) -> list[str] | None:
    """The cells of a row; None if its quotes do not match or a cell exceeds 128 KiB."""
    if not between:
        return [cell.strip("\"'") for cell in line.split()]
    if between == "  ":
        return [cell.strip().strip("\"'") for cell in re.split(r" {2,}|\t", line.strip())]
    if between == "|":
        # Markdown rows begin and end with a bar.
        line = line.strip().removeprefix("|").removesuffix("|")
    try:
        cells = next(csv.reader([line], delimiter=between, skipinitialspace=True), [])
    except csv.Error:
        return None
    return [cell.strip().strip("\"'`") for cell in cells]


def row_from(lines: Sequence[str], at: int, columns: Columns) -> tuple[Row, int]:
    """The row that begins on line `at` (from 0), and how many lines it takes: quoted cells may contain newlines."""
    line, taken = lines[at].strip(" "), 1
    if columns.between in SIGNS and line.count('"') % 2:
        joined = line
        for count, more in enumerate(lines[at + 1 : at + _MOST_LINES], start=2):
            joined += " " + more
            if joined.count('"') % 2 == 0:
                cells = cells_of(joined, columns.between)
                if cells is not None and len(cells) <= len(columns.fields):
                    line, taken = joined, count
                break
    line = line if columns.between == "\t" else line.strip()
    return _row(line, at + 1, "\n".join(lines[at : at + taken]), columns), taken


def _row(line: str, number: int, text: str, columns: Columns) -> Row:
    """The machine of a row."""
    row = Row(number, text, no_mac_reason="no MAC in its column" if "mac" in columns.fields else "no MAC in it")
    row.observed = row.latest = columns.leases
    cells = cells_of(line, columns.between)
    if cells is None:
        row.problem = "a field is too long, or its quotes do not match"
        return row
    if cells:
        # Left over from a list that was pasted into a cell.
        cells[-1] = cells[-1].rstrip(",; ")
    # A # inside a cell is text; at the end of the last one it may begin a comment.
    if cells and " #" in cells[-1]:
        field = columns.fields[len(cells) - 1] if len(cells) <= len(columns.fields) else ""
        cells[-1] = (cells[-1].partition(" #")[0] if field in ("mac", "ip") else _REMARK.sub("", cells[-1])).strip()
    while len(cells) > len(columns.fields) and (not cells[-1] or cells[-1].startswith("#")):
        cells.pop()
    if len(cells) > len(columns.fields):
        row.problem = f"{len(cells)} columns, but {len(columns.fields)} headings"
        return row
    held = {field: cell for field, cell in zip(columns.fields, cells, strict=False) if field and cell}
    row.name, row.role = held.get("name", ""), held.get("role", "")
    row.mac, row.ip = held.get("mac", ""), held.get("ip", "")
    macs = several(row.mac)
    if len(macs) < 2 or mac_text(row.mac):
        # One MAC may have blanks in it.
        macs = [row.mac]
    set_macs(row, macs + several(held.get("others", "")))
    return row
