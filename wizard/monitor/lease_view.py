"""Lease rows sorted, filtered and counted, kept up row by row.

A changed row costs two searches in a sorted list, with a hundred rows or with 65,000. Only another order or another
filter visits every row.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, overload

from wizard.monitor.alarms import alarm_words
from wizard.monitor.lease_monitor import row_id
from wizard.monitor.lease_rows import LeaseRow, address_key, row_key

ORDERS = ("plan", "name", "role", "address", "MAC", "left", "state")
"""The sort orders; "plan": nodes in the plan's order, then VMs, then strangers. "left": by expiry."""
MANY_ROWS = 500
"""From this many changed rows on, sorting everything is cheaper than inserting each."""

_NEVER_EXPIRES = 1e18
_LAST = "\U0010ffff"
_WORDS = {"wrong-address": "wrong address", "vm": "vm cnci"}

RowId = tuple[str, str]
KeyedRow = tuple[Any, LeaseRow]
_key = itemgetter(0)


@dataclass(frozen=True, slots=True)
class LeaseQuery:
    """The rows to return. `text`: words, all of which a row must contain; "" for every row."""

    order: str = "plan"
    descending: bool = False
    text: str = ""


class LeaseView(Sequence[LeaseRow]):
    """The rows of a query at one moment. Another thread may build the next one meanwhile."""

    def __init__(
        self,
        keyed_rows: Sequence[KeyedRow] = (),
        rows: Mapping[RowId, LeaseRow] | None = None,
        sort_key: Callable[[LeaseRow], Any] = row_id,
        descending: bool = False,
    ) -> None:
        self._sorted = keyed_rows
        self._rows = rows or {}
        self._sort_key = sort_key
        self._descending = descending

    def __len__(self) -> int:
        return len(self._sorted)

    @overload
    def __getitem__(self, index: int) -> LeaseRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[LeaseRow]: ...
    def __getitem__(self, index: int | slice) -> LeaseRow | list[LeaseRow]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._sorted[~index if self._descending else index][1]

    def __iter__(self) -> Iterator[LeaseRow]:
        return (row for _, row in (reversed(self._sorted) if self._descending else self._sorted))

    def index_of(self, which: RowId) -> int | None:
        """The index of a row; None where it is not in the view, or is just moving."""
        row = self._rows.get(which)
        if row is None:
            return None
        index = bisect_left(self._sorted, self._sort_key(row), key=_key)
        if index == len(self._sorted) or row_id(self._sorted[index][1]) != which:
            return None
        return len(self._sorted) - 1 - index if self._descending else index


class LeaseIndex:
    """All rows. `update` it with what has changed; `query` returns a view."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Rows by kind ("node"), by kind and state ("node leased"), and with an alarm ("alarm")."""
        self._rows: dict[RowId, LeaseRow] = {}
        self._positions: dict[str, int] = {}
        self._query = LeaseQuery()
        self._terms: list[str] = []
        self._sorted: list[KeyedRow] = []
        self._view: LeaseView | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def update(
        self, changed: Iterable[LeaseRow], gone: Iterable[LeaseRow] = (), positions: dict[str, int] | None = None
    ) -> None:
        """Add or replace the `changed` rows, remove the `gone`. `positions`: see LeaseMonitor.positions."""
        changed, gone = list(changed), list(gone)
        reordered = positions is not None and positions != self._positions
        if positions is not None and reordered:
            self._positions = dict(positions)
        bulk = reordered or len(changed) + len(gone) > MANY_ROWS
        for row in gone:
            self._remove(row_id(row), bulk)
        for row in changed:
            self._insert(row, bulk)
        if bulk:
            self._sort()
        if bulk or changed or gone:
            self._view = None

    def query(self, query: LeaseQuery | None = None) -> LeaseView:
        """An immutable view; the same object where nothing has changed since. None: the query of before."""
        if query is not None and query != self._query:
            self._query, self._terms = query, query.text.lower().split()
            self._sort()
            self._view = None
        if self._view is None:
            self._view = LeaseView(self._sorted.copy(), self._rows, self._sort_key(), self._query.descending)
        return self._view

    def _sort_key(self) -> Callable[[LeaseRow], Any]:
        """The key of the present order; no two rows have the same."""
        positions = self._positions

        def base(row: LeaseRow) -> bytes:
            return row_key(row, positions)

        first = _ORDER_KEYS.get(self._query.order)
        return base if first is None else lambda row: (first(row), base(row))

    def _sort(self) -> None:
        sort_key, terms = self._sort_key(), self._terms
        rows: Iterable[LeaseRow] = self._rows.values()
        if terms:
            # Not kept: building the texts of 65,000 rows takes a fifth of a second.
            rows = [row for row in self._rows.values() if contains(row, terms)]
        # Free the old list before building the new one.
        self._sorted, self._view = [], None
        self._sorted = [(sort_key(row), row) for row in rows]
        self._sorted.sort(key=_key)

    def _remove(self, which: RowId, bulk: bool) -> None:
        old = self._rows.pop(which, None)
        if old is None:
            return
        self.counts.subtract(count_keys(old))
        if not bulk and contains(old, self._terms):
            del self._sorted[bisect_left(self._sorted, self._sort_key()(old), key=_key)]

    def _insert(self, row: LeaseRow, bulk: bool) -> None:
        which = row_id(row)
        self._remove(which, bulk)
        self._rows[which] = row
        self.counts.update(count_keys(row))
        if not bulk and contains(row, self._terms):
            insort(self._sorted, (self._sort_key()(row), row), key=_key)


def count_keys(row: LeaseRow) -> Iterator[str]:
    """The keys of `LeaseIndex.counts` under which a row counts."""
    yield row.kind
    yield f"{row.kind} {row.state}"
    if row.alarms:
        yield "alarm"


def contains(row: LeaseRow, words: Sequence[str]) -> bool:
    """Whether all of the words, in lower case, are in the row's search text."""
    if not words:
        return True
    text = search_text(row)
    return all(word in text for word in words)


def search_text(row: LeaseRow) -> str:
    """The text of a row that a search looks at."""
    here = {True: "here", False: "silent", None: ""}[row.reachable]
    words = [row.name, row.hostname, row.role, _WORDS.get(row.kind, row.kind), row.ip, row.mac, row.vendor]
    words += [_WORDS.get(row.state, row.state), here, *(alarm_words(alarm).search_terms for alarm in row.alarms)]
    return " ".join(word for word in words if word).lower()


def _expiry_key(row: LeaseRow) -> float:
    if row.expires:
        return row.expires.timestamp()
    return _NEVER_EXPIRES if row.state == "leased" else 2 * _NEVER_EXPIRES


def _state_key(row: LeaseRow) -> int:
    """Rows that need a person come first."""
    if row.alarms:
        return 0
    if row.state in ("leased", "static"):
        return {False: 4, None: 5, True: 6}[row.reachable]
    return {"wrong-address": 1, "missing": 2}.get(row.state, 3)


_ORDER_KEYS: dict[str, Callable[[LeaseRow], Any]] = {
    # One object each, not a tuple: 65,000 of those are 5 MB.
    "name": lambda row: (row.name or row.hostname or _LAST).lower(),
    "role": lambda row: row.role or _LAST + row.kind,
    "address": address_key,
    "MAC": lambda row: row.mac,
    "left": _expiry_key,
    "state": _state_key,
}
