"""The table in docs/supported.md: what the booted laptops were like, and what was seen on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "CIAO_WRITE_SUPPORTED"
"""Set to anything: the rows of what was run are written into DOCUMENT."""
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/supported.md"
MATRIX = "matrix"
"""The name under which a test records what goes into the table."""
BEGIN, END = "<!-- begin: written by the tests -->", "<!-- end -->"
KEYS = ("system", "manager", "firewall", "kernel")
SEEN = ("whole job", "served again within", "trial not kept")
_NOT_RUN = "not run"

Row = dict[str, str]


@dataclass
class Run:
    """One test's report: what it recorded under the name MATRIX, and whether it passed."""

    passed: bool
    recorded: list[Mapping[str, Any]] = field(default_factory=list)


def with_rows(text: str, runs: Iterable[Run]) -> str:
    """The document with the rows of these runs in its table; those of what was not run stay as they are."""
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {_key(row): row for row in _rows(table)}
    for run in runs:
        what: dict[str, Any] = {}
        for each in run.recorded:
            what |= each if "job" in each else {}
        if not what:
            continue
        row = rows.setdefault(
            tuple(str(what[key]) for key in KEYS), {key: str(what[key]) for key in KEYS} | dict.fromkeys(SEEN, _NOT_RUN)
        )
        row[str(what["job"])] = "passed" if run.passed else "failed"
        slowest = max(
            (each for each in run.recorded if "served" in each), key=lambda each: each["served"], default=None
        )
        if slowest is not None:
            row["served again within"] = f"{slowest['served']} s ({slowest['event']})"
    lines = ["|".join(["", *(f" {cell} " for cell in cells), ""]) for cells in _cells(rows.values())]
    return f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}"


def _cells(rows: Iterable[Row]) -> Iterable[list[str]]:
    yield [*KEYS, *SEEN]
    yield ["---"] * len([*KEYS, *SEEN])
    for row in sorted(rows, key=_key):
        yield [row[key] for key in (*KEYS, *SEEN)]


def _rows(table: str) -> Iterable[Row]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield dict(zip((*KEYS, *SEEN), (cell.strip() for cell in line.strip("|").split("|")), strict=True))


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[key] for key in KEYS)
