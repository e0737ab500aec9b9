"""Rows -> machines: rows about one machine are merged, contradicting rows get a problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from wizard.plan.machine_lists.row import ListedMachine, Row, to_machine
from wizard.plan.machine_lists.values import mac_text


def merge_rows(rows: Iterable[Row]) -> tuple[list[ListedMachine], int, int]:
    """The machines; how many rows are no machine; how many repeat another row."""
    ready, repeated = _joined(list(rows))
    _drop_repeated_words(ready)
    machines: list[ListedMachine] = []
    passed = 0
    for row in ready:
        machine = to_machine(row)
        if machine is None:
            passed += 1
        else:
            machines.append(machine)
    found, again = _without_repeats(machines)
    return found, passed, repeated + again


def _joined(rows: list[Row]) -> tuple[list[Row], int]:
    """Merge rows that complete each other: an inventory's host, ethers and hosts, a lease and its renewal."""
    kept: list[Row | None] = []
    hosts: dict[str, int] = {}
    by_mac: dict[str, int] = {}
    named: dict[str, int] = {}
    repeated = 0
    for row in rows:
        if row.kind == "inventory" and row.name:
            held = kept[hosts[row.name]] if row.name in hosts else None
            if held is not None:
                complete(held, row)
                continue
            hosts[row.name] = len(kept)
        if row.observed and (mac := mac_text(row.mac)):
            before = kept[by_mac[mac]] if mac in by_mac else None
            if before is not None and row.latest and before.latest:
                kept[by_mac[mac]] = None
                row.name = row.name or before.name
                repeated += 1
            elif before is not None and (not row.ip or not before.ip or row.ip == before.ip):
                before.ip, before.name = before.ip or row.ip, before.name or row.name
                repeated += 1
                continue
            by_mac[mac] = len(kept)
        short = row.name.partition(".")[0].lower()
        if short and not row.observed:
            other = kept[named[short]] if short in named else None
            if other is not None and "hosts" in (row.kind, other.kind) and _complete_each_other(other, row):
                other.ip = other.ip or row.ip
                if not other.mac:
                    other.mac, other.other_macs = row.mac, row.other_macs
                other.role = other.role or row.role
                other.kind = row.kind if other.kind == "hosts" else other.kind
                repeated += 1
                continue
            named.setdefault(short, len(kept))
        kept.append(row)
    return [row for row in kept if row is not None], repeated


def _complete_each_other(one: Row, other: Row) -> bool:
    if one.problem or other.problem:
        return False
    return (not one.ip or not other.ip or one.ip == other.ip) and not (one.mac and other.mac)


def _drop_repeated_words(rows: list[Row]) -> None:
    """Drop trailing names that several rows share: a program wrote those, such as a vendor or a state."""
    seen = Counter(row.name.lower() for row in rows if row.trailing)
    for row in rows:
        if row.trailing and seen[row.name.lower()] > 1:
            row.name = ""


def _without_repeats(machines: list[ListedMachine]) -> tuple[list[ListedMachine], int]:
    """Drop repeated rows. Of rows that contradict each other the later ones get a problem."""
    found: list[ListedMachine] = []
    first: dict[tuple[str, str], ListedMachine] = {}
    repeated = 0
    for machine in machines:
        if not machine.problem:
            keys = [("mac", mac) for mac in machine.macs]
            keys += [(what, value) for what in ("name", "ip") if (value := str(getattr(machine, what)))]
            held = next((first[key] for key in keys if key in first), None)
            if held is not None and (held.macs, held.name, held.ip) == (machine.macs, machine.name, machine.ip):
                repeated += 1
                continue
            clash = next((key for key in keys if key in first), None)
            if clash is not None:
                called = {"mac": "MAC", "name": "name", "ip": "address"}[clash[0]]
                problem = f"{called} {clash[1]} is on line {first[clash].line} already"
                machine = replace(machine, problem=problem, contradicts=True)
            for key in keys:
                first.setdefault(key, machine)
        found.append(machine)
    return found, repeated


def merged_hosts(rows: Iterable[Row]) -> Iterator[Row]:
    """Merge an inventory's hosts that are in several groups: one machine with all their roles."""
    hosts: dict[str, Row] = {}
    for row in rows:
        if row.kind != "inventory" or not row.name:
            yield row
            continue
        held = hosts.get(row.name)
        if held is None:
            hosts[row.name] = row
            continue
        complete(held, row)
    yield from hosts.values()


def complete(held: Row, row: Row) -> None:
    """Fill in what `held` lacks from another row about the same host."""
    roles = dict.fromkeys(word for word in [*held.role.split(","), *row.role.split(",")] if word)
    held.role = ",".join(roles)
    held.ip = held.ip or row.ip
    if not held.mac:
        held.mac, held.other_macs = row.mac, row.other_macs
    held.problem = held.problem or row.problem
