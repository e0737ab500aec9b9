"""The guard's long forms and figures: an hour's worth of what takes seconds in the suite."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.lab.blast_radius import CASES, LONG_S, Case, corporate_stays_clean
from tests.lab.blast_radius import unguarded as unguarded
from tests.lab.conftest import lab_possible as lab_possible
from tests.lab.guarding import (
    actor,
    armed,
    asking,
    await_mode,
    is_running,
    kill,
    macs,
    report,
    sh,
    start_serve,
    told,
)
from tests.lab.support import apply, await_nodes
from wizard.deploy.guard.wire_watch import PROBE_EVERY_S
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(900)]

CYCLES = 20


@pytest.fixture
def served(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        apply(lab)
        await_nodes(lab)
        lab.machine("add", "rogue", "--mac", "00:1b:21:00:00:66", "--no-dhcp")
        await_mode(lab, "armed")
        yield lab


def usage(lab: Laboratory) -> dict[str, float]:
    """The guard's own: CPU seconds (its children's too), resident kB, threads, open files."""
    pid = told(lab)["process"]["pid"]
    stat = sh(lab, f"cat /proc/{pid}/stat").rpartition(")")[2].split()
    status = dict(row.split(":", 1) for row in sh(lab, f"cat /proc/{pid}/status").splitlines())
    return {
        "cpu": sum(int(ticks) for ticks in stat[11:15]) / 100,
        "kb": float(status["VmRSS"].split()[0]),
        "threads": float(status["Threads"]),
        "files": float(sh(lab, f"ls /proc/{pid}/fd | wc -l")),
    }


def cpu_percent(lab: Laboratory, seconds: float) -> float:
    before, begun = usage(lab), time.monotonic()
    time.sleep(seconds)
    return 100 * (usage(lab)["cpu"] - before["cpu"]) / (time.monotonic() - begun)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_minute_of_a_dnsmasq_forced_onto_the_corporate_nic(unguarded: Laboratory, case: Case) -> None:
    corporate_stays_clean(unguarded, case, LONG_S)


def test_what_it_costs_while_armed_mute_and_flooded(served: Laboratory) -> None:
    figures: dict[str, float] = {"armed": cpu_percent(served, 60)}
    served.machine("unplug", "eth1")
    await_mode(served, "muted")
    figures["without a cable"] = cpu_percent(served, 20)
    served.machine("plug", "eth1")
    await_mode(served, "armed")
    with actor(served, "rogue", "flood", "eth0"):
        figures["flooded"] = cpu_percent(served, 20)
        assert armed(served)
    served.machine("join")
    await_mode(served, "tripped")
    figures["tripped"] = cpu_percent(served, 20)
    now = usage(served)
    report(f"{now['kb'] / 1024:.0f} MB; CPU: " + ", ".join(f"{what} {value:.1f} %" for what, value in figures.items()))
    assert figures["armed"] < 2
    assert figures["without a cable"] < 2
    assert figures["tripped"] < 2
    assert figures["flooded"] < 50
    assert now["kb"] < 100_000


def test_a_server_that_only_answers_us_is_found_by_asking_again(served: Laboratory) -> None:
    """Nobody else asks there: no ear hears it."""
    begun = time.monotonic()
    with actor(served, "rogue", "serve", "eth0", "10.9.0.1"):
        await_mode(served, "tripped", deadline=PROBE_EVERY_S + 20, code="foreign-dhcp")
    report(f"found after {time.monotonic() - begun:.0f} s")


def test_cables_that_come_and_go_leave_nothing_behind(served: Laboratory) -> None:
    def cycle() -> dict[str, Any]:
        served.machine("unplug", "eth1")
        await_mode(served, "muted")
        served.machine("plug", "eth1")
        await_mode(served, "armed")
        time.sleep(0.5)
        return usage(served)

    cycle()
    first = cycle()
    for _ in range(CYCLES):
        last = cycle()
    report(f"after {CYCLES} times: {first} -> {last}")
    assert (last["threads"], last["files"]) == (first["threads"], first["files"])
    assert last["kb"] < first["kb"] + 5000


def test_a_guard_that_is_killed_again_and_again_serves_each_time(served: Laboratory) -> None:
    for number in range(CYCLES):
        state = told(served)
        kill(served, state["process"], "KILL")
        served.wait_for(partial(lambda s: not is_running(served, s["dnsmasq"]), state), 2, "the end of its dnsmasq")
        start_serve(served)
        await_mode(served, "armed")
        client = macs(1, f"02:00:00:{number:02x}")
        with asking(served, "rogue", macs=client, take=True, seconds=15) as asked:
            assert asked.wait()[client[0]]["leased"], number
