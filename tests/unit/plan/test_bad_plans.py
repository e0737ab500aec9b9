"""Plans that are wrong in one thing: each is refused, in one message that names the field and the remedy.

A case is the example plan with one text in it replaced. What cannot be read is refused by `load`; what
can be read and cannot work, by an error of `check_plan`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from wizard.plan.file.read import PlanUnreadable, load_plan
from wizard.plan.findings import Severity
from wizard.plan.rules.check import check_plan


@dataclass(frozen=True)
class Bad:
    name: str
    old: str
    new: str
    field: str
    says: str
    """A piece of the message or of the remedy."""
    before: tuple[str, str] = ("", "")
    """What is replaced in the example beforehand, which is no mistake."""


MAC1, MAC4 = "B8:AE:ED:7B:51:50", "C0:3F:D5:67:A1:FB"
CIDR = 'cidr       = "192.168.0.0/24"'
GATEWAY = 'gateway    = "192.168.0.200"'
SLICE = 'dhcp_slice = "192.168.0.64/26"'
LEASE = 'lease_time = "12h"'
DOMAIN = 'domain     = "ciao.lan"'
ANSWER = 'answer     = "known"'
VM_MACS = 'vm_macs    = ["02:*:*:*:*:*"]'
CLUSTER = 'cluster   = "eth1"'
CORPORATE = 'corporate = "eth0"'
NAME = 'name = "compute1"'
IP = 'ip   = "192.168.0.103"'
PORT = "port = 8889"

ROLE = 'role = "network"'
TOP = "version = 1"
SPARE = "00:0c:42:00:00:01"
SWITCH = f'name = "switch"\nmac = "{SPARE}"'
K3S = (TOP, TOP + '\n[cluster]\nkind = "k3s"')
"""The example with ciao's roles as labels."""


def cluster(keys: str) -> str:
    return f"{TOP}\n[cluster]\n{keys}"


def device(keys: str) -> str:
    return f"{TOP}\n[[devices]]\n{keys}"


def dns(keys: str) -> str:
    return f"{TOP}\n[[dns]]\n{keys}"


def record(*keys: str) -> str:
    return "\n".join([TOP, *(f"[[records]]\n{key}" for key in keys)])


def long_domains() -> list[str]:
    return [f"{'a' * 60}.{number}.lan" for number in range(6)]


def option(*keys: str) -> str:
    return "\n".join([TOP, *(f"[[options]]\n{key}" for key in keys)])


DNS53 = '\nservers = ["10.1.1.53"]'

UNREADABLE = [
    # Wrong from the ground up.
    Bad("no-toml", "version = 1", "version: 1", "TOML", "key = value"),
    Bad("unclosed-quote", CIDR, 'cidr = "192.168.0.0/24', "TOML", "key = value"),
    Bad("control-character-in-toml", "version = 1", 'version = 1\nx = "\x1b"', "TOML", "key = value"),
    Bad("key-twice", LEASE, LEASE + "\n" + LEASE, "TOML", "key = value"),
    Bad("endless-number", PORT, "port = " + "9" * 5000, "TOML", "too long"),
    Bad("endless-hex-number", PORT, "port = 0x" + "f" * 5000, "forwards[0].port", "a very large number"),
    Bad("deep", "version = 1", "version = 1\nx = " + "[" * 5000, "TOML", "nested too deeply"),
    Bad("version-of-the-future", "version = 1", "version = 2", "version", "newer ciao-wizard"),
    Bad("version-true", "version = 1", "version = true", "version", "version = 1"),
    Bad("version-as-text", "version = 1", 'version = "1"', "version", "version = 1"),
    Bad("version-with-a-fraction", "version = 1", "version = 1.0", "version", "version = 1"),
    Bad("unknown-table", "version = 1", "version = 1\n[netwerk]", "netwerk", "Did you mean network?"),
    Bad("unknown-key", "version = 1", "version = 1\nfrobnicate = 7", "frobnicate", "Known here"),
    Bad("hostile-key", "version = 1", 'version = 1\n"a\\u001b[31m" = 7', r"a\x1b[31m", "Known here"),
    # Missing.
    Bad("no-corporate", CORPORATE, "", "interfaces.corporate", 'corporate = "eth0"'),
    Bad("no-cluster", CLUSTER, "", "interfaces.cluster", 'cluster = "eth1"'),
    Bad("no-cidr", CIDR, "", "network.cidr", 'cidr = "192.168.0.0/24"'),
    Bad("no-node-name", NAME, "", "nodes[2].name", 'name = "compute1"'),
    Bad("no-role", 'role = "network"', "", "nodes[1].role", 'role = "compute"'),
    Bad("no-mac", f'mac  = "{MAC1}"', "", "nodes[0].mac", 'mac = "b8:ae:ed:7b:51:50"'),
    Bad("no-port", PORT, "", "forwards[0].port", "port = 8889"),
    Bad("no-target", 'to   = "controller"', "", "forwards[0].to", 'to = "controller"'),
    # Wrong types.
    Bad("corporate-a-number", CORPORATE, "corporate = 0", "interfaces.corporate", "in quotes"),
    Bad("cluster-a-list", CLUSTER, 'cluster = ["eth1"]', "interfaces.cluster", "a list, not text"),
    Bad("cidr-a-number", CIDR, "cidr = 24", "network.cidr", "in quotes"),
    Bad("gateway-a-date", GATEWAY, "gateway = 2024-01-01", "network.gateway", "a date"),
    Bad("slice-a-table", SLICE, "dhcp_slice = {}", "network.dhcp_slice", "a table, not text"),
    Bad("lease-a-number", LEASE, "lease_time = 12", "network.lease_time", "in quotes"),
    Bad("domain-true", DOMAIN, "domain = true", "network.domain", "true or false, not text"),
    Bad("vm-macs-text", VM_MACS, 'vm_macs = "02:*:*:*:*:*"', "network.vm_macs", "not a list"),
    Bad("vm-macs-of-numbers", VM_MACS, "vm_macs = [2]", "network.vm_macs", "in quotes"),
    Bad("name-a-number", NAME, "name = 1", "nodes[2].name", "in quotes"),
    Bad("role-a-number", 'role = "network"', "role = 2", "nodes[1].role", "in quotes"),
    Bad("mac-a-number", f'mac  = "{MAC1}"', "mac = 1", "nodes[0].mac", "in quotes"),
    Bad("ip-a-fraction", IP, "ip = 192.168", "nodes[2].ip", "in quotes"),
    Bad("port-as-text", PORT, 'port = "8889"', "forwards[0].port", "without quotes"),
    Bad("port-true", PORT, "port = true", "forwards[0].port", "not a whole number"),
    Bad("port-with-a-fraction", PORT, "port = 8889.0", "forwards[0].port", "not a whole number"),
    Bad("to-port-true", PORT, PORT + "\nto_port = true", "forwards[0].to_port", "not a whole number"),
    Bad("from-a-number", PORT, PORT + "\nfrom = 10", "forwards[0].from", "in quotes"),
    Bad("bmc-a-number", IP, IP + "\nbmc = 151", "nodes[2].bmc", "in quotes"),
    Bad("bmc-a-table", "version = 1", "version = 1\nbmc = true", "bmc", "true or false, not one table"),
    Bad("bmc-without-file", "version = 1", "version = 1\nbmc = {}", "bmc.credentials", "[bmc] lacks credentials"),
    Bad("password-in-the-plan", IP, IP + '\npassword = "x"', "nodes[2].password", "Known here"),
    Bad("textfile-a-list", "version = 1", "version = 1\nmetrics.textfile = []", "metrics.textfile", "a list, not text"),
    Bad("nodes-one-table", "version = 1", "version = 1\n[nodes]\n", "TOML", "key = value"),
    # Impossible values.
    Bad("nic-name-a-pattern", CLUSTER, 'cluster = "eth+"', "interfaces.cluster", "ip link"),
    Bad("nic-name-too-long", CLUSTER, 'cluster = "sixteen-letters-"', "interfaces.cluster", "1 to 15 letters"),
    Bad("nic-name-for-all", CLUSTER, 'cluster = "all"', "interfaces.cluster", "name of one NIC"),
    Bad("nic-name-an-option", CORPORATE, 'corporate = "-i"', "interfaces.corporate", "ip link"),
    Bad("cidr-with-host-bits", CIDR, 'cidr = "192.168.0.9/24"', "network.cidr", "192.168.0.0/24"),
    Bad("cidr-without-prefix", CIDR, 'cidr = "192.168.0.0"', "network.cidr", "192.168.0.0/24"),
    Bad("cidr-ipv6", CIDR, 'cidr = "fd00::/64"', "network.cidr", "192.168.0.0/24"),
    Bad("gateway-ipv6", GATEWAY, 'gateway = "fe80::1"', "network.gateway", "IPv4"),
    Bad("gateway-with-prefix", GATEWAY, 'gateway = "192.168.0.200/24"', "network.gateway", "192.168.0.200."),
    Bad("slice-not-aligned", SLICE, 'dhcp_slice = "192.168.0.65/26"', "network.dhcp_slice", "192.168.0.64/26"),
    Bad(
        "slice-and-range",
        SLICE,
        SLICE + '\ndhcp_range = ["192.168.0.5", "192.168.0.9"]',
        "network.dhcp_range",
        "Keep one",
    ),
    Bad("range-of-one", SLICE, 'dhcp_range = ["192.168.0.65"]', "network.dhcp_range", "the first and the last"),
    Bad("range-of-words", SLICE, 'dhcp_range = ["low", "high"]', "network.dhcp_range", "192.168.0.101"),
    Bad("lease-without-unit-too-short", LEASE, 'lease_time = "12"', "network.lease_time", "2m or longer"),
    Bad("lease-of-nonsense", LEASE, 'lease_time = "often"', "network.lease_time", "12h"),
    Bad("domain-of-spaces", DOMAIN, 'domain = "ciao lan"', "network.domain", "ciao.lan"),
    Bad("answer-nobody", ANSWER, 'answer = "nobody"', "network.answer", "known or everyone"),
    Bad("vm-mac-short", VM_MACS, 'vm_macs = ["02:*"]', "network.vm_macs", "02:*:*:*:*:*"),
    Bad("name-a-lease-time", NAME, 'name = "12h"', "nodes[2].name", "lease time"),
    Bad("name-with-a-dot", NAME, 'name = "a.b"', "nodes[2].name", "such as compute1"),
    Bad("role-unknown", 'role = "network"', 'role = "boss"', "nodes[1].role", "controller, network or compute"),
    Bad("role-of-nothing", 'role = "network"', "role = []", "nodes[1].role", "controller, network or compute"),
    Bad("mac-of-five", MAC1, "B8:AE:ED:7B:51", "nodes[0].mac", "six pairs"),
    Bad("ip-too-high", "192.168.0.103", "192.168.0.300", "nodes[2].ip", "0 to 255"),
    Bad("port-zero", PORT, "port = 0", "forwards[0].port", "1 to 65535"),
    Bad("port-too-high", PORT, "port = 65536", "forwards[0].port", "1 to 65535"),
    Bad("to-port-negative", PORT, PORT + "\nto_port = -1", "forwards[0].to_port", "1 to 65535"),
    Bad("protocol-unknown", PORT, PORT + '\nprotocol = "sctp"', "forwards[0].protocol", "tcp or udp"),
    Bad("from-nobody", PORT, PORT + "\nfrom = []", "forwards[0].from", "corporate"),
    Bad("from-an-address", PORT, PORT + '\nfrom = ["10.9.9.9"]', "forwards[0].from", "10.9.9.9/32"),
    Bad("mistyped-key", PORT, PORT + '\nprotocoll = "tcp"', "forwards[0].protocoll", "Did you mean protocol?"),
    Bad("mistyped-network-key", LEASE, 'leasetime = "12h"', "network.leasetime", "Did you mean lease_time?"),
    Bad("ntp-a-number", LEASE, LEASE + "\nntp = 123", "network.ntp", "in quotes"),
    Bad("ntp-true", LEASE, LEASE + "\nntp = true", "network.ntp", "true or false, not text"),
    Bad("ntp-a-table", LEASE, LEASE + "\nntp = {}", "network.ntp", "a table, not text"),
    Bad("ntp-of-numbers", LEASE, LEASE + "\nntp = [10]", "network.ntp", "in quotes"),
    Bad("ntp-of-lists", LEASE, LEASE + '\nntp = [["10.0.0.1"]]', "network.ntp", "in quotes"),
    Bad("ntp-of-nothing", LEASE, LEASE + "\nntp = []", "network.ntp", '"off"'),
    Bad("ntp-blank", LEASE, LEASE + '\nntp = ""', "network.ntp", '"auto", "off" or a list'),
    Bad("ntp-on", LEASE, LEASE + '\nntp = "on"', "network.ntp", '"auto", "off" or a list'),
    Bad("ntp-auto-in-a-list", LEASE, LEASE + '\nntp = ["auto"]', "network.ntp", "four numbers"),
    Bad("ntp-a-name", LEASE, LEASE + '\nntp = ["pool.ntp.org"]', "network.ntp", "four numbers"),
    Bad("ntp-ipv6", LEASE, LEASE + '\nntp = ["2001:db8::1"]', "network.ntp", "IPv4"),
    Bad("ntp-with-prefix", LEASE, LEASE + '\nntp = ["10.0.0.1/24"]', "network.ntp", "10.0.0.1."),
    Bad("ntp-nobody", LEASE, LEASE + '\nntp = ["0.0.0.0"]', "network.ntp", "the server's own address"),
    Bad("ntp-loopback", LEASE, LEASE + '\nntp = ["127.0.0.1"]', "network.ntp", "the server's own address"),
    Bad("ntp-multicast", LEASE, LEASE + '\nntp = ["224.0.1.1"]', "network.ntp", "the server's own address"),
    Bad("ntp-everybody", LEASE, LEASE + '\nntp = ["255.255.255.255"]', "network.ntp", "the server's own address"),
    Bad("ntp-twice", LEASE, LEASE + '\nntp = ["10.0.0.1", " 10.0.0.1"]', "network.ntp", "each server once"),
    Bad(
        "ntp-too-many",
        LEASE,
        LEASE + '\nntp = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]',
        "network.ntp",
        "4 at most",
    ),
    Bad("ntp-mistyped", LEASE, LEASE + '\nnpt = "auto"', "network.npt", "Did you mean ntp?"),
    # Carrying what some tool downstream would take for more.
    Bad("newline-in-nic", CLUSTER, r'cluster = "eth1\nup rm -rf /"', "interfaces.cluster", r"eth1\nup"),
    Bad("shell-in-nic", CLUSTER, 'cluster = "$(reboot)"', "interfaces.cluster", "ip link"),
    Bad("backticks-in-nic", CORPORATE, 'corporate = "`id`"', "interfaces.corporate", "ip link"),
    Bad("escape-in-nic", CORPORATE, r'corporate = "eth\u001b[2J"', "interfaces.corporate", r"\x1b[2J"),
    Bad("newline-in-cidr", CIDR, r'cidr = "192.168.0.0/24\n"', "network.cidr", "/24"),
    Bad("newline-in-gateway", GATEWAY, r'gateway = "192.168.0.200\n"', "network.gateway", "four numbers"),
    Bad("comma-in-lease", LEASE, 'lease_time = "12h,set:x"', "network.lease_time", "12h"),
    Bad("newline-in-lease", LEASE, r'lease_time = "12h\ndhcp-script=/bin/x"', "network.lease_time", "12h"),
    Bad("newline-in-domain", DOMAIN, r'domain = "ciao.lan\naddress=/#/10.0.0.1"', "network.domain", "ciao.lan"),
    Bad(
        "newline-in-ntp",
        LEASE,
        LEASE
        + r"""
ntp = ["10.0.0.1\ndhcp-script=/bin/x"]""",
        "network.ntp",
        r"10.0.0.1\ndhcp",
    ),
    Bad("comma-in-ntp", LEASE, LEASE + '\nntp = ["10.0.0.1,set:x"]', "network.ntp", "four numbers"),
    Bad(
        "escape-in-ntp",
        LEASE,
        LEASE
        + r"""
ntp = "\u001b[2J" """,
        "network.ntp",
        r"\x1b[2J",
    ),
    Bad("slash-in-domain", DOMAIN, 'domain = "ciao.lan/10.0.0.1"', "network.domain", "ciao.lan"),
    Bad("newline-in-vm-mac", VM_MACS, r'vm_macs = ["02:*:*:*:*:*\nport=0"]', "network.vm_macs", "six octets"),
    Bad("newline-in-name", NAME, r'name = "a\ndhcp-script=/tmp/evil"', "nodes[2].name", r"a\ndhcp-script"),
    Bad("comma-in-name", NAME, 'name = "a,192.168.0.9"', "nodes[2].name", "such as compute1"),
    Bad("semicolon-in-name", NAME, 'name = "a;reboot"', "nodes[2].name", "such as compute1"),
    Bad("hash-in-name", NAME, 'name = "a#b"', "nodes[2].name", "such as compute1"),
    Bad("override-in-name", NAME, r'name = "a\u202eb"', "nodes[2].name", r"a\u202eb"),
    Bad("nul-in-mac", MAC1, r"B8:AE:ED:7B:51:50\u0000", "nodes[0].mac", r"\x00"),
    Bad("tail-on-mac", MAC1, "B8:AE:ED:7B:51:50,ignore", "nodes[0].mac", "six pairs"),
    Bad("newline-in-ip", "192.168.0.103", r"192.168.0.103\n", "nodes[2].ip", "four numbers"),
    Bad(
        "newline-in-role", 'role = "network"', r'role = "network\n"', "nodes[1].role", "controller, network or compute"
    ),
    Bad("newline-in-target", 'to   = "controller"', r'to = "controller\n"', "forwards[0].to", "such as compute1"),
    Bad("pipe-in-target", 'to   = "controller"', 'to = "a|b"', "forwards[0].to", "such as compute1"),
    Bad("newline-in-bmc", IP, IP + '\nbmc = "192.168.0.9\\n"', "nodes[2].bmc", "four numbers"),
    Bad("url-in-bmc", IP, IP + '\nbmc = "https://u:p@192.168.0.9"', "nodes[2].bmc", "four numbers"),
    *(
        Bad(f"path-{number}", "version = 1", f"version = 1\nmetrics.textfile = {path}", "metrics.textfile", says)
        for number, (path, says) in enumerate(
            [
                ('"ciao.prom"', "an absolute path"),
                ('"/etc/passwd"', "ends in .prom"),
                ('"/a/../etc/x.prom"', "an absolute path"),
                ('"/a/$(id).prom"', "an absolute path"),
                ('"/a/b\\n.prom"', "an absolute path"),
                ('"/a b/x.prom"', "an absolute path"),
                ('"/a/x.prom/"', "an absolute path"),
                ('"/' + "a" * 300 + '.prom"', "an absolute path"),
            ]
        )
    ),
    Bad(
        "credentials-a-link-up",
        "version = 1",
        'version = 1\nbmc.credentials = "/a/./b"',
        "bmc.credentials",
        "absolute path",
    ),
    Bad("newline-in-source", PORT, PORT + '\nfrom = ["10.0.0.0/8\\n"]', "forwards[0].from", "/8"),
    Bad("newline-in-protocol", PORT, PORT + '\nprotocol = "tcp\\n"', "forwards[0].protocol", "tcp or udp"),
    # Devices, kinds of clusters, machines with several NICs.
    Bad("kind-unknown", TOP, cluster('kind = "k8s"'), "cluster.kind", "ciao, k3s, talos"),
    Bad("kind-a-list", TOP, cluster('kind = ["k3s"]'), "cluster.kind", "not text"),
    Bad("kind-mistyped", TOP, cluster('knid = "k3s"'), "cluster.knid", "Did you mean kind?"),
    Bad("cluster-a-text", TOP, TOP + '\ncluster = "k3s"', "cluster", "not one table"),
    Bad("label-of-spaces", ROLE, 'role = "two words"', "nodes[1].role", "such as worker", K3S),
    Bad("label-newline", ROLE, r'role = "a\nb"', "nodes[1].role", "such as worker", K3S),
    Bad("label-comma", ROLE, 'role = ["a,set:known"]', "nodes[1].role", "such as worker", K3S),
    Bad("label-all", ROLE, 'role = "all"', "nodes[1].role", "inventories", K3S),
    Bad("label-twice", ROLE, 'role = ["gpu", "gpu"]', "nodes[1].role", "once", K3S),
    Bad("label-too-long", ROLE, f'role = "{"a" * 40}"', "nodes[1].role", "such as worker", K3S),
    Bad("label-a-number", ROLE, "role = 7", "nodes[1].role", "in quotes", K3S),
    Bad("macs-none", f'"{MAC1}"', "[]", "nodes[0].mac", "at least one"),
    Bad("macs-of-numbers", f'"{MAC1}"', "[1]", "nodes[0].mac", "in quotes"),
    Bad("macs-twice", f'"{MAC1}"', f'["{MAC1}", "b8-ae-ed-7b-51-50"]', "nodes[0].mac", "Write each MAC once"),
    Bad("macs-with-a-tail", f'"{MAC1}"', f'["{MAC1}", "set:known"]', "nodes[0].mac", "six pairs"),
    Bad("macs-joined", f'"{MAC1}"', f'"{MAC1},{MAC4}"', "nodes[0].mac", "six pairs"),
    Bad("macs-many", f'"{MAC1}"', repr([f"00:00:5e:00:00:{n:02}" for n in range(9)]), "nodes[0].mac", "8 at most"),
    Bad("device-without-mac", TOP, device('name = "switch"'), "devices[0].mac", 'mac = "b8:ae'),
    Bad("device-without-name", TOP, device(f'mac = "{SPARE}"'), "devices[0].name", 'name = "switch"'),
    Bad("device-with-a-role", TOP, device(SWITCH + '\nrole = "compute"'), "devices[0].role", "Known here"),
    Bad("device-shell", TOP, device(f'name = "$(reboot)"\nmac = "{SPARE}"'), "devices[0].name", "63 at most"),
    Bad("device-ip-a-network", TOP, device(SWITCH + '\nip = "192.168.0.0/24"'), "devices[0].ip", "the address alone"),
    Bad("devices-a-number", TOP, TOP + "\ndevices = 1", "devices", "[[devices]]"),
    # Names.
    Bad("search-a-text", LEASE, 'search = "ciao.lan"', "network.search", "in brackets"),
    Bad("search-newline", LEASE, r'search = ["a.lan\nport=0"]', "network.search", "such as ciao.lan"),
    Bad("search-comma", LEASE, 'search = ["a.lan,b.lan"]', "network.search", "such as ciao.lan"),
    Bad("search-long", LEASE, f"search = {long_domains()}", "network.search", "255 characters"),
    Bad("search-twice", LEASE, 'search = ["a.lan", "A.LAN."]', "network.search", "once"),
    Bad("dns-without-domain", TOP, dns('servers = ["10.1.1.53"]'), "dns[0].domain", "corp.example"),
    Bad("dns-without-servers", TOP, dns('domain = "corp.example"'), "dns[0].servers", "10.1.1.53"),
    Bad("dns-of-nobody", TOP, dns('domain = "corp.example"\nservers = []'), "dns[0].servers", "at least one"),
    Bad("dns-option", TOP, dns(r'domain = "a.b/8.8.8.8\nserver=1.1.1.1"' + DNS53), "dns[0].domain", "such as ciao.lan"),
    Bad("dns-wildcard", TOP, dns('domain = "#"' + DNS53), "dns[0].domain", "such as ciao.lan"),
    Bad("dns-a-name", TOP, dns('domain = "corp.example"\nservers = ["ns1"]'), "dns[0].servers", "four numbers"),
    Bad(
        "dns-port", TOP, dns('domain = "corp.example"\nservers = ["10.1.1.53#1\\n"]'), "dns[0].servers", "four numbers"
    ),
    Bad("dns-scoped", TOP, dns('domain = "corp.example"\nservers = ["fe80::1%eth0"]'), "dns[0].servers", "unicast"),
    Bad("dns-null", TOP, dns('domain = "corp.example"\nservers = ["0.0.0.0"]'), "dns[0].servers", "a server's address"),
    Bad("record-without-value", TOP, record('name = "r"'), "records[0].name", "a, aaaa, cname"),
    Bad("record-of-two", TOP, record('name = "r"\na = "10.0.0.1"\ntxt = "x"'), "records[0].name", "a and txt"),
    Bad("record-unknown", TOP, record('name = "r"\nmx = "10 mail"'), "records[0].mx", "Known here", ("", "")),
    Bad("record-without-name", TOP, record('a = "10.0.0.1"'), "records[0].name", 'name = "registry"'),
    Bad("record-name-slash", TOP, record('name = "a/b"\na = "10.0.0.1"'), "records[0].name", "not a DNS name"),
    Bad(
        "record-name-newline", TOP, record(r'name = "a\nlocal=/x/"' + '\na = "10.0.0.1"'), "records[0].name", "DNS name"
    ),
    Bad(
        "record-name-an-address", TOP, record('name = "10.0.0.1"\na = "10.0.0.1"'), "records[0].name", "like an address"
    ),
    Bad("record-wildcard", TOP, record('name = "*.apps"\na = "10.0.0.1"'), "records[0].name", "not a DNS name"),
    Bad("record-localhost", TOP, record('name = "localhost"\na = "10.0.0.1"'), "records[0].name", "own name"),
    Bad(
        "record-a-newline",
        TOP,
        record(r'name = "r"' + "\n" + r'a = "10.0.0.1\n10.0.0.2 x"'),
        "records[0].a",
        "four numbers",
    ),
    Bad("record-aaaa-group", TOP, record('name = "r"\naaaa = "ff02::1"'), "records[0].aaaa", "unicast"),
    Bad("record-aaaa-ipv4", TOP, record('name = "r"\naaaa = "10.0.0.1"'), "records[0].aaaa", "such as fd00"),
    Bad("record-cname-comma", TOP, record('name = "r"\ncname = "a,b"'), "records[0].cname", "not a DNS name"),
    Bad("record-srv-three", TOP, record('name = "_x._tcp"\nsrv = "0 2379 controller"'), "records[0].srv", "0 0 2379"),
    Bad(
        "record-srv-port",
        TOP,
        record('name = "_x._tcp"\nsrv = "0 0 99999 controller"'),
        "records[0].srv",
        "outside 0-65535",
    ),
    Bad("record-srv-comma", TOP, record('name = "_x._tcp"\nsrv = "0 0 1 a,b"'), "records[0].srv", "not a DNS name"),
    Bad(
        "record-txt-newline",
        TOP,
        record(r'name = "r"' + "\n" + r'txt = "a\nconf-file=/etc/shadow"'),
        "records[0].txt",
        "ASCII",
    ),
    Bad("record-txt-long", TOP, record(f'name = "r"\ntxt = "{"x" * 256}"'), "records[0].txt", "255 at most"),
    Bad("record-txt-empty", TOP, record('name = "r"\ntxt = ""'), "records[0].txt", "ASCII"),
    # Ranges of ports, and the MTU.
    Bad("ports-backwards", PORT, 'port = "9000-8000"', "forwards[0].port", "8000-9000"),
    Bad("ports-many", PORT, 'port = "1-5000"', "forwards[0].port", "4096 at most"),
    Bad("ports-beyond", PORT, 'port = "65000-65536"', "forwards[0].port", "1 to 65535"),
    Bad("ports-open", PORT, 'port = "8000-"', "forwards[0].port", "1 to 65535"),
    Bad("ports-newline", PORT, r'port = "8000-8010\n"', "forwards[0].port", "1 to 65535"),
    Bad("ports-and-one", PORT, 'port = "8000-8010"\nto_port = 80', "forwards[0].to_port", "the same ports"),
    Bad("port-as-text-of-a-range", PORT, 'port = "8889"', "forwards[0].port", "30000-30100"),
    Bad("mtu-a-text", LEASE, 'mtu = "1400"', "network.mtu", "without quotes"),
    Bad("mtu-tiny", LEASE, "mtu = 68", "network.mtu", "576 to 9216"),
    Bad("mtu-huge", LEASE, "mtu = 65535", "network.mtu", "576 to 9216"),
    # DHCP options.
    Bad("option-without-value", TOP, option('option = "tftp-server"'), "options[0].value", "192.168.0.5"),
    Bad("option-without-option", TOP, option('value = "x"'), "options[0].option", 'option = "tftp-server"'),
    Bad("option-unknown", TOP, option('option = "tftp-sever"\nvalue = "x"'), "options[0].option", "tftp-server?"),
    Bad("option-of-ours", TOP, option('option = "router"\nvalue = "10.0.0.1"'), "options[0].option", "network.gateway"),
    Bad("option-of-ours-6", TOP, option('option = 6\nvalue = "10.0.0.1"'), "options[0].option", "network.gateway"),
    Bad("option-of-dhcp", TOP, option("option = 53\nvalue = 6"), "options[0].option", "part of DHCP itself"),
    Bad("option-zero", TOP, option('option = 0\nvalue = "x"'), "options[0].option", "1 to 254"),
    Bad("option-huge", TOP, option('option = 1000\nvalue = "x"'), "options[0].option", "1 to 254"),
    Bad("option-true", TOP, option('option = true\nvalue = "x"'), "options[0].option", "in quotes"),
    Bad(
        "option-newline",
        TOP,
        option(r'option = "66\ndhcp-script=/x"' + '\nvalue = "x"'),
        "options[0].option",
        "help dhcp",
    ),
    Bad("option-forced", TOP, option('option = "tag:x,66"\nvalue = "x"'), "options[0].option", "help dhcp"),
    Bad("option-value-newline", TOP, option("option = 66\n" + r'value = "a\nport=0"'), "options[0].value", "printable"),
    Bad("option-value-quote", TOP, option("option = 67\nvalue = 'a\",b'"), "options[0].value", "without quotes"),
    Bad("option-value-backslash", TOP, option("option = 225\nvalue = 'a\\n'"), "options[0].value", "backslashes"),
    Bad("option-value-long", TOP, option(f'option = 67\nvalue = "{"x" * 256}"'), "options[0].value", "255 at most"),
    Bad("option-value-empty", TOP, option('option = 67\nvalue = ""'), "options[0].value", "printable"),
    Bad("option-text-a-number", TOP, option("option = 67\nvalue = 7"), "options[0].value", "in quotes"),
    Bad("option-number-a-text", TOP, option('option = "default-ttl"\nvalue = "7"'), "options[0].value", "0 to 255"),
    Bad("option-number-large", TOP, option('option = "default-ttl"\nvalue = 256'), "options[0].value", "0 to 255"),
    Bad("option-flag-two", TOP, option("option = 19\nvalue = 2"), "options[0].value", "true or false"),
    Bad("option-of-the-plan-ntp", TOP, option('option = 42\nvalue = "10.0.0.1"'), "options[0].option", "network.ntp"),
    Bad("option-address-a-name", TOP, option('option = 44\nvalue = ["wins1"]'), "options[0].value", "four numbers"),
    Bad("option-no-address", TOP, option("option = 44\nvalue = []"), "options[0].value", "1 to 32 addresses"),
    Bad(
        "option-two-for-one",
        TOP,
        option('option = 16\nvalue = ["10.0.0.1", "10.0.0.2"]'),
        "options[0].value",
        "one address",
    ),
    Bad("option-odd", TOP, option('option = 33\nvalue = ["10.0.0.1"]'), "options[0].value", "pairs"),
    Bad("option-route", TOP, option('option = 121\nvalue = ["10.0.0.0/8"]'), "options[0].value", "pairs"),
    Bad(
        "option-route-host-bits",
        TOP,
        option('option = 121\nvalue = ["10.0.0.1/8", "10.0.0.1"]'),
        "options[0].value",
        "10.0.0.0/8",
    ),
    Bad("option-value-a-table", TOP, option("option = 225\nvalue = {}"), "options[0].value", "in quotes"),
    Bad("option-raw-number-large", TOP, option("option = 225\nvalue = 70000"), "options[0].value", "0 to 255"),
    Bad("option-to-nobody-at-all", TOP, option('option = 66\nvalue = "x"\nto = []'), "options[0].to", "leave `to` out"),
    Bad("option-to-a-number", TOP, option('option = 66\nvalue = "x"\nto = [7]'), "options[0].to", "in brackets"),
    Bad(
        "option-to-a-tag", TOP, option('option = 66\nvalue = "x"\nto = ["a,tag:b"]'), "options[0].to", "such as worker"
    ),
    Bad(
        "option-to-twice",
        TOP,
        option('option = 66\nvalue = "x"\nto = ["compute1", "compute1"]'),
        "options[0].to",
        "once",
    ),
    Bad("other-digits-in-ip", "192.168.0.103", "192.168.0.١٠٣", "nodes[2].ip", "four numbers"),
]

UNWORKABLE = [
    Bad("same-nic", CLUSTER, 'cluster = "eth0"', "interfaces.cluster", "two NICs"),
    Bad("subnet-huge", "192.168.0.0/24", "192.0.0.0/8", "network.cidr", "/16 or smaller"),
    Bad("gateway-elsewhere", GATEWAY, 'gateway = "10.0.0.1"', "network.gateway", "192.168.0.1 to 192.168.0.254"),
    Bad("gateway-the-network", GATEWAY, 'gateway = "192.168.0.0"', "network.gateway", "192.168.0.1 to"),
    Bad("gateway-the-broadcast", GATEWAY, 'gateway = "192.168.0.255"', "network.gateway", "192.168.0.1 to"),
    Bad("slice-elsewhere", SLICE, 'dhcp_slice = "10.0.0.64/26"', "network.dhcp_slice", "between 192.168.0.1"),
    Bad("slice-too-large", SLICE, 'dhcp_slice = "192.168.0.0/23"', "network.dhcp_slice", "between 192.168.0.1"),
    Bad("slice-without-hosts", SLICE, 'dhcp_slice = "192.168.0.0/32"', "network.dhcp_slice", "Use a larger one"),
    Bad("slice-with-the-gateway", SLICE, 'dhcp_slice = "192.168.0.192/26"', "network.dhcp_slice", "Move the range"),
    Bad(
        "range-backwards",
        SLICE,
        'dhcp_range = ["192.168.0.90", "192.168.0.80"]',
        "network.dhcp_range",
        "lower address first",
    ),
    Bad("range-beyond", SLICE, 'dhcp_range = ["192.168.0.210", "192.168.1.5"]', "network.dhcp_range", "between"),
    Bad(
        "range-with-the-network", SLICE, 'dhcp_range = ["192.168.0.0", "192.168.0.5"]', "network.dhcp_range", "between"
    ),
    Bad("node-elsewhere", "192.168.0.103", "192.168.1.103", "nodes[2].ip", "192.168.0.1 to 192.168.0.254"),
    Bad("node-on-the-gateway", "192.168.0.103", "192.168.0.200", "nodes[2].ip", "leave it blank"),
    Bad("node-on-the-broadcast", "192.168.0.103", "192.168.0.255", "nodes[2].ip", "leave it blank"),
    Bad("node-on-the-network", "192.168.0.103", "192.168.0.0", "nodes[2].ip", "leave it blank"),
    Bad("two-nodes-one-address", "192.168.0.103", "192.168.0.101", "nodes[2].ip", "of its own"),
    Bad("two-nodes-one-mac", MAC4, "b8-ae-ed-7b-51-50", "nodes[3].mac", "own MAC"),
    Bad("two-nodes-one-name", NAME, 'name = "Controller"', "nodes[2].name", "of its own"),
    Bad("mac-of-nobody", MAC4, "00:00:00:00:00:00", "nodes[3].mac", "label"),
    Bad("mac-of-all", MAC4, "ff:ff:ff:ff:ff:ff", "nodes[3].mac", "label"),
    Bad("mac-of-a-group", MAC4, "01:00:5e:00:00:01", "nodes[3].mac", "label"),
    Bad("no-network-node", 'role = "network"', 'role = "compute"', "nodes", "network"),
    Bad("no-controller", 'role = "controller"', 'role = "compute"', "nodes", "controller"),
    Bad(
        "forward-to-a-stranger", 'to   = "controller"', 'to = "bob"', "forwards[0].to", "controller, network, compute1"
    ),
    Bad("forward-elsewhere", 'to   = "controller"', 'to = "10.0.0.9"', "forwards[0].to", "192.168.0.0/24"),
    Bad("forward-to-itself", 'to   = "controller"', 'to = "192.168.0.200"', "forwards[0].to", "Name a node"),
    Bad("two-forwards-one-port", "port = 5000", "port = 8889", "forwards[2].port", "another port"),
    Bad("device-elsewhere", TOP, device(SWITCH + '\nip = "10.0.0.1"'), "devices[0].ip", "leave it blank"),
    Bad("device-on-the-gateway", TOP, device(SWITCH + '\nip = "192.168.0.200"'), "devices[0].ip", "leave it blank"),
    Bad("device-with-a-nodes-ip", TOP, device(SWITCH + '\nip = "192.168.0.101"'), "devices[0].ip", "of its own"),
    Bad("device-with-a-nodes-name", TOP, device(f'name = "network"\nmac = "{SPARE}"'), "devices[0].name", "2nd node"),
    Bad("device-with-a-nodes-mac", TOP, device(f'name = "switch"\nmac = "{MAC1}"'), "devices[0].mac", "too"),
    Bad("second-mac-anothers", f'"{MAC1}"', f'["{MAC1}", "{MAC4}"]', "nodes[3].mac", "own MAC"),
    Bad("second-mac-of-a-group", f'"{MAC1}"', f'["{MAC1}", "01:00:5e:00:00:01"]', "nodes[0].mac", "group"),
    Bad("record-of-a-node", TOP, record('name = "network"\na = "10.0.0.1"'), "records[0].name", "another name"),
    Bad(
        "record-of-a-node-in-full",
        TOP,
        record('name = "network.ciao.lan"\na = "10.0.0.1"'),
        "records[0].name",
        "another",
    ),
    Bad("record-gateway", TOP, record('name = "gateway"\ncname = "network"'), "records[0].name", "this machine"),
    Bad("record-twice", TOP, record(*['name = "r"\na = "10.0.0.1"'] * 2), "records[1].name", "Remove one"),
    Bad(
        "alias-and-more",
        TOP,
        record('name = "r"\ncname = "network"', 'name = "r"\ntxt = "x"'),
        "records[1].name",
        "nothing else",
    ),
    Bad("alias-of-nobody", TOP, record('name = "r"\ncname = "www.corp.example"'), "records[0].cname", "Name a node"),
    Bad("srv-of-nobody", TOP, record('name = "_x._tcp"\nsrv = "0 0 1 nobody"'), "records[0].srv", "Name a node"),
    Bad("alias-of-itself", TOP, record('name = "r"\ncname = "r"'), "records[0].cname", "leads back"),
    Bad("dns-of-the-cluster", TOP, dns('domain = "a.ciao.lan"' + DNS53), "dns[0].domain", "only this gateway"),
    Bad(
        "dns-of-its-addresses",
        TOP,
        dns('domain = "0.168.192.in-addr.arpa"' + DNS53),
        "dns[0].domain",
        "only this gateway",
    ),
    Bad(
        "dns-of-the-gateway",
        TOP,
        dns('domain = "corp.example"\nservers = ["192.168.0.200"]'),
        "dns[0].servers",
        "own server",
    ),
    Bad(
        "option-to-a-stranger",
        TOP,
        option('option = 66\nvalue = "x"\nto = ["bob"]'),
        "options[0].to",
        "controller, network",
    ),
    Bad("options-twice", TOP, option(*['option = 66\nvalue = "x"'] * 2), "options[1].option", "Keep one"),
    Bad(
        "options-twice-by-number",
        TOP,
        option('option = "tftp-server"\nvalue = "x"', 'option = 66\nvalue = "y"'),
        "options[1].option",
        "Keep one",
    ),
    Bad("range-over-a-port", "port = 5000", 'port = "8880-8890"', "forwards[2].port", "another port"),
    Bad("range-of-dns", PORT, 'port = "50-60"', "forwards[0].port", "another port"),
    Bad("range-of-dhcp", PORT, 'port = "60-70"\nprotocol = "udp"', "forwards[0].port", "Remove this forward"),
    Bad("ntp-the-broadcast", LEASE, LEASE + '\nntp = ["192.168.0.255"]', "network.ntp", "192.168.0.1 to"),
    Bad("ntp-the-network", LEASE, LEASE + '\nntp = ["192.168.0.0"]', "network.ntp", "192.168.0.1 to"),
    Bad("forward-of-dhcp", PORT, 'port = 67\nprotocol = "udp"', "forwards[0].port", "Remove this forward"),
]


def changed(example: str, case: Bad) -> str:
    assert case.old in example, "the example has changed"
    if case.before[0]:
        example = example.replace(*case.before, 1)
    return example.replace(case.old, case.new, 1)


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: case.name)
def test_a_plan_that_cannot_be_read(example: str, case: Bad) -> None:
    with pytest.raises(PlanUnreadable) as refused:
        load_plan(changed(example, case), "my.toml")
    error = refused.value
    assert error.status == 2
    assert [problem.key for problem in error.problems] == [case.field]
    (problem,) = error.problems
    assert error.message.startswith("my.toml: ")
    assert case.field in error.message
    assert problem.remedy in error.message
    assert case.says in error.message
    assert problem.remedy
    assert error.message.isprintable()
    assert len(error.message) < 500


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: case.name)
def test_the_line_of_what_cannot_be_read(example: str, case: Bad) -> None:
    """The line is the one that was changed; for a missing key, that of the table which lacks it."""
    text = changed(example, case)
    example = example.replace(*case.before, 1) if case.before[0] else example
    with pytest.raises(PlanUnreadable) as refused:
        load_plan(text, "my.toml")
    (problem,) = refused.value.problems
    first = example[: example.index(case.old)].count("\n") + 1
    if problem.key == "TOML" or case.name == "hostile-key":
        # The parser reports where it gave up; a key that needs escapes is not looked for.
        assert problem.line is None or problem.line >= first
        return
    assert problem.line is not None
    if case.new == "":
        assert text.splitlines()[problem.line - 1].startswith("[")
    else:
        assert first <= problem.line <= first + case.new.count("\n")


@pytest.mark.parametrize("case", UNWORKABLE, ids=lambda case: case.name)
def test_a_plan_that_cannot_work(example: str, case: Bad) -> None:
    findings = check_plan(load_plan(changed(example, case), "my.toml"))
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    assert [finding.field for finding in errors] == [case.field]
    (finding,) = errors
    assert case.says in f"{finding.message} {finding.remedy}"
    assert finding.message
    assert finding.remedy


def test_the_example_itself_has_no_error(example: str) -> None:
    assert not [f for f in check_plan(load_plan(example, "ciao.toml")) if f.severity is Severity.ERROR]


@pytest.mark.parametrize(
    "key", ["a" + ".a" * 100_000, "a" + ' . "b"' * 50_000, "[" + "a." * 100_000 + "a]", "x = {" + "a." * 100_000 + "a"]
)
def test_a_key_of_endless_parts_is_refused_and_not_followed(key: str) -> None:
    # The standard library's parser takes minutes over it, with the square of its parts.
    with pytest.raises(PlanUnreadable, match="parts with dots") as refused:
        load_plan(f"version = 1\n{key} = 1\n", "plan")
    assert refused.value.problems[0].line == 2


def test_dots_that_are_no_key_are_nobodys_business() -> None:
    with pytest.raises(PlanUnreadable) as refused:
        load_plan(f'# {"a." * 99}\nversion = "{"a." * 99}"\n', "plan")
    assert not any("dots" in problem.message for problem in refused.value.problems)
