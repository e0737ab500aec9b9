"""Plan x leases -> rows."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from netaddr import EUI, IPAddress, IPNetwork

from wizard.host.dhcp.dnsmasq_log import IgnoredClient
from wizard.host.net.neighbours import Neighbour
from wizard.host.net.node_traffic import NodeTraffic
from wizard.host.net.traffic import Counters
from wizard.monitor.lease_rows import LeaseRow, make_rows, row_json
from wizard.plan.lease_parser import Lease
from wizard.plan.model import Device, Interfaces, Network, Node, Plan, Role

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=12)

CONTROLLER, COMPUTE = "b8:ae:ed:7b:51:50", "c0:3f:d5:63:ea:dd"
CNCI, STRANGER, TENANT = "02:11:22:33:44:55", "c0:3f:d5:67:a2:01", "02:00:ac:10:00:02"

PLAN = Plan(
    Interfaces("eth0", "eth1"),
    Network(IPNetwork("192.168.0.0/24"), IPAddress("192.168.0.200")),
    (
        Node("controller", (Role.CONTROLLER,), EUI(CONTROLLER), IPAddress("192.168.0.101")),
        Node("compute1", (Role.NETWORK, Role.COMPUTE), EUI(COMPUTE), IPAddress("192.168.0.104")),
    ),
)


def lease(mac: str, ip: str, hostname: str = "", expires: datetime | None = LATER) -> Lease:
    return Lease(expires, mac, ip, hostname)


def by_mac(*leases: Lease, plan: Plan = PLAN, **more: Any) -> dict[str, LeaseRow]:
    found = make_rows(plan, leases, now=NOW, **more)
    rows_by_mac = {row.mac: row for row in found}
    assert len(rows_by_mac) == len(found)
    return rows_by_mac


def test_every_node_has_a_row_in_the_plans_order_leased_or_not() -> None:
    found = make_rows(PLAN, [lease(COMPUTE, "192.168.0.104", "compute1")], now=NOW)

    assert [(row.name, row.state, row.ip, row.expires) for row in found] == [
        ("controller", "missing", "192.168.0.101", None),
        ("compute1", "leased", "192.168.0.104", LATER),
    ]
    assert [row.role for row in found] == ["controller", "network, compute"]
    assert [row.reason for row in found] == ["", ""]


def test_kinds_by_reservation_wildcard_and_neither_sorted_by_address() -> None:
    found = make_rows(
        PLAN,
        [
            lease(STRANGER, "192.168.0.9"),
            lease("02:99:00:00:00:01", "192.168.0.110"),
            lease(CNCI, "192.168.0.80", "cnci"),
            lease(COMPUTE, "192.168.0.104"),
        ],
        now=NOW,
    )

    assert [(row.kind, row.ip, row.state) for row in found] == [
        ("node", "192.168.0.101", "missing"),
        ("node", "192.168.0.104", "leased"),
        ("vm", "192.168.0.80", "leased"),
        ("vm", "192.168.0.110", "leased"),
        ("stranger", "192.168.0.9", "leased"),
    ]


def test_without_vm_macs_everybody_else_is_a_stranger() -> None:
    plan = replace(PLAN, network=replace(PLAN.network, vm_macs=()))

    assert by_mac(lease(CNCI, "192.168.0.80"), plan=plan)[CNCI].kind == "stranger"


def test_a_lease_that_ran_out_is_none() -> None:
    row = by_mac(lease(CONTROLLER, "192.168.0.101", expires=NOW))[CONTROLLER]

    assert (row.state, row.expires) == ("missing", None)
    assert "192.168.0.101 ended at" in row.reason


def test_an_infinite_lease_never_runs_out() -> None:
    assert by_mac(lease(CONTROLLER, "192.168.0.101", expires=None))[CONTROLLER].state == "leased"


def test_a_wrong_address_says_who_holds_the_right_one() -> None:
    row = by_mac(lease(COMPUTE, "192.168.0.79"), lease(CNCI, "192.168.0.104", "cnci"))[COMPUTE]

    assert (row.state, row.ip) == ("wrong-address", "192.168.0.79")
    assert row.reason == "192.168.0.104 is reserved for it, but is leased to 02:11:22:33:44:55 (cnci)"


def test_a_wrong_address_gives_dnsmasqs_own_reason() -> None:
    row = by_mac(lease(COMPUTE, "192.168.0.79"), reasons={COMPUTE: "it was declined"})[COMPUTE]

    assert (row.state, row.reason) == ("wrong-address", "it was declined")


def test_a_wrong_address_without_a_known_reason_says_what_comes_next() -> None:
    row = by_mac(lease(COMPUTE, "192.168.0.79"))[COMPUTE]

    assert row.reason == "192.168.0.104 is reserved for it; it gets that when it asks again"


def test_who_holds_a_nodes_address_is_told_so() -> None:
    found = by_mac(lease(CNCI, "192.168.0.104"))

    assert found[CNCI].reason == "holds 192.168.0.104, which is reserved for compute1"
    assert found[COMPUTE].state == "missing"
    assert "leased to 02:11:22:33:44:55" in found[COMPUTE].reason


def test_a_node_without_an_address_in_the_plan_has_the_wizards_choice() -> None:
    plan = replace(PLAN, nodes=(replace(PLAN.nodes[0], ip=None),))

    assert by_mac(plan=plan)[CONTROLLER].ip == "192.168.0.1"
    assert by_mac(lease(CONTROLLER, "192.168.0.77"), plan=plan)[CONTROLLER].state == "wrong-address"


def test_two_leases_of_one_mac_are_two_rows() -> None:
    found = make_rows(PLAN, [lease(CONTROLLER, "192.168.0.70"), lease(CONTROLLER, "192.168.0.101")], now=NOW)
    mine = [row for row in found if row.mac == CONTROLLER]

    assert [(row.ip, row.state) for row in mine] == [
        ("192.168.0.101", "leased"),
        ("192.168.0.70", "wrong-address"),
    ]
    assert "two machines share it" in mine[1].reason


@pytest.mark.parametrize("vm_macs", [("02:*:*:*:*:*",), ()])
def test_a_tenants_mac_on_the_wire_names_the_tenants_address(vm_macs: tuple[str, ...]) -> None:
    plan = replace(PLAN, network=replace(PLAN.network, vm_macs=vm_macs))

    assert "172.16.0.2" in by_mac(lease(TENANT, "192.168.0.65"), plan=plan)[TENANT].reason


def test_who_was_ignored_has_a_row() -> None:
    seen = IgnoredClient(STRANGER, 3, NOW, "printer")
    row = by_mac(ignored={STRANGER: seen})[STRANGER]

    assert (row.kind, row.state, row.ip, row.hostname, row.expires) == ("stranger", "ignored", "", "printer", None)
    assert "3 times" in row.reason


def test_an_ignored_node_is_said_to_be_one() -> None:
    row = by_mac(ignored={COMPUTE: IgnoredClient(COMPUTE, 1)})[COMPUTE]

    assert (row.kind, row.state, row.name) == ("node", "ignored", "compute1")


def test_a_lease_outweighs_having_been_ignored() -> None:
    row = by_mac(lease(STRANGER, "192.168.0.70"), ignored={STRANGER: IgnoredClient(STRANGER, 1)})[STRANGER]

    assert (row.state, row.ip) == ("leased", "192.168.0.70")


@pytest.mark.parametrize(
    ("neighbour", "reachable"),
    [
        (None, None),
        (Neighbour(CONTROLLER, "reachable"), True),
        (Neighbour(CONTROLLER, "stale"), None),
        (Neighbour(CONTROLLER, "delay"), None),
        (Neighbour("", "incomplete"), None),
        (Neighbour("", "failed"), False),
        (Neighbour(CONTROLLER, "failed"), False),
        (Neighbour(STRANGER, "reachable"), None),
        (Neighbour(STRANGER, "failed"), None),
    ],
)
def test_reachable_is_only_said_of_the_machine_itself(neighbour: Neighbour | None, reachable: bool | None) -> None:
    known = {"192.168.0.101": neighbour} if neighbour else {}
    row = by_mac(lease(CONTROLLER, "192.168.0.101"), neighbours=known)[CONTROLLER]

    assert row.reachable is reachable
    impostor = neighbour is not None and neighbour.mac == STRANGER and neighbour.reachable
    assert row.reason == (f"another machine answers at 192.168.0.101: {STRANGER}" if impostor else "")


def test_a_node_that_has_its_address_without_a_lease_is_not_missing() -> None:
    row = by_mac(neighbours={"192.168.0.101": Neighbour(CONTROLLER, "reachable")})[CONTROLLER]

    assert (row.state, row.ip, row.expires, row.reachable, row.reason) == ("static", "192.168.0.101", None, True, "")


@pytest.mark.parametrize("there", [Neighbour(STRANGER, "reachable"), Neighbour(CONTROLLER, "failed")])
def test_who_does_not_answer_at_its_own_address_is_missing(there: Neighbour) -> None:
    assert by_mac(neighbours={"192.168.0.101": there})[CONTROLLER].state == "missing"


def test_json_has_the_keys_that_were_promised() -> None:
    record = row_json(by_mac(lease(CONTROLLER, "192.168.0.101", "controller"))[CONTROLLER])

    assert record == {
        "mac": CONTROLLER,
        "ip": "192.168.0.101",
        "hostname": "controller",
        "name": "controller",
        "role": "controller",
        "expires": "2026-11-23T00:00:00+00:00",
        "kind": "node",
        "state": "leased",
        "reachable": None,
        "vendor": "Elitegroup Computer Systems Co.,Ltd.",
        "reason": "",
        "alarms": [],
        "first_seen": None,
        "last_seen": None,
        "rx_bytes": None,
        "tx_bytes": None,
    }


def test_json_has_what_an_address_received_and_sent() -> None:
    row = by_mac(lease(CONTROLLER, "192.168.0.101", "controller"))[CONTROLLER]
    traffic = NodeTraffic(known=True, bytes={"192.168.0.101": Counters(received=5, sent=3)})
    assert (row_json(row, traffic)["rx_bytes"], row_json(row, traffic)["tx_bytes"]) == (5, 3)
    silent = NodeTraffic(known=True)
    assert (row_json(row, silent)["rx_bytes"], row_json(row, silent)["tx_bytes"]) == (0, 0)
    assert row_json(row, NodeTraffic())["rx_bytes"] is None


def test_65000_leases_take_well_under_a_second() -> None:
    many = [
        lease(f"02:11:22:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}", f"10.0.{i >> 8}.{i & 255}")
        for i in range(65_000)
    ]
    began = time.process_time()
    found = make_rows(
        PLAN,
        many,
        now=NOW,
        ignored={f"c0:{n:02x}:00:00:00:01": IgnoredClient(f"c0:{n:02x}:00:00:00:01") for n in range(256)},
    )

    assert len(found) == 65_000 + 2 + 256
    assert time.process_time() - began < 1.5


def test_a_machine_with_two_nics_has_one_row() -> None:
    usb = "00:e0:4c:00:00:01"
    node = replace(PLAN.nodes[0], other_macs=(EUI(usb),))
    plan = replace(PLAN, nodes=(node, *PLAN.nodes[1:]))
    rows = make_rows(plan, [lease(usb, "192.168.0.101", "controller")], now=NOW)
    assert [(row.mac, row.state) for row in rows if row.name == "controller"] == [(usb, "leased")]
    static = make_rows(plan, [], now=NOW, neighbours={"192.168.0.101": Neighbour(usb, "reachable")})
    assert [(row.mac, row.state) for row in static if row.name == "controller"] == [(usb, "static")]
    ignored = make_rows(plan, [], now=NOW)
    assert [(row.mac, row.state) for row in ignored if row.name == "controller"] == [(CONTROLLER, "missing")]


def test_a_device_is_watched_like_a_node() -> None:
    mac = "00:0c:42:00:00:01"
    plan = replace(PLAN, devices=(Device("switch", EUI(mac), IPAddress("192.168.0.250")),))
    *_, row = make_rows(plan, [], now=NOW)
    assert (row.kind, row.name, row.role, row.state) == ("device", "switch", "", "missing")
    *_, row = make_rows(plan, [], now=NOW, neighbours={"192.168.0.250": Neighbour(mac, "reachable")})
    assert (row.state, row.reachable) == ("static", True)


def test_who_could_get_no_address_has_a_row_that_says_why() -> None:
    full = "no address is left for it in the range"
    (row,) = [row for row in make_rows(PLAN, [], now=NOW, reasons={CNCI: full}) if row.mac == CNCI]
    assert (row.kind, row.state, row.ip, row.reason) == ("vm", "ignored", "", full)
    # Once it has a lease, that is its row.
    assert by_mac(lease(CNCI, "192.168.0.70"), reasons={CNCI: full})[CNCI].state == "leased"
