"""Machines that are copies of one another: ciao's CNCIs boot in bursts with one client-id and one host name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from netaddr import IPAddress, IPRange

from tests.lab.guarding import asking, await_mode, macs, report
from tests.lab.support import NODES, apply, await_nodes, ciao_json, plan_with
from tests.needs import need
from wizard.lab.control import Laboratory
from wizard.lab.world import NODES as MACHINES

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("clones")]

SLICE = IPRange("192.168.0.129", "192.168.0.195")
CLONES = 60
MACHINE_ID = "ff0000000000020000ab11c0ffee00c0ffee00c0ffee"
"""A client-id as systemd-networkd makes it of a machine-id, which a copied image shares."""


@pytest.fixture(scope="module")
def gateway(lab_possible: None) -> Iterator[Laboratory]:
    """The example with a slice clear of the nodes, who have their leases; a host on the switch to ask from."""
    with Laboratory() as lab:
        changed = f'dhcp_range = ["{IPAddress(SLICE.first)}", "{IPAddress(SLICE.last)}"] #'
        apply(lab, plan_with(("dhcp_slice = ", changed)))
        await_nodes(lab)
        lab.machine("add", "host", "--mac", "00:1b:21:00:00:66", "--no-dhcp")
        yield lab


def test_sixty_clones_that_boot_at_once_get_sixty_addresses_of_the_slice(gateway: Laboratory) -> None:
    clones = macs(CLONES, "02:00:00:0c")
    told = {"client_id": MACHINE_ID, "hostname": "ubuntu", "take": True, "every": 3.0, "seconds": 90}
    with asking(gateway, "host", macs=clones, **told) as asked:
        for name in NODES:
            gateway.machine("renew", name)
        found = asked.wait()
    leased = {mac: seen["leased"] for mac, seen in found.items()}
    addresses = {address for address in leased.values() if address}
    report(f"{len(addresses)} addresses for {len(clones)} clones")
    assert None not in leased.values(), leased
    assert len(addresses) == CLONES
    # One after the other, from the first on.
    assert addresses == {str(IPAddress(SLICE.first + n)) for n in range(CLONES)}
    await_nodes(gateway)
    rows = {row["mac"]: row for row in ciao_json(gateway, "leases")}
    assert {mac: rows[mac]["ip"] for mac in clones} == leased
    await_mode(gateway, "armed")


def test_clones_of_a_node_get_addresses_of_their_own_and_the_node_keeps_its(gateway: Laboratory) -> None:
    node = next(machine for machine in MACHINES if machine.name == "compute1")
    # What udhcpc says of itself: Ethernet, and its MAC.
    client_id = "01" + node.mac.replace(":", "")
    with asking(
        gateway, "host", macs=macs(3, "02:00:00:0d"), client_id=client_id, hostname="compute1", take=True, seconds=30
    ) as asked:
        gateway.machine("renew", "compute1")
        found = asked.wait()
    addresses = {seen["leased"] for seen in found.values()}
    assert None not in addresses, found
    assert len(addresses) == 3
    assert NODES["compute1"] not in addresses
    gateway.machine("reboot", "compute1")
    await_nodes(gateway)


def test_a_clones_host_name_does_not_take_a_nodes_name(gateway: Laboratory) -> None:
    with asking(gateway, "host", macs=macs(1, "02:00:00:0e"), hostname="controller", take=True, seconds=30) as asked:
        (seen,) = asked.wait().values()
    assert seen["leased"] in SLICE
    need("busybox")
    said = gateway.run(["busybox", "nslookup", "controller.ciao.lan", "192.168.0.200"], netns="compute1", check=False)
    assert NODES["controller"] in said.stdout
    assert seen["leased"] not in said.stdout
