"""Whatever is killed, and whenever: the machine as a whole is as it was, or as it was planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.lab.striking import (
    APPLY,
    Machine,
    at_rest,
    beside_marker,
    ciao,
    interrupted,
    kill_engine,
    kill_tree,
    kill_watchman,
    kill_worker,
    moments,
    paused,
    processes,
    replaced,
    status,
    strike_all,
    taken_back,
    wake,
    what_is_left,
)
from tests.lab.support import plan_with, whole
from wizard.lab.control import Laboratory

TRIAL = ("wires:", "rules", "address:", "gateway")


@pytest.fixture(scope="module")
def steps(machines: Machine) -> list[str]:
    """The steps of an apply, as it takes them itself, in order."""
    found = moments(machines.lab, *APPLY)
    assert ciao(machines.lab, "reset", "--yes", "--forget-leases").returncode == 0
    return [m.partition(":")[2] for m in found if m.startswith("before:")]


def is_trial(step: str) -> bool:
    return step.startswith(TRIAL)


# Killed before and after every step


def places(steps: Sequence[str], first: str, second: str) -> list[str]:
    """Before and after each step of the trial; of those that keep it, before one and after the next in turn."""
    kept = [step for step in steps if not is_trial(step)]
    trial = [f"{when}:{step}" for step in steps if is_trial(step) for when in ("noted", "did")]
    return [*trial, *(f"{(first, second)[n % 2]}:{step}" for n, step in enumerate(kept))]


def halves(found: Sequence[str], half: str) -> list[str]:
    return list(found[: len(found) // 2] if half == "first half" else found[len(found) // 2 :])


@pytest.mark.parametrize("half", ["first half", "second half"])
def test_the_engine_is_killed_before_and_after_every_step(machine: Machine, steps: list[str], half: str) -> None:
    """Both its processes. The guard lives where it has come to life, and has it taken back; else the next run does."""
    found = ["begun", *places(steps, "noted", "did"), "verified", "kept"]
    assert strike_all(machine.lab, machine.before, halves(found, half), kill_engine) == {}


@pytest.mark.parametrize("half", ["first half", "second half"])
def test_everything_is_killed_before_and_after_every_step(machine: Machine, steps: list[str], half: str) -> None:
    """The front, the engine, the guard and dnsmasq at once: nobody is left to take anything back."""
    found = [*places(steps, "did", "noted"), "kept"]
    assert strike_all(machine.lab, machine.before, halves(found, half), kill_tree) == {}


def test_the_watchman_is_killed_and_the_worker_takes_his_place(machine: Machine, steps: list[str]) -> None:
    kept = [step for step in steps if not is_trial(step)]
    found = [*(f"did:{step}" for step in steps if is_trial(step)), "kept", f"noted:{kept[1]}"]

    def strike(lab: Laboratory) -> None:
        kill_watchman(lab)
        wake(lab)
        taken_back(lab)

    assert strike_all(machine.lab, machine.before, found, strike) == {}


def test_the_worker_is_killed_and_the_watchman_takes_it_back(machine: Machine, steps: list[str]) -> None:
    def strike(lab: Laboratory) -> None:
        kill_worker(lab)
        taken_back(lab)

    found = [f"did:{step}" for step in steps if is_trial(step)]
    assert strike_all(machine.lab, machine.before, found, strike) == {}


# Killed while taking back


def undo_moments(steps: Sequence[str]) -> list[str]:
    return [f"undo:{step}" for step in reversed(steps)]


def test_a_way_back_is_killed_and_so_is_the_next_one(machine: Machine, steps: list[str]) -> None:
    """The revert of a trial dies at each of its moments; the rollback after it dies one moment later."""
    lab = machine.lab
    found = [*undo_moments([step for step in steps if is_trial(step)]), "concluded"]
    for first, second in zip(found[::2], found[1::2], strict=False):
        with paused(lab, first, "apply", *APPLY[1:3], "--confirm-within", "0.1"):
            kill_tree(lab)
        assert interrupted(lab), first
        with paused(lab, second, "rollback"):
            kill_tree(lab)
        assert interrupted(lab), second
        assert ciao(lab, "rollback").returncode == 0
        assert machine.left() == [], (first, second)


def test_a_reset_is_killed_and_anything_that_comes_next_goes_on_with_it(machine: Machine, steps: list[str]) -> None:
    lab = machine.lab
    kept = [step for step in steps if not is_trial(step)]
    nexts: list[Sequence[str]] = [("rollback",), ("reset", "--yes", "--forget-leases"), APPLY]
    for number, place in enumerate([undo_moments(kept)[1], "undo:gateway", "concluded"]):
        assert ciao(lab, *APPLY).returncode == 0
        with paused(lab, place, "reset", "--yes", "--forget-leases"):
            kill_tree(lab)
        assert interrupted(lab), place
        argv = nexts[number % len(nexts)]
        assert ciao(lab, *argv).returncode == 0, (place, argv)
        if argv == APPLY:
            assert status(lab)["state"] == "applied"
            assert ciao(lab, "reset", "--yes", "--forget-leases").returncode == 0
        assert machine.left() == [], (place, argv)


def test_what_a_killed_run_had_begun_is_waited_for(machine: Machine) -> None:
    """A command that outlives its engine would undo the undoing: here the link comes up late."""
    lab = machine.lab
    told = beside_marker(lab, "slow")
    slow = 'case "$*" in "link set dev eth1 up") : >>/run/ciao-lab/slow; sleep 1.5;; esac'
    lab.run(["ip", "link", "set", "eth1", "down"])
    before = whole(lab)
    for strike in (kill_worker, kill_engine):
        with paused(lab, "noted:wires:eth1", *APPLY) as front:
            with replaced(lab, "ip", f'#!/bin/sh\n{slow}\nexec /run/ciao-lab/true/ip "$@"\n'):
                told.unlink(missing_ok=True)
                wake(lab)
                lab.wait_for(told.exists, what="a slow link")
                strike(lab)
                at_rest(lab)
                if strike is kill_engine:
                    assert ciao(lab, "rollback").returncode == 0
            front.wait(30)
            lab.wait_for(lambda: not processes(lab, "sleep 1.5"))
        assert what_is_left(lab, before) == [], strike.__name__
    lab.run(["ip", "link", "set", "eth1", "up"])
    lab.wait_for(lambda: machine.left() == [])


def test_a_guard_that_is_only_just_starting_is_ended_too(machine: Machine) -> None:
    """It has not told anybody of itself yet, and would come up after everything was taken back."""
    lab = machine.lab
    told = beside_marker(lab, "slow")
    slow = '#!/bin/sh\n: >>/run/ciao-lab/slow\n(sleep 1.5; exec /run/ciao-lab/true/setsid "$@") &\n'
    with paused(lab, "noted:gateway", *APPLY) as front, replaced(lab, "setsid", slow):
        told.unlink(missing_ok=True)
        wake(lab)
        lab.wait_for(told.exists, what="a guard that is slow to start")
        kill_worker(lab)
        assert front.wait(30) == 1
    lab.wait_for(lambda: not processes(lab, "sleep 1.5"))
    lab.wait_for(lambda: not processes(lab, "wizard serve"))
    assert machine.left() == []


# Power cuts


def cut_the_power(lab: Laboratory) -> None:
    """What a boot does to the laptop: nothing that ran runs, nothing of /run is there, and it is another boot."""
    kill_tree(lab)
    at_rest(lab)
    lab.run(
        [
            "sh",
            "-c",
            "rm -rf /run/ciao-wizard /run/network/ifstate.eth1; nft delete table inet ciao_gateway; "
            "ip -4 addr flush dev eth1; echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding; "
            "echo 0 >/proc/sys/net/ipv4/conf/eth1/forwarding; sed -i /eth1/d /run/network/ifstate 2>/dev/null; "
            "cat /proc/sys/kernel/random/uuid >/run/ciao-lab/boot_id; "
            "mount -n --bind /run/ciao-lab/boot_id /proc/sys/kernel/random/boot_id",
        ],
        check=False,
    )


@pytest.fixture
def power(machine: Machine) -> Iterator[Callable[[Laboratory], None]]:
    yield cut_the_power
    machine.lab.run(["umount", "-n", "/proc/sys/kernel/random/boot_id"], check=False)


def kept_files(left: Sequence[str]) -> list[str]:
    return [line for line in left if line.startswith(("/files//etc", "/files//var/lib"))]


def test_a_power_cut_in_the_trial_leaves_a_clean_machine(machine: Machine, power: Callable[[Laboratory], None]) -> None:
    lab = machine.lab
    with paused(lab, "verified", *APPLY):
        power(lab)
    changed = kept_files(machine.left())
    assert changed
    assert all("/var/lib/ciao-wizard" in line or "tenant_dns.leases" in line for line in changed), changed
    assert interrupted(lab)
    assert ciao(lab, "rollback").returncode == 0


@pytest.mark.parametrize("first", [True, False], ids=["first apply", "re-apply"])
def test_a_power_cut_while_it_is_kept_is_completed_backwards(
    machine: Machine, power: Callable[[Laboratory], None], first: bool
) -> None:
    lab = machine.lab
    if not first:
        assert ciao(lab, *APPLY).returncode == 0
    as_it_was = lab.run(
        ["sh", "-c", "find /etc/ciao-wizard /etc/network -type f | sort | xargs cat"], check=False
    ).stdout
    text = plan_with(('lease_time = "12h"', 'lease_time = "7h"'))
    lab.run(["sh", "-c", "cat >/run/ciao-lab/other.toml"], input=text)
    with paused(lab, "did:file:/etc/ciao-wizard/tenant_dns.cfg", "apply", "-c", "/run/ciao-lab/other.toml", "--yes"):
        power(lab)
    assert "7h" in lab.run(["cat", "/etc/ciao-wizard/tenant_dns.cfg"]).stdout
    assert interrupted(lab)
    assert ciao(lab, "rollback").returncode == 0
    now = lab.run(["sh", "-c", "find /etc/ciao-wizard /etc/network -type f | sort | xargs cat"], check=False).stdout
    assert now == as_it_was
    if not first:
        lab.wait_for(lambda: status(lab)["healthy"], 20, "health")
        assert ciao(lab, "reset", "--yes", "--forget-leases").returncode == 0
