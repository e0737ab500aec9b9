"""By which way a node is restarted or powered off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from netaddr import IPAddress

from wizard.actions import bmc, power, shell
from wizard.actions.outcome import NodeOutcome
from wizard.plan.addresses import assign
from wizard.plan.file.read import load_plan
from wizard.plan.model import Node, Plan

pytestmark = pytest.mark.usefixtures("behind_the_cluster_nic")

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
PLAN = assign(load_plan(EXAMPLE.read_text(), "ciao.toml"))
BMC = IPAddress("192.168.0.151")


@pytest.mark.parametrize("action", [power.REBOOT, power.OFF])
@pytest.mark.parametrize(
    ("address", "user", "hard", "way"),
    [
        (None, "", False, "ssh as "),
        (None, "root", False, "ssh as root"),
        (None, "", True, "--hard needs a BMC"),
        (BMC, "", False, "bmc"),
        (BMC, "", True, "bmc at once"),
        # Whoever names a user means ssh.
        (BMC, "root", False, "ssh as root"),
        (BMC, "root", True, "--user goes over ssh"),
    ],
)
def test_each_node_by_the_way_that_it_has(
    action: str, address: IPAddress | None, user: str, hard: bool, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def by_bmc(node: Node, asked: str, _credentials: object, at_once: bool = False) -> NodeOutcome:
        done.append(f"{asked} by bmc{' at once' if at_once else ''}")
        return NodeOutcome(node.name, True, "done")

    def by_ssh(_plan: Plan, node: Node, asked: str, as_user: str = "") -> NodeOutcome:
        done.append(f"{asked} by ssh as {as_user}")
        return NodeOutcome(node.name, True, "done")

    monkeypatch.setattr(bmc, "credentials_for", lambda *_: bmc.Credentials("u", "p"))
    monkeypatch.setattr(bmc, "order", by_bmc)
    monkeypatch.setattr(shell, "order", by_ssh)
    node = replace(PLAN.nodes[0], bmc=address)
    (outcome,) = power.carry_out(PLAN, [node], power.Order(action, user, hard))
    if outcome.ok:
        assert done == [f"{action} by {way}"]
    else:
        assert done == []
        assert way in outcome.detail
        assert outcome.remedy
