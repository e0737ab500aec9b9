"""Nodes and VMs summed up, so that drawing thousands costs no more than drawing a few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from wizard.monitor.alarms import alarm_words
from wizard.monitor.lease_rows import LeaseRow
from wizard.plan.text import clean

MAX_NAMED = 100
"""More machines than any screen has room for."""
HERE, LEASED, UNSEEN, WRONG = "here", "leased", "unseen", "wrong"
_NOTES = {"missing": "missing", "wrong-address": "wrong address", "ignored": "asked, ignored"}


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One node as clean text. `state`: "here" (it answers), "leased" (it has its lease, and was not heard lately),
    "unseen", or "wrong" (an alarm, or the wrong address)."""

    state: str
    name: str
    role: str
    ip: str
    vendor: str
    note: str


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """Nodes: `count` in the plan, `here` of them present, both also by role in `roles` (role, present, count). `first`
    and `trouble`: at most MAX_NAMED nodes, and of those in trouble, of whom there are `troubled`. Then the VMs."""

    count: int = 0
    here: int = 0
    roles: tuple[tuple[str, int, int], ...] = ()
    first: tuple[NodeEntry, ...] = ()
    trouble: tuple[NodeEntry, ...] = ()
    troubled: int = 0
    vms: tuple[LeaseRow, ...] = ()
    vms_here: int = 0


def summarize_nodes(rows: Iterable[LeaseRow]) -> NodeSummary:
    """Each node counts once, however many rows it has; a row with an alarm goes before its others."""
    nodes: dict[str, LeaseRow] = {}
    vms: list[LeaseRow] = []
    for row in rows:
        if row.kind == "vm" and row.ip:
            vms.append(row)
        elif row.kind == "node" and (row.alarms or row.name not in nodes):
            nodes[row.name] = row
    states = {name: state_of(row) for name, row in nodes.items()}
    counts = Counter(row.role for row in nodes.values())
    here = Counter(nodes[name].role for name, state in states.items() if state in (HERE, LEASED))
    trouble = [row for wanted in (WRONG, UNSEEN) for name, row in nodes.items() if states[name] == wanted]
    return NodeSummary(
        len(nodes),
        sum(here.values()),
        tuple((role, here[role], count) for role, count in counts.items()),
        tuple(node_entry(row) for row in list(nodes.values())[:MAX_NAMED]),
        tuple(node_entry(row) for row in trouble[:MAX_NAMED]),
        len(trouble),
        tuple(vms),
        sum(row.reachable is not False for row in vms),
    )


def state_of(row: LeaseRow) -> str:
    if row.alarms or row.state == "wrong-address":
        return WRONG
    if row.reachable:
        return HERE
    return LEASED if row.state == "leased" and row.reachable is None else UNSEEN


def node_entry(row: LeaseRow) -> NodeEntry:
    if row.alarms:
        # The topology has the short text; the events say what it means.
        note = alarm_words(row.alarms[0]).note
    elif row.state == "leased":
        note = {True: "", None: "leased", False: "silent"}[row.reachable]
    elif row.state == "static":
        note = "no lease"
    else:
        note = _NOTES.get(row.state, row.state)
    name = clean(row.name or row.hostname or row.mac, 63)
    return NodeEntry(
        state_of(row), name, clean(row.role, 40), clean(row.ip, 15), clean(row.vendor, 40), clean(note, 200)
    )
