"""A walk counts as long as it is fresh, of this guard, and of what the guard says now."""

from __future__ import annotations

from typing import Any

import pytest

from wizard.deploy import runtime_state, verify
from wizard.deploy.guard import path_report
from wizard.plan.checks import FAILED, OK, UNTRIED, Check

GUARD = {"pid": 7, "started": 9}
SERVE = {"process": GUARD, "mode": "armed", "digest": "d"}
FINE = Check("path-arp", OK, "found")
UDP = Check("path-in-7-udp", UNTRIED, "not tried: a datagram would reach the node's service")


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """serve.json and path.json, and a clock."""
    seen: dict[str, Any] = {"serve": SERVE, "path": None, "now": 1000.0}
    monkeypatch.setattr(runtime_state, "running_guard", lambda: seen["serve"])
    monkeypatch.setattr(runtime_state, "read_json", lambda _: seen["path"])
    monkeypatch.setattr(runtime_state, "write_json", lambda _, data: seen.update(path=data))
    monkeypatch.setattr(runtime_state, "boottime", lambda: seen["now"])
    monkeypatch.setattr(verify, "REPORT_PATIENCE_S", 0.0)
    monkeypatch.setattr(verify, "NEW_REPORT_PATIENCE_S", 0.0)
    return seen


def walked(found: tuple[Check, ...] = (FINE, UDP), **about: Any) -> None:
    told: dict[str, Any] = {"guard": GUARD, "mode": "armed", "digest": "d", "begun": 999.0, "whole": True} | about
    path_report.publish(found=found, findings=(), **told)


def verdicts(since: float | None = None) -> list[bool | None]:
    return [check.ok for check in verify.check_path(since)]


def test_the_latest_walk_is_what_is_said(guard: dict[str, Any]) -> None:
    walked()
    assert verdicts() == [True, None]
    assert verdicts(998.0) == [True, None]


@pytest.mark.parametrize("about", [{"guard": {"pid": 8}}, {"mode": "muted"}, {"digest": "other"}])
def test_one_of_something_else_is_none(guard: dict[str, Any], about: dict[str, Any]) -> None:
    walked(**about)
    assert verdicts() == [False]


def test_nobody_is_healthy_by_a_walk_of_long_ago(guard: dict[str, Any]) -> None:
    walked()
    guard["now"] += path_report.FRESH_S + 1
    assert verdicts() == [False]


def test_who_asks_for_a_walk_wants_a_new_one_with_all_that_it_found(guard: dict[str, Any]) -> None:
    walked()
    assert verdicts(999.5) == [False]
    walked(whole=False)
    assert verdicts(998.0) == [False]
    assert verdicts() == [True, None]


@pytest.mark.parametrize("serve", [None, SERVE | {"mode": "tripped"}, SERVE | {"mode": "failed"}])
def test_of_a_guard_that_does_not_walk_its_own_check_tells(guard: dict[str, Any], serve: Any) -> None:
    guard["serve"] = serve
    assert verdicts() == []


@pytest.mark.parametrize("path", [{}, {"guard": GUARD, "mode": "armed", "digest": "d", "found": 3}, None])
def test_a_file_that_makes_no_sense_is_no_walk(guard: dict[str, Any], path: Any) -> None:
    guard["path"] = path
    assert verdicts() == [False]


def test_who_has_an_address_of_ours_is_named(guard: dict[str, Any]) -> None:
    assert verify.check_conflicts() == []
    rival = {"ip": "192.168.0.200", "mac": "00:aa:00:00:00:01", "name": "gateway"}
    guard["serve"] = SERVE | {"conflicts": [rival]}
    (check,) = verify.check_conflicts()
    assert check.ok is False
    assert "192.168.0.200, the address of gateway, is also at 00:aa:00:00:00:01" in check.detail


def test_a_full_range_is_a_fault_in_force_and_reverts_no_trial(guard: dict[str, Any]) -> None:
    full, refused = Check("range", FAILED, "0 of 2 addresses free", "more"), Check("served", FAILED, "one is not", "so")
    told: dict[str, Any] = {"guard": GUARD, "mode": "armed", "digest": "d", "begun": 999.0, "whole": True}
    path_report.publish(found=(FINE,), findings=(full, refused), **told)
    assert [check.ok for check in verify.check_path(None, in_force=True)] == [True, False, False]
    assert [check.ok for check in verify.check_path(None, in_force=False)] == [True, None, None]
