"""The plug is pulled: what was kept comes back, what was not is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.boot.computer import CONTROLLER, EXAMPLE, HASTE, Computer
from tests.boot.disk import Image, changed, image
from tests.boot.wires import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FRESH_LINK_S = 35.0
TIMEOUT_STOP_S = 10.0
JOURNAL = "var/lib/ciao-wizard"
OURS = ("wizard engine", "wizard serve", "dnsmasq")
Say = Callable[[str, object], None]


def test_what_was_kept_comes_back_armed(computer: Computer, record_property: Say) -> None:
    computer.power_on()
    computer.ciao("apply", "-c", str(EXAMPLE), "--yes")
    assert computer.wires.leased("switch") == CONTROLLER
    leases = wait_for(lambda: _lease_file(computer), 10, "the controller's lease on disk")
    kept = image(computer.disk)

    computer.pull_the_plug()
    computer.power_on()
    record_property("from power to booted", f"{time.monotonic() - computer.powered_at:.1f} s")
    assert computer.guard().get("mode") != "armed"
    assert computer.wires.leased("switch", tries=1) == "", "a wire that nobody has listened to yet was served"
    computer.await_armed()
    to_armed = time.monotonic() - computer.powered_at
    record_property("from power to armed", f"{to_armed:.1f} s")
    assert FRESH_LINK_S < to_armed < FRESH_LINK_S + 20

    assert _lease_file(computer) == leases
    assert computer.wires.leased("switch") == CONTROLLER
    assert computer.wires.answers_sent("switch") > 0
    said = computer.status()
    assert (said["state"], said["healthy"], said["drift"]) == ("applied", True, [])
    assert computer.run("systemctl", "is-enabled", "ciao-gateway").stdout.strip() == "enabled"
    assert computer.failed_units() == []
    assert [path for path in changed(kept, image(computer.disk)) if "tenant_dns.leases" not in path] == []


def _lease_file(computer: Computer) -> str:
    lines = (computer.disk / "var/lib/misc/tenant_dns.leases").read_text().splitlines()
    # Times change whenever a lease is given anew.
    return "\n".join(line.partition(" ")[2] for line in lines)


def test_shut_down_in_good_order_it_comes_back_too(computer: Computer, record_property: Say) -> None:
    computer.write(HASTE)
    computer.power_on()
    computer.ciao("apply", "-c", str(EXAMPLE), "--yes")
    kept = image(computer.disk)
    begun = time.monotonic()
    computer.shut_down()
    record_property("from poweroff to off", f"{time.monotonic() - begun:.1f} s")
    # Nothing had to be waited for, let alone killed.
    assert time.monotonic() - begun < TIMEOUT_STOP_S
    computer.power_on()
    computer.await_armed()
    assert computer.wires.leased("switch") == CONTROLLER
    assert computer.status()["healthy"]
    assert [path for path in changed(kept, image(computer.disk)) if "tenant_dns.leases" not in path] == []


def test_a_trial_is_gone(computer: Computer) -> None:
    computer.write(HASTE)
    computer.power_on()
    clean = image(computer.disk)
    _start_trial(computer)
    assert computer.wires.leased("switch") == CONTROLLER
    answers = computer.wires.answers_sent("switch")
    on_disk = changed(clean, image(computer.disk))
    assert [path for path in on_disk if not path.startswith((JOURNAL, "var/lib/misc"))] == []

    computer.pull_the_plug()
    computer.power_on()
    assert computer.failed_units() == []
    assert computer.addresses("eth1") == []
    assert computer.addresses("eth0")[0].startswith("10.77.0.9")
    assert computer.run("nft", "list", "ruleset").stdout == ""
    assert computer.processes(*OURS) == []
    assert computer.run("systemctl", "is-enabled", "ciao-gateway", check=False).returncode != 0
    assert computer.wires.leased("switch", tries=1) == ""
    assert computer.wires.answers_sent("switch") == answers

    # Only the journal is left, which whoever comes next takes away.
    assert computer.status()["state"] == "interrupted"
    computer.ciao("rollback")
    assert computer.status()["state"] == "absent"
    assert changed(clean, image(computer.disk)) == []


def _start_trial(computer: Computer) -> None:
    front = computer.start("ciao-wizard", "apply", "-c", str(EXAMPLE), "--confirm-within", "120")

    def waits() -> bool:
        said = computer.status()
        return said["state"] == "pending" and said["remaining_s"] is not None

    try:
        wait_for(waits, 60, "an apply that waits for its answer")
    finally:
        # Who asked may go: the engine waits by itself.
        front.kill()
        front.wait()


# While it is being kept


def _pause_at(computer: Computer, moment: str) -> None:
    computer.run("systemctl", "set-environment", f"CIAO_LAB_PAUSE={moment}")


def _moments_of_keeping(computer: Computer, *argv: str) -> list[str]:
    """The moments of one apply between "keep" and its end, one a step."""
    _pause_at(computer, "list")
    computer.ciao(*argv)
    computer.run("systemctl", "unset-environment", "CIAO_LAB_PAUSE")
    found = _moments(computer)
    keeping = found[found.index("kept") : found.index("applied")]
    return ["kept", *(moment for moment in keeping if moment.startswith("did:"))]


def _moments(computer: Computer) -> list[str]:
    lines = (computer.run_file("ciao-lab/moments") or "").splitlines()
    return list(dict.fromkeys(line.split()[0] for line in lines))


def _stop_at(computer: Computer, moment: str, *argv: str) -> None:
    """Run `ciao-wizard ARGV…` until it has come to a moment, and pull the plug then."""
    _pause_at(computer, moment)
    front = computer.start("ciao-wizard", *argv)
    try:
        wait_for(lambda: computer.run_file("ciao-lab/paused"), 60, moment)
        computer.pull_the_plug()
    finally:
        front.kill()
        front.wait()


def test_a_first_apply_that_was_being_kept_is_taken_back(computer: Computer) -> None:
    computer.write(HASTE)
    computer.power_on()
    clean = image(computer.disk)
    apply, reset = ("apply", "-c", str(EXAMPLE), "--yes"), ("reset", "--yes", "--forget-leases")
    moments = _moments_of_keeping(computer, *apply)
    computer.ciao(*reset)
    assert changed(clean, image(computer.disk)) == []
    assert len(moments) > 6

    wrong: dict[str, object] = {}
    for moment in moments:
        _stop_at(computer, moment, *apply)
        computer.power_on()
        _take_back(computer, moment)
        if found := _left(computer, clean):
            wrong[moment] = found
            computer.ciao(*reset, check=False)
    assert wrong == {}


def _take_back(computer: Computer, moment: str) -> None:
    if computer.run("systemctl", "is-enabled", "ciao-gateway", check=False).returncode == 0:
        # The unit is there: it takes back by itself what it belongs to.
        wait_for(lambda: computer.status()["state"] == "absent", 30, f"the end of what was left at {moment}")
    else:
        assert computer.status()["state"] == "interrupted", moment
        computer.ciao("rollback")


def _left(computer: Computer, clean: Image) -> dict[str, object]:
    """What is not as on a machine where nothing was ever applied."""
    found: dict[str, object] = {
        "state": computer.status()["state"].replace("absent", ""),
        "files": changed(clean, image(computer.disk)),
        "address": computer.addresses("eth1"),
        "rules": computer.run("nft", "list", "ruleset").stdout,
        "processes": computer.processes(*OURS),
        "failed": computer.failed_units(),
    }
    return {what: seen for what, seen in found.items() if seen}


def test_a_reset_that_was_cut_off_is_brought_to_its_end(computer: Computer) -> None:
    computer.write(HASTE)
    computer.power_on()
    clean = image(computer.disk)
    apply, reset = ("apply", "-c", str(EXAMPLE), "--yes"), ("reset", "--yes", "--forget-leases")
    computer.ciao(*apply)
    _pause_at(computer, "list")
    computer.ciao(*reset)
    computer.run("systemctl", "unset-environment", "CIAO_LAB_PAUSE")
    moments = [moment for moment in _moments(computer) if moment.startswith("undone:")]
    assert len(moments) > 6
    wrong: dict[str, object] = {}
    for moment in moments[::3]:
        computer.ciao(*apply)
        _stop_at(computer, moment, *reset)
        computer.power_on()
        _take_back(computer, moment)
        if found := _left(computer, clean):
            wrong[moment] = found
            computer.ciao(*reset, check=False)
    assert wrong == {}


def test_a_second_apply_that_was_cut_off_gives_way_to_the_first(computer: Computer) -> None:
    second = EXAMPLE.read_text().replace('lease_time = "12h"', 'lease_time = "7h"')
    assert second != EXAMPLE.read_text()
    computer.write({**HASTE, "root/second.toml": second})
    computer.power_on()
    computer.ciao("apply", "-c", str(EXAMPLE), "--yes")
    first = image(computer.disk)
    apply = ("apply", "-c", "/root/second.toml", "--yes")
    for moment in (
        "verified",
        "kept",
        "did:file:/etc/ciao-wizard/gateway.toml",
        "did:file:/etc/ciao-wizard/tenant_dns.cfg",
    ):
        _stop_at(computer, moment, *apply)
        computer.power_on()
        computer.await_armed()
        said = computer.status()
        assert (said["state"], said["healthy"], said["drift"]) == ("applied", True, []), moment
        # The journal has grown by what was begun and taken back.
        differing = [p for p in changed(first, image(computer.disk)) if not p.startswith((JOURNAL, "var/lib/misc"))]
        assert [p for p in differing if (computer.disk / p).read_bytes() != first[p][-1]] == [], moment
        assert computer.wires.leased("switch") == CONTROLLER
        assert computer.failed_units() == []
