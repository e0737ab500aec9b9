"""The rows as somebody wants to see them, kept up row by row."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.monitor.fakes import CNCI, COMPUTE, CONTROLLER, STRANGER, World
from tests.unit.monitor.rows import row
from wizard.monitor.lease_monitor import row_id
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.lease_view import MANY_ROWS, ORDERS, LeaseIndex, LeaseQuery, contains

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def made(number: int, chance: random.Random) -> LeaseRow:
    ip = f"10.0.{number >> 8}.{number & 255}"
    return row(
        f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}",
        ip,
        name=chance.choice(["", "a", "B", "compute1"]),
        kind=chance.choice(["node", "vm", "stranger"]),
        state=chance.choice(["leased", "missing", "ignored", "wrong-address"]),
        reachable=chance.choice([True, False, None]),
        expires=chance.choice([None, NOW + timedelta(seconds=chance.randrange(9999))]),
        alarms=chance.choice([(), ("one-mac",)]),
    )


@given(st.integers(0, 10**6), st.sampled_from(ORDERS), st.booleans(), st.sampled_from(["", "compute", "node leased"]))
def test_row_by_row_comes_to_the_same_as_all_at_once(seed: int, order: str, down: bool, text: str) -> None:
    chance = random.Random(seed)  # noqa: S311
    wanted = LeaseQuery(order, down, text)
    slow = LeaseIndex()
    there: dict[tuple[str, str], LeaseRow] = {}
    slow.query(wanted)
    for _ in range(60):
        one = made(chance.randrange(12), chance)
        if row_id(one) in there and chance.random() < 0.3:
            slow.update([], [there.pop(row_id(one))])
        else:
            there[row_id(one)] = one
            slow.update([one])
    quick = LeaseIndex()
    quick.update(there.values())
    assert list(slow.query()) == list(quick.query(wanted))
    assert {which: n for which, n in slow.counts.items() if n} == dict(quick.counts)
    for place, each in enumerate(slow.query()):
        assert slow.query()[place] == each
        assert slow.query().index_of(row_id(each)) == place


def test_in_the_plan_s_order_nodes_stand_first_and_as_in_the_plan(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.leases((STRANGER, "192.168.0.99"), (CNCI, "192.168.0.65"), (COMPUTE, "192.168.0.104"))
    view = world.monitor.poll()
    index = LeaseIndex()
    index.update(view.rebuilt, view.gone, world.monitor.positions)
    assert [each.mac for each in index.query()] == [each.mac for each in world.monitor.rows]
    assert [each.mac for each in index.query()][:2] == [CONTROLLER, COMPUTE]


def test_what_was_shown_stays_as_it_was() -> None:
    index = LeaseIndex()
    one = row(CONTROLLER, "10.0.0.1", name="one")
    index.update([one])
    before = index.query()
    assert index.query() is before
    index.update([replace(one, name="two")])
    assert [each.name for each in before] == ["one"]
    assert [each.name for each in index.query()] == ["two"]
    assert before.index_of(("nobody", "")) is None


def test_many_at_once_and_many_gone() -> None:
    chance = random.Random(3)  # noqa: S311
    many = [made(number, chance) for number in range(MANY_ROWS + 50)]
    index = LeaseIndex()
    index.update(many)
    assert len(index.query()) == len(many)
    index.update([], many[10:])
    assert len(index.query(LeaseQuery("MAC"))) == 10
    assert sum(index.counts[kind] for kind in ("node", "vm", "stranger")) == 10


def test_all_words_must_be_there_in_whatever_order() -> None:
    one = row(CNCI, "192.168.0.65", kind="vm", hostname="CNCI-7", vendor="Elitegroup", state="leased", reachable=False)
    assert contains(one, ["silent", "elite", "cnci-7", "0.65"])
    assert not contains(one, ["cnci-7", "missing"])
    assert contains(one, [])


def test_the_lease_table_and_the_command_line_order_rows_alike(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.leases(
        (STRANGER, "192.168.0.90"),
        (COMPUTE, "192.168.0.20"),
        (CNCI, "192.168.0.80"),
        (COMPUTE, "192.168.0.104"),
        (COMPUTE, "192.168.0.10"),
    )
    index = LeaseIndex()

    view = world.monitor.poll()
    index.update(view.rebuilt, view.gone, world.monitor.positions)

    # Of a node's leases the right one comes first.
    assert [(one.mac, one.ip) for one in index.query()] == [
        (CONTROLLER, "192.168.0.101"),
        (COMPUTE, "192.168.0.104"),
        (COMPUTE, "192.168.0.10"),
        (COMPUTE, "192.168.0.20"),
        (CNCI, "192.168.0.80"),
        (STRANGER, "192.168.0.90"),
    ]
    assert list(index.query()) == list(world.monitor.rows)
