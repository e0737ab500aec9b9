"""What the name server is given to read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from netaddr import IPNetwork

from wizard.plan.file.read import load_plan
from wizard.plan.model import Plan
from wizard.plan.names import dns_options, hosts, reverse_zones, servers_file, upstream_servers
from wizard.plan.render import render

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "examples" / "ciao.toml").read_text()
NOW = 1_700_000_000.0
LATER, EARLIER = int(NOW) + 60, int(NOW) - 60


@pytest.fixture
def plan() -> Plan:
    return load_plan(TEXT, "ciao.toml")


@pytest.mark.parametrize("cidr", ["192.168.0.0/24", "192.168.0.64/26", "10.3.0.0/22", "10.0.0.0/8", "10.0.0.4/30"])
def test_reverse_zones_cover_the_subnet_and_nothing_else(cidr: str) -> None:
    covered: list[IPv4Network] = []
    for zone in reverse_zones(IPNetwork(cidr)):
        labels = zone.removesuffix(".in-addr.arpa").split(".")[::-1]
        start = IPv4Address(".".join([*labels, "0", "0", "0"][:4]))
        covered.append(IPv4Network((start, 8 * len(labels))))
    assert sum(net.num_addresses for net in covered) == IPv4Network(cidr).num_addresses
    assert all(net.subnet_of(IPv4Network(cidr)) for net in covered)


def test_the_name_servers_options_are_those_of_the_plan_without_dhcp(plan: Plan) -> None:
    (conf,) = (file.text for file in render(plan, TEXT) if file.path.endswith(".cfg"))
    lines = dns_options(conf, ["no-resolv"]).splitlines()
    assert lines[-1] == "no-resolv"
    assert "interface=eth1" in lines
    assert "local=/ciao.lan/" in lines
    assert not [line for line in lines if "dhcp" in line or line.startswith("pid-file")]


def leases(*rows: tuple[str, str], expires: int = LATER) -> str:
    return "".join(f"{expires} 02:00:00:00:00:{n:02x} {ip} {name} *\n" for n, (ip, name) in enumerate(rows))


def names_of(text: str) -> dict[str, str]:
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert all(row[1] == f"{row[2]}.ciao.lan" for row in rows)
    assert len({row[2] for row in rows}) == len({row[0] for row in rows}) == len(rows)
    return {row[2]: row[0] for row in rows}


NODES = {
    "controller": "192.168.0.101",
    "network": "192.168.0.102",
    "compute1": "192.168.0.103",
    "compute2": "192.168.0.104",
}


def test_nodes_have_names_before_any_lease(plan: Plan) -> None:
    assert names_of(hosts(plan, "", NOW)) == NODES


@pytest.mark.parametrize(
    "row",
    [
        ("192.168.0.70", "compute1"),
        ("192.168.0.70", "Compute1"),
        ("192.168.0.70", "gateway"),
        ("192.168.0.70", "_gateway"),
        ("192.168.0.70", "localhost"),
        ("192.168.0.70", "ISATAP"),
        ("192.168.0.70", "wpad"),
        ("192.168.0.70", "ntp"),
        ("192.168.0.70", "*"),
        ("192.168.0.70", "a.b"),
        ("192.168.0.70", "-a"),
        ("192.168.0.70", "a" * 64),
        ("192.168.0.70", "\x1b[31m"),
        ("192.168.0.70", "\udc80é"),
        ("192.168.0.103", "other"),
        ("192.168.0.200", "other"),
        ("10.77.0.5", "other"),
        ("fd00::1", "other"),
        ("rubbish", "other"),
    ],
    ids=str,
)
def test_no_lease_takes_a_name_or_an_address_that_is_not_its_own(plan: Plan, row: tuple[str, str]) -> None:
    assert names_of(hosts(plan, leases(row), NOW)) == NODES


def test_leased_names_are_added_once_and_as_long_as_the_lease_lasts(plan: Plan) -> None:
    found = hosts(plan, leases(("192.168.0.70", "VM1"), ("192.168.0.71", "vm1"), ("192.168.0.70", "vm2")), NOW)
    assert names_of(found) == NODES | {"vm1": "192.168.0.70"}
    assert names_of(hosts(plan, leases(("192.168.0.70", "vm1"), expires=EARLIER), NOW)) == NODES
    assert names_of(hosts(plan, leases(("192.168.0.70", "vm1"), expires=0), NOW)) == NODES | {"vm1": "192.168.0.70"}
    assert names_of(hosts(plan, "rubbish\n\n1 2 3\nduid 00:01\n", NOW)) == NODES


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", []),
        ("search a b\noptions edns0\n# nameserver 9.9.9.9\n; nameserver 9.9.9.9\n", []),
        ("nameserver 10.1.1.53\nnameserver 10.1.1.54\nnameserver 10.1.1.53\n", ["10.1.1.53", "10.1.1.54"]),
        ("  nameserver\t127.0.0.53 \nnameserver 1.1.1.1 # one\n", ["127.0.0.53", "1.1.1.1"]),
        ("nameserver 192.168.0.200\nnameserver 10.1.1.53\n", ["10.1.1.53"]),
        ("nameserver ::ffff:192.168.0.200\nnameserver 0.0.0.0\nnameserver ::\n", ["127.0.0.1", "::1"]),
        (
            "nameserver fe80::1%eth0\nnameserver fe80::1%et/h0\nnameserver 2001:DB8::1\n",
            ["fe80::1%eth0", "2001:db8::1"],
        ),
        ("nameserver dns.corp.example\nnameserver 1.2.3\nnameserver\nnameserver 1.1.1.1#5\n", []),
    ],
)
def test_upstream_servers(text: str, servers: list[str]) -> None:
    assert list(upstream_servers(text, "192.168.0.200")) == servers
    assert servers_file(servers).splitlines()[1:] == [f"server={server}" for server in servers]
