"""Which NIC is suggested for what, and when the wizard would rather not say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from netaddr import IPAddress, IPNetwork

from wizard.plan.draft.suggest import suggest, suggest_interfaces, suggest_network
from wizard.plan.machine import Address, Facts, Nic, Route

LEASE = (Address(IPNetwork("10.77.0.98/24"), dynamic=True),)
STATIC = (Address(IPNetwork("10.88.0.2/24")),)


def nic(name: str, kind: str = "ethernet", carrier: bool | None = True, **rest: Any) -> Nic:
    return replace(Nic(name, 1, kind, up=True, carrier=carrier), **rest)


def corp(name: str = "eth0") -> Nic:
    return nic(name, addresses=LEASE, default_route=True, dhcp_client=True)


def test_the_laptop(facts: Facts) -> None:
    roles = {each.nic: each.role for each in suggest(facts)}
    assert roles == {"lo": None, "eth0": "corporate", "eth1": "cluster", "docker0": None}
    reasons = {each.nic: " ".join(each.reasons) for each in suggest(facts)}
    assert "default route" in reasons["eth0"]
    assert "DHCP" in reasons["eth0"]
    assert "no address" in reasons["eth1"]
    assert "bridge" in reasons["docker0"]
    assert "loopback" in reasons["lo"]


def test_neither_order_nor_name_decides(facts: Facts) -> None:
    assert suggest_interfaces(replace(facts, nics=facts.nics[::-1])) == ("eth0", "eth1")
    assert suggest_interfaces(Facts(nics=(nic("eth0"), corp("eth1")))) == ("eth1", "eth0")


def test_every_nic_has_reasons_of_plain_words(facts: Facts) -> None:
    strange = nic("e\x1b[2J", usable_name=False, master="br\n0")
    for each in suggest(replace(facts, nics=(*facts.nics, strange))):
        assert each.reasons
        assert all(reason and reason.isprintable() for reason in each.reasons)


def test_where_nothing_tells_which_leads_to_the_company_nothing_is_suggested() -> None:
    facts = Facts(nics=(nic("eth0"), nic("eth1")))
    assert suggest_interfaces(facts) == ("", "")
    assert all("choose one" in each.reasons[0] for each in suggest(facts))


def test_where_two_could_be_the_clusters_neither_is_suggested() -> None:
    assert suggest_interfaces(Facts(nics=(corp(), nic("eth1"), nic("eth2")))) == ("eth0", "")


def test_one_that_could_be_the_clusters_says_why_it_is_not_suggested() -> None:
    alike = {each.nic: each.reasons for each in suggest(Facts(nics=(corp(), nic("eth1"), nic("eth2"))))}
    assert alike["eth1"] == alike["eth2"]
    assert "another NIC is like it" in alike["eth1"][0]
    spare = {each.nic: each.reasons for each in suggest(Facts(nics=(corp(), nic("eth1"), nic("eth2", carrier=False))))}
    assert spare["eth2"] == ("nothing uses it", "no cable is plugged in")


@pytest.mark.parametrize(
    "change", [{"master": "br0"}, {"usable_name": False}, {"kind": "loopback"}, {"kind": "container"}]
)
def test_what_is_never_suggested_for_the_company(change: dict[str, Any]) -> None:
    assert suggest_interfaces(Facts(nics=(replace(corp(), **change), nic("eth1")))) == ("", "")


def test_the_one_with_a_cable_is_suggested_before_those_without() -> None:
    facts = Facts(nics=(corp(), nic("eth1", carrier=False), nic("eth2"), nic("eth3", carrier=None)))
    assert suggest_interfaces(facts) == ("eth0", "eth2")


def test_the_only_one_left_is_suggested_without_a_cable_too() -> None:
    facts = Facts(nics=(corp(), nic("eth1", carrier=False)))
    assert suggest_interfaces(facts) == ("eth0", "eth1")
    assert "no cable is plugged in" in suggest(facts)[1].reasons


@pytest.mark.parametrize(
    "other",
    [
        nic("x", default_route=True),
        nic("x", carries_ssh=True),
        nic("x", dhcp_client=True),
        nic("x", addresses=LEASE),
        nic("x", addresses=STATIC),
        nic("x", kind="wireless"),
        nic("x", kind="bridge"),
        nic("x", kind="tunnel"),
        nic("x", kind="bond"),
        nic("x", kind="vlan"),
        nic("x", kind="macvlan"),
        nic("x", kind="other"),
        nic("x", kind="loopback"),
        nic("x", master="br0"),
        nic("x", usable_name=False),
    ],
)
def test_what_is_never_suggested_for_the_cluster(other: Nic) -> None:
    facts = Facts(nics=(corp(), other), routes=(Route(IPNetwork("0.0.0.0/0"), "eth0"),))
    assert suggest_interfaces(facts)[1] == ""


ROUTED = (Route(IPNetwork("0.0.0.0/0"), "eth0"),)
ROUTER = (Address(IPNetwork("fe80::7/64")), Address(IPNetwork("2001:db8::7/64"), dynamic=True))


@pytest.mark.parametrize(
    ("nics", "says"),
    [
        (
            # The laptop in an office whose network comes by VLAN 20.
            [nic("eth0"), nic("eth0.20", "vlan", parent="eth0", addresses=LEASE, default_route=True)],
            "eth0.20, a VLAN on the same wire, has the default route",
        ),
        (
            [
                corp("eth9"),
                nic("eth0"),
                nic("v20", "vlan", parent="eth0", master="br0"),
                nic("br0", "bridge", addresses=LEASE),
            ],
            "br0, a bridge on the same wire, has an address from a DHCP server",
        ),
        ([corp("eth9"), nic("eth0"), nic("mv", "macvlan", parent="eth0")], 'it shares its wire with "mv"'),
        ([corp("eth9"), nic("eth0"), nic("gre1", "tunnel", parent="eth0")], 'it shares its wire with "gre1"'),
        ([nic("eth0", parent="pf"), replace(corp(), name="pf")], "pf, a NIC on the same wire, has the default route"),
        ([corp("eth9"), nic("eth0", addresses=ROUTER)], "a router gave it the address 2001:db8::7"),
        ([corp("eth9"), nic("eth0", kind="modem")], "it is a modem to a mobile network"),
        ([corp("eth9"), nic("eth0", kind="tether")], "it is a phone that shares its connection"),
        ([corp("eth9"), nic("eth0", kind="gadget")], "it is the cable to another computer alone"),
        ([corp("eth9"), nic("eth0", kind="container")], "it is a container's"),
        ([corp("eth9"), nic("eth0", kind="conduit")], "it is the inner port of a switch chip"),
        (
            [corp("eth9"), nic("eth0", driver="cdc_ether")],
            "its driver (cdc_ether) is used by phones and modems too",
        ),
    ],
)
def test_no_suggestion_beats_a_wrong_one(nics: list[Nic], says: str) -> None:
    """Each was suggested: it has no address, and nothing but this tells that it leads elsewhere."""
    facts = Facts(nics=tuple(nics))
    assert suggest_interfaces(facts)[1] == ""
    reasons = {each.nic: each.reasons for each in suggest(facts)}
    assert says in reasons["eth0"]


def test_a_circle_of_parents_has_an_end() -> None:
    facts = Facts(nics=(nic("a", parent="b"), nic("b", parent="a", master="a"), corp()))
    assert suggest_interfaces(facts) == ("eth0", "")


def test_a_phone_or_a_modem_can_lead_to_the_company() -> None:
    for kind in ("tether", "modem", "vlan"):
        facts = Facts(nics=(replace(corp("usb0"), kind=kind), nic("eth1")))
        assert suggest_interfaces(facts) == ("usb0", "eth1")


def test_a_veth_counts_as_ethernet() -> None:
    facts = Facts(nics=(replace(corp(), kind="veth"), nic("eth1", kind="veth")))
    assert suggest_interfaces(facts) == ("eth0", "eth1")


def test_an_address_that_a_nic_makes_up_itself_is_no_use() -> None:
    made_up = (Address(IPNetwork("fe80::1/64")), Address(IPNetwork("169.254.7.7/16")))
    assert suggest_interfaces(Facts(nics=(corp(), nic("eth1", addresses=made_up)))) == ("eth0", "eth1")


def test_of_two_default_routes_the_preferred_one_leads_to_the_company() -> None:
    wireless = nic("wlan0", kind="wireless", default_route=True, dhcp_client=True)
    routes = (
        Route(IPNetwork("0.0.0.0/0"), "wlan0", "10.1.0.1", metric=600),
        Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1", metric=100),
    )
    assert suggest_interfaces(Facts(nics=(wireless, corp(), nic("eth1")), routes=routes)) == ("eth0", "eth1")


def test_under_a_vpn_the_nic_below_it_leads_to_the_company() -> None:
    tun = nic("tun0", kind="tunnel", default_route=True, addresses=STATIC)
    facts = Facts(nics=(tun, nic("eth0", addresses=LEASE), nic("eth1")))
    assert suggest_interfaces(facts) == ("eth0", "eth1")


def test_a_line_that_is_nothing_but_a_tunnel_leads_to_the_company() -> None:
    """PPPoE over a NIC without an address."""
    ppp = nic("ppp0", kind="tunnel", default_route=True, addresses=STATIC)
    assert suggest_interfaces(Facts(nics=(ppp, nic("eth1")))) == ("ppp0", "eth1")


def test_ssh_alone_is_evidence_enough() -> None:
    facts = Facts(nics=(nic("eth0", addresses=STATIC, carries_ssh=True), nic("eth1")))
    assert suggest_interfaces(facts) == ("eth0", "eth1")


def test_the_applied_cluster_nic_stays_the_clusters() -> None:
    ours = nic("eth1", addresses=(Address(IPNetwork("192.168.0.200/24")),))
    facts = Facts(nics=(corp(), ours, nic("eth2")), applied_cluster="eth1")
    assert suggest_interfaces(facts) == ("eth0", "eth1")


def test_the_applied_cluster_nic_is_never_the_companys() -> None:
    ours = nic("eth1", addresses=(Address(IPNetwork("192.168.0.200/24")),), carries_ssh=True)
    assert suggest_interfaces(Facts(nics=(nic("eth0"), ours), applied_cluster="eth1")) == ("", "eth1")


def test_the_guides_network_is_suggested_where_it_is_free(facts: Facts) -> None:
    network = suggest_network(facts)
    assert (network.cidr, network.gateway) == (IPNetwork("192.168.0.0/24"), IPAddress("192.168.0.200"))
    assert network.dhcp_slice == IPNetwork("192.168.0.64/26")


@pytest.mark.parametrize("used", ["192.168.0.0/24", "192.168.0.128/25", "192.168.0.0/16", "192.168.0.7/32"])
def test_another_network_of_the_same_layout_is_suggested_where_it_is_not(facts: Facts, used: str) -> None:
    network = suggest_network(replace(facts, routes=(*facts.routes, Route(IPNetwork(used), "tun0"))))
    start = network.cidr.first
    assert network.cidr.prefixlen == 24
    assert IPNetwork(used).last < start or network.cidr.last < IPNetwork(used).first
    assert int(network.gateway) == start + 200
    assert network.dhcp_slice == IPNetwork((start + 64, 26), version=4)


def test_the_applied_network_is_not_in_its_own_way(facts: Facts) -> None:
    own = Route(IPNetwork("192.168.0.0/24"), "eth1")
    applied = replace(facts, routes=(*facts.routes, own), applied_cluster="eth1")
    assert suggest_network(applied).cidr == IPNetwork("192.168.0.0/24")
