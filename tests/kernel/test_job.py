"""One whole job under a release's own kernel, by the command line, in the laboratory: a plan is applied, the nodes get
their leases, go out and are reached, the plan is taken back, and the laptop is as it was."""

from __future__ import annotations

import json

import pytest

from tests.lab.support import BRIEF, EXAMPLE, GATEWAY, NODES, OFFICE, await_nodes, differences, page, whole
from wizard.lab import control
from wizard.lab.control import Laboratory

PATIENCE_S = 400.0
"""A machine without KVM takes ten times as long, and others are at work beside it."""


def ciao(lab: Laboratory, *argv: str) -> str:
    done = lab.run(["ciao-wizard", *argv], check=False, timeout=PATIENCE_S, env=BRIEF)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_plan_is_applied_serves_its_nodes_and_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "START_SECONDS", PATIENCE_S)
    with Laboratory() as lab:
        before = whole(lab)
        ciao(lab, "apply", "-c", str(EXAMPLE), "--yes")
        await_nodes(lab, deadline=PATIENCE_S)
        out = lab.fetch("http://www.corp.example/", netns="compute1", timeout=60)
        assert out == page("corporate", 80, "10.77.0.1", OFFICE)
        inwards = lab.fetch(f"http://{OFFICE}:8889/", netns="colleague", timeout=60)
        assert inwards == page("controller", 8889, NODES["controller"], "10.77.0.50")
        seen = json.loads(ciao(lab, "status", "--json"))
        assert seen["healthy"], seen
        assert GATEWAY in lab.addresses(nic="eth1")
        ciao(lab, "reset", "--yes", "--forget-leases")
        assert differences(before, whole(lab)) == []
