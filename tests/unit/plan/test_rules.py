"""What the rules say of a plan on a machine: one change to a sound pair of both, and the finding it brings."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from netaddr import EUI, IPAddress, IPNetwork

from tests.unit.plan.plan_changes import (
    ANY,
    TUN,
    TUN_DEFAULT,
    Change,
    address,
    backed_by,
    both,
    devices,
    forward,
    images,
    listens,
    mac,
    machine,
    many_forwards,
    more_nics,
    names,
    network,
    nic,
    node,
    options,
    owned_by,
    records,
    routes,
    split_dns,
    subnet,
)
from wizard.plan import rules
from wizard.plan.backends import ADDRESS_FILES, MANAGER_KEYS, Backend
from wizard.plan.findings import Severity
from wizard.plan.ifupdown import InterfacesLine
from wizard.plan.images import Architecture, Image, ImageKind, SeedForm
from wizard.plan.machine import Facts, Nic, Route
from wizard.plan.model import AnswerPolicy, DhcpOption, Plan, Protocol, Role
from wizard.plan.ntp import DROP_INS, TimeServer
from wizard.plan.rules.check import check


@dataclass(frozen=True)
class Case:
    code: str
    change: Change
    field: str
    says: str
    severity: Severity = Severity.ERROR
    alone: bool = True
    """Whether no other error comes with it."""


DEBIAN = Image("debian", ImageKind.DEBIAN)
HERE = ("10.77.0.98", "172.17.0.1")


NO_PROGRAMS = (("ifupdown", "ifdown"), ("NetworkManager", "nmcli"), ("networkd", "networkctl"))


def on_each(pid: int, *places: str) -> Change:
    """A DNS server with a socket for each of these addresses, as bind9 has them."""
    sockets = [
        listens(protocol, place, 53, "named", pid, unit="named.service")
        for protocol in ("udp", "tcp")
        for place in places
    ]
    return both(*sockets, listens("udp", "::1", 53, "named", pid))


WARNING, NOTE = Severity.WARNING, Severity.NOTE
CLUSTER, CORPORATE, CIDR = "interfaces.cluster", "interfaces.corporate", "network.cidr"


def reads(*lines: str) -> Change:
    """ifupdown reads these lines in one drop-in."""
    file = "/etc/network/interfaces.d/50-cloud-init"
    told = tuple(InterfacesLine(file, number, tuple(line.split())) for number, line in enumerate(lines, 1))
    return machine(interfaces=told)


def bmcs_at(ip: str) -> Change:
    return both(*(node(number, bmc=IPAddress(ip)) for number in (0, 2)))


CASES = [
    # Names.
    Case("record-is-machine", records(("controller", "a", "10.0.0.1")), "records[0].name", "another name"),
    Case("record-taken", records(*[("r", "a", "10.0.0.1")] * 2), "records[1].name", "Remove one"),
    Case("record-loop", records(("a", "cname", "b"), ("b", "cname", "a")), "records[0].cname", "back", alone=False),
    Case("record-to-nobody", records(("a", "cname", "bob")), "records[0].cname", "Name a node"),
    Case("dns-is-cluster", split_dns(("ciao.lan", "10.1.1.53")), "dns[0].domain", "only this gateway"),
    Case("dns-taken", split_dns(*[("corp.example", "10.1.1.53")] * 2), "dns[1].domain", "one [[dns]]"),
    Case("dns-is-gateway", split_dns(("corp.example", "192.168.0.200")), "dns[0].servers", "itself"),
    Case(
        "names-many",
        records(*((f"c{n}", "cname", "controller") for n in range(1001))),
        "records",
        "Give each an address",
    ),
    Case("names-many", records(*((f"r{n}", "a", "10.0.0.1") for n in range(20_001))), "records", "Remove some"),
    # Images.
    Case("image-name-twice", images(DEBIAN, DEBIAN), "images[1].name", '"debian" too'),
    Case("image-name-reserved", images(replace(DEBIAN, name="disk")), "images[0].name", "from its disk"),
    Case("image-disk-has-files", images(Image("d", ImageKind.DISK, "vmlinuz")), "images[0].kernel", "Remove kernel"),
    Case("image-script-not-custom", images(replace(DEBIAN, script="a.ipxe")), "images[0].script", 'kind = "custom"'),
    Case(
        "image-script-and-kernel",
        images(Image("own", ImageKind.CUSTOM, "vmlinuz", script="a.ipxe")),
        "images[0].kernel",
        "Remove kernel",
    ),
    Case("image-seed-not-read", images(replace(DEBIAN, seed=SeedForm.TALOS)), "images[0].seed", "preseed or none"),
    Case("image-template-unused", images(Image("own", ImageKind.CUSTOM, template="/a")), "images[0].template", '"/a"'),
    Case(
        "image-memory-low",
        images(Image("u", ImageKind.UBUNTU, memory=2048)),
        "images[0].memory",
        "Write 4G or more",
        Severity.WARNING,
    ),
    Case(
        "image-architecture",
        images(Image("m", ImageKind.MEMTEST, architecture=Architecture.ARM64)),
        "images[0].architecture",
        "Leave architecture out",
    ),
    Case("images-too-many", images(*(replace(DEBIAN, name=f"d{n}") for n in range(65))), "images", "Keep 64"),
    Case("node-image-unknown", both(images(DEBIAN), node(1, image="debain")), "nodes[1].image", "debian, disk"),
    Case(
        "image-arguments-too-long",
        both(images(replace(DEBIAN, arguments="a" * 1900)), node(1, image="debian")),
        "images[0].arguments",
        "a kernel reads 2047",
    ),
    Case(
        "boot-over-network",
        both(images(DEBIAN), node(1, image="debian")),
        "images",
        'network "debian". An apply arms nobody',
        Severity.NOTE,
    ),
    # DHCP options, and the MTU.
    Case("option-to-nobody", options(DhcpOption(66, "x", ("bob",))), "options[0].to", "Name a node or a role"),
    Case("option-taken", options(DhcpOption(66, "x"), DhcpOption(66, "y")), "options[1].option", "Keep one"),
    Case(
        "option-ambiguous",
        both(node(3, roles=("controller",)), options(DhcpOption(66, "x", ("controller",)))),
        "options[0].to",
        "the node alone",
        WARNING,
        alone=False,
    ),
    Case("option-room", options(DhcpOption(67, "x" * 250)), "options[0].value", "room for 240", WARNING),
    Case(
        "option-without-default-route",
        options(DhcpOption(121, ("10.0.0.0/8", "192.168.0.101"))),
        "options[0].value",
        'Add "0.0.0.0/0", "192.168.0.200"',
        WARNING,
    ),
    Case(
        "options-many",
        options(*(DhcpOption(66, "x", (f"n{n}",)) for n in range(1001))),
        "options",
        "roles",
        alone=False,
    ),
    Case("mtu-large", network(mtu=9000), "network.mtu", "the switch too", WARNING),
    Case("mtu-small", network(mtu=1000), "network.mtu", "1280", WARNING),
    # Whose wire it is.
    Case(
        "cluster-shares-wire",
        more_nics(replace(TUN, name="eth1.20", kind="vlan", parent="eth1", default_route=True)),
        CLUSTER,
        "eth1 is on the company network: eth1.20, a VLAN on the same wire, has the default route.",
    ),
    Case("cluster-shares-wire", nic("eth1", parent="eth0"), CLUSTER, "eth0, a NIC on the same wire,"),
    Case(
        "cluster-shares-wire",
        both(more_nics(Nic("eth1.20", 9, "vlan", parent="eth1")), names("eth1.20", "eth1")),
        CLUSTER,
        "eth1.20, a VLAN on the same wire, is to be the corporate NIC.",
    ),
    Case("cluster-wire-in-use", more_nics(Nic("mv", 9, "macvlan", parent="eth1")), CLUSTER, '"mv"', WARNING),
    Case("cluster-has-router", nic("eth1", addresses=address("2001:db8::7/64", True)), CLUSTER, "2001:db8::7", WARNING),
    Case("cluster-may-be-a-phone", nic("eth1", driver="cdc_ncm"), CLUSTER, "cdc_ncm", WARNING),
    Case("nic-kind", nic("eth1", kind="modem"), CLUSTER, "a modem to a mobile network"),
    Case("nic-kind", nic("eth1", kind="tether"), CLUSTER, "a phone that shares its connection"),
    Case("nic-kind", nic("eth1", kind="container"), CLUSTER, "a container's"),
    Case("nic-kind", nic("eth0", kind="container"), CORPORATE, "a container's"),
    # What ifupdown reads.
    Case(
        "nic-configured-elsewhere",
        reads("auto eth1", "iface eth1 inet dhcp"),
        CLUSTER,
        "50-cloud-init:1 brings it up; /etc/network/interfaces.d/50-cloud-init:2 configures it (iface eth1 inet dhcp). "
        "Nothing to do: an apply comments these lines out, and a reset brings them back. Keep cloud-init from",
        WARNING,
    ),
    Case(
        "nic-claimed-elsewhere",
        reads("auto br0", "iface br0 inet dhcp", "bridge_ports eth0 eth1"),
        CLUSTER,
        "50-cloud-init:3 makes it a part of br0 (bridge_ports eth0 eth1) at the next boot. Take eth1 out of",
    ),
    Case("nic-claimed-elsewhere", reads("auto /eth*=lan", "iface lan inet dhcp"), CLUSTER, "Write the names"),
    Case(
        "nic-claimed-elsewhere",
        machine(interfaces=(InterfacesLine("/run/network/interfaces.d/eth1", 1, ("auto", "eth1")),)),
        CLUSTER,
        "/run/network/interfaces.d/eth1:1 brings it up at the next boot. It is written at every boot",
    ),
    Case(
        "nic-claimed-elsewhere",
        both(
            reads("auto eth1", "iface eth1 inet dhcp"), owned_by("networkmanager", "NetworkManager has eth1 connected")
        ),
        CLUSTER,
        "ifupdown configures eth1 at boot too, beside NetworkManager: /etc/network/interfaces.d/50-cloud-init:1",
    ),
    Case("nic-used-elsewhere", reads("auto eth1.20", "iface eth1.20 inet manual"), CLUSTER, "VLAN eth1.20", WARNING),
    Case("interfaces-unreadable", machine(interfaces_closed=("/etc/network/x",)), CLUSTER, "/etc/network/x", WARNING),
    Case("path-blocked", machine(blocked=(("/a/b", "/a is no directory"),)), "machine", "/a is no directory"),
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
        "nameserver-in-subnet",
        machine(nameservers=("192.168.0.9",)),
        CIDR,
        "DNS server 192.168.0.9 is in 192.168.0.0/24",
    ),
    Case("nameserver-in-subnet", machine(nameservers=("10.1.1.1", "192.168.0.101")), CIDR, "192.168.0.101"),
    Case("ssh-peer-in-subnet", machine(ssh_peer="192.168.0.7"), CIDR, "comes from 192.168.0.7"),
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
        "no-way-out",
        both(names(corporate="auto"), nic("eth0", default_route=False), machine(routes=())),
        CORPORATE,
        "no default route now",
        WARNING,
    ),
    Case(
        "no-way-out",
        both(
            names(corporate="auto"),
            nic("eth0", default_route=False),
            machine(routes=(Route(IPNetwork("0.0.0.0/0"), "docker0"),)),
        ),
        CORPORATE,
        'that over "docker0" leads to no company',
        WARNING,
    ),
    Case(
        "vpn-has-default-route",
        both(more_nics(TUN), machine(outbound=("wg0",))),
        CORPORATE,
        '"wg0" takes this machine\'s traffic',
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
    Case(
        "subnet-overlap",
        subnet("10.77.0.0/24"),
        CIDR,
        "is the same network as the address 10.77.0.98/24 of eth0",
    ),
    Case("subnet-overlap", subnet("10.77.0.0/28"), CIDR, "10.77.0.0/28 overlaps the address 10.77.0.98/24 of eth0"),
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
    Case("range-holds-gateway", network(gateway=IPAddress("192.168.0.65")), "network.dhcp_slice", "192.168.0.65"),
    Case("range-holds-gateway", network(gateway=IPAddress("192.168.0.126")), "network.dhcp_slice", "192.168.0.126"),
    Case("gateway-not-host", subnet("10.9.0.0/28", "10.9.0.15"), "network.gateway", "10.9.0.1 to 10.9.0.14"),
    Case("range-empty", network(dhcp_slice=IPNetwork("192.168.0.255/32")), "network.dhcp_slice", "no usable address"),
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
    Case(
        "answer-everyone",
        network(answer=AnswerPolicy.EVERYONE),
        "network.answer",
        "only the nodes of the plan",
        WARNING,
    ),
    Case("vm-macs-match-everyone", network(vm_macs=("*:*:*:*:*:*",)), "network.vm_macs", "02:*:*:*:*:*", WARNING),
    # Nodes.
    Case("role-missing", lambda p, f: (replace(p, nodes=()), f), "nodes", "controller", alone=False),
    Case("role-missing", node(1, roles=(Role.COMPUTE,)), "nodes", "network"),
    Case("name-unusable", node(2, name="a,b"), "nodes[2].name", "such as compute1"),
    Case("name-taken", node(2, name="network"), "nodes[2].name", "the 2nd and the 3rd"),
    Case("name-is-gateway", node(2, name="laptop"), "nodes[2].name", "this machine", WARNING),
    Case("mac-taken", node(2, mac=mac("b8:ae:ed:7b:51:50")), "nodes[2].mac", '"controller"\'s too'),
    Case("mac-zero", node(2, mac=EUI(0, version=48)), "nodes[2].mac", "no machine"),
    Case("mac-broadcast", node(2, mac=mac("ff:ff:ff:ff:ff:ff")), "nodes[2].mac", "all machines"),
    Case("mac-multicast", node(2, mac=mac("01:00:5e:00:00:01")), "nodes[2].mac", "group"),
    Case("mac-own", node(2, mac=mac("00:1B:21:00:00:01")), "nodes[2].mac", '"eth0"'),
    Case("mac-own", node(2, mac=mac("02:42:00:00:00:01")), "nodes[2].mac", '"docker0"'),
    Case("vm-macs-match-node", node(2, mac=mac("02:aa:bb:cc:dd:ee")), "nodes[2].mac", "02:*:*:*:*:*", NOTE),
    Case("address-taken", node(2, ip=IPAddress("192.168.0.101")), "nodes[2].ip", '"controller"\'s too'),
    Case("bmc-taken", node(2, bmc=IPAddress("192.168.0.101")), "nodes[2].bmc", '"controller" already'),
    Case("bmc-taken", node(2, bmc=IPAddress("192.168.0.200")), "nodes[2].bmc", "the gateway already"),
    Case("bmc-taken", bmcs_at("192.168.0.151"), "nodes[2].bmc", 'the BMC of "controller" already'),
    Case("bmc-in-range", node(2, bmc=IPAddress("192.168.0.70")), "nodes[2].bmc", "192.168.0.65 to 192.168.0.126"),
    Case(
        "bmc-is-device",
        both(node(2, bmc=IPAddress("192.168.0.70")), devices(("pdu", "192.168.0.70"))),
        "nodes[2].bmc",
        "the BMC's password",
        NOTE,
    ),
    Case("bmc-is-network-address", node(2, bmc=IPAddress("192.168.0.255")), "nodes[2].bmc", "192.168.0.255"),
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
    Case("node-in-range", node(3, ip=IPAddress("192.168.0.65")), "nodes[0].ip", "192.168.0.65 (compute2)", WARNING),
    # Forwards.
    Case("forward-to-nobody", forward(80, "bob"), "forwards[3].to", "controller, network"),
    Case("forward-to-nobody", forward(80, "10.0.0.1"), "forwards[3].to", "192.168.0.0/24"),
    Case("forward-to-nobody", forward(80, "192.168.0.255"), "forwards[3].to", "192.168.0.0/24"),
    Case("forward-to-gateway", forward(80, "192.168.0.200"), "forwards[3].to", "this machine itself"),
    Case("forward-to-dynamic", forward(80, "192.168.0.70"), "forwards[3].to", "DHCP range", WARNING),
    Case("forward-to-dynamic", forward(80, "192.168.0.126"), "forwards[3].to", "DHCP range", WARNING),
    Case("forward-taken", forward(8889), "forwards[3].port", "forwarded twice"),
    Case("forward-dhcp", forward(67, protocol=Protocol.UDP), "forwards[3].port", "DHCP"),
    Case("forward-dhcp", forward(80, to_port=68, protocol=Protocol.UDP), "forwards[3].port", "DHCP"),
    Case("forward-dns", forward(53, protocol=Protocol.UDP), "forwards[3].port", "DNS queries"),
    Case("forward-dns", forward(53, to_port=5353), "forwards[3].port", "another port"),
    Case("forward-scheduler", forward(8888, to_port=8888), "forwards[3].to_port", "8889", WARNING),
    Case("forward-port-listening", listens("tcp", ANY, 8889, "nginx", 7), "forwards[0].port", '"nginx", process 7'),
    Case("forward-port-listening", listens("tcp", "::", 8889), "forwards[0].port", "A program listens"),
    Case(
        "forward-port-listening",
        listens("tcp", "10.77.0.98", 8889, "nginx"),
        "forwards[0].port",
        "can stay the same",
    ),
    Case("forwards-many", many_forwards(10001), "forwards", "20000 together"),
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
    Case(
        "port-53-taken",
        listens("udp", ANY, 53, "named", 7, unit="named.service"),
        CLUSTER,
        "Run `sudo systemctl disable --now named.service`, or bind it to its own addresses "
        "(listen-on { 127.0.0.1; }; listen-on-v6 { ::1; };)",
    ),
    Case("dns-takes-every-address", on_each(7, "127.0.0.1", *HERE), CLUSTER, "bind 192.168.0.200 too"),
    Case(
        "dns-takes-every-address",
        both(on_each(7, "127.0.0.1", "10.77.0.98"), listens("udp", "172.17.0.1", 53, "dnsmasq", 8)),
        CLUSTER,
        "systemctl disable --now named.service`, or bind it to 127.0.0.1 alone",
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
        "missing-tools",
        both(backed_by("networkd"), machine(network_managers=("networkd",), missing_programs=NO_PROGRAMS)),
        "machine",
        "sudo apt install systemd`",
    ),
    Case(
        "network-manager-silent",
        machine(network_managers=("ifupdown", "NetworkManager"), silent_managers=("NetworkManager",)),
        "machine",
        "systemctl status NetworkManager",
    ),
    Case(
        "time-server-is-machine",
        network(ntp=(IPAddress("192.168.0.101"),)),
        "network.ntp",
        "this gateway is 192.168.0.200",
        WARNING,
    ),
    Case("time-server-not-host", network(ntp=(IPAddress("192.168.0.255"),)), "network.ntp", "192.168.0.1 to"),
    Case(
        "time-not-served",
        both(network(ntp=(IPAddress("192.168.0.200"),)), machine(time_known=True)),
        "network.ntp",
        "`sudo apt install chrony`",
        Severity.WARNING,
    ),
    Case(
        "time-server-closed",
        machine(time_known=True, time_server=TimeServer("chrony", "chronyd.service")),
        "network.ntp",
        "confdir /etc/chrony.d",
        Severity.NOTE,
    ),
    Case(
        "time-server-closed",
        machine(time_known=True, time_server=TimeServer("ntpsec", "ntpsec.service")),
        "network.ntp",
        "IGNORE_DHCP=yes",
        Severity.NOTE,
    ),
    Case(
        "time",
        machine(time_known=True, time_server=TimeServer("chrony", "chrony.service", DROP_INS[0])),
        "network.ntp",
        "Nothing to do.",
        Severity.NOTE,
    ),
    Case(
        "time",
        machine(time_known=True, time_servers=(("eth0", ("10.77.0.1",)),)),
        "network.ntp",
        "Nothing to do.",
        Severity.NOTE,
    ),
    Case("time-unknown", machine(time_known=True), "network.ntp", "`sudo apt install chrony`", Severity.NOTE),
    Case("network-manager-unsupported", backed_by("networkd"), "network.backend", 'backend = "auto"'),
    Case(
        "nic-managed-elsewhere",
        both(owned_by("networkmanager", "NetworkManager has eth1 connected"), backed_by("ifupdown")),
        "network.backend",
        'backend = "auto"',
    ),
    Case(
        "nic-managed-elsewhere",
        both(
            owned_by("networkmanager", "NetworkManager has eth1 connected"),
            machine(applied_cluster="eth1", applied_backend="ifupdown"),
        ),
        "interfaces.cluster",
        "sudo ciao-wizard apply",
        # An error would refuse the very apply that it asks for.
        WARNING,
    ),
    Case(
        "network-manager",
        owned_by("networkd", "systemd-networkd configures eth1 by /etc/systemd/network/x"),
        "interfaces.cluster",
        "gives systemd-networkd a configuration of its own",
        NOTE,
    ),
    Case("network-manager", machine(network_managers=()), "interfaces.cluster", "over the kernel", NOTE),
    Case(
        "network-manager",
        owned_by("ifupdown", "ifup has brought eth1 up"),
        "interfaces.cluster",
        "gives ifupdown a configuration of its own",
        NOTE,
    ),
    Case(
        "network-manager",
        both(
            owned_by("networkmanager", "NetworkManager has eth1 connected (ciao-cluster)"),
            machine(applied_cluster="eth1", applied_backend="networkmanager"),
        ),
        "interfaces.cluster",
        "(ciao-cluster); NetworkManager gives it the gateway's address",
        NOTE,
    ),
    Case("firewalld-active", machine(firewalls=("docker", "firewalld")), "machine", "trusted, at run time only", NOTE),
    Case(
        "firewalld-active",
        both(
            owned_by("networkmanager", "NetworkManager has eth1 connected"),
            machine(firewalls=("firewalld",), applied_cluster="eth1", applied_backend="networkmanager"),
        ),
        "machine",
        "While the gateway is applied, eth1 is in its zone trusted, and the gateway's profile",
        NOTE,
    ),
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


@pytest.mark.parametrize(
    "change",
    [
        on_each(7, "127.0.0.1"),
        on_each(7, "127.0.0.1", "10.77.0.98"),
        on_each(7, *HERE),
        both(on_each(7, "127.0.0.1", *HERE), machine(our_pids=frozenset({7}))),
        both(listens("udp", "127.0.0.1", 53), *(listens("udp", place, 53) for place in HERE)),
        both(on_each(7, "127.0.0.1", "rubbish"), nic("eth0", addresses=()), nic("docker0", addresses=())),
    ],
    ids=["loopback", "one of two", "bound to two", "ours", "whose is not known", "no addresses"],
)
def test_a_dns_server_that_keeps_to_its_addresses_is_let_be(plan: Plan, facts: Facts, change: Change) -> None:
    assert "dns-takes-every-address" not in {finding.code for finding in check(*change(plan, facts))}


# A plan of more nodes than addresses: see test_rules_together.
WITHOUT_A_CASE = {"subnet-full"}


def test_every_finding_has_a_case() -> None:
    """Of the codes that stand in the rules in full; those that are put together there have their cases by hand."""
    codes = set()
    for file in Path(rules.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("error", "warning", "note"):
                code = call.args[0]
                if isinstance(code, ast.Constant):
                    codes.add(code.value)
    assert len(codes) > 40
    assert codes - {case.code for case in CASES} == WITHOUT_A_CASE


@pytest.mark.parametrize("chosen", [Backend.IFUPDOWN, Backend.NETWORKD, Backend.NETPLAN])
def test_of_the_backends_files_only_the_chosen_ones_is_written(plan: Plan, facts: Facts, chosen: Backend) -> None:
    blocked = tuple((file.kept, "a directory") for file in ADDRESS_FILES.values())
    at_work = machine(blocked=blocked, network_managers=tuple(MANAGER_KEYS.values()))
    found = [each for each in check(*both(backed_by(chosen), at_work)(plan, facts)) if each.code == "path-blocked"]
    assert [each.message.split()[4] for each in found] == [f"{ADDRESS_FILES[chosen].kept}:"]


def test_a_network_manager_without_its_program_does_not_hang(plan: Plan, facts: Facts) -> None:
    """NetworkManager runs, and nmcli is not here: who has the NIC is not known, and a restart would not help."""
    changed = machine(
        network_managers=("ifupdown", "NetworkManager"),
        silent_managers=("NetworkManager",),
        missing_programs=(("NetworkManager", "nmcli"),),
    )(plan, facts)
    (found,) = [finding for finding in check(*changed) if finding.severity is Severity.ERROR]
    assert (found.code, found.remedy) == ("missing-tools", "Run `sudo apt install network-manager`.")


def test_programs_of_a_manager_that_does_not_set_the_address_are_not_missed(plan: Plan, facts: Facts) -> None:
    changed = machine(network_managers=("ifupdown", "networkd"), missing_programs=(("networkd", "networkctl"),))
    assert "missing-tools" not in {finding.code for finding in check(*changed(plan, facts))}


def test_lines_of_an_ifupdown_that_is_not_here_configure_nothing(plan: Plan, facts: Facts) -> None:
    """A leftover /etc/network/interfaces, where NetworkManager or netplan took over."""
    changed = both(
        reads("auto eth1", "iface eth1 inet dhcp"),
        owned_by("networkmanager", "NetworkManager has eth1 connected"),
        machine(network_managers=("NetworkManager",)),
    )(plan, facts)
    assert not [f for f in check(*changed) if f.code in ("nic-claimed-elsewhere", "nic-configured-elsewhere")]
