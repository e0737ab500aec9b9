"""The monitor that remembers: rows, events and alarms from look to look."""

import gc
import os
import random
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from netaddr import EUI, IPAddress

from tests.unit.monitor.fakes import CNCI, COMPUTE, CONTROLLER, PLAN, START, STRANGER, TENANT, World
from wizard.host.net.neighbours import Neighbour
from wizard.monitor.lease_file import SETTLED_SECONDS, LeaseFile
from wizard.monitor.lease_monitor import difference
from wizard.monitor.lease_rows import make_rows
from wizard.plan.lease_parser import parse_leases
from wizard.plan.model import Node, Role

HOME = "192.168.0.101"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_first_look_shows_all_and_nobody_comes_by_that(world: World) -> None:
    world.leases((CONTROLLER, HOME), (CNCI, "192.168.0.65"))
    view = world.monitor.poll()

    assert view.applied
    assert [(row.mac, row.state) for row in world.monitor.rows] == [
        (CONTROLLER, "leased"),
        (COMPUTE, "missing"),
        (CNCI, "leased"),
    ]
    assert set(view.changed) == set(world.monitor.rows)
    assert view.events == ()


def test_nothing_new_is_nothing_changed(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [CONTROLLER]
    # Two seconds until it is sure that the other one is not there.
    world.wait(3)
    for _ in range(100):
        world.clock += 0.25
        world.now += timedelta(seconds=0.25)
        view = world.monitor.poll()
        assert (view.changed, view.gone, view.events) == ((), (), ())


def test_a_node_that_boots_is_shown_at_the_next_look(world: World) -> None:
    world.monitor.poll()
    world.leases((CONTROLLER, HOME))
    view = world.monitor.poll()

    assert [(row.mac, row.state) for row in view.changed] == [(CONTROLLER, "leased")]
    (event,) = view.events
    assert (event.kind, event.mac, event.ip, event.name) == ("came", CONTROLLER, HOME, "controller")
    assert event.as_json()["event"] == "came"


def test_one_that_is_unplugged_is_unreachable_within_ten_seconds_whenever_that_is(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    chance = random.Random(1)  # noqa: S311
    for _ in range(20):
        world.wire.there[HOME] = [CONTROLLER]
        world.wait(7 + chance.random() * 8)
        assert world.row(CONTROLLER).reachable is True
        del world.wire.there[HOME]
        world.wait(9.5)
        assert world.row(CONTROLLER).reachable is False
        assert world.row(CONTROLLER).state == "leased"
    assert world.events()[:2] == [("left", CONTROLLER), ("came", CONTROLLER)]


def test_a_machine_is_asked_gently(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [CONTROLLER]
    world.wait(120)
    assert 10 <= world.wire.asked.count(HOME) <= 21


def test_hundreds_are_not_asked_in_a_burst(world: World) -> None:
    world.leases(
        *[(f"02:22:00:00:{n >> 8:02x}:{n & 255:02x}", f"192.168.{4 + (n >> 8)}.{n & 255}") for n in range(2000)]
    )
    world.monitor.poll()
    counts = []
    for _ in range(40):
        before = len(world.wire.asked)
        world.wait(0.25)
        counts.append(len(world.wire.asked) - before)
    assert max(counts) <= 100
    assert sum(counts) <= 1100


def test_first_and_last_seen(world: World) -> None:
    world.monitor.poll()
    world.wait(5)
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [CONTROLLER]
    world.wait(20)
    first = world.row(CONTROLLER)
    assert first.first_seen is not None
    assert START + timedelta(seconds=5) <= first.first_seen <= START + timedelta(seconds=6)
    del world.wire.there[HOME]
    world.wait(60)
    gone = world.row(CONTROLLER)
    assert gone.first_seen == first.first_seen
    assert gone.last_seen is not None
    assert START + timedelta(seconds=10) <= gone.last_seen <= START + timedelta(seconds=26)
    assert world.row(COMPUTE).first_seen is None


def test_first_seen_is_taken_from_the_log_where_it_goes_further_back(world: World) -> None:
    world.log(f"DHCPACK(eth1) {HOME} {CONTROLLER} controller")
    world.now += timedelta(hours=1)
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [CONTROLLER]
    world.wait(1)
    assert world.row(CONTROLLER).first_seen == START
    last = world.row(CONTROLLER).last_seen
    assert last is not None
    assert last >= START + timedelta(hours=1)


def test_moved_left_and_ended(world: World) -> None:
    world.leases((CNCI, "192.168.0.65"), (STRANGER, "192.168.0.66"))
    world.monitor.poll()
    world.leases((CNCI, "192.168.0.70"), (STRANGER, "192.168.0.66"))
    view = world.monitor.poll()
    assert [(e.kind, e.words) for e in view.events] == [("moved", "moved from 192.168.0.65 to 192.168.0.70")]
    assert [row.ip for row in view.gone] == ["192.168.0.65"]
    world.leases((STRANGER, "192.168.0.66"))
    assert [(e.kind, e.mac) for e in world.monitor.poll().events] == [("left", CNCI)]
    # No line of the file changes when a lease's time is over.
    world.now += timedelta(hours=12)
    view = world.monitor.poll()
    assert [(e.kind, e.mac) for e in view.events] == [("left", STRANGER)]
    assert [row.mac for row in world.monitor.rows] == [CONTROLLER, COMPUTE]


def test_a_clock_that_was_ahead_and_is_set_back_brings_leases_back(world: World) -> None:
    world.leases((CNCI, "192.168.0.65"))
    world.now += timedelta(days=2)
    world.monitor.poll()
    assert CNCI not in [row.mac for row in world.monitor.rows]
    world.now -= timedelta(days=2)
    world.monitor.poll()
    assert world.row(CNCI).state == "leased"


def test_a_stranger_that_is_ignored_is_told_once(world: World) -> None:
    world.monitor.poll()
    for _ in range(5):
        world.log(f"DHCPDISCOVER(eth1) {STRANGER} ignored")
        world.wait(1)
    assert world.events() == [("refused", STRANGER)]
    assert "5 times" in world.row(STRANGER).reason
    world.log(f"DHCPACK(eth1) 192.168.0.9 {STRANGER}")
    world.leases((STRANGER, "192.168.0.9"))
    world.wait(1)
    assert world.row(STRANGER).state == "leased"


def test_a_log_that_was_started_anew_is_read_on(world: World) -> None:
    world.monitor.poll()
    world.log(f"DHCPDISCOVER(eth1) {STRANGER} ignored")
    world.monitor.poll()
    world.log_path.rename(world.log_path.with_suffix(".1"))
    world.log(f"DHCPDISCOVER(eth1) {CNCI} ignored")
    world.monitor.poll()
    assert {STRANGER, CNCI} <= {row.mac for row in world.monitor.rows}


def test_a_line_of_the_log_that_is_being_written_is_waited_for(world: World) -> None:
    world.monitor.poll()
    with world.log_path.open("a") as handle:
        handle.write(f"Nov 22 12:00:00 dnsmasq-dhcp[43]: DHCPDISCOVER(eth1) {STRANGER} ")
        handle.flush()
        world.monitor.poll()
        handle.write("ignored\n")
    world.monitor.poll()
    assert world.row(STRANGER).state == "ignored"


def test_a_clone_of_a_mac_is_called_one(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [CONTROLLER]
    world.wait(10)
    assert world.row(CONTROLLER).alarms == ()
    world.wire.there[HOME] = [CONTROLLER, CONTROLLER]
    world.wait(10)
    row = world.row(CONTROLLER)
    assert row.alarms == ("one-mac",)
    assert "clone" in row.reason
    assert ("alarm", CONTROLLER) in world.events()
    world.wire.there[HOME] = [CONTROLLER]
    world.wait(60)
    assert world.row(CONTROLLER).alarms == ()


def test_two_machines_with_one_address(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [CONTROLLER, STRANGER]
    world.wait(15)
    row = world.row(CONTROLLER)
    assert row.alarms == ("one-address",)
    assert CONTROLLER in row.reason
    assert STRANGER in row.reason


def test_two_nics_of_one_node_that_are_there_at_once(tmp_path: Path) -> None:
    """One of them may be in another machine: the node's address then leads to either."""
    node = replace(PLAN.nodes[0], other_macs=(EUI(STRANGER),))
    world = World(tmp_path, replace(PLAN, nodes=(node, *PLAN.nodes[1:])))
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [CONTROLLER, STRANGER]
    world.wait(15)
    (row,) = [row for row in world.monitor.rows if row.name == "controller"]
    assert row.alarms == ("one-address",)
    assert "two NICs of controller" in row.reason


def test_an_address_that_passes_to_another_machine_is_no_conflict(world: World) -> None:
    world.leases((CNCI, "192.168.0.65"))
    world.wire.there["192.168.0.65"] = [CNCI]
    world.wait(10)
    world.leases((STRANGER, "192.168.0.65"))
    world.wire.there["192.168.0.65"] = [STRANGER]
    world.wait(30)
    assert world.row(STRANGER).alarms == ()
    assert world.row(STRANGER).reachable is True


def test_a_nodes_mac_at_a_second_address(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    world.neighbours = {"192.168.0.77": Neighbour(CONTROLLER, "reachable")}
    world.monitor.poll()
    row = world.row(CONTROLLER)
    assert row.alarms == ("one-mac",)
    assert "192.168.0.77" in row.reason


def test_a_tenants_mac_is_a_leak_and_says_whose(world: World) -> None:
    world.monitor.poll()
    world.leases((TENANT, "192.168.0.65"))
    view = world.monitor.poll()
    assert world.row(TENANT).alarms == ("tenant-mac",)
    assert "172.16.0.2" in world.row(TENANT).reason
    assert ("alarm", TENANT) in [(e.kind, e.mac) for e in view.events]


def test_somebody_else_at_the_address_is_not_taken_for_the_node(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [STRANGER]
    world.wait(2)
    assert world.row(CONTROLLER).reachable is None
    assert STRANGER in world.row(CONTROLLER).reason


def test_where_silence_means_nothing_nobody_is_called_gone_who_never_answered(world: World) -> None:
    world.wire.sure = False
    world.leases((CONTROLLER, HOME))
    world.wait(30)
    assert world.row(CONTROLLER).reachable is None
    world.neighbours = {HOME: Neighbour(CONTROLLER, "failed")}
    world.wait(2)
    assert world.row(CONTROLLER).reachable is False


def test_torn_and_empty_moments_lose_nothing(world: World) -> None:
    world.leases((CONTROLLER, HOME), (CNCI, "192.168.0.65"))
    world.monitor.poll()
    for text in ("", "1", "1763"):
        world.lease_path.write_text(text)
        view = world.monitor.poll()
        assert (view.events, view.gone) == ((), ())
        assert {row.mac for row in world.monitor.rows} == {CONTROLLER, COMPUTE, CNCI}


def test_an_adopted_stranger_becomes_a_node_while_we_look_on(world: World) -> None:
    world.leases((STRANGER, "192.168.0.66"))
    world.monitor.poll()
    assert world.row(STRANGER).kind == "stranger"
    node = Node("compute2", (Role.COMPUTE,), EUI(STRANGER), IPAddress("192.168.0.105"))
    world.plan = replace(PLAN, nodes=(*PLAN.nodes, node))
    view = world.monitor.poll()
    row = world.row(STRANGER)
    assert (row.kind, row.name, row.state) == ("node", "compute2", "wrong-address")
    assert row in view.changed


def test_nothing_applied_and_then_something(tmp_path: Path) -> None:
    world = World(tmp_path, None)
    assert not world.monitor.poll().applied
    world.plan = PLAN
    assert world.monitor.poll().applied
    assert len(world.monitor.rows) == 2
    world.plan = None
    view = world.monitor.poll()
    assert not view.applied
    assert len(view.gone) == 2


LATER = f"{int(START.timestamp()) + 5} {CONTROLLER} 192.168.0.102 * *"
addresses = st.integers(1, 12).map(lambda n: f"192.168.0.{100 + n}")
macs = st.sampled_from([CONTROLLER, COMPUTE, CNCI, STRANGER, TENANT, "02:01:00:00:00:01"])
expiries = st.sampled_from([0, 1, *(int(START.timestamp()) + n for n in (5, 50, 500_000))])
lines = st.builds(lambda e, m, i: f"{e} {m} {i} * *", expiries, macs, addresses)
files = st.lists(
    st.lists(st.one_of(lines, lines, st.sampled_from(["", "duid 00:01", "nonsense"])), max_size=8), max_size=8
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files)
@example([[LATER, f"1 {CONTROLLER} 192.168.0.101 * *"], [LATER]])
def test_what_is_kept_from_look_to_look_is_what_a_fresh_look_finds(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]]
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    for number, file in enumerate(files):
        world.leases(*file)
        world.clock += 1 + number
        world.now += timedelta(seconds=7)
        world.monitor.poll()
        # What is empty may be half written, and is believed only after a while.
        world.clock += SETTLED_SECONDS
        world.monitor.poll()
        held, _ = parse_leases(world.lease_path.read_text())
        # Two leases of one address: whose it is depends on who came last, which a file cannot say.
        if len({lease.ip for lease in held}) < len(held):
            return
        assert world.plan is not None
        fresh = make_rows(world.plan, held, now=world.now)
        seen = {(row.mac, row.ip, row.kind, row.state, row.reason) for row in world.monitor.rows}
        assert seen == {(row.mac, row.ip, row.kind, row.state, row.reason) for row in fresh}
        order = [row.mac for row in world.monitor.rows]
        assert order == [row.mac for row in fresh]


expiring = st.lists(st.sampled_from(["5", "15", "115", "11", "1"]), max_size=5)


@settings(deadline=None, max_examples=60)
@given(st.lists(expiring, max_size=6))
def test_lines_that_end_alike_are_told_apart(tmp_path_factory: pytest.TempPathFactory, files: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("alike") / "leases"
    clock = [0.0]
    file = LeaseFile(path, lambda: clock[0])
    for number, expiries in enumerate(files):
        text = "".join(f"{expiry} {CNCI} 192.168.0.65 * *\n" for expiry in expiries)
        path.write_text(text)
        os.utime(path, (1000 + number, 1000 + number))
        file.read()
        clock[0] += SETTLED_SECONDS
        assert file.read() == parse_leases(text)[0]


def test_a_lease_that_is_renewed_for_years_fills_no_memory(world: World) -> None:
    held = 0
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(400):
            world.leases((CONTROLLER, HOME), f"{2_000_000_000 + number} {CNCI} 192.168.0.65 * *")
            world.wait(0.25)
            if number in (199, 399):
                gc.collect()
                held = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    # A lease is 500 bytes, and there were 200.
    assert held < 30_000


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_difference(old: list[int], new: list[int]) -> None:
    removed, added = difference(cast("Any", old), cast("Any", new))
    start = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    assert old[:start] + list(removed) + old[start + len(removed) :] == old
    assert old[:start] + list(added) + old[start + len(removed) :] == new


def many(count: int) -> Iterator[tuple[str, str]]:
    for n in range(count):
        yield f"02:22:00:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}", f"192.168.{1 + (n >> 8) % 250}.{n & 255}"


def cost_of_one(tmp: Path, count: int, tries: int = 60) -> float:
    """The seconds that one renewed lease costs among so many, without the reading of the file; the median."""
    tmp.mkdir()
    world = World(tmp)
    world.leases(*many(count))
    world.monitor.poll()
    held = {lease.mac: lease for lease in parse_leases(world.lease_path.read_text())[0]}
    chance, costs = random.Random(2), []  # noqa: S311
    for number in range(tries):
        old = held[chance.choice(list(held))]
        assert old.expires is not None
        new = replace(old, expires=old.expires + timedelta(seconds=number + 1))
        held[old.mac] = new
        start = time.perf_counter()
        view = world.monitor.feed([old], [new], world.now)
        costs.append(time.perf_counter() - start)
        assert [row.expires for row in view.changed] == [new.expires]
    return sorted(costs)[tries // 2]


def test_one_lease_among_thousands_costs_what_it_costs_among_a_hundred(tmp_path: Path) -> None:
    few, lots = cost_of_one(tmp_path / "few", 100), cost_of_one(tmp_path / "lots", 20_000)
    # Two hundred times as many. Sorting them anew each time would cost a hundred times as much.
    assert lots < few * 4


def test_a_node_that_is_refused_is_told_with_each_new_reason(world: World) -> None:
    world.monitor.poll()
    for _ in range(3):
        world.log(f"DHCPDISCOVER(eth1) {COMPUTE} no address available")
        world.wait(1)
    world.log(f"DHCPDECLINE(eth1) 192.168.0.104 {COMPUTE}")
    world.wait(1)
    assert [(event.kind, event.name, event.words) for event in world.monitor.events] == [
        ("refused", "compute1", "no address is left for it in the range"),
        ("refused", "compute1", "it declined 192.168.0.104: another machine answers there"),
    ]
    world.log(f"DHCPACK(eth1) 192.168.0.104 {COMPUTE}")
    world.leases((COMPUTE, "192.168.0.104"))
    world.wait(1)
    assert world.row(COMPUTE).refusal == ""
    assert world.events()[2:] == [("came", COMPUTE)]


def test_a_machine_that_has_an_address_and_declines_another_is_told_once(world: World) -> None:
    world.leases((CNCI, "192.168.0.65"))
    world.monitor.poll()
    for _ in range(2):
        world.log(f"DHCPDECLINE(eth1) 192.168.0.66 {CNCI}")
        world.wait(1)
    assert [event for event in world.events() if event[0] == "refused"] == [("refused", CNCI)]
