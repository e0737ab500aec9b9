"""What `status` says of the time: whether whoever is named answers, and by how much clocks could be off."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from netaddr import IPNetwork

from wizard.deploy import time_check
from wizard.deploy.time_check import SeldomAsked, check_time, words
from wizard.host.ntp.query import AskedTooOften, NoTime, NtpAnswer
from wizard.plan.checks import FAILED, OK, UNTRIED, Check
from wizard.plan.file.read import load_plan
from wizard.plan.machine import Route
from wizard.plan.ntp import DROP_INS, NO_TIME, NtpMode, TimeServer, TimeSource

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
GATEWAY = "192.168.0.200"
CHRONY = TimeServer("chrony", "chrony.service", DROP_INS[0])
OWN, COMPANY = TimeSource((GATEWAY,), CHRONY), TimeSource(("10.77.0.1", "10.77.0.2"))
GOOD = NtpAnswer("10.77.0.1", 2, 0.0, 0.0123, False)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine: what was `applied`, what would be applied `now`, and who `answers` what; `asked` counts."""
    way_out = (Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1"),)
    seen = SimpleNamespace(applied=OWN, now=OWN, answers={}, asked=[], runs=True, routes=way_out, time=1000.0)
    seen.here, seen.recorded, seen.clock = True, True, 0.0

    def ask(server: str) -> NtpAnswer:
        seen.asked.append(server)
        found: NtpAnswer | str = seen.answers.get(server, "does not answer")
        if isinstance(found, str):
            raise (AskedTooOften if "RATE" in found else NoTime)(found)
        return replace(found, server=server)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name, value in {
        "applied_time": lambda: seen.applied,
        "is_recorded": lambda: seen.recorded,
        "is_here": lambda _: seen.here,
        "time_for": lambda _: seen.now,
        "ask": ask,
        "is_running": lambda _: seen.runs,
        "restart_command": lambda server: ("systemctl", "try-restart", server.unit),
        "read_routes": lambda: seen.routes,
    }.items():
        monkeypatch.setattr(time_check, name, value)
    monkeypatch.setattr(time, "monotonic", lambda: seen.time)
    monkeypatch.setattr(time, "clock_gettime", lambda _: seen.time)
    monkeypatch.setattr(time, "time", lambda: seen.time + seen.clock)
    return seen


@pytest.fixture(autouse=True)
def nobody_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_check, "others", SeldomAsked())


def seen_by(in_force: bool = True) -> Check:
    (found,) = check_time(PLAN, in_force)
    return found


def test_nothing_is_said_where_the_plan_names_nobody(machine: Any) -> None:
    assert check_time(replace(PLAN, network=replace(PLAN.network, ntp=NtpMode.OFF))) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (GOOD, "clocks within 12 ms of the true time (stratum 2)"),
        (replace(GOOD, error=0.0004), "clocks within 0.4 ms of the true time (stratum 2)"),
        (replace(GOOD, error=0.0), "clocks within 0.1 ms of the true time (stratum 2)"),
        (replace(GOOD, error=3.4), "clocks within 3 s of the true time (stratum 2)"),
        (replace(GOOD, error=7200.0), "clocks within 2.0 h of the true time (stratum 2)"),
        (replace(GOOD, stratum=10, own_clock=True), "by its own clock alone: how far off is not known"),
    ],
)
def test_by_how_much_clocks_could_be_off(answer: NtpAnswer, said: str) -> None:
    assert said in words(answer)


def test_the_server_here_answers(machine: Any) -> None:
    machine.answers = {GATEWAY: GOOD}
    assert seen_by().outcome is OK
    assert seen_by().detail.startswith("chrony on this machine serves the nodes: clocks within")
    # It is asked each time: no other machine is troubled.
    assert machine.asked == [GATEWAY, GATEWAY]


@pytest.mark.parametrize("why", ["does not answer", "does not know the time yet"])
def test_a_server_here_that_gives_no_time(machine: Any, why: str) -> None:
    machine.answers = {GATEWAY: why}
    found = seen_by()
    assert found.outcome is FAILED
    assert f"chrony on this machine {why} at {GATEWAY}: the nodes get no time" in found.detail
    assert "'sudo systemctl restart chrony.service'" in found.remedy
    assert "journalctl -u chrony.service" in found.remedy


def test_a_server_here_that_does_not_run(machine: Any) -> None:
    machine.runs = False
    assert "does not run" in seen_by().detail
    assert "'sudo systemctl start chrony.service'" in seen_by().remedy


def test_a_failure_reverts_no_trial(machine: Any) -> None:
    assert seen_by(in_force=False).ok is None
    assert seen_by(in_force=True).ok is False


def test_one_of_the_companys_servers_is_enough_and_the_silent_one_is_named(machine: Any) -> None:
    machine.applied = machine.now = COMPANY
    machine.answers = {"10.77.0.2": GOOD}
    found = seen_by()
    assert found.outcome is OK
    assert found.detail.startswith("the nodes ask 10.77.0.1, 10.77.0.2: clocks within 12 ms")
    assert found.detail.endswith("; 10.77.0.1 does not answer")


def test_none_of_the_companys_servers_answers(machine: Any) -> None:
    machine.applied = machine.now = COMPANY
    machine.answers = {"10.77.0.2": "refuses (DENY)"}
    found = seen_by()
    assert found.outcome is FAILED
    assert "10.77.0.1 does not answer; 10.77.0.2 refuses (DENY)" in found.detail
    machine.routes = ()
    assert seen_by().outcome is UNTRIED


def test_this_machines_own_clock_is_told_where_it_is_wrong(machine: Any) -> None:
    machine.applied = machine.now = COMPANY
    machine.answers = {"10.77.0.1": replace(GOOD, offset=-7200.0)}
    assert "this machine's own clock is 2.0 h off that" in seen_by().detail


def test_others_servers_are_not_asked_at_every_look(machine: Any) -> None:
    machine.applied = machine.now = COMPANY
    machine.answers = {"10.77.0.1": GOOD}
    for _ in range(3):
        seen_by()
        machine.time += 5
    assert sorted(machine.asked) == ["10.77.0.1", "10.77.0.2"]
    machine.time += 65
    seen_by()
    assert len(machine.asked) == 4


@pytest.mark.parametrize(
    ("now", "who"),
    [(COMPANY, "10.77.0.1, 10.77.0.2"), (NO_TIME, "nobody"), (OWN, "")],
)
def test_what_an_apply_would_do_otherwise_is_news(machine: Any, now: TimeSource, who: str) -> None:
    machine.answers = {GATEWAY: GOOD}
    machine.now = now
    found = seen_by()
    assert found.outcome is OK
    assert (f"; now it would be {who}: 'sudo ciao-wizard apply' tells the nodes" in found.detail) == bool(who)
    assert "now it would be" not in seen_by(in_force=False).detail


def test_where_nobody_is_named_the_remedy_is(machine: Any) -> None:
    machine.applied = machine.now = NO_TIME
    found = seen_by()
    assert found.outcome is UNTRIED
    assert "'sudo apt install chrony'" in found.detail
    machine.now = OWN
    assert "now it would be chrony on this machine" in seen_by().detail


def test_an_address_that_is_not_on_this_machine_is_not_asked(machine: Any) -> None:
    machine.here = False
    found = seen_by()
    assert found.outcome is UNTRIED
    assert f"not tried: {GATEWAY} is not on this machine" in found.detail
    assert machine.asked == []


@pytest.mark.parametrize("source", [OWN, COMPANY])
def test_a_time_that_clients_refuse_is_not_healthy(machine: Any, source: TimeSource) -> None:
    machine.applied = machine.now = source
    machine.answers = dict.fromkeys(source.servers, replace(GOOD, error=1.6))
    found = seen_by()
    assert found.outcome is FAILED
    assert "clocks within 2 s" in found.detail
    assert "clients refuse more than 1.5 s" in found.detail
    machine.answers[source.servers[-1]] = replace(GOOD, error=1.4)
    machine.time += 65
    assert seen_by().outcome is OK


def test_servers_that_contradict_each_other_are_both_named(machine: Any) -> None:
    machine.applied = machine.now = COMPANY
    machine.answers = {"10.77.0.1": GOOD, "10.77.0.2": replace(GOOD, offset=90.0)}
    found = seen_by()
    assert found.outcome is FAILED
    assert "10.77.0.1 and 10.77.0.2 are 90 s apart, more than either says it could be off" in found.detail
    # Each says that it could be that wrong.
    machine.answers["10.77.0.2"] = replace(GOOD, offset=0.07)
    machine.time += 65
    assert seen_by().outcome is OK


@pytest.mark.parametrize("source", [OWN, COMPANY])
def test_by_its_own_clock_alone_nothing_is_known(machine: Any, source: TimeSource) -> None:
    machine.applied = machine.now = source
    machine.answers = dict.fromkeys(source.servers, replace(GOOD, own_clock=True, error=0.0))
    found = seen_by()
    assert found.outcome is UNTRIED
    assert "by its own clock alone: how far off is not known" in found.detail


def test_every_server_of_a_list_is_asked(machine: Any) -> None:
    machine.applied = machine.now = TimeSource((GATEWAY, "10.77.0.1"), CHRONY)
    machine.answers = {GATEWAY: GOOD}
    found = seen_by()
    assert sorted(machine.asked) == ["10.77.0.1", GATEWAY]
    assert found.outcome is OK
    assert found.detail.startswith(f"the nodes ask {GATEWAY}, 10.77.0.1: clocks within")
    assert found.detail.endswith("; 10.77.0.1 does not answer")
    machine.answers[GATEWAY] = replace(GOOD, offset=-90.0)
    machine.answers["10.77.0.1"] = GOOD
    machine.time += 65
    assert seen_by().outcome is FAILED


def test_who_was_asked_too_often_has_not_failed(machine: Any) -> None:
    machine.applied = machine.now = COMPANY
    machine.answers = dict.fromkeys(COMPANY.servers, "refuses (RATE)")
    found = seen_by()
    assert found.outcome is UNTRIED
    assert "10.77.0.2 refuses (RATE)" in found.detail


def test_a_clock_that_was_set_since_makes_no_contradiction(machine: Any) -> None:
    machine.applied = machine.now = TimeSource((GATEWAY, "10.77.0.1"), CHRONY)
    machine.answers = {GATEWAY: replace(GOOD, offset=7200.0), "10.77.0.1": replace(GOOD, offset=7200.0)}
    assert seen_by().outcome is OK
    machine.clock = 7200.0
    machine.answers[GATEWAY] = GOOD
    assert seen_by().outcome is OK


def test_a_plan_that_an_earlier_version_applied(machine: Any) -> None:
    machine.recorded, machine.applied, machine.now = False, NO_TIME, OWN
    found = seen_by()
    assert found.outcome is UNTRIED
    assert found.detail == "not announced: the plan was applied by an earlier version; apply again"
