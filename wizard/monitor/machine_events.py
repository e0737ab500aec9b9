"""What happened to a machine between two polls, as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wizard.monitor.alarms import alarm_words
from wizard.monitor.lease_rows import LeaseRow

_WITH_LEASE = ("leased", "wrong-address")


@dataclass(frozen=True, slots=True)
class MachineEvent:
    """`kind`: "came", "left", "moved", "refused" or "alarm". `name`: the machine's name, "" where it has none.

    `words`: what happened, as text, without who and when. All texts are clean.
    """

    at: datetime
    kind: str
    mac: str
    ip: str
    name: str
    words: str

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "event": self.kind,
            "mac": self.mac,
            "ip": self.ip,
            "name": self.name,
            "words": self.words,
        }


def events_of(before: Sequence[LeaseRow], after: Sequence[LeaseRow], at: datetime) -> list[MachineEvent]:
    """The events between two states of one machine's rows."""
    rows = after or before
    if not rows:
        return []
    mac, name = rows[0].mac, rows[0].name or rows[0].hostname
    found: list[tuple[str, str, str]] = []
    had = {row.ip: row for row in before if row.state in _WITH_LEASE}
    has = {row.ip: row for row in after if row.state in _WITH_LEASE}
    new, lost = sorted(has.keys() - had.keys()), sorted(had.keys() - has.keys())
    for old_ip, new_ip in zip(lost, new, strict=False):
        found.append(("moved", new_ip, f"moved from {old_ip} to {new_ip}"))
    moved = min(len(lost), len(new))
    found += [("came", ip, f"came and has {ip}") for ip in new[moved:]]
    found += [("left", ip, f"its lease of {ip} is over") for ip in lost[moved:]]
    for ip in sorted(had.keys() & has.keys()):
        if had[ip].reachable is not False and has[ip].reachable is False:
            found.append(("left", ip, f"answers at {ip} no longer"))
        elif had[ip].reachable is False and has[ip].reachable:
            found.append(("came", ip, f"answers at {ip} again"))
    found += _refusals(before, after)
    known = {alarm for row in before for alarm in row.alarms}
    for row in after:
        found += [
            ("alarm", row.ip, row.reason or alarm_words(alarm).sentence) for alarm in row.alarms if alarm not in known
        ]
    return [MachineEvent(at, kind, mac, ip, name, words) for kind, ip, words in found]


def _refusals(before: Sequence[LeaseRow], after: Sequence[LeaseRow]) -> list[tuple[str, str, str]]:
    ignored = any(row.state == "ignored" for row in before)
    known = {row.reason for row in before}
    refused = {row.refusal for row in before}
    found = []
    for row in after:
        if row.state == "ignored" and not ignored:
            # One who was heard and could get none is told why; to others nothing was said at all.
            words = row.refusal or "asked for an address and was ignored"
            found.append(("refused", row.ip, words))
        elif row.state == "wrong-address" and row.reason not in known:
            found.append(("refused", row.ip, row.reason))
        elif row.refusal and row.refusal not in refused:
            # It has no address yet, or declined the one that it got.
            found.append(("refused", row.ip, row.refusal))
    return found
