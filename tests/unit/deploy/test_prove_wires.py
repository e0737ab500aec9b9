"""Before anything is changed: by which address the plan's nodes are asked whether they are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from netaddr import IPAddress

from wizard.deploy.apply.steps import trial
from wizard.deploy.apply.steps.trial import ProveWires
from wizard.deploy.guard import proof
from wizard.host.dhcp.cabling import CablingPattern, CablingProbe
from wizard.host.dhcp.probe import ProbeOutcome, ProbeResult
from wizard.host.net.frames import NOBODY
from wizard.host.net.link import LinkState
from wizard.plan.file.read import load_plan
from wizard.plan.model import Interfaces, Plan

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
MOVED = replace(PLAN, network=replace(PLAN.network, gateway=IPAddress("192.168.0.201")))
SILENT = ProbeResult("eth1", ProbeOutcome.SILENCE, 12.0)
BOTH = CablingProbe(replace(SILENT, nic="eth0"), SILENT, False, CablingPattern.CORPORATE_WITHOUT_DHCP)
ELSEWHERE = replace(PLAN, interfaces=Interfaces(PLAN.interfaces.corporate, "eth7"))


@pytest.mark.parametrize(
    ("previous", "sender"),
    [(None, NOBODY), (PLAN, PLAN.network.gateway.packed), (ELSEWHERE, NOBODY)],
    ids=["the first", "another gateway's address", "another NIC"],
)
def test_only_an_address_that_is_on_the_nic_asks(
    monkeypatch: pytest.MonkeyPatch, previous: Plan | None, sender: bytes
) -> None:
    asked: list[bytes] = []
    listener = SimpleNamespace(probe_nodes=asked.append, close=lambda: None, poll=lambda: ("", ""), node_heard=False)
    monkeypatch.setattr(trial, "LinkListener", lambda *_: listener)
    monkeypatch.setattr(trial, "read_link", lambda nic: LinkState(3, nic, bytes(6), True, True, True, False, 3, 0, 0))
    monkeypatch.setattr(proof, "probe_both_wires", lambda *_, **__: BOTH)
    context: Any = SimpleNamespace(
        plan=MOVED, previous=previous, corporate_has_lease=False, uplinks=("eth0",), others=()
    )
    assert ProveWires(context).probe_wires(fresh_link=False)[0] is BOTH
    assert asked == [sender]
