"""The DHCP clients that machines really have: each is told all that the plan says of its machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from netaddr import IPAddress, IPNetwork

from tests.lab.dhcp_clients import CLIENTS, Client, Told, udhcpc
from tests.lab.name_streams import dig
from tests.lab.support import EXAMPLE, GATEWAY, LEASES, apply
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("clients")]

RESOLV_CONF = Path("/etc/resolv.conf")
MACS = {name: f"00:1b:21:5b:00:{number:02x}" for number, name in enumerate(CLIENTS, 1)}
ADDRESSES = {name: f"192.168.0.{110 + number}" for number, name in enumerate(CLIENTS, 1)}
NODES = "".join(
    f'\n[[nodes]]\nname = "{name}-node"\nrole = "compute"\nmac = "{MACS[name]}"\nip = "{ADDRESSES[name]}"\n'
    f'\n[[options]]\noption = 227\nvalue = "of {name}"\nto = ["{name}-node"]\n'
    for name in CLIENTS
)
PLAN = (
    EXAMPLE.read_text().replace("[network]\n", '[network]\nmtu = 1400\nsearch = ["ciao.lan", "corp.example"]\n')
    + '\n[[options]]\noption = 225\nvalue = "00:ff:7f"\n'
    + '\n[[options]]\noption = 226\nvalue = 7\nto = ["compute"]\n'
    + '\n[[options]]\noption = 226\nvalue = 8\nto = ["controller"]\n'
    + '\n[[records]]\nname = "registry"\na = "192.168.0.150"\n'
    + NODES
)


VM_MACS = {name: f"02:00:00:5b:00:{number:02x}" for number, name in enumerate(CLIENTS, 1)}
VM_MACS["later"] = "02:00:00:5b:00:ff"
VM_RANGE = IPNetwork("192.168.0.64/26")


@pytest.fixture(scope="module")
def served(lab_possible: None) -> Iterator[Laboratory]:
    ours = RESOLV_CONF.read_bytes()
    with Laboratory() as lab:
        apply(lab, PLAN)
        for name, mac in MACS.items():
            lab.machine("add", name, "--mac", mac, "--no-dhcp")
        for name, mac in VM_MACS.items():
            lab.machine("add", f"vm-{name}", "--mac", mac, "--no-dhcp")
        yield lab
    assert RESOLV_CONF.read_bytes() == ours


def resolv_conf(lab: Laboratory, machine: str) -> list[str]:
    """What a client wrote there, without its comments."""
    lines = lab.run(["cat", f"/etc/netns/{machine}/resolv.conf"]).stdout.splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def mtu_to_the_office(lab: Laboratory, machine: str) -> int:
    """Of the route, which dhcpcd sets, or else of the NIC."""
    (route,) = json.loads(lab.run(["ip", "-j", "route", "get", "10.77.0.1"], netns=machine).stdout)
    nic = lab.run(["cat", "/sys/class/net/eth0/mtu"], netns=machine).stdout
    found = [metric["mtu"] for metric in route.get("metrics", []) if "mtu" in metric]
    return int(found[0] if found else nic)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_each_client_is_told_what_the_plan_says_of_its_machine(served: Laboratory, client: Client) -> None:
    with client.run(served, client.name, "") as told:
        assert told == Told(
            ADDRESSES[client.name],
            f"{client.name}-node",
            "ciao.lan",
            ["ciao.lan", "corp.example"],
            "1400",
            {225: "00ff7f", 226: "07", 227: f"of {client.name}".encode().hex()},
        )
        served.wait_for(lambda: served.addresses(client.name) == [ADDRESSES[client.name]], 10, "the address set")
        route = served.run(["ip", "route", "show", "default"], netns=client.name).stdout
        assert f"via {GATEWAY} dev eth0" in route
        assert mtu_to_the_office(served, client.name) == 1400
        if client.writes:
            served.wait_for(lambda: f"nameserver {GATEWAY}" in resolv_conf(served, client.name), 10, "its servers")


@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_a_virtual_machine_has_the_name_that_it_sends(served: Laboratory, client: Client) -> None:
    machine = f"vm-{client.name}"
    with client.run(served, machine, machine) as told:
        assert IPAddress(told.address) in VM_RANGE
        served.wait_for(lambda: dig(served, "controller", machine, "A") == [told.address], 10, "its name")
        assert dig(served, "controller", "-x", told.address) == [f"{machine}.ciao.lan."]


@pytest.mark.parametrize(
    ("client", "name", "address"),
    [
        *((client, "compute1", "192.168.0.103") for client in CLIENTS),
        ("dhclient", "registry", "192.168.0.150"),
        ("dhclient", "gateway", GATEWAY),
    ],
)
def test_a_virtual_machine_takes_no_name_of_the_plans(served: Laboratory, client: str, name: str, address: str) -> None:
    with CLIENTS[client].run(served, f"vm-{client}", name) as told:
        assert IPAddress(told.address) in VM_RANGE
        assert VM_MACS[client] in served.run(["cat", LEASES]).stdout
        # Once a later lease has its name, this one has been looked at.
        later = f"later-than-{client}-{name}"
        with udhcpc(served, "vm-later", later):
            served.wait_for(lambda: dig(served, "controller", later, "A"), 10, "the later name")
        for question in (name, f"{name}.ciao.lan"):
            assert dig(served, "controller", question, "A") == [address]
        assert dig(served, "controller", "-x", address) == [f"{name}.ciao.lan."]
        assert f"{name}.ciao.lan." not in dig(served, "controller", "-x", told.address)
