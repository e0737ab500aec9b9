"""What the guard judges by: one change of a machine on which everything holds, and its verdict in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from netaddr import IPNetwork

from wizard.deploy.guard.preconditions import HOLDS, check_identity, check_nic
from wizard.plan.file.read import load_plan
from wizard.plan.machine import Address, Nic
from wizard.plan.model import Interfaces

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
MAC, BUS = "00:1b:21:00:00:02", "pci0000:00/usb1/1-1"
IDENTITY = {"cluster": {"name": "eth1", "mac": MAC, "bus": BUS}}
OURS = Address(IPNetwork("192.168.0.200/24"))

ETH0 = Nic("eth0", 2, "ethernet", "00:1b:21:00:00:01", "00:1b:21:00:00:01", "pci0000:00/1f.6", up=True, carrier=True)
ETH1 = Nic("eth1", 3, "ethernet", MAC, MAC, BUS, up=True, carrier=True, addresses=(OURS,))

Nics = dict[str, Nic]


def nics(*found: Nic) -> Nics:
    return {nic.name: nic for nic in found}


def test_on_the_machine_as_it_was_applied_everything_holds() -> None:
    assert check_identity(PLAN, IDENTITY, nics(ETH0, ETH1)) == HOLDS
    assert check_nic(PLAN, nics(ETH0, ETH1), {"eth0"}) == HOLDS


def test_the_cluster_nic_in_the_default_routes_bridge_is_the_companys_network() -> None:
    """Where the plan follows the default route, that bridge is nobody's corporate NIC by name."""
    auto = replace(PLAN, interfaces=Interfaces("auto", "eth1"))
    bridge = Nic("br0", 7, "bridge", up=True, carrier=True)
    joined = nics(bridge, replace(ETH1, master="br0"))
    verdict = check_nic(auto, joined, {"br0"})
    assert (verdict.code, verdict.tripped) == ("one-wire", True)
    assert "br0, which has the default route" in verdict.reason
    assert check_nic(auto, joined, set()).code == "enslaved"
    both = nics(bridge, replace(ETH0, master="br0"), replace(ETH1, master="br0"))
    assert check_nic(auto, both, set(), "eth0").code == "one-wire"


@dataclass(frozen=True)
class Case:
    name: str
    nics: Nics
    code: str
    words: tuple[str, ...]
    tripped: bool
    identity: dict[str, dict[str, str]] | None = None
    routed: frozenset[str] = frozenset({"eth0"})


EXCHANGED = nics(replace(ETH0, name="eth1"), replace(ETH1, name="eth0"))
WHO = [
    Case("it is out", nics(ETH0), "nic-gone", ("eth1 is not there",), False),
    Case("it has another name", nics(ETH0, replace(ETH1, name="enx1")), "renamed", ("enx1", MAC, "apply"), True),
    Case("names are exchanged", EXCHANGED, "other-nic", (MAC, ETH0.mac, "now called eth0"), True),
    Case(
        "another one took its name",
        nics(ETH0, replace(ETH1, permanent_mac="00:1b:21:00:00:99")),
        "other-nic",
        (f"expected {MAC}", "found 00:1b:21:00:00:99"),
        True,
    ),
    Case("it has no MAC at all", nics(ETH0, replace(ETH1, permanent_mac="")), "other-nic", ("found none",), True),
    Case(
        "its MAC in another port", nics(ETH0, replace(ETH1, bus="pci0000:00/usb1/1-2")), "other-nic", (BUS, "1-2"), True
    ),
    Case("its MAC and no bus", nics(ETH0, replace(ETH1, bus="")), "other-nic", (BUS, "no bus"), True),
    Case("nothing is recorded", nics(ETH0, ETH1), "no-identity", ("not recorded", "apply"), False, identity={}),
    Case(
        "an empty MAC is recorded",
        nics(ETH0, replace(ETH1, permanent_mac="")),
        "no-identity",
        ("not recorded",),
        False,
        identity={"cluster": {"mac": "", "bus": ""}},
    ),
]


@pytest.mark.parametrize("case", WHO, ids=lambda case: case.name)
def test_which_nic_it_is(case: Case) -> None:
    verdict = check_identity(PLAN, IDENTITY if case.identity is None else case.identity, case.nics)
    assert (verdict.ok, verdict.code, verdict.tripped) == (False, case.code, case.tripped)
    assert not [word for word in case.words if word not in verdict.reason], verdict.reason
    # Names are exchanged one after the other at a hot plug: mute at once, tripped only when it stays so.
    assert (verdict.grace > 0) == case.tripped


def test_a_bridge_that_borrows_its_mac_is_not_taken_for_it() -> None:
    """In a laboratory neither has a bus path."""
    here = {"cluster": {"mac": MAC, "bus": ""}}
    bridge = Nic("br0", 9, "bridge", MAC, MAC)
    assert check_identity(PLAN, here, nics(ETH0, bridge)).code == "nic-gone"
    assert check_identity(PLAN, here, nics(ETH0, replace(ETH1, bus=""), bridge)).ok


def test_two_nics_with_one_mac_are_told_apart_by_their_ports() -> None:
    twin = replace(ETH1, name="eth2", index=4, bus="pci0000:00/usb1/1-2", addresses=())
    assert check_identity(PLAN, IDENTITY, nics(ETH0, ETH1, twin)).ok
    swapped = nics(ETH0, replace(twin, name="eth1"), replace(ETH1, name="eth2"))
    assert check_identity(PLAN, IDENTITY, swapped).code == "other-nic"


BARE = Address(IPNetwork("192.168.0.200/32"))
ELSEWHERE = replace(ETH0, addresses=(OURS,))
IN_BRIDGE = replace(ETH1, master="br0")
WIRE = [
    Case("a default route", nics(ETH0, ETH1), "default-route", ("eth1",), True, routed=frozenset({"eth0", "eth1"})),
    Case("no carrier", nics(ETH0, replace(ETH1, carrier=False)), "no-carrier", ("no cable",), False),
    Case("it is down", nics(ETH0, replace(ETH1, up=False, carrier=None)), "no-carrier", ("eth1",), False),
    Case("no address", nics(ETH0, replace(ETH1, addresses=())), "address", ("192.168.0.200", "no NIC"), False),
    Case("no prefix", nics(ETH0, replace(ETH1, addresses=(BARE,))), "address", ("with the prefix /24",), False),
    Case(
        "the address is elsewhere", nics(ELSEWHERE, replace(ETH1, addresses=())), "address", ("it is on eth0",), False
    ),
    Case("the address is there too", nics(ELSEWHERE, ETH1), "address", ("eth0, eth1",), False),
    Case("in somebody's bridge", nics(ETH0, IN_BRIDGE), "enslaved", ("eth1", "br0"), False),
    Case("both in one bridge", nics(replace(ETH0, master="br0"), IN_BRIDGE), "one-wire", ("eth0", "br0"), True),
    Case("in the corporate bridge", nics(ETH0, replace(ETH1, master="eth0")), "one-wire", ("eth0",), True),
]


@pytest.mark.parametrize("case", WIRE, ids=lambda case: case.name)
def test_its_wire(case: Case) -> None:
    verdict = check_nic(PLAN, case.nics, case.routed)
    assert (verdict.ok, verdict.code, verdict.tripped) == (False, case.code, case.tripped)
    assert not [word for word in case.words if word not in verdict.reason], verdict.reason


def test_its_address_twice_on_itself_is_no_fault() -> None:
    twice = replace(ETH1, addresses=(OURS, Address(IPNetwork("192.168.0.200/32")), Address(IPNetwork("fe80::1/64"))))
    assert check_nic(PLAN, nics(ETH0, twice), {"eth0"}).ok


def test_default_routes_come_before_everything_else_that_is_wrong() -> None:
    """It trips, where the others only mute."""
    verdict = check_nic(PLAN, nics(ETH0, replace(ETH1, carrier=False, addresses=())), {"eth1"})
    assert verdict.code == "default-route"
