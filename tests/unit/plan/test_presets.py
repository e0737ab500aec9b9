"""Ports that come in sets."""

from __future__ import annotations

import pytest

from wizard.plan.draft.model import Draft, ForwardText, NodeText
from wizard.plan.draft.presets import PRESETS, Preset, first_node_name, port_label, preset_forwards
from wizard.plan.machine import Facts, Listener
from wizard.plan.model import Role

NODES = (NodeText("compute", "c1"), NodeText("network, controller", "head"), NodeText("controller", "other"))
BY_NAME = {preset.name: preset for preset in PRESETS}


def test_the_ports_of_each_set() -> None:
    assert {name: {port.port for port in preset.ports} for name, preset in BY_NAME.items()} == {
        "ciao": {8889, 35357, 5000},
        "ciao 2017": {8889, 8774, 8776, 9292, 35357, 5000, 443},
        "OpenStack": {80, 443, 6080, 5000, 8774, 9696, 9292, 8776, 8778},
        "k3s": {6443, 80, 443},
        "Proxmox": {8006, 3128},
        "Talos": {50000, 6443},
    }


def test_nothing_that_must_stay_inside_is_in_a_set() -> None:
    assert {port.port for each in PRESETS for port in each.ports}.isdisjoint({22, 53, 67, 68, 8888, 50001})


def test_a_port_leads_to_the_controller_by_its_name() -> None:
    found = preset_forwards(BY_NAME["k3s"], Draft(nodes=NODES), None)
    assert {offer.forward for offer in found} == {ForwardText(port, "head") for port in ("6443", "80", "443")}
    assert not any(offer.against for offer in found)


def test_a_port_that_leads_somewhere_says_where() -> None:
    draft = Draft(
        nodes=NODES, forwards=(ForwardText("8889", "other", "80", "TCP"), ForwardText("5000", "c1", "", "udp"))
    )
    assert {offer.port.port: (offer.there, offer.to) for offer in preset_forwards(BY_NAME["ciao"], draft, None)} == {
        8889: (True, "other, 80"),
        35357: (False, "head"),
        5000: (False, "head"),
    }


def test_what_is_against_a_port_is_said() -> None:
    draft = Draft(corporate="eth0", cluster="eth1", cidr="192.168.0.0/24", forwards=(ForwardText("8889", "x"),))
    facts = Facts(listeners=(Listener("tcp", "*", 5000, "registry", 9), Listener("udp", "*", 35357, "other", 8)))
    against = {
        offer.forward.port: (offer.there, offer.against) for offer in preset_forwards(BY_NAME["ciao"], draft, facts)
    }
    assert against["8889"] == (True, "it leads to x already")
    assert against["35357"] == (False, "")
    assert against["5000"] == (False, 'A program ("registry", process 9) listens on it')


@pytest.mark.parametrize(
    ("port", "what"), [("8006", "Proxmox web interface and API"), ("22", "SSH"), ("1", ""), ("x", ""), ("9" * 5000, "")]
)
def test_what_a_port_is(port: str, what: str) -> None:
    assert port_label(port) == what


def test_a_port_of_several_sets_is_what_it_is_in_the_one_that_was_taken() -> None:
    k3s = next(preset for preset in PRESETS if preset.name == "k3s")
    ports = [str(port.port) for port in k3s.ports]
    assert [port_label(port, ports) for port in ports] == [port.what for port in k3s.ports]


@pytest.mark.parametrize("preset", PRESETS, ids=[preset.name for preset in PRESETS])
def test_every_set_is_known_by_its_ports(preset: Preset) -> None:
    ports = [str(port.port) for port in preset.ports]
    assert [port_label(port, ports) for port in ports] == [port.what for port in preset.ports]


def test_two_sets_one_beside_the_other_are_told_apart() -> None:
    # Of k3s 6443 was in use, of ciao 8889.
    beside = ["80", "443", "35357", "5000"]
    assert [port_label(port, beside) for port in beside] == [
        "Traefik, ingress",
        "Traefik, ingress with TLS",
        "Keystone, administration",
        "Keystone, public",
    ]


@pytest.mark.parametrize(
    ("kind", "roles", "to"),
    [
        ("k3s", ["agent", "server"], "n1"),
        ("proxmox", ["ceph", "other"], "n0"),
        ("plain", ["", ""], "n0"),
        ("plain", [], "controller"),
        ("openstack", ["compute", "controller"], "n1"),
    ],
)
def test_a_preset_of_another_kind_leads_to_who_leads_there(kind: str, roles: list[str], to: str) -> None:
    nodes = tuple(NodeText(role, f"n{number}", f"00:1b:21:00:00:0{number}") for number, role in enumerate(roles))
    assert first_node_name(Draft(kind=kind, nodes=nodes), Role.CONTROLLER) == to
