"""A DNS server that takes every address, as bind9 does: an apply stops it after a yes, and a reset gives it back."""

from __future__ import annotations

import pytest

from tests.boot.computer import CONTROLLER, EXAMPLE, HASTE, Computer
from tests.boot.disk import changed, image
from tests.boot.wires import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

UNIT = "named.service"
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
}
LINKS = ("multi-user.target.wants/named.service", "bind9.service")
JOURNAL = ("var/lib/ciao-wizard", "var/lib/misc")
PATIENCE_S = 60.0
_ASKED = ("is-active", "is-enabled")


def state(computer: Computer) -> str:
    return " ".join(computer.run("systemctl", verb, UNIT, check=False).stdout.strip() for verb in _ASKED)


def serves(computer: Computer) -> bool:
    """Whether it answers in the office, by the laptop's own address there."""
    (address,) = computer.addresses("eth0")
    sockets = computer.run("ss", "-H", "-lnu", "sport = :53").stdout
    return f"{address.partition('/')[0]}:53" in sockets


def start_trial(computer: Computer) -> None:
    front = computer.start("ciao-wizard", "apply", "-c", f"/{PLAN}", "--stop", "named", "--confirm-within", "120")
    try:
        wait_for(lambda: computer.status().get("remaining_s") is not None, PATIENCE_S, "an apply that waits")
    finally:
        front.kill()
        front.wait()


def test_a_server_that_takes_every_address_is_stopped_after_a_yes_and_given_back(computer: Computer) -> None:
    computer.write(FILES)
    for link in LINKS:
        there = computer.disk / "etc/systemd/system" / link
        there.parent.mkdir(exist_ok=True)
        there.symlink_to(f"/etc/systemd/system/{UNIT}")
    computer.power_on()
    wait_for(
        lambda: computer.addresses("eth0") and serves(computer), PATIENCE_S, "a server on the laptop's own address"
    )
    before = image(computer.disk)

    def differing() -> list[str]:
        return [path for path in changed(before, image(computer.disk)) if not path.startswith(JOURNAL)]

    # Nothing is stopped that nobody agreed to.
    told = computer.ciao("check", "-c", f"/{PLAN}", check=False).stdout
    assert "dns-takes-every-address" in told
    assert f"sudo ciao-wizard apply -c PLAN --stop {UNIT}" in told
    for words, why in (((), f"--stop {UNIT}"), (("--stop", "dbus"), f"Leave it out, or name {UNIT} instead")):
        done = computer.ciao("apply", "-c", f"/{PLAN}", "--yes", *words, check=False)
        assert done.returncode == 1
        assert why in " ".join(done.stderr.split())
    assert state(computer) == "active enabled"

    start_trial(computer)
    assert state(computer) == "inactive enabled"
    assert computer.wires.leased("switch") == CONTROLLER
    computer.ciao("rollback")
    assert state(computer) == "active enabled"
    assert serves(computer)
    assert differing() == []

    start_trial(computer)
    computer.pull_the_plug()
    computer.power_on()
    assert state(computer) == "active enabled"
    computer.ciao("rollback")
    assert state(computer) == "active enabled"
    assert differing() == []

    computer.ciao("apply", "-c", f"/{PLAN}", "--yes", "--stop", UNIT)
    assert state(computer) == "inactive disabled"
    assert computer.wires.leased("switch") == CONTROLLER
    # Named again, it is nothing to refuse.
    computer.ciao("apply", "-c", f"/{PLAN}", "--yes", "--stop", UNIT)
    computer.pull_the_plug()
    computer.power_on()
    computer.await_armed()
    assert state(computer) == "inactive disabled"
    assert computer.wires.leased("switch") == CONTROLLER
    plan = computer.disk / PLAN
    plan.write_text(plan.read_text().replace("192.168.0.200", "192.168.0.201"))
    computer.ciao("apply", "-c", f"/{PLAN}", "--yes")
    assert computer.status()["healthy"]

    computer.ciao("reset", "--yes", "--forget-leases")
    assert state(computer) == "active enabled"
    wait_for(lambda: serves(computer), PATIENCE_S, "the server at its addresses again")
    assert differing() == [PLAN]
    assert computer.failed_units() == []
    assert computer.processes("wizard serve", "wizard engine") == []
