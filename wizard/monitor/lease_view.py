"""The rows of a lease board in the order and the choice that somebody wants to see, kept up row by row.

One row that changes costs two searches in a sorted list, whether there are a hundred rows or 65,000. Only another
order or another filter looks at each.
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
"""By what rows can be sorted; "plan": the plan's nodes in their order, then VMs, then strangers."""
BULK = 500

_EVER = 1e18
_LAST = "\U0010ffff"
_WORDS = {"wrong-address": "wrong address", "vm": "vm cnci"}

RowId = tuple[str, str]
Placed = tuple[Any, LeaseRow]
_key = itemgetter(0)


@dataclass(frozen=True, slots=True)
class LeaseQuery:
    """What somebody wants to see. `text`: words that a row must contain, all of them; "" shows every row."""

    order: str = "plan"
    descending: bool = False
    text: str = ""


class LeaseView(Sequence[LeaseRow]):
    """The rows as wanted at one moment. Another thread may make the next one meanwhile."""

    def __init__(
        self,
        placed: Sequence[Placed] = (),
        rows: Mapping[RowId, LeaseRow] | None = None,
        keys: Callable[[LeaseRow], Any] = row_id,
        down: bool = False,
    ) -> None:
        self._placed = placed
        self._rows = rows or {}
        self._keys = keys
        self._down = down

    def __len__(self) -> int:
        return len(self._placed)

    @overload
    def __getitem__(self, place: int) -> LeaseRow: ...
    @overload
    def __getitem__(self, place: slice) -> list[LeaseRow]: ...
    def __getitem__(self, place: int | slice) -> LeaseRow | list[LeaseRow]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        return self._placed[~place if self._down else place][1]

    def __iter__(self) -> Iterator[LeaseRow]:
        return (row for _, row in (reversed(self._placed) if self._down else self._placed))

    def index_of(self, which: RowId) -> int | None:
        """Where a row stands; None where it does not, or is just moving."""
        row = self._rows.get(which)
        if row is None:
            return None
        place = bisect_left(self._placed, self._keys(row), key=_key)
        if place == len(self._placed) or row_id(self._placed[place][1]) != which:
            return None
        return len(self._placed) - 1 - place if self._down else place


class LeaseIndex:
    """Feed it what changed with `take`; `shown` tells the rows as wanted."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """How many rows: by kind, "node leased" and the like, "alarm"."""
        self._rows: dict[RowId, LeaseRow] = {}
        self._numbers: dict[str, int] = {}
        self._wanted = LeaseQuery()
        self._words: list[str] = []
        self._placed: list[Placed] = []
        self._shown: LeaseView | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def update(
        self, changed: Iterable[LeaseRow], gone: Iterable[LeaseRow] = (), numbers: dict[str, int] | None = None
    ) -> None:
        """Rows that are new or different, and rows that are no more. `numbers`: the nodes' places by MAC."""
        changed, gone = list(changed), list(gone)
        anew = numbers is not None and numbers != self._numbers
        if numbers is not None and anew:
            self._numbers = dict(numbers)
        bulk = anew or len(changed) + len(gone) > BULK
        for row in gone:
            self._drop(row_id(row), bulk)
        for row in changed:
            self._put(row, bulk)
        if bulk:
            self._arrange()
        if bulk or changed or gone:
            self._shown = None

    def query(self, wanted: LeaseQuery | None = None) -> LeaseView:
        """A view that stays as it is; the very same one where nothing has changed since."""
        if wanted is not None and wanted != self._wanted:
            self._wanted, self._words = wanted, wanted.text.lower().split()
            self._arrange()
            self._shown = None
        if self._shown is None:
            self._shown = LeaseView(self._placed.copy(), self._rows, self._keys(), self._wanted.descending)
        return self._shown

    def _keys(self) -> Callable[[LeaseRow], Any]:
        """What the rows are sorted by now; of two rows no two keys are equal."""
        numbers = self._numbers

        def base(row: LeaseRow) -> bytes:
            return row_key(row, numbers)

        first = _FIRST.get(self._wanted.order)
        return base if first is None else lambda row: (first(row), base(row))

    def _arrange(self) -> None:
        keys, words = self._keys(), self._words
        rows: Iterable[LeaseRow] = self._rows.values()
        if words:
            # The texts of 65,000 rows are not worth keeping: making them takes a fifth of a second.
            rows = [row for row in self._rows.values() if contains(row, words)]
        # Let the old order go before there is a new one.
        self._placed, self._shown = [], None
        self._placed = [(keys(row), row) for row in rows]
        self._placed.sort(key=_key)

    def _drop(self, which: RowId, bulk: bool) -> None:
        old = self._rows.pop(which, None)
        if old is None:
            return
        self.counts.subtract(tags(old))
        if not bulk and contains(old, self._words):
            del self._placed[bisect_left(self._placed, self._keys()(old), key=_key)]

    def _put(self, row: LeaseRow, bulk: bool) -> None:
        which = row_id(row)
        self._drop(which, bulk)
        self._rows[which] = row
        self.counts.update(tags(row))
        if not bulk and contains(row, self._words):
            insort(self._placed, (self._keys()(row), row), key=_key)


def tags(row: LeaseRow) -> Iterator[str]:
    """What a row counts as."""
    yield row.kind
    yield f"{row.kind} {row.state}"
    if row.alarms:
        yield "alarm"


def contains(row: LeaseRow, words: Sequence[str]) -> bool:
    """Whether all of the words, in lower case, are somewhere in the row."""
    if not words:
        return True
    text = text_of(row)
    return all(word in text for word in words)


def text_of(row: LeaseRow) -> str:
    """All of a row that a search looks at."""
    here = {True: "here", False: "silent", None: ""}[row.reachable]
    words = [row.name, row.hostname, row.role, _WORDS.get(row.kind, row.kind), row.ip, row.mac, row.vendor]
    words += [_WORDS.get(row.state, row.state), here, *(alarm_words(alarm).sought for alarm in row.alarms)]
    return " ".join(word for word in words if word).lower()


def _state_key(row: LeaseRow) -> int:
    """What needs a person first."""
    if row.alarms:
        return 0
    if row.state in ("leased", "static"):
        return {False: 4, None: 5, True: 6}[row.reachable]
    return {"wrong-address": 1, "missing": 2}.get(row.state, 3)


_FIRST: dict[str, Callable[[LeaseRow], Any]] = {
    # One object each, not a tuple: 65,000 of those are 5 MB.
    "name": lambda row: (row.name or row.hostname or _LAST).lower(),
    "role": lambda row: row.role or _LAST + row.kind,
    "address": address_key,
    "MAC": lambda row: row.mac,
    "left": lambda row: row.expires.timestamp() if row.expires else _EVER if row.state == "leased" else 2 * _EVER,
    "state": _state_key,
}
