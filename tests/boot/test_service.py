"""The unit: it comes back by itself, and a reset leaves nothing of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.boot.computer import CONTROLLER, EXAMPLE, HASTE, Computer
from tests.boot.disk import changed, image
from tests.boot.wires import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

UNIT = "ciao-gateway.service"
Say = Callable[[str, object], None]


def _main_pid(computer: Computer) -> str:
    return computer.run("systemctl", "show", "--property=MainPID", "--value", UNIT).stdout.strip()


def _await_another(computer: Computer, old: str) -> None:
    """Wait until another main process than `old` has armed the guard."""

    def another() -> bool:
        told = computer.guard()
        now = _main_pid(computer)
        return now not in ("0", old) and told.get("mode") == "armed" and str(told["process"]["pid"]) == now

    wait_for(another, 90, "another guard that is armed")


KILLS = {
    "restart": ("restart", UNIT),
    "kill -9": ("kill", "--kill-whom=main", "--signal=KILL", UNIT),
    "kill -9 of dnsmasq too": ("kill", "--kill-whom=all", "--signal=KILL", UNIT),
}


def test_it_comes_back_by_itself(computer: Computer, record_property: Say) -> None:
    computer.power_on()
    computer.ciao("apply", "-c", str(EXAMPLE), "--yes")
    for how, words in KILLS.items():
        old, begun = _main_pid(computer), time.monotonic()
        computer.run("systemctl", *words)
        _await_another(computer, old)
        record_property(f"from {how} to armed", f"{time.monotonic() - begun:.1f} s")
        _serves(computer)

    old, begun = _main_pid(computer), time.monotonic()
    killed = computer.guard()["dnsmasq"]["pid"]
    computer.run("kill", "-KILL", str(killed))
    wait_for(lambda: (computer.guard().get("dnsmasq") or {}).get("pid") not in (None, killed), 60, "another dnsmasq")
    computer.await_armed()
    record_property("from dnsmasq's death to armed", f"{time.monotonic() - begun:.1f} s")
    assert _main_pid(computer) == old
    _serves(computer)


def _serves(computer: Computer) -> None:
    assert computer.wires.leased("switch") == CONTROLLER
    wait_for(lambda: computer.status()["healthy"], 30, "a healthy gateway")
    # One for DHCP, one for names.
    assert len(computer.processes("dnsmasq")) == 2
    assert computer.failed_units() == []


def test_stopped_it_is_silent_and_started_it_serves(computer: Computer) -> None:
    computer.write(HASTE)
    computer.power_on()
    computer.ciao("apply", "-c", str(EXAMPLE), "--yes")
    computer.run("systemctl", "stop", UNIT)
    assert computer.processes("dnsmasq") == []
    assert computer.wires.leased("switch", tries=2) == ""
    said = computer.status()
    assert (said["state"], said["healthy"]) == ("applied", False)
    computer.run("systemctl", "start", UNIT)
    computer.await_armed()
    assert computer.wires.leased("switch") == CONTROLLER


def test_a_reset_leaves_nothing_now_and_after_another_boot(computer: Computer) -> None:
    computer.write(HASTE)
    computer.power_on()
    clean, units = image(computer.disk), _units(computer)
    computer.ciao("apply", "-c", str(EXAMPLE), "--yes")
    assert computer.wires.leased("switch") == CONTROLLER
    computer.pull_the_plug()
    computer.power_on()
    computer.await_armed()

    computer.ciao("reset", "--yes", "--forget-leases")
    _nothing_left(computer)
    assert changed(clean, image(computer.disk)) == []
    assert _units(computer) == units
    assert computer.run("ip", "-4", "-o", "address", "show", "dev", "eth1").stdout == ""
    assert computer.run("sysctl", "-n", "net.ipv4.ip_forward").stdout.strip() == "0"

    computer.pull_the_plug()
    computer.power_on()
    _nothing_left(computer)
    assert changed(clean, image(computer.disk)) == []
    assert computer.addresses("eth0")[0].startswith("10.77.0.9")
    assert computer.addresses("eth1") == []


def _nothing_left(computer: Computer) -> None:
    assert computer.failed_units() == []
    assert "ciao" not in computer.run("systemctl", "list-units", "--all", "--no-legend", "--plain").stdout
    assert computer.run("systemctl", "is-enabled", UNIT, check=False).returncode != 0
    assert computer.processes("dnsmasq", "wizard serve", "wizard engine") == []
    assert computer.run("nft", "list", "ruleset").stdout == ""
    assert computer.run("sh", "-c", "ls -d /run/ciao-wizard 2>/dev/null", check=False).stdout == ""
    assert computer.status()["state"] == "absent"


def _units(computer: Computer) -> list[str]:
    said = computer.run("systemctl", "list-unit-files", "--no-legend", "--plain").stdout
    return sorted(" ".join(line.split()[:2]) for line in said.splitlines())
