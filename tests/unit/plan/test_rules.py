"""What the rules say of a plan on a machine: one change to a sound pair of both, and the finding it brings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from netaddr import EUI, IPAddress, IPNetwork

from wizard.plan.findings import Finding, Severity
from wizard.plan.machine import Address, Facts, Listener, Nic, Route
from wizard.plan.model import Answer, Forward, Interfaces, Network, Node, Plan, Protocol, Role
from wizard.plan.rules import check, check_plan

Change = Callable[[Plan, Facts], tuple[Plan, Facts]]

ANY = "0.0.0.0"  # noqa: S104


def nic(name: str, **changes: Any) -> Change:
    """Change the NIC `name`."""
    return lambda plan, facts: (
        plan,
        replace(facts, nics=tuple(replace(n, **changes) if n.name == name else n for n in facts.nics)),
    )


def more_nics(*nics: Nic) -> Change:
    return lambda plan, facts: (plan, replace(facts, nics=(*facts.nics, *nics)))


def routes(*more: Route) -> Change:
    return lambda plan, facts: (plan, replace(facts, routes=(*facts.routes, *more)))


def listens(protocol: str, address: str, port: int, process: str = "", pid: int | None = None, nic: str = "") -> Change:
    listener = Listener(protocol, address, port, process, pid, nic)
    return lambda plan, facts: (plan, replace(facts, listeners=(*facts.listeners, listener)))


def machine(**changes: Any) -> Change:
    return lambda plan, facts: (plan, replace(facts, **changes))


def names(corporate: str = "eth0", cluster: str = "eth1") -> Change:
    return lambda plan, facts: (replace(plan, interfaces=Interfaces(corporate, cluster)), facts)


def network(**changes: Any) -> Change:
    return lambda plan, facts: (replace(plan, network=replace(plan.network, **changes)), facts)


def subnet(cidr: str, gateway: str = "") -> Change:
    """The cluster in another subnet, with nodes at the same places."""

    def change(plan: Plan, facts: Facts) -> tuple[Plan, Facts]:
        start = IPNetwork(cidr).first
        nodes = tuple(replace(node, ip=IPAddress(start + 5 + i)) for i, node in enumerate(plan.nodes))
        moved = replace(plan.network, cidr=IPNetwork(cidr), gateway=IPAddress(gateway or start + 2), dhcp_slice=None)
        return replace(plan, network=moved, nodes=nodes), facts

    return change


def node(number: int, **changes: Any) -> Change:
    return lambda plan, facts: (
        replace(plan, nodes=tuple(replace(n, **changes) if i == number else n for i, n in enumerate(plan.nodes))),
        facts,
    )


def forward(port: int, to: str = "controller", to_port: int = 9, protocol: Protocol = Protocol.TCP) -> Change:
    return lambda plan, facts: (
        replace(plan, forwards=(*plan.forwards, Forward(port, to, to_port, protocol))),
        facts,
    )


def both(*changes: Change) -> Change:
    def change(plan: Plan, facts: Facts) -> tuple[Plan, Facts]:
        for each in changes:
            plan, facts = each(plan, facts)
        return plan, facts

    return change


def mac(text: str) -> EUI:
    return EUI(text, version=48)


def address(text: str, dynamic: bool = False) -> tuple[Address, ...]:
    return (Address(IPNetwork(text), dynamic),)


TUN_DEFAULT = Route(IPNetwork("0.0.0.0/0"), "wg0", table="51820")
TUN = Nic("wg0", 9, "tunnel", up=True)


@dataclass(frozen=True)
class Case:
    code: str
    change: Change
    field: str
    says: str
    severity: Severity = Severity.ERROR
    alone: bool = True
    """Whether no other error comes with it."""


WARNING, NOTE = Severity.WARNING, Severity.NOTE
CLUSTER, CORPORATE, CIDR = "interfaces.cluster", "interfaces.corporate", "network.cidr"

CASES = [
    # NICs.
    Case("same-nic", names("eth0", "eth0"), CLUSTER, '"eth0"', alone=False),
    Case("nic-missing", names(cluster="eth7"), CLUSTER, "eth0, eth1, docker0"),
    Case("nic-missing", names(corporate="eth7"), CORPORATE, '"eth7"'),
    Case("nic-unusable-name", names(cluster="eth1;id"), CLUSTER, "eth1;id"),
    Case("nic-unusable-name", nic("eth1", usable_name=False), CLUSTER, "Rename"),
    Case("nic-kind", nic("eth1", kind="bridge"), CLUSTER, "a bridge"),
    Case("nic-kind", nic("eth1", kind="tunnel"), CLUSTER, "a tunnel"),
    Case("nic-kind", names(cluster="lo"), CLUSTER, "the loopback", alone=False),
    Case("nic-kind", nic("eth1", kind="vlan"), CLUSTER, "a VLAN"),
    Case("nic-kind", nic("eth1", kind="other"), CLUSTER, "a virtual NIC"),
    Case("nic-kind", names(corporate="docker0"), CORPORATE, "a bridge"),
    Case("nic-kind", names(corporate="lo"), CORPORATE, "the loopback"),
    Case("nic-enslaved", nic("eth1", master="br0"), CLUSTER, '"br0"'),
    Case("nic-enslaved", nic("eth0", master="bond0"), CORPORATE, '"bond0"'),
    Case("cluster-wireless", nic("eth1", kind="wireless"), CLUSTER, "wired NIC"),
    Case("no-carrier", nic("eth1", carrier=False), CLUSTER, "cable", WARNING),
    Case("no-carrier", nic("eth0", carrier=False), CORPORATE, "cable", WARNING),
    Case("cluster-has-default-route", nic("eth1", default_route=True), CLUSTER, "Name the other NIC"),
    Case("cluster-has-default-route", names("eth1", "eth0"), CLUSTER, "swapped", alone=False),
    Case(
        "cluster-has-default-route",
        routes(Route(IPNetwork("0.0.0.0/0"), "eth1", "10.1.1.1", table="200")),
        CLUSTER,
        "eth1",
    ),
    Case("cluster-has-default-route", routes(Route(IPNetwork("128.0.0.0/1"), "eth1", "10.1.1.1")), CLUSTER, "eth1"),
    Case(
        "cluster-under-vpn",
        both(more_nics(TUN), routes(TUN_DEFAULT, Route(IPNetwork("203.0.113.9/32"), "eth1", "10.1.1.1"))),
        CLUSTER,
        "VPN",
    ),
    Case("cluster-has-dhcp-address", nic("eth1", addresses=address("10.3.0.7/24", True)), CLUSTER, "10.3.0.7"),
    Case("cluster-has-dhcp-address", nic("eth1", dhcp_client=True), CLUSTER, "DHCP server"),
    Case("cluster-carries-ssh", nic("eth1", carries_ssh=True), CLUSTER, "SSH"),
    Case("cluster-has-address", nic("eth1", addresses=address("10.3.0.7/24")), CLUSTER, "10.3.0.7/24", WARNING),
    Case(
        "corporate-no-default-route",
        both(nic("eth0", default_route=False), machine(routes=())),
        CORPORATE,
        "eth0",
        WARNING,
    ),
    Case(
        "nics-alike",
        both(
            nic("eth0", mac="00:1b:21:00:00:09", permanent_mac="", bus=""),
            nic("eth1", mac="00:1b:21:00:00:09", permanent_mac="", bus=""),
        ),
        CLUSTER,
        "00:1b:21:00:00:09",
    ),
    # The subnet, and who else has it.
    Case("subnet-too-large", subnet("10.0.0.0/15"), CIDR, "/16", alone=False),
    Case("subnet-too-small", subnet("10.9.0.0/29", "10.9.0.1"), CIDR, "/28", alone=False),
    Case("subnet-not-usable", subnet("127.5.0.0/24"), CIDR, "loopback", alone=False),
    Case("subnet-not-usable", subnet("224.5.0.0/24"), CIDR, "multicast"),
    Case("subnet-not-usable", subnet("169.254.0.0/16"), CIDR, "make up themselves"),
    Case("subnet-not-usable", subnet("0.0.0.0/24"), CIDR, "null"),
    Case("subnet-public", subnet("8.8.8.0/24"), CIDR, "Internet", WARNING),
    Case("subnet-overlap", subnet("10.77.0.0/24"), CIDR, "10.77.0.98/24 of eth0"),
    Case("subnet-overlap", subnet("10.77.0.0/28"), CIDR, "10.77.0.98/24 of eth0"),
    Case("subnet-overlap", subnet("172.17.3.0/24"), CIDR, "172.17.0.1/16 of docker0"),
    Case(
        "subnet-overlap",
        both(subnet("10.1.2.0/24"), routes(Route(IPNetwork("10.0.0.0/8"), "tun0"))),
        CIDR,
        "10.0.0.0/8 over tun0",
    ),
    Case(
        "subnet-overlap",
        routes(Route(IPNetwork("192.168.0.64/28"), "wg0", table="51820")),
        CIDR,
        "192.168.0.64/28 over wg0 (table 51820)",
    ),
    Case("subnet-overlap", more_nics(Nic("eth2", 7, "ethernet", addresses=address("192.168.0.200/32"))), CIDR, "eth2"),
    Case("subnet-overlap", routes(Route(IPNetwork("192.168.0.0/16"), "eth1")), CIDR, "192.168.0.0/16 over eth1"),
    Case(
        "subnet-overlap",
        both(routes(Route(IPNetwork("192.168.0.0/24"), "eth5")), machine(applied_cluster="eth5")),
        CIDR,
        "reset",
    ),
    # Gateway and range.
    Case(
        "gateway-not-host", network(gateway=IPAddress("192.168.1.1")), "network.gateway", "192.168.0.1 to 192.168.0.254"
    ),
    Case("range-outside", network(dhcp_slice=IPNetwork("192.168.1.0/26")), "network.dhcp_slice", "192.168.1.0/26"),
    Case("range-holds-gateway", network(dhcp_slice=IPNetwork("192.168.0.0/24")), "network.dhcp_slice", "192.168.0.200"),
    Case("range-empty", network(dhcp_slice=IPNetwork("192.168.0.255/32")), "network.dhcp_slice", "no usable host"),
    Case(
        "range-reversed",
        network(dhcp_slice=None, dhcp_range=(IPAddress("192.168.0.9"), IPAddress("192.168.0.5"))),
        "network.dhcp_range",
        "backwards",
    ),
    Case(
        "range-twice",
        network(dhcp_range=(IPAddress("192.168.0.5"), IPAddress("192.168.0.9"))),
        "network.dhcp_range",
        "Keep one",
    ),
    Case("domain-local", network(domain="ciao.local"), "network.domain", ".lan", WARNING),
    Case("domain-real", network(domain="cluster.example.com"), "network.domain", "real domain", WARNING),
    Case("domain-real", network(domain="firma.de"), "network.domain", "real domain", WARNING),
    Case("answer-everyone", network(answer=Answer.EVERYONE), "network.answer", 'answer = "known"', WARNING),
    Case("vm-macs-match-everyone", network(vm_macs=("*:*:*:*:*:*",)), "network.vm_macs", "02:*:*:*:*:*", WARNING),
    # Nodes.
    Case("role-missing", lambda p, f: (replace(p, nodes=()), f), "nodes", "controller", alone=False),
    Case("role-missing", node(1, roles=(Role.COMPUTE,)), "nodes", "network"),
    Case("name-unusable", node(2, name="a,b"), "nodes[2].name", "such as compute1"),
    Case("name-taken", node(2, name="network"), "nodes[2].name", 'nodes[1] ("network")'),
    Case("name-is-gateway", node(2, name="laptop"), "nodes[2].name", "this machine", WARNING),
    Case("mac-taken", node(2, mac=mac("b8:ae:ed:7b:51:50")), "nodes[2].mac", 'nodes[0] ("controller")'),
    Case("mac-zero", node(2, mac=EUI(0, version=48)), "nodes[2].mac", "no machine"),
    Case("mac-broadcast", node(2, mac=mac("ff:ff:ff:ff:ff:ff")), "nodes[2].mac", "all machines"),
    Case("mac-multicast", node(2, mac=mac("01:00:5e:00:00:01")), "nodes[2].mac", "group"),
    Case("mac-own", node(2, mac=mac("00:1B:21:00:00:01")), "nodes[2].mac", '"eth0"'),
    Case("mac-own", node(2, mac=mac("02:42:00:00:00:01")), "nodes[2].mac", '"docker0"'),
    Case("vm-macs-match-node", node(2, mac=mac("02:aa:bb:cc:dd:ee")), "nodes[2].mac", "02:*:*:*:*:*", NOTE),
    Case("address-taken", node(2, ip=IPAddress("192.168.0.101")), "nodes[2].ip", 'nodes[0] ("controller")'),
    Case("node-outside", node(2, ip=IPAddress("192.168.1.5")), "nodes[2].ip", "192.168.0.0/24"),
    Case("node-is-gateway", node(2, ip=IPAddress("192.168.0.200")), "nodes[2].ip", "gateway"),
    Case("node-is-network-address", node(2, ip=IPAddress("192.168.0.0")), "nodes[2].ip", "network itself"),
    Case("node-is-network-address", node(2, ip=IPAddress("192.168.0.255")), "nodes[2].ip", "broadcast"),
    Case(
        "node-in-range", lambda p, f: (p, f), "nodes[0].ip", "gets 192.168.0.105 or higher, not 192.168.0.65", WARNING
    ),
    Case(
        "node-in-range", node(2, ip=IPAddress("192.168.0.126")), "nodes[0].ip", "starts over at 192.168.0.65", WARNING
    ),
    # Forwards.
    Case("forward-to-nobody", forward(80, "bob"), "forwards[3].to", "controller, network"),
    Case("forward-to-nobody", forward(80, "10.0.0.1"), "forwards[3].to", "192.168.0.0/24"),
    Case("forward-to-nobody", forward(80, "192.168.0.255"), "forwards[3].to", "192.168.0.0/24"),
    Case("forward-to-gateway", forward(80, "192.168.0.200"), "forwards[3].to", "this machine itself"),
    Case("forward-to-dynamic", forward(80, "192.168.0.70"), "forwards[3].to", "dynamic range", WARNING),
    Case("forward-taken", forward(8889), "forwards[3].port", "forwards[0]"),
    Case("forward-dhcp", forward(67, protocol=Protocol.UDP), "forwards[3].port", "DHCP"),
    Case("forward-dhcp", forward(80, to_port=68, protocol=Protocol.UDP), "forwards[3].port", "DHCP"),
    Case("forward-scheduler", forward(8888, to_port=8888), "forwards[3].to_port", "8889", WARNING),
    Case("forward-port-listening", listens("tcp", ANY, 8889, "nginx", 7), "forwards[0].port", '"nginx", process 7'),
    Case("forward-port-listening", listens("tcp", "::", 8889), "forwards[0].port", "A program listens"),
    Case("forward-port-listening", listens("tcp", "10.77.0.98", 8889, "nginx"), "forwards[0].port", "to_port"),
    Case("forward-ssh", forward(22), "forwards[3].port", "SSH"),
    Case("forward-ssh", both(forward(2022), listens("tcp", "::", 2022, "sshd")), "forwards[3].port", "SSH"),
    Case("forward-ssh", both(forward(4022), machine(ssh_port=4022)), "forwards[3].port", "SSH"),
    # The machine.
    Case("port-53-taken", listens("udp", ANY, 53, "named", 7), CLUSTER, '"named" (process 7)'),
    Case("port-53-taken", listens("tcp", "::", 53, "named"), CLUSTER, "on every NIC"),
    Case("port-53-taken", listens("udp", "192.168.0.200", 53, "unbound"), CLUSTER, "on 192.168.0.200"),
    Case(
        "port-53-taken",
        both(nic("eth1", addresses=address("10.3.0.7/24")), listens("udp", "10.3.0.7", 53)),
        CLUSTER,
        "Another program",
    ),
    Case("port-67-taken", listens("udp", ANY, 67, "dhcpd", 8), CLUSTER, "two DHCP servers"),
    Case("port-67-taken", listens("udp", ANY, 67, "dnsmasq", 8, nic="eth1"), CLUSTER, '"dnsmasq"'),
    Case(
        "missing-tools",
        machine(missing_tools=("nft", "dnsmasq", "ifup", "ifdown")),
        "machine",
        "sudo apt install dnsmasq-base ifupdown nftables",
    ),
    Case(
        "network-manager-unsupported",
        machine(network_managers=("NetworkManager",)),
        "machine",
        "sudo apt install ifupdown",
    ),
    Case("network-manager-unsupported", machine(network_managers=()), "machine", "sudo apt install ifupdown"),
    Case("firewalld-active", machine(firewalls=("docker", "firewalld")), "machine", "firewall-cmd", WARNING),
    # ciao's own ways.
    Case("mesh-overlap", lambda p, f: (p, f), CIDR, "192.168.128.0", NOTE),
    Case("subnet-in-tenant-range", subnet("172.20.0.0/24"), CIDR, "172.16.0.0/12", WARNING),
    Case(
        "corporate-in-tenant-range",
        routes(Route(IPNetwork("172.20.0.0/16"), "eth0", "10.77.0.1")),
        CORPORATE,
        "172.20.0.0/16 over eth0",
        NOTE,
    ),
]


def named(case: Case) -> str:
    return f"{case.code}-{CASES.index(case)}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_finding(plan: Plan, facts: Facts, case: Case) -> None:
    findings = check(*case.change(plan, facts))
    hits = [f for f in findings if f.code == case.code and f.field == case.field]
    assert hits, findings
    assert {finding.severity for finding in hits} == {case.severity}
    assert any(case.says in f"{finding.message} {finding.remedy}" for finding in hits), hits
    if case.alone:
        expected = {case.code} if case.severity is Severity.ERROR else set()
        assert {f.code for f in findings if f.severity is Severity.ERROR} == expected


@pytest.mark.parametrize("case", CASES, ids=named)
def test_every_finding_can_be_shown_and_acted_on(plan: Plan, facts: Facts, case: Case) -> None:
    for finding in check(*case.change(plan, facts)):
        assert finding.message.endswith(".")
        assert finding.remedy.endswith(".")
        assert f"{finding.message}{finding.remedy}".isprintable()
        assert len(finding.message) < 500


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


def test_errors_come_first_then_warnings_then_notes(plan: Plan, facts: Facts) -> None:
    change = both(names(cluster="eth7"), network(answer=Answer.EVERYONE))
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


def test_ten_thousand_nodes_are_checked_well_within_a_second(plan: Plan, facts: Facts) -> None:
    nodes = tuple(
        Node(
            f"n{i}", (Role.COMPUTE,), EUI(0xB8AEED000000 + i, version=48), IPAddress(0x0A090100 + i) if i % 2 else None
        )
        for i in range(10_000)
    )
    large = replace(
        plan,
        network=Network(IPNetwork("10.9.0.0/16"), IPAddress("10.9.0.1")),
        nodes=(*plan.nodes[:0], *nodes, *nodes[:1000]),
        forwards=(),
    )
    began = time.perf_counter()
    findings = check(large, facts)
    assert time.perf_counter() - began < 1
    assert "name-taken" in errors(findings)


def test_an_empty_machine_is_judged_too(plan: Plan) -> None:
    assert set(errors(check(plan, Facts()))) == {"nic-missing", "network-manager-unsupported"}
