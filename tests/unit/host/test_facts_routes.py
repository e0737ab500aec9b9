"""Routes, as `ip -j route show table all` tells them."""

import json
from typing import Any

import pytest
from netaddr import IPNetwork

from wizard.host import commands
from wizard.host.facts import uplinks
from wizard.host.facts.routes import read_routes
from wizard.plan.addresses import nics_of_default_routes
from wizard.plan.machine import Address, Nic, Route

ROUTES = """[
{"dst":"10.11.0.0/16","dev":"wg0","table":"51820","scope":"link","flags":[]},
{"dst":"default","gateway":"10.77.0.1","dev":"eth0","protocol":"dhcp","metric":100,"flags":[]},
{"dst":"default","via":{"family":"inet6","host":"fe80::9"},"dev":"eth5","metric":300,"flags":[]},
{"dst":"10.9.0.0/16","flags":[],"nexthops":[{"gateway":"10.77.0.1","dev":"eth0","weight":1,"flags":[]},
 {"gateway":"10.78.0.3","dev":"eth2","weight":1,"flags":[]}]},
{"type":"blackhole","dst":"10.10.0.0/16","flags":[]},
{"dst":"10.77.0.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.77.0.98","flags":[]},
{"dst":"10.0.0.7","dev":"a;b","flags":[]},
{"type":"local","dst":"10.77.0.98","dev":"eth0","table":"local","protocol":"kernel","scope":"host"},
{"type":"local","dst":"10.200.0.0/16","dev":"lo","table":"local","scope":"host"},
{"type":"broadcast","dst":"10.77.0.255","dev":"eth0","table":"local","protocol":"kernel","scope":"link"},
{"dst":"fd00::/64","dev":"eth0","protocol":"kernel","metric":256,"flags":[],"pref":"medium"},
{"dst":"default","gateway":"fe80::1","dev":"eth0","metric":1024,"flags":[],"pref":"medium"},
{"type":"unreachable","dst":"default","dev":"lo","metric":4294967295,"flags":[],"pref":"medium"},
{"type":"multicast","dst":"ff00::/8","dev":"eth0","table":"local","protocol":"kernel","metric":256}
]"""


@pytest.fixture
def ip_output(monkeypatch: pytest.MonkeyPatch) -> Any:
    def says(text: str) -> None:
        monkeypatch.setattr(commands, "run", lambda *_, **__: text)

    return says


def test_every_table_and_both_families_without_the_mirrors_of_addresses(ip_output: Any) -> None:
    ip_output(ROUTES)

    assert read_routes() == (
        Route(IPNetwork("10.11.0.0/16"), "wg0", table="51820"),
        Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1", metric=100),
        Route(IPNetwork("0.0.0.0/0"), "eth5", "fe80::9", metric=300),
        Route(IPNetwork("10.9.0.0/16"), "eth0", "10.77.0.1"),
        Route(IPNetwork("10.9.0.0/16"), "eth2", "10.78.0.3"),
        Route(IPNetwork("10.10.0.0/16"), ""),
        Route(IPNetwork("10.77.0.0/24"), "eth0"),
        Route(IPNetwork("10.0.0.7/32"), "a;b"),
        Route(IPNetwork("10.200.0.0/16"), "lo", table="local"),
        Route(IPNetwork("fd00::/64"), "eth0", metric=256),
        Route(IPNetwork("::/0"), "eth0", "fe80::1", metric=1024),
        Route(IPNetwork("::/0"), "", metric=4294967295),
    )


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({}, True),
        ({"metric": 19999}, True),
        # Of a NIC whose way out NetworkManager found dead.
        ({"metric": 20100}, True),
        ({"table": "51820"}, True),
        ({"dst": "128.0.0.0/1"}, True),
        ({"dst": "10.0.0.0/8"}, False),
        ({"gateway": "fe80::1", "pref": "medium", "table": "100"}, True),
        ({"gateway": "fe80::1", "pref": "medium"}, True),
        ({"type": "unreachable"}, False),
    ],
)
def test_a_default_route_of_any_table_counts_and_a_part_of_one(
    ip_output: Any, more: dict[str, Any], counts: bool
) -> None:
    ip_output(json.dumps([{"dst": "default", "gateway": "10.0.0.1", "dev": "eth1", **more}]))

    assert nics_of_default_routes(read_routes()) == (frozenset({"eth1"}) if counts else frozenset())


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '[{"dst":"garbage","dev":"eth0"}]', "[{}]"])
def test_what_cannot_be_understood_is_no_route(ip_output: Any, text: str) -> None:
    ip_output(text)

    assert read_routes() == ()


def test_the_guard_sees_the_host_s_end_of_a_container_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by no pattern: only a host route over a NIC without an address tells."""
    has_address = (Address(IPNetwork("10.5.0.2/30")),)
    nics = (Nic("c1", 8, "veth", master="x0"), Nic("eth0", 2, "veth", addresses=has_address), Nic("x0", 9, "bridge"))
    routes = (Route(IPNetwork("10.88.0.7/32"), "c1"), Route(IPNetwork("10.5.0.1/32"), "eth0"))
    monkeypatch.setattr(uplinks, "read_nics", lambda: nics)
    monkeypatch.setattr(uplinks, "read_routes", lambda: routes)
    monkeypatch.setattr(uplinks, "read_outbound", lambda: ())

    assert [nic.kind for nic in uplinks.read_route_facts().nics] == ["container", "veth", "bridge"]
