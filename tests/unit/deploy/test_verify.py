"""What is said of the corporate side, against what it was; and when a check is made again."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, cast

import pytest
from netaddr import IPNetwork

from wizard.deploy import verify
from wizard.host.facts import resolver
from wizard.plan.checks import FAILED, OK, Check
from wizard.plan.machine import Route
from wizard.plan.model import Plan

WAY_OUT = Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Root's view of a machine: `routes` and `resolv` now, `before` as the journal has it."""
    seen = SimpleNamespace(routes=(WAY_OUT,), resolv="nameserver 10.77.0.1\n", before={})
    reading = SimpleNamespace(last=SimpleNamespace(same_boot=True, begin=seen.before))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(verify, "read_routes", lambda: seen.routes)
    monkeypatch.setattr(resolver, "read_text", lambda _: seen.resolv)
    monkeypatch.setattr(verify, "Journal", lambda: SimpleNamespace(read=lambda: reading))
    return seen


def corporate() -> Check:
    return verify.check_corporate()


def test_as_before(machine: Any) -> None:
    machine.before.update(default_routes=["eth0 via 10.77.0.1"], nameservers=["10.77.0.1"])
    assert corporate() == Check("corporate", OK, "eth0 via 10.77.0.1; DNS 10.77.0.1")


def test_what_was_lost_is_named(machine: Any) -> None:
    machine.before.update(default_routes=["eth0 via 10.77.0.1"], nameservers=["10.77.0.1", "10.77.0.2"])
    machine.routes, machine.resolv = (), "# nobody\nsearch example.net\n"
    found = corporate()
    assert found.ok is False
    assert "it was eth0 via 10.77.0.1" in found.detail
    assert "it was 10.77.0.1, 10.77.0.2" in found.detail


def test_none_before_and_none_now_is_as_before_only_where_that_is_known(machine: Any) -> None:
    machine.routes = ()
    assert "as before" not in corporate().detail
    machine.before.update(default_routes=[], nameservers=[])
    assert "no default route, as before" in corporate().detail


def test_another_way_out_is_no_fault(machine: Any) -> None:
    machine.before.update(default_routes=["wlan0 via 10.1.0.1"], nameservers=["10.1.0.1"])
    assert corporate().ok


def test_a_hostile_resolver_line_does_not_steer_the_terminal(machine: Any) -> None:
    machine.resolv = "nameserver \x1b[2J\nnameserver\n"
    assert "\x1b" not in corporate().detail


@pytest.mark.parametrize(
    ("first", "second", "failed"),
    [
        (["path-resolver"], [], []),
        (["path-resolver"], ["path-resolver"], ["path-resolver"]),
        (["path-out", "address"], [], ["path-out", "address"]),
    ],
)
def test_a_path_that_failed_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, first: list[str], second: list[str], failed: list[str]
) -> None:
    """A machine that is busy for a few seconds answers a node too late."""
    runs = iter([first, second])
    monkeypatch.setattr(
        verify, "run_checks", lambda *_, **__: [Check(name, FAILED, "no answer", "") for name in next(runs)]
    )
    assert [check.name for check in verify.run_checks_twice(cast(Plan, None)) if check.ok is False] == failed
