"""What the rules leave alone, and how their findings come together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import EUI, IPAddress, IPNetwork

from tests.unit.growth import times_dearer
from tests.unit.plan.plan_changes import (
    ANY,
    TUN,
    TUN_DEFAULT,
    Change,
    address,
    both,
    forward,
    listens,
    machine,
    more_nics,
    names,
    network,
    nic,
    node,
    routes,
    subnet,
)
from wizard.plan.findings import Finding, Severity
from wizard.plan.machine import Facts, Nic, Route
from wizard.plan.model import AnswerPolicy, Network, Node, Plan, Protocol, Role
from wizard.plan.rules.check import check, check_plan


def errors(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.code for finding in findings if finding.severity is Severity.ERROR]


APPLIED = both(
    nic("eth1", addresses=address("192.168.0.200/24")),
    routes(Route(IPNetwork("192.168.0.0/24"), "eth1"), Route(IPNetwork("192.168.0.200/32"), "eth1", table="local")),
    machine(applied_cluster="eth1", our_pids=frozenset({900})),
)

SOUND: dict[str, Change] = {
    "as it is": lambda plan, facts: (plan, facts),
    "a veth for the cluster": nic("eth1", kind="veth"),
    "a bridge with the default route for the company": both(
        more_nics(Nic("br0", 8, "bridge", up=True, default_route=True)), names(corporate="br0")
    ),
    "wireless to the company": nic("eth0", kind="wireless"),
    "a VPN over the corporate NIC": both(
        more_nics(TUN), routes(TUN_DEFAULT, Route(IPNetwork("203.0.113.9/32"), "eth0", "10.77.0.1"))
    ),
    "a VPN with the two halves of everything": routes(
        Route(IPNetwork("0.0.0.0/1"), "tun0"), Route(IPNetwork("128.0.0.0/1"), "tun0")
    ),
    "the cluster NIC configured by hand as planned": both(
        nic("eth1", addresses=address("192.168.0.200/24")), routes(Route(IPNetwork("192.168.0.0/24"), "eth1"))
    ),
    "applied already": APPLIED,
    "applied already, with our own dnsmasq": both(
        APPLIED, listens("udp", ANY, 67, "dnsmasq", 900), listens("udp", "192.168.0.200", 53, "dnsmasq", 900)
    ),
    "applied already, asked without root": both(
        APPLIED, listens("udp", ANY, 67, nic="eth1"), listens("udp", "192.168.0.200", 53)
    ),
    "applied already, and now to be in another subnet": both(APPLIED, subnet("192.168.0.0/25")),
    "libvirt's dnsmasq on its own bridge": both(
        listens("udp", ANY, 67, "dnsmasq", 70, nic="virbr0"), listens("udp", "192.168.122.1", 53, "dnsmasq", 70)
    ),
    "a local resolver": listens("udp", "127.0.0.1", 53, "unbound"),
    "a server on TCP port 67": listens("tcp", ANY, 67, "odd"),
    "a program on the loopback at a forwarded port": listens("tcp", "127.0.0.1", 8889, "flask"),
    "a program on another NIC's address at a forwarded port": listens("tcp", "172.17.0.1", 8889, "registry"),
    "a program bound to another NIC at a forwarded port": listens("tcp", ANY, 8889, "registry", nic="docker0"),
    "a UDP forward to the scheduler's port": forward(80, to_port=8888, protocol=Protocol.UDP),
    "a UDP program at a forwarded TCP port": listens("udp", ANY, 8889, "game"),
    "one port forwarded for TCP and for UDP": forward(8889, protocol=Protocol.UDP),
    "a forward to an address in the subnet": forward(80, "192.168.0.9"),
    "a UDP forward of the SSH port": both(forward(22, protocol=Protocol.UDP), machine(ssh_port=22)),
    "one node with all the roles": lambda plan, facts: (
        replace(plan, nodes=(replace(plan.nodes[0], roles=tuple(Role)),)),
        facts,
    ),
    "a /16": subnet("10.9.0.0/16"),
    "a /28": subnet("10.9.0.0/28", "10.9.0.14"),
    "nodes without addresses": lambda plan, facts: (
        replace(plan, nodes=tuple(replace(n, ip=None) for n in plan.nodes)),
        facts,
    ),
}


@pytest.mark.parametrize("change", SOUND.values(), ids=SOUND.keys())
def test_what_is_no_error(plan: Plan, facts: Facts, change: Change) -> None:
    assert errors(check(*change(plan, facts))) == []


SAME_MAC = {"mac": "00:1b:21:00:00:09", "permanent_mac": "00:1b:21:00:00:09"}

QUIET: dict[str, tuple[str, Change]] = {
    "its own address after an apply": ("cluster-has-address", APPLIED),
    "an applied address that the plan changes": ("cluster-has-address", both(APPLIED, subnet("10.9.0.0/24"))),
    "the planned address set by hand": ("cluster-has-address", nic("eth1", addresses=address("192.168.0.200/24"))),
    "an IPv6 address": ("cluster-has-address", nic("eth1", addresses=address("fe80::9/64"))),
    "an address that is told as a lease": ("cluster-has-address", nic("eth1", addresses=address("10.3.0.7/24", True))),
    "a route over the cluster NIC but no VPN": (
        "cluster-under-vpn",
        routes(Route(IPNetwork("203.0.113.9/32"), "eth1", "10.1.1.1")),
    ),
    "a VPN for one network only": (
        "cluster-under-vpn",
        both(
            more_nics(TUN),
            routes(Route(IPNetwork("10.0.0.0/8"), "wg0"), Route(IPNetwork("203.0.113.9/32"), "eth1", "10.1.1.1")),
        ),
    ),
    "a route to a whole /8": ("cluster-has-default-route", routes(Route(IPNetwork("10.0.0.0/8"), "eth1", "10.1.1.1"))),
    "a route for multicast": ("cluster-has-default-route", routes(Route(IPNetwork("224.0.0.0/4"), "eth1"))),
    "one MAC on two NICs at two places": ("nics-alike", both(nic("eth0", **SAME_MAC), nic("eth1", **SAME_MAC))),
    "two MACs at one place": ("nics-alike", both(nic("eth0", bus=""), nic("eth1", bus=""))),
    "a NIC that is off": ("no-carrier", nic("eth1", carrier=None, up=False)),
    "another node's name like the machine's": ("name-is-gateway", node(2, name="laptop2")),
    "a machine without a name": ("name-is-gateway", machine(host_name="")),
    "nodes just outside the range": (
        "node-in-range",
        both(network(dhcp_slice=IPNetwork("192.168.0.96/30")), node(0, ip=IPAddress("192.168.0.96"))),
    ),
    "a domain for private use": ("domain-real", network(domain="ciao.internal")),
    "patterns for some while everyone is answered": (
        "vm-macs-match-everyone",
        network(answer=AnswerPolicy.EVERYONE, vm_macs=("*:*:*:*:*:*",)),
    ),
    "a private network outside the mesh": ("mesh-overlap", subnet("192.168.64.0/24")),
    "Docker in the tenants' range": ("corporate-in-tenant-range", lambda plan, facts: (plan, facts)),
}


@pytest.mark.parametrize(("code", "change"), QUIET.values(), ids=QUIET.keys())
def test_what_is_not_worth_a_word(plan: Plan, facts: Facts, code: str, change: Change) -> None:
    assert code not in [finding.code for finding in check(*change(plan, facts))]


def test_of_the_guides_cluster_there_is_little_to_say(plan: Plan, facts: Facts) -> None:
    assert [finding.code for finding in check(plan, facts)] == ["node-in-range", "mesh-overlap"]


def test_errors_come_first_then_warnings_then_notes(plan: Plan, facts: Facts) -> None:
    change = both(names(cluster="eth7"), network(answer=AnswerPolicy.EVERYONE))
    order = [finding.severity for finding in check(*change(plan, facts))]
    assert order == sorted(order, key=list(Severity).index)
    assert set(order) == set(Severity)


def test_swapped_cables_are_told_as_what_they_are(plan: Plan, facts: Facts) -> None:
    found = check(*names("eth1", "eth0")(plan, facts))
    assert {"cluster-has-default-route", "cluster-has-dhcp-address"} <= set(errors(found))
    assert any("swapped" in finding.remedy for finding in found)


def test_an_overlap_offers_networks_that_overlap_nothing(plan: Plan, facts: Facts) -> None:
    change = routes(Route(IPNetwork("192.168.0.0/16"), "tun0"))
    (finding,) = [f for f in check(*change(plan, facts)) if f.code == "subnet-overlap"]
    offered = [IPNetwork(word.rstrip(".")) for word in finding.remedy.split() if "/" in word]
    assert len(offered) == 2
    for cidr in offered:
        moved = subnet(str(cidr))(*change(plan, facts))
        assert "subnet-overlap" not in errors(check(*moved))


def test_each_overlapping_nic_is_named_once(plan: Plan, facts: Facts) -> None:
    change = both(
        more_nics(Nic("eth2", 7, "ethernet", addresses=address("192.168.0.5/24"))),
        routes(Route(IPNetwork("192.168.0.0/24"), "eth2"), Route(IPNetwork("192.168.0.0/20"), "tun0")),
    )
    found = [f.message for f in check(*change(plan, facts)) if f.code == "subnet-overlap"]
    assert len(found) == 2
    assert any("192.168.0.5/24 of eth2" in message for message in found)
    assert any("192.168.0.0/20 over tun0" in message for message in found)


def test_a_full_subnet_is_found_before_anything_is_applied(plan: Plan) -> None:
    small = Network(IPNetwork("10.9.0.0/28"), IPAddress("10.9.0.14"))
    nodes = tuple(Node(f"n{i}", tuple(Role), EUI(0xB8AEED000000 + i, version=48)) for i in range(14))
    findings = check_plan(replace(plan, network=small, nodes=nodes, forwards=()))
    assert errors(findings) == ["subnet-full"]


def test_hostile_names_of_the_machine_do_not_reach_the_terminal(plan: Plan, facts: Facts) -> None:
    change = both(
        more_nics(Nic("e\x1b]0;x\x07", 9, "tunnel", mac="b8:ae:ed:7b:51:50", usable_name=False)),
        routes(Route(IPNetwork("192.168.0.0/24"), "e\x1b[2J", table="\u202etable")),
        listens("tcp", ANY, 8889, "\x1b[31mred\n"),
        listens("udp", ANY, 53, "\x9bx"),
        nic("eth1", master="\x1b[1m"),
    )
    findings = check(*change(plan, facts))
    assert {"mac-own", "subnet-overlap", "forward-port-listening", "port-53-taken", "nic-enslaved"} <= set(
        errors(findings)
    )
    assert all(f"{f.message}{f.remedy}{f.field}".isprintable() for f in findings)


def crowded(plan: Plan, count: int) -> Plan:
    """A plan of so many nodes, a tenth of them twice."""
    nodes = tuple(
        Node(
            f"n{i}", (Role.COMPUTE,), EUI(0xB8AEED000000 + i, version=48), IPAddress(0x0A090100 + i) if i % 2 else None
        )
        for i in range(count)
    )
    network = Network(IPNetwork("10.9.0.0/16"), IPAddress("10.9.0.1"))
    return replace(plan, network=network, nodes=(*nodes, *nodes[: count // 10]), forwards=())


def test_the_cost_of_a_check_grows_with_the_nodes_and_not_with_their_pairs(plan: Plan, facts: Facts) -> None:
    small, large = crowded(plan, 1_000), crowded(plan, 10_000)
    assert "name-taken" in errors(check(large, facts))
    assert times_dearer(lambda given: check(given, facts), small, large) < 40


def test_an_empty_machine_is_judged_too(plan: Plan) -> None:
    assert set(errors(check(plan, Facts()))) == {"nic-missing"}
