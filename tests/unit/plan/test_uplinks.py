"""Which NICs the nodes go out by, where the plan follows the default route."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
from netaddr import IPNetwork

from tests.unit.plan.plan_changes import TUN, Change, both, machine, more_nics, names, nic
from wizard.plan.draft.model import first_draft
from wizard.plan.export.formats import corporate_side, export
from wizard.plan.file.read import load_plan
from wizard.plan.file.write import dump_plan
from wizard.plan.findings import Severity
from wizard.plan.machine import Address, Facts, Nic, Route
from wizard.plan.model import Interfaces, Plan
from wizard.plan.render import render_identity
from wizard.plan.rules.check import check
from wizard.plan.rules.in_force import harmful_findings
from wizard.plan.uplinks import NEVER_BY_NAME, other_wires, resolved, uplinks

ANYWHERE = IPNetwork("0.0.0.0/0")
WLAN = Nic("wlan0", 5, "wireless", "00:1b:21:00:00:05", up=True, carrier=True)


@pytest.fixture
def auto(plan: Plan) -> Plan:
    return replace(plan, interfaces=Interfaces("auto", plan.interfaces.cluster))


def by(*routes: Route, outbound: tuple[str, ...] = ()) -> Change:
    return machine(routes=routes, outbound=outbound)


def way(name: str, metric: int = 0, table: str = "main") -> Route:
    return Route(ANYWHERE, name, "10.0.0.1", table, metric)


def at(name: str, kind: str, **more: Any) -> Change:
    """A NIC of this kind, with the default route over it."""
    return both(more_nics(Nic(name, 9, kind, up=True, carrier=True, **more)), by(way(name), outbound=(name,)))


@dataclass(frozen=True)
class Case:
    what: str
    change: Change
    uplinks: tuple[str, ...]


CASES = [
    Case("the one default route", machine(), ("eth0",)),
    Case("of two the lower metric", both(more_nics(WLAN), by(way("eth0", 600), way("wlan0", 100))), ("wlan0",)),
    Case("both of one metric", both(more_nics(WLAN), by(way("eth0", 100), way("wlan0", 100))), ("eth0", "wlan0")),
    Case("none", by(), ()),
    Case("a default route that leads nowhere", by(way("", 1), way("eth0", 100)), ()),
    Case("of IPv6 alone", by(Route(IPNetwork("::/0"), "eth0")), ()),
    Case("another table's, without a rule for it", by(way("eth0", table="7")), ()),
    Case("another table's, with one", by(way("eth0", table="7"), outbound=("eth0",)), ("eth0",)),
    # The VPN below comes second: it has no wire that could be probed.
    Case("a VPN by a table of its own", both(more_nics(TUN), by(way("eth0"), outbound=("wg0",))), ("eth0", "wg0")),
    Case("a VPN by halves", both(more_nics(TUN), by(way("eth0"), outbound=("wg0", "wg0"))), ("eth0", "wg0")),
    Case("a VPN by a lower metric", both(more_nics(TUN), by(way("wg0", 50), way("eth0", 100))), ("eth0", "wg0")),
    Case("a VPN and nothing below it", both(more_nics(TUN), by(way("wg0"), outbound=("wg0",))), ("wg0",)),
    Case("the cluster's own NIC", by(way("eth1"), outbound=("eth1",)), ()),
    Case("a VLAN on it", at("eth1.7", "vlan", parent="eth1"), ()),
    Case("a bridge that it is in", both(nic("eth1", master="br0"), at("br0", "bridge")), ()),
    Case("a bridge with another NIC", both(nic("eth0", master="br0"), at("br0", "bridge")), ("br0",)),
    Case("a bond", both(nic("eth0", master="bond0"), at("bond0", "bond")), ("bond0",)),
    Case("a mobile network", at("wwan0", "modem"), ("wwan0",)),
    Case("a phone", at("usb0", "tether"), ("usb0",)),
    Case("Docker", by(way("docker0"), outbound=("docker0",)), ()),
    Case("a network of Docker's", at("br-0123456789ab", "bridge"), ()),
    Case("libvirt", at("virbr0", "bridge"), ()),
    Case("a bridge of containers", both(more_nics(Nic("c1", 8, "container", master="x0")), at("x0", "bridge")), ()),
    Case("a container's", at("vethab12345", "container"), ()),
    Case("the loopback", by(way("lo"), outbound=("lo",)), ()),
    Case("a name that tools would take as code", at("e$(x)", "ethernet"), ()),
    Case("one that is not there any more", by(way("eth7"), outbound=("eth7",)), ()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_the_default_route_leads_over(case: Case, auto: Plan, facts: Facts) -> None:
    _, machine = case.change(auto, facts)
    machine = replace(machine, nics=tuple(replace(n, usable_name="$" not in n.name) for n in machine.nics))
    assert uplinks(auto, machine) == case.uplinks
    assert resolved(auto, machine).interfaces == Interfaces(case.uplinks[0] if case.uplinks else "", "eth1")


def test_a_named_corporate_nic_is_the_uplink_whatever_the_routes_say(plan: Plan, facts: Facts) -> None:
    _, machine = by(way("wlan0"), outbound=("wlan0",))(plan, facts)
    assert uplinks(plan, machine) == ("eth0",)
    assert resolved(plan, machine) is plan


def test_the_patterns_mean_the_same_to_the_shell_and_to_python() -> None:
    names = "".join(NEVER_BY_NAME)
    assert set("[]!\\|;&()'\" ").isdisjoint(names)
    assert not any(
        fnmatchcase(name, pattern) for pattern in NEVER_BY_NAME for name in ("eth0", "br0", "wlp3s0", "ppp0")
    )


def test_auto_survives_the_file(auto: Plan, example: str) -> None:
    text = dump_plan(auto, example)
    assert 'corporate = "auto"' in text
    assert load_plan(text, "x") == load_plan(dump_plan(auto), "x") == auto


def test_a_sound_machine_has_no_finding_on_auto(auto: Plan, facts: Facts) -> None:
    assert [
        f for f in check(auto, facts) if f.severity is not Severity.NOTE and f.field == "interfaces.corporate"
    ] == []


@pytest.mark.parametrize("kind", ["wireless", "bond", "modem", "tether", "tunnel", "bridge", "vlan"])
def test_a_named_way_out_may_be_of_any_kind_that_has_the_default_route(kind: str, plan: Plan, facts: Facts) -> None:
    """PPPoE and a VPN are tunnels; a modem may have no MAC."""
    named, machine = both(names("out0"), nic("eth0", default_route=False), at("out0", kind))(plan, facts)
    assert [f.code for f in check(named, machine) if f.field == "interfaces.corporate"] == []


def test_a_tunnel_without_the_default_route_is_no_way_out(plan: Plan, facts: Facts) -> None:
    named, machine = both(names("wg0"), more_nics(TUN))(plan, facts)
    assert "nic-kind" in [f.code for f in check(named, machine)]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("docker0", by(way("docker0"), outbound=("docker0",))),
        ("br-0123456789ab", at("br-0123456789ab", "bridge")),
        ("virbr0", at("virbr0", "bridge")),
        ("x0", both(more_nics(Nic("c1", 8, "container", master="x0")), at("x0", "bridge"))),
    ],
)
def test_a_bridge_of_containers_cannot_be_named_either(name: str, change: Change, plan: Plan, facts: Facts) -> None:
    named, machine = both(names(name), nic("eth0", default_route=False), change)(plan, facts)
    errors = [each for each in check(named, machine) if each.severity is Severity.ERROR]
    assert [(each.code, each.field) for each in errors] == [("nic-kind", "interfaces.corporate")]


def test_no_way_out_is_no_harm_to_a_gateway_that_runs(auto: Plan, facts: Facts) -> None:
    machine = replace(facts, routes=(), nics=tuple(replace(n, default_route=False) for n in facts.nics))
    assert "no-way-out" in [f.code for f in check(auto, machine)]
    assert harmful_findings(auto, replace(machine, applied_cluster="eth1", listeners=())) == []


def test_the_rules_see_the_corporate_nic_of_now(auto: Plan, facts: Facts) -> None:
    shared = nic("eth1", parent="eth0")
    assert "cluster-shares-wire" in [f.code for f in check(*shared(auto, facts))]


def test_exports_have_the_address_of_now(auto: Plan, facts: Facts) -> None:
    home = both(
        more_nics(replace(WLAN, addresses=(Address(IPNetwork("192.168.178.20/24")),))),
        by(way("wlan0"), outbound=("wlan0",)),
    )
    assert corporate_side(auto, facts).address == "10.77.0.98"
    assert corporate_side(auto, home(auto, facts)[1]).address == "192.168.178.20"
    assert "auto" not in export(auto, "corporate-hosts")


def test_no_corporate_nic_is_recorded(auto: Plan, facts: Facts) -> None:
    text = render_identity(auto, facts).text
    assert "[corporate]" not in text
    assert "[cluster]" in text


def test_a_draft_keeps_auto_on_any_machine(auto: Plan, facts: Facts) -> None:
    draft = first_draft(auto, facts)
    assert (draft.corporate, draft.cluster) == ("auto", "eth1")
    assert draft.to_plan() == auto
    elsewhere = replace(facts, nics=tuple(replace(n, name="eth7") if n.name == "eth1" else n for n in facts.nics))
    draft = first_draft(auto, elsewhere)
    assert (draft.corporate, draft.cluster) == ("auto", "eth7")


OFFICE = Address(IPNetwork("10.77.0.98/24"))
AT_HOME = both(more_nics(replace(WLAN, addresses=(Address(IPNetwork("192.168.178.2/24")),))), by(way("wlan0")))


@pytest.mark.parametrize(
    ("corporate", "change", "others"),
    [
        ("auto", both(AT_HOME, nic("eth0", addresses=(OFFICE,))), ("eth0", "wlan0")),
        # Another cable into the cluster's own switch is no fault.
        ("auto", both(AT_HOME, nic("eth0", addresses=())), ("wlan0",)),
        ("auto", both(AT_HOME, nic("eth0", addresses=(Address(IPNetwork("192.168.0.7/24")),))), ("wlan0",)),
        ("eth0", both(AT_HOME, nic("eth0", addresses=(OFFICE,))), ()),
        ("wg0", both(more_nics(TUN), nic("eth0", addresses=(OFFICE,))), ("eth0",)),
    ],
)
def test_every_wire_of_another_network_must_not_be_the_clusters(
    plan: Plan, facts: Facts, corporate: str, change: Change, others: tuple[str, ...]
) -> None:
    _, facts = change(plan, facts)
    chosen = replace(plan, interfaces=Interfaces(corporate, plan.interfaces.cluster))
    assert other_wires(chosen, facts) == others
