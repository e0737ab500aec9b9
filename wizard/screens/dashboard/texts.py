"""The dashboard's texts: checks, manual changes, strangers, events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from wizard.host.net.traffic import rate_words
from wizard.plan.checks import LONGEST_DETAIL
from wizard.plan.text import clean
from wizard.widgets.page import plain, plural

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.net.node_traffic import NodeTraffic
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.monitor.machine_events import MachineEvent
    from wizard.plan.checks import Check

_MOST_WRONG = 4
_MOST_DRIFT = 2
_MOST_BUSY = 5
LEAST_RATE = 10_000.0
"""Bits a second from which on a machine counts as busy: a heartbeat is none."""
_MANY = ("forward-", "path-in-")
"""What there may be many of: told only where it fails."""
_SIGNS = {True: "✓", False: "✗", None: "?"}


def checks_text(status: Status, width: int, full: bool = False) -> Text:
    """Failed checks in full with their remedy; the others by name, in as few lines as possible.

    `full`: there is room for the detail of each check.
    """
    # Of a tripped guard the alarm tells, and what it stopped needs no telling, whatever was read a moment before.
    known = ("guard", "dnsmasq", "dhcp-socket") if status.state == "tripped" else ()
    shown = [check for check in status.checks if check.ok is False or not check.name.startswith(_MANY)]
    checks = [check for check in shown if check.name not in known]
    wrong = [check for check in checks if check.ok is False]
    lines = [_wrong(check) for check in wrong[:_MOST_WRONG]]
    if len(wrong) > _MOST_WRONG:
        lines.append(Text(f"✗ and {len(wrong) - _MOST_WRONG} more: `ciao-wizard status` lists them all", "bold"))
    line = Text()
    fine = [check for check in checks if check.ok is not False]
    if full:
        lines += [_fine(check) for check in fine]
        fine = []
    for check in fine:
        word = Text.assemble((_SIGNS[check.ok], "bold"), f" {clean(check.name, 30).replace('-', ' ')}")
        if check.ok is None:
            word.append(f" ({clean(check.detail, 40)})")
        if line.cell_len + word.cell_len + 3 > width and line:
            lines.append(line)
            line = Text()
        line = Text("   ").join([line, word]) if line else word
    return Text("\n").join([*lines, line] if line else lines)


def _fine(check: Check) -> Text:
    name = clean(check.name, 20).replace("-", " ").ljust(12)
    return Text.assemble((_SIGNS[check.ok], "bold"), f" {name} ").append_text(plain(check.detail, "dim", limit=95))


def _wrong(check: Check) -> Text:
    text = Text.assemble(("✗ ", "bold"), (clean(check.name, 30).replace("-", " "), "bold"), "  ")
    text.append_text(plain(check.detail, limit=LONGEST_DETAIL))
    if check.remedy:
        text.append("\n  ").append_text(plain(check.remedy, limit=LONGEST_DETAIL))
    return text


def drift_text(status: Status) -> Text:
    """The manual changes since the apply."""
    if not status.drift:
        return Text()
    shown = [clean(line, 200) for line in status.drift[:_MOST_DRIFT]]
    if len(status.drift) > _MOST_DRIFT:
        shown.append(f"and {len(status.drift) - _MOST_DRIFT} more")
    return Text.assemble(("! Changed by hand: ", "bold"), "; ".join(shown), (".  r re-apply or reset", "bold"))


def strangers_text(rows: Iterable[LeaseRow]) -> Text:
    """Strangers that asked for an address, and alarms."""
    rows = tuple(rows)
    lines = []
    strangers = [row for row in rows if row.kind == "stranger"]
    if strangers:
        first = strangers[0]
        who = clean(f"{first.mac} ({first.hostname or first.vendor or 'unknown'})", 80)
        more = "" if len(strangers) == 1 else f" and {len(strangers) - 1} more"
        count = plural(len(strangers), "stranger")
        lines.append(Text.assemble((f"! {count}", "bold"), f": {who}{more}.  l shows more"))
    alarmed = [row for row in rows if row.alarms]
    if alarmed:
        more = "" if len(alarmed) == 1 else f" And {len(alarmed) - 1} more."
        said = clean(alarmed[0].reason or alarmed[0].alarms[0], 300)
        lines.append(Text.assemble(("! ", "bold"), f"{said}.{more}  l shows more"))
    return Text("\n").join(lines)


def busiest_text(rows: Iterable[LeaseRow], traffic: NodeTraffic, width: int) -> Text:
    """The machines with the most traffic now, as many as fit into a line; nothing where nobody has any."""
    found = []
    for row in rows:
        rate = traffic.rate_of(row.ip)
        if rate is not None and rate.received + rate.sent >= LEAST_RATE:
            found.append((rate.received + rate.sent, row, rate))
    line = Text("Busiest:", "bold")
    for _, row, rate in sorted(found, key=lambda one: -one[0])[:_MOST_BUSY]:
        who = clean(row.name or row.hostname or row.ip, 24)
        word = Text.assemble("  ", (who, "bold"), f" ↓ {rate_words(rate.received)} ↑ {rate_words(rate.sent)}")
        if line.cell_len + word.cell_len > width:
            break
        line.append_text(word)
    return line if found else Text()


def events_text(events: Sequence[MachineEvent], since: datetime | None, now: datetime, most: int) -> Text:
    """The last `most` events, newest first, then when the plan was applied if there is room."""
    lines = []
    for event in reversed(events[-most:]):
        who = clean(event.name or event.mac, 40)
        line = Text.assemble((_clock(event.at, now), "dim"), "  ", (f"{who}  " if who else "", "bold"))
        lines.append(line.append(clean(event.words, 200)))
    if since is not None and len(lines) < most:
        lines.append(Text.assemble((_clock(since, now), "dim"), "  this plan was applied"))
    return Text("\n").join(lines)


def _clock(at: datetime, now: datetime) -> str:
    """The time of day, with the day where it was another."""
    at, now = at.astimezone(), now.astimezone()
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%d %b %H:%M}"
