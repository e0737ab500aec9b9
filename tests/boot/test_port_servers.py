"""Servers in the gateway's way: an apply stops them after a yes, and a reset gives them back.

A DNS server that takes every address, as bind9 does, and a DHCP server that is an init script, as ISC's on Debian 12.
"""

from __future__ import annotations

import pytest

from tests.boot.computer import CONTROLLER, EXAMPLE, HASTE, Computer
from tests.boot.disk import changed, image
from tests.boot.wires import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

UNIT, SCRIPT = "named.service", "lan-dhcp"
PLAN = "root/plan.toml"
FILES = {
    **HASTE,
    PLAN: EXAMPLE.read_text(),
    f"etc/systemd/system/{UNIT}": """\
[Unit]
After=network.target
Before=nss-lookup.target
[Service]
ExecStart=/usr/sbin/dnsmasq -k -p 53 --conf-file=/dev/null --pid-file= --no-resolv --bind-dynamic --user=root
[Install]
WantedBy=multi-user.target
Alias=bind9.service
""",
    f"etc/init.d/{SCRIPT}": """#!/bin/sh
### BEGIN INIT INFO
# Provides:          lan-dhcp
# Required-Start:    $network
# Required-Stop:     $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
### END INIT INFO
case "$1" in
start) dnsmasq --conf-file=/dev/null --port=0 --pid-file=/run/lan-dhcp.pid --dhcp-range=10.99.0.5,10.99.0.9 ;;
stop) kill "$(cat /run/lan-dhcp.pid)" && rm /run/lan-dhcp.pid ;;
esac
""",
}
LINKS = {
    f"etc/systemd/system/multi-user.target.wants/{UNIT}": f"/etc/systemd/system/{UNIT}",
    "etc/systemd/system/bind9.service": f"/etc/systemd/system/{UNIT}",
    **{f"etc/rc{level}.d/S01{SCRIPT}": f"../init.d/{SCRIPT}" for level in "2345"},
    **{f"etc/rc{level}.d/K01{SCRIPT}": f"../init.d/{SCRIPT}" for level in "016"},
}
STOP = ("--stop", UNIT, "--stop", SCRIPT)
BOTH = "active enabled, active enabled"
STOPPED, DISABLED = "inactive enabled, inactive enabled", "inactive disabled, inactive disabled"
JOURNAL = ("var/lib/ciao-wizard", "var/lib/misc")
PATIENCE_S = 60.0


def state(computer: Computer) -> str:
    def told(*words: str) -> str:
        return computer.run("systemctl", *words, check=False).stdout.strip()

    return ", ".join(f"{told('is-active', unit)} {told('is-enabled', unit)}" for unit in (UNIT, SCRIPT))


def serves(computer: Computer) -> bool:
    """Whether it answers in the office, by the laptop's own address there."""
    (address,) = computer.addresses("eth0")
    sockets = computer.run("ss", "-H", "-lnu", "sport = :53").stdout
    return f"{address.partition('/')[0]}:53" in sockets


def start_trial(computer: Computer) -> None:
    front = computer.start("ciao-wizard", "apply", "-c", f"/{PLAN}", *STOP, "--confirm-within", "120")
    try:
        wait_for(lambda: computer.status().get("remaining_s") is not None, PATIENCE_S, "an apply that waits")
    finally:
        front.kill()
        front.wait()


def test_servers_in_the_way_are_stopped_after_a_yes_and_given_back(computer: Computer) -> None:
    computer.write(FILES)
    for link, target in LINKS.items():
        there = computer.disk / link
        there.parent.mkdir(exist_ok=True)
        there.symlink_to(target)
    (computer.disk / "etc/init.d" / SCRIPT).chmod(0o755)
    computer.power_on()
    wait_for(
        lambda: computer.addresses("eth0") and serves(computer), PATIENCE_S, "a server on the laptop's own address"
    )
    before = image(computer.disk)

    def differing() -> list[str]:
        return [path for path in changed(before, image(computer.disk)) if not path.startswith(JOURNAL)]

    # Nothing is stopped that nobody agreed to.
    told = computer.ciao("check", "-c", f"/{PLAN}", check=False).stdout
    assert {"dns-takes-every-address", "port-67-taken"} <= set(told.split())
    for unit in (UNIT, f"{SCRIPT}.service"):
        assert f"sudo ciao-wizard apply -c PLAN --stop {unit}`" in told
    for words, why in (
        ((), f"--stop {UNIT}"),
        (STOP[:2], f"--stop {SCRIPT}.service"),
        ((*STOP, "--stop", "dbus"), f"Leave it out, or name {SCRIPT}.service or {UNIT} instead"),
    ):
        done = computer.ciao("apply", "-c", f"/{PLAN}", "--yes", *words, check=False)
        assert done.returncode == 1
        assert why in " ".join(done.stderr.split())
    assert state(computer) == BOTH

    start_trial(computer)
    assert state(computer) == STOPPED
    assert computer.wires.leased("switch") == CONTROLLER
    computer.ciao("rollback")
    assert state(computer) == BOTH
    assert serves(computer)
    assert differing() == []

    start_trial(computer)
    computer.pull_the_plug()
    computer.power_on()
    assert state(computer) == BOTH
    computer.ciao("rollback")
    assert state(computer) == BOTH
    assert differing() == []

    computer.ciao("apply", "-c", f"/{PLAN}", "--yes", *STOP)
    assert state(computer) == DISABLED
    assert computer.wires.leased("switch") == CONTROLLER
    # Named again, they are nothing to refuse.
    computer.ciao("apply", "-c", f"/{PLAN}", "--yes", *STOP)
    computer.pull_the_plug()
    computer.power_on()
    computer.await_armed()
    assert state(computer) == DISABLED
    assert computer.wires.leased("switch") == CONTROLLER
    plan = computer.disk / PLAN
    plan.write_text(plan.read_text().replace("192.168.0.200", "192.168.0.201"))
    computer.ciao("apply", "-c", f"/{PLAN}", "--yes")
    assert computer.status()["healthy"]

    computer.ciao("reset", "--yes", "--forget-leases")
    assert state(computer) == BOTH
    wait_for(lambda: serves(computer), PATIENCE_S, "the DNS server at its addresses again")
    assert differing() == [PLAN]
    assert computer.failed_units() == []
    assert computer.processes("wizard serve", "wizard engine") == []
