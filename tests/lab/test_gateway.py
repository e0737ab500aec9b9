"""What the gateway does for those on its two sides: leases, names, NAT, forwards, and the walls between them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from netaddr import IPAddress, IPNetwork

from tests.lab.support import (
    EXAMPLE,
    GATEWAY,
    HERE,
    NODES,
    OFFICE,
    TRAFFIC,
    Question,
    apply,
    ask,
    await_nodes,
    ciao_json,
    laptop_services,
    page,
    peer,
    route_to_the_nodes,
    wrong,
)
from wizard.lab.control import Laboratory
from wizard.plan.fields import format_mac
from wizard.plan.file.read import load_plan

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("gateway")]

LEASE_KEYS = {"mac", "ip", "hostname", "name", "role", "expires", "kind", "state", "reachable"}
SLICE = IPNetwork("192.168.0.64/26")


@pytest.fixture(scope="module")
def gateway(lab_possible: None) -> Iterator[Laboratory]:
    """The example, applied; the nodes have their leases, the laptop has an SSH port, a colleague knows the way."""
    with Laboratory() as lab, laptop_services(lab):
        apply(lab)
        await_nodes(lab)
        route_to_the_nodes(lab)
        yield lab


@pytest.fixture(scope="module")
def answers(gateway: Laboratory) -> dict[str, str | None]:
    """All of TRAFFIC, asked at once."""
    return ask(gateway, TRAFFIC)


def rows(lab: Laboratory) -> dict[str, Any]:
    return {row["mac"]: row for row in ciao_json(lab, "leases")}


def leased(lab: Laboratory, name: str) -> list[str]:
    """The addresses of a machine, as soon as it has one."""
    return lab.wait_for(lambda: lab.addresses(name), 20, f"an address for {name}")


def dropped(lab: Laboratory, counter: str) -> int:
    """Packets that our firewall has dropped: refused_in or refused_forward."""
    told = json.loads(lab.run(["nft", "-j", "list", "counter", "inet", "ciao_gateway", counter]).stdout)
    return int(next(entry["counter"]["packets"] for entry in told["nftables"] if "counter" in entry))


# Leases


def test_the_nodes_have_exactly_the_samples_addresses(gateway: Laboratory) -> None:
    assert {name: gateway.addresses(name) for name in NODES} == {name: [ip] for name, ip in NODES.items()}
    found = rows(gateway)
    assert len(found) >= len(NODES)
    for node in load_plan(EXAMPLE.read_text(), str(EXAMPLE)).nodes:
        row = found[str(format_mac(node.mac))]
        assert (row["name"], row["ip"], row["hostname"]) == (node.name, str(node.ip), node.name)
        assert (row["kind"], row["state"]) == ("node", "leased")


def test_a_lease_row_has_the_contracts_keys(gateway: Laboratory) -> None:
    for row in rows(gateway).values():
        assert set(row) >= LEASE_KEYS
        assert row["mac"] == row["mac"].lower()
        assert len(row["mac"].split(":")) == 6
        assert row["kind"] in ("node", "vm", "stranger")
        assert row["state"] in ("leased", "missing", "wrong-address", "ignored")
        assert row["reachable"] in (True, False, None)
        if row["state"] == "leased":
            left = datetime.fromisoformat(row["expires"]) - datetime.now().astimezone()
            assert 0 < left.total_seconds() <= 12 * 3600


def test_a_node_that_has_just_spoken_is_reachable(gateway: Laboratory) -> None:
    def reachable() -> bool:
        # The kernel trusts an ARP entry for five seconds before it looks itself.
        assert gateway.fetch(f"http://{NODES['network']}/")
        return next(row for row in rows(gateway).values() if row["name"] == "network")["reachable"] is True

    gateway.wait_for(reachable)


@pytest.fixture(scope="module")
def newcomers(gateway: Laboratory) -> Iterator[dict[str, str]]:
    """Machines the plan does not name, by name and MAC: a CNCI, two that are clones of another, and a stranger."""
    clone = ["--hostname", "cnci", "--client-id", "ff000102"]
    macs = {"stranger": "00:16:3e:00:00:09", "cnci": "02:00:00:00:00:07"}
    macs |= {"clone1": "02:00:00:00:01:01", "clone2": "02:00:00:00:01:02"}
    for name, mac in macs.items():
        gateway.machine("add", name, "--mac", mac, *(clone if name.startswith("clone") else []))
    yield macs
    for name in macs:
        gateway.machine("remove", name)


def test_a_vm_gets_an_address_of_the_slice(gateway: Laboratory, newcomers: dict[str, str]) -> None:
    (address,) = leased(gateway, "cnci")
    assert IPAddress(address) in list(SLICE.iter_hosts())
    assert address not in NODES.values()
    row = rows(gateway)[newcomers["cnci"]]
    assert (row["kind"], row["state"], row["ip"], row["name"]) == ("vm", "leased", address, "")
    assert wrong(gateway, {"outside": Question("cnci", "fetch", "http://www.corp.example/", OFFICE_PAGE)}) == {}


def test_clones_with_one_client_id_get_addresses_of_their_own(gateway: Laboratory, newcomers: dict[str, str]) -> None:
    clones = ("clone1", "clone2")
    got = {name: leased(gateway, name) for name in clones}
    assert got["clone1"] != got["clone2"]
    # None of them has lost it to the other.
    assert {name: gateway.addresses(name) for name in clones} == got


def test_a_stranger_gets_no_address_and_is_told_of(gateway: Laboratory, newcomers: dict[str, str]) -> None:
    # It asks as the others do, who have been answered by now.
    for name in ("cnci", "clone1", "clone2"):
        leased(gateway, name)
    gateway.wait_for(lambda: newcomers["stranger"] in rows(gateway), what="the stranger's row")
    row = rows(gateway)[newcomers["stranger"]]
    assert (row["kind"], row["state"], row["ip"]) == ("stranger", "ignored", "")
    assert gateway.addresses("stranger") == []


@pytest.mark.parametrize("how", ["renew", "reboot"])
def test_a_node_keeps_its_address(gateway: Laboratory, how: str) -> None:
    def expiry() -> datetime:
        return datetime.fromisoformat(next(r["expires"] for r in rows(gateway).values() if r["name"] == "compute2"))

    before = expiry()
    # Leases are told to the second, so one that is renewed within it looks the same.
    gateway.wait_for(lambda: gateway.machine(how, "compute2") == "" and expiry() > before, what="a longer lease")
    await_nodes(gateway, {"compute2": NODES["compute2"]})


# Traffic


OFFICE_PAGE = page("corporate", 80, "10.77.0.1", OFFICE)


@pytest.mark.parametrize("question", TRAFFIC)
def test_traffic(answers: dict[str, str | None], question: str) -> None:
    assert answers[question] == TRAFFIC[question].answer


def test_what_is_closed_to_nodes_is_open_to_whom_it_was_before(gateway: Laboratory) -> None:
    """Proves the listener of TRAFFIC, and that the laptop's office side is nobody's business of ours."""
    seen = {
        "the laptop": Question(None, "fetch", "http://127.0.0.1:3000/", page("laptop", 3000, "127.0.0.1", "127.0.0.1")),
        "a colleague": Question(
            "colleague", "fetch", f"http://{OFFICE}:3000/", page("laptop", 3000, OFFICE, "10.77.0.50")
        ),
    }
    assert wrong(gateway, seen) == {}


def test_what_is_refused_was_dropped_by_our_firewall(gateway: Laboratory) -> None:
    """It came as far as our rules and no further; it did not get lost on the way."""
    for counter, questions in {
        "refused_forward": ["a colleague reaches no node past the forwards", "nor by ping"],
        "refused_in": [
            "nor the gateway's DNS",
            f"a node reaches no other service at {GATEWAY}",
            f"a node reaches no other service at {OFFICE}",
        ],
    }.items():
        before = dropped(gateway, counter)
        assert wrong(gateway, {question: TRAFFIC[question] for question in questions}) == {}
        assert dropped(gateway, counter) >= before + len(questions)


# Forwards of other kinds


FORWARDS = """
[[forwards]]
port = 7001
to = "compute1"
to_port = 80
from = ["10.77.0.50/32", "10.99.0.0/16"]

[[forwards]]
port = 7002
to = "compute1"
to_port = 80
from = ["10.99.0.0/16"]

[[forwards]]
port = 7003
to = "network"
to_port = 6000
protocol = "udp"

[[forwards]]
port = 7004
to = "192.168.0.9"
to_port = 80
"""


def test_forwards_with_sources_of_udp_to_another_port_and_to_an_address(lab: Laboratory) -> None:
    lab.machine("add", "printer", "--mac", "00:1b:21:00:00:09", "--address", "192.168.0.9/24")
    lab.run(["ip", "-n", "printer", "route", "add", "default", "via", GATEWAY])
    lab.machine("add", "visitor", "--switch", "corporate", "--mac", "00:1b:21:00:00:10")
    apply(lab, EXAMPLE.read_text() + FORWARDS)
    await_nodes(lab)
    (visitor,) = leased(lab, "visitor")
    colleague = "10.77.0.50"
    printer = page("printer", 80, "192.168.0.9", colleague)
    asked = {
        "a source that is let in": Question(
            "colleague", "fetch", f"http://{OFFICE}:7001/", page("compute1", 80, NODES["compute1"], colleague)
        ),
        "another source": Question("visitor", "fetch", f"http://{OFFICE}:7001/"),
        "the same source at a forward for others": Question("colleague", "fetch", f"http://{OFFICE}:7002/"),
        "udp": Question("colleague", "udp", f"{OFFICE}:7003", f"network 6000\nasked by {colleague}\n"),
        "tcp at the udp forward": Question("colleague", "fetch", f"http://{OFFICE}:7003/"),
        "an address": Question("colleague", "fetch", f"http://{OFFICE}:7004/", printer),
        "any source where none is named": Question(
            "visitor", "fetch", f"http://{OFFICE}:8889/", page("controller", 8889, NODES["controller"], visitor)
        ),
    }
    with peer(lab, "echo", "network", "6000", netns="network"):
        assert wrong(lab, asked) == {}

        # Taken out of the plan, they are closed; the others stay.
        apply(lab)
        closed = {name: replace(question, answer=None) for name, question in asked.items()}
        closed["any source where none is named"] = asked["any source where none is named"]
        assert wrong(lab, closed) == {}


# IPv6: closed both ways


@pytest.fixture
def with_ipv6(gateway: Laboratory) -> Iterator[Laboratory]:
    """Addresses on all three by hand, neighbours known beforehand, and the laptop forwarding IPv6 like a router."""
    lab = gateway
    macs = {
        where: lab.run(["cat", f"/sys/class/net/{nic}/address"], netns=netns).stdout.strip()
        for where, nic, netns in [("office", "eth0", None), ("cluster", "eth1", None), ("node", "eth0", "compute1")]
    }
    lab.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"])
    try:
        for nic, netns, address in [
            ("eth1", None, "fd00:1::1/64"),
            ("eth0", None, "fd00:2::1/64"),
            ("eth0", "compute1", "fd00:1::2/64"),
            ("eth0", "colleague", "fd00:2::2/64"),
        ]:
            lab.run(["ip", "address", "add", address, "dev", nic, "nodad"], netns=netns)
        lab.run(["ip", "-6", "route", "replace", "default", "via", "fd00:1::1"], netns="compute1")
        lab.run(["ip", "-6", "route", "replace", "default", "via", "fd00:2::1"], netns="colleague")
        # Our firewall drops neighbour discovery too; without these nobody would get as far as what is tested.
        lab.run(["ip", "neigh", "replace", "fd00:1::1", "lladdr", macs["cluster"], "dev", "eth0"], netns="compute1")
        lab.run(["ip", "neigh", "replace", "fd00:1::2", "lladdr", macs["node"], "dev", "eth1"])
        link_local = _link_local(lab, "eth1")
        lab.run(["ip", "neigh", "replace", link_local, "lladdr", macs["cluster"], "dev", "eth0"], netns="compute1")
        yield lab
    finally:
        lab.run(["sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding"])
        for nic, netns in [("eth1", None), ("eth0", None), ("eth0", "compute1"), ("eth0", "colleague")]:
            lab.run(["ip", "-6", "address", "flush", "dev", nic, "scope", "global"], netns=netns)
            lab.run(["ip", "-6", "neigh", "flush", "dev", nic], netns=netns)
        for netns in ("compute1", "colleague"):
            lab.run(["ip", "-6", "route", "flush", "default"], netns=netns)


def _link_local(lab: Laboratory, nic: str, netns: str | None = None) -> str:
    told = json.loads(lab.run(["ip", "-j", "-6", "address", "show", "dev", nic, "scope", "link"], netns=netns).stdout)
    return next(str(entry["local"]) for link in told for entry in link.get("addr_info", []) if "local" in entry)


def test_no_ipv6_gets_from_a_node_to_the_laptop(with_ipv6: Laboratory) -> None:
    lab = with_ipv6
    link_local = _link_local(lab, "eth1")
    before = dropped(lab, "refused_in")
    closed = {
        f"{address} {port}": Question("compute1", "fetch", f"http://[{address}]:{port}/")
        for address in ("fd00:1::1", f"{link_local}%25eth0", "fd00:2::1")
        for port in (22, 3000)
    }
    assert wrong(lab, closed) == {}
    assert ask(lab, {"ping": Question("compute1", "ping", f"{link_local}%eth0")}) == {"ping": None}
    assert dropped(lab, "refused_in") >= before + len(closed)
    # The same services, by IPv6, from the other side.
    served = page("laptop", 3000, "fd00:2::1", "fd00:2::2")
    assert wrong(lab, {"office": Question("colleague", "fetch", "http://[fd00:2::1]:3000/", served)}) == {}


def test_no_ipv6_is_forwarded_either_way(with_ipv6: Laboratory) -> None:
    lab = with_ipv6
    for where, target in {"compute1": "fd00:2::2", "colleague": "fd00:1::2"}.items():
        before = dropped(lab, "refused_forward")
        assert ask(lab, {"it": Question(where, "fetch", f"http://[{target}]/")}) == {"it": None}
        assert dropped(lab, "refused_forward") > before, where


def test_a_nodes_router_advertisement_moves_nothing(gateway: Laboratory) -> None:
    def routes() -> str:
        return gateway.run(["ip", "-6", "route", "show", "default"]).stdout

    def advertise(netns: str) -> None:
        gateway.run([sys.executable, str(HERE / "peer.py"), "advertise", "eth0"], netns=netns)

    assert routes() == ""
    advertise("compute1")
    # What was sent after them on the same wire has arrived.
    assert ask(gateway, {"it": Question("compute1", "ping", GATEWAY, "answers")}) == {"it": "answers"}
    assert routes() == ""
    assert "fd00:bad" not in gateway.run(["ip", "-6", "address"]).stdout
    # From the office, which is not ours to judge, the very same is taken.
    try:
        advertise("colleague")
        gateway.wait_for(lambda: "dev eth0" in routes(), 5, "the route of the same advertisement")
    finally:
        gateway.run(["ip", "-6", "route", "flush", "default"])
        gateway.run(["ip", "-6", "address", "flush", "dev", "eth0", "scope", "global"])
