"""Waking: by which NIC it may be done, and who counts as awake."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from wizard.actions import bmc, ipmi, power, wake
from wizard.actions.outcome import NodeOutcome
from wizard.deploy import runtime_state
from wizard.host.wake_on_lan import send_magic
from wizard.plan.addresses import assign
from wizard.plan.fields import format_mac, parse_bmc
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.model import Node

pytestmark = pytest.mark.usefixtures("behind_the_cluster_nic")

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
PLAN = assign(load_plan(EXAMPLE.read_text(), "ciao.toml"))
MAC = bytes.fromhex("b8aeed7b5150")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may open a packet socket")
def test_another_nic_by_the_same_name_is_sent_nothing() -> None:
    """The loopback stands in: its name is right, and the index is not."""
    index = socket.if_nametoindex("lo")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0842)) as ears:
        ears.bind(("lo", 0x0842))
        ears.settimeout(5)
        with pytest.raises(WizardError, match="another NIC than a moment ago"):
            send_magic("lo", index + 1, "127.0.0.1", [bytes(6)])
        send_magic("lo", index, "127.0.0.1", [MAC])
        assert ears.recv(2000)[14:] == b"\xff" * 6 + MAC * 16


def test_a_gateway_with_other_nics_is_not_the_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as while another plan is on trial."""

    class Other:
        plan = replace(PLAN, interfaces=replace(PLAN.interfaces, cluster="eth7"))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(runtime_state, "running_guard", lambda: {"mode": "armed"})
    monkeypatch.setattr(wake, "read_plan_in_force", lambda _places: Other())
    monkeypatch.setattr(wake, "send_magic", lambda *_: pytest.fail("something was sent"))
    with pytest.raises(WizardError, match="nothing was sent") as refused:
        wake.send_to(PLAN, PLAN.nodes)
    assert "does not run" in refused.value.message


@dataclass
class Wire:
    """Who answers by ARP, from a moment on: address -> (seconds, MAC). A pause lets that time pass."""

    answers: dict[str, tuple[float, str]]
    now: float = 0.0
    again: list[list[str]] = field(default_factory=list)
    closed: bool = False

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def close(self) -> None:
        self.closed = True

    # As Reachability

    def follow(self, _addresses: Iterable[str]) -> None:
        pass

    def poll(self) -> set[str]:
        return {ip for ip, (at, _) in self.answers.items() if at <= self.now}

    def is_reachable(self, ip: str) -> bool:
        return ip in self.poll()

    def mac(self, ip: str) -> str:
        return self.answers[ip][1]

    def wait(self, nodes: Sequence[Node], seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[NodeOutcome]:
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.pause)
        monkeypatch.setattr(wake, "Reachability", lambda _prober: self)

        def again(missed: Sequence[Node]) -> None:
            self.again.append([node.name for node in missed])

        return list(wake.wait_for(PLAN, nodes, seconds, again, self))  # type: ignore[arg-type]


def test_each_is_told_once_it_answers_and_the_missed_are_sent_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = PLAN.nodes[:3]
    wire = Wire({str(first.ip): (1, format_mac(first.mac)), str(second.ip): (15, format_mac(second.mac))})
    outcomes = wire.wait((first, second, third), 25, monkeypatch)
    assert [(outcome.node, outcome.ok) for outcome in outcomes] == [
        (first.name, True),
        (second.name, True),
        (third.name, False),
    ]
    assert wire.again == [[second.name, third.name], [third.name]]
    assert "within 25 s" in outcomes[2].detail
    assert "Wake-on-LAN" in outcomes[2].remedy
    assert wire.closed


def test_another_machine_at_the_address_is_not_the_node_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    node = PLAN.nodes[0]
    (outcome,) = Wire({str(node.ip): (0, "02:00:00:00:00:99")}).wait((node,), 3, monkeypatch)
    assert not outcome.ok


def test_a_node_with_a_bmc_is_told_what_became_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packet went out, whatever the BMC says; the others have nothing to do with it."""
    address, protocol = parse_bmc("ipmi://192.168.0.151")
    nodes = (replace(PLAN.nodes[0], bmc=address, bmc_protocol=protocol), PLAN.nodes[1])
    monkeypatch.setattr(wake, "send_to", lambda *_: "magic packets sent out of eth1")
    monkeypatch.setattr(bmc, "credentials_for", lambda *_: bmc.Credentials("u", "p"))

    def refuse(*_: object) -> NodeOutcome:
        raise WizardError("it refuses", "do this")

    monkeypatch.setattr(ipmi, "order", refuse)
    told = {outcome.node: outcome for outcome in power.carry_out(PLAN, nodes, power.Order(power.WAKE))}
    assert told[nodes[1].name] == NodeOutcome(nodes[1].name, True, "magic packets sent out of eth1")
    failed = told[nodes[0].name]
    assert (failed.ok, failed.remedy) == (False, "do this")
    assert failed.detail == "magic packets sent out of eth1; it refuses"
