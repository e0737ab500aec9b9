"""A lease's row in cells and in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from wizard.host.net.traffic import bytes_words, rate_words
from wizard.monitor.alarms import alarm_words
from wizard.plan.text import clean
from wizard.widgets.page import plain
from wizard.widgets.virtual_table import Column

if TYPE_CHECKING:
    from wizard.host.net.node_traffic import NodeTraffic
    from wizard.monitor.lease_rows import LeaseRow

WIDE = 120
"""Columns of a terminal that has room for vendor and times too."""

_NARROW = (
    Column("name", 11),
    Column("role", 10),
    Column("address", 15),
    Column("MAC", 17),
    Column("expires in", 10, right=True),
    Column("state", 9),
)
_MORE = (Column("vendor", 10), Column("traffic", 10, right=True), Column("last seen", 9, right=True))
_SORTED_BY = {"left": "expires in"}
"""The heading of the column that the rows are sorted by, where it is not the name of the order."""
_STATES = {
    "missing": ("○ missing", "○ missing"),
    "static": ("● static", "● here, no lease"),
    "wrong-address": ("✗ wrong", "✗ wrong address"),
    "ignored": ("· ignored", "· asked, ignored"),
}
_HERE = {True: "● here", False: "○ silent", None: "· leased"}


def columns(width: int, order: str, descending: bool) -> tuple[Column, ...]:
    """The columns that `width` has room for; a sign stands at the one that the rows are sorted by."""
    found = list(_NARROW)
    if width >= WIDE:
        spare = width - WIDE
        found[0] = Column("name", 12 + min(spare, 13))
        found[5] = Column("state", 16)
        found += _MORE
    sign, sorted_by = "▼" if descending else "▲", _SORTED_BY.get(order, order)
    return tuple(_marked(column, sign) if column.heading == sorted_by else column for column in found)


def _marked(column: Column, sign: str) -> Column:
    # "▲expires in" has no room.
    heading = f"{sign}{column.heading.removesuffix(' in')}" if column.right else f"{column.heading}{sign}"
    return Column(heading, column.width, right=column.right)


MARK = "◆"


def cells(row: LeaseRow, now: datetime, wide: bool, traffic: NodeTraffic, marked: bool = False) -> Sequence[Text]:
    name = plain(called(row) or "–", limit=65)
    found = [
        Text.assemble((MARK, "bold"), name) if marked else name,
        plain(row.role or {"vm": "VM"}.get(row.kind, row.kind), limit=30),
        plain(row.ip or "–", limit=15),
        plain(row.mac, limit=17),
        Text(left(row, now)),
        Text(state(row, wide)),
    ]
    if wide:
        found += [plain(row.vendor or "–", limit=60), Text(_rate(row, traffic)), Text(_ago(row.last_seen, now))]
    return found


def called(row: LeaseRow) -> str:
    """Its name in the plan, else in quotes what it calls itself, which is its own claim; "" where it has neither."""
    return row.name or (f'"{row.hostname}"' if row.hostname else "")


def state(row: LeaseRow, wide: bool = True) -> str:
    """One or two words, with a sign that tells it without colour."""
    for alarm in row.alarms:
        return alarm_words(alarm).wide if wide else alarm_words(alarm).narrow
    return _STATES[row.state][wide] if row.state in _STATES else _HERE[row.reachable]


def left(row: LeaseRow, now: datetime) -> str:
    """Until the lease runs out: hours, minutes and seconds, or days."""
    if row.expires is None:
        return "never" if row.state in ("leased", "wrong-address") else "–"
    seconds = max(int((row.expires - now).total_seconds()), 0)
    if seconds >= 100 * 3600:
        return f"{seconds // 86400} d {seconds % 86400 // 3600:2} h"
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _rate(row: LeaseRow, traffic: NodeTraffic) -> str:
    """Both ways together."""
    rate = traffic.rate_of(row.ip)
    return rate_words(rate.received + rate.sent) if rate is not None else "–"


def details(row: LeaseRow, now: datetime, traffic: NodeTraffic) -> Text:
    """What the table has no room for: who it is, how it is, when it was seen, what it received and sent."""
    who = [plain(called(row) or row.mac, "bold", limit=65)]
    if row.name and row.hostname and row.hostname != row.name:
        who.append(plain(f'calls itself "{clean(row.hostname, 60)}"'))
    if row.vendor:
        who.append(plain(row.vendor, limit=60))
    text = Text(" · ").join(who)
    said = sentence(row)
    text.append("\n").append_text(plain(said, limit=400))
    seen = []
    if row.first_seen is not None:
        seen.append(f"first seen {_when(row.first_seen, now)}")
    if row.last_seen is not None:
        seen.append(f"last seen {_ago(row.last_seen, now)} ago")
    if seen:
        text.append("\n" + ", ".join(seen))
    count, rate = traffic.of(row.ip), traffic.rate_of(row.ip)
    if count is not None and (count.received or count.sent):
        both = ((count.received, rate.received if rate else None), (count.sent, rate.sent if rate else None))
        received, sent = (bytes_words(many) + (f" ({rate_words(now)})" if now else "") for many, now in both)
        text.append(f"\nreceived {received}, sent {sent}")
    return text


def sentence(row: LeaseRow) -> str:
    """How it is with a machine, and why."""
    if row.state == "wrong-address":
        return f"It has the wrong address {row.ip} because {_because(row.reason)}."
    if row.alarms:
        return _sentence(row.reason or "something is wrong with it")
    if row.state == "missing":
        why = f": {row.reason}" if row.reason else ". Is it switched on, and is its MAC the one in the plan?"
        return f"It has no lease{why}"
    if row.state == "static":
        return "It answers at its own address without a lease: the address is set on it, or its lease is lost."
    if row.state == "ignored":
        return _sentence(row.reason or "it asked for an address and was ignored")
    here = {True: " and answers", False: " but does not answer now", None: "; not known yet whether it is there"}
    text = f"It has its lease{here[row.reachable]}"
    return f"{text}; {row.reason}." if row.reason else f"{text}."


def _because(reason: str) -> str:
    return reason.rstrip(".") or "dnsmasq does not say why"


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:] + ("" if reason.endswith((".", "?")) else ".")


def _when(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "–"
    here = at.astimezone()
    return f"{here:%H:%M:%S}" if here.date() == now.astimezone().date() else f"{here:%d %b}"


def _ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "–"
    seconds = max(int((now - at).total_seconds()), 0)
    if seconds < 100:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h" if minutes < 6000 else f"{minutes // 1440} d"
