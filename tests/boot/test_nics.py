"""NICs that are not, at boot, where they were when the plan was applied."""

from __future__ import annotations

from typing import Any

import pytest

from tests.boot.computer import CONTROLLER, EXAMPLE, HASTE, Computer
from tests.boot.wires import CLUSTER_MAC, CORPORATE_MAC, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

EXCHANGED = {"eth0": CLUSTER_MAC, "eth1": CORPORATE_MAC}
ARMED_SET = ("nft", "list", "set", "inet", "ciao_gateway", "armed")


def _applied_and_off(computer: Computer) -> None:
    computer.write(HASTE)
    computer.power_on()
    computer.ciao("apply", "-c", str(EXAMPLE), "--yes")
    assert computer.wires.leased("switch") == CONTROLLER
    computer.pull_the_plug()


def _await_mode(computer: Computer, mode: str) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        told = computer.guard()
        return told if told.get("mode") == mode else None

    return wait_for(reached, 60, f"a guard that is {mode}")


def _office_works(computer: Computer, nic: str) -> None:
    """This NIC has an address of the office, and reaches it."""
    wait_for(lambda: [a for a in computer.addresses(nic) if a.startswith("10.77.0.9")], 30, f"a lease on {nic}")
    assert computer.processes("dhclient"), f"nobody will renew the lease on {nic}"
    assert "default via 10.77.0.1 dev " + nic in computer.run("ip", "route").stdout
    assert computer.run("getent", "hosts", "www.corp.example").stdout.split()[0] == "10.77.0.1"


def test_names_that_were_exchanged_are_refused_until_an_apply_finds_them_as_before(computer: Computer) -> None:
    _applied_and_off(computer)
    before = computer.wires.answers_sent("switch")
    computer.power_on(EXCHANGED)

    told = _await_mode(computer, "tripped")
    assert CLUSTER_MAC in told["reason"], "it does not say which NIC was expected"
    assert "eth0" in told["reason"], "it does not say where that is now"
    said = computer.status()
    assert (said["state"], said["healthy"]) == ("tripped", False)
    assert CLUSTER_MAC in said["reason"]

    # What ifup says of our NIC is no failure of the others': systemd ends their DHCP clients with the unit.
    assert "networking.service" not in computer.failed_units()
    # eth1 leads to the office now.
    computer.run("ip", "link", "set", "eth1", "up")
    assert computer.processes("dnsmasq") == []
    assert "elements" not in computer.run(*ARMED_SET, check=False).stdout
    assert "192.168.0." not in computer.run("ip", "-4", "address").stdout
    assert computer.wires.leased("office").endswith(" from 10.77.0.1")
    assert computer.wires.leased("switch", tries=2) == ""
    assert computer.wires.answers_sent("switch") == before
    assert computer.wires.answers_sent("office") == 0

    computer.run("dhclient", "-1", "eth1", timeout=40)
    _office_works(computer, "eth1")

    # It does not go on by itself from that, over a boot neither.
    computer.pull_the_plug()
    computer.power_on()
    assert CLUSTER_MAC in _await_mode(computer, "tripped")["reason"]
    assert computer.processes("dnsmasq") == []
    computer.ciao("apply", "--yes")
    computer.await_armed()
    assert computer.wires.leased("switch") == CONTROLLER


def test_a_cluster_nic_that_is_not_there_is_missed_and_taken_up_when_it_comes(computer: Computer) -> None:
    _applied_and_off(computer)
    computer.power_on({"eth0": CORPORATE_MAC})
    assert "networking.service" not in computer.failed_units(), "systemd has ended the corporate NIC's DHCP client too"
    _office_works(computer, "eth0")
    assert computer.run("systemctl", "is-active", "ciao-gateway").stdout.strip() == "active"
    wait_for(lambda: computer.guard().get("code") == "nic-gone", 30, "a guard that misses its NIC")
    assert computer.processes("dnsmasq") == []
    said = computer.status()
    assert (said["state"], said["healthy"]) == ("applied", False)
    wrong = " / ".join(f"{check['name']}: {check['detail']}" for check in said["checks"] if check["ok"] is False)
    assert "eth1 is not there" in wrong
    assert "eth1 is not there" in computer.ciao("status", check=False).stdout

    computer.wires.plug_in("eth1", CLUSTER_MAC)
    computer.await_armed()
    assert computer.wires.leased("switch") == CONTROLLER
    wait_for(lambda: computer.status()["healthy"], 30, "a healthy gateway")
