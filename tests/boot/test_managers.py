"""The whole job on each kind of laptop: apply, restarts of others, changes, a power cut, reset.

To add a manager or a firewall: an entry in kinds.py. script/test runs one desktop, script/soak all.
"""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.boot.computer import EXAMPLE, HASTE, Computer
from tests.boot.disk import Image, changed, image
from tests.boot.kinds import FIREWALLS, KINDS, Kind, LaptopFirewall, prepare, versions
from tests.boot.supported import MATRIX
from tests.boot.wires import wait_for
from wizard.plan.backends import Backend

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1800)]

Say = Callable[[str, object], None]
IN_EVERY_RUN = ("NetworkManager", "firewalld")
WHOLE_JOBS = [
    pytest.param(kind, firewall, marks=() if (kind, firewall) == IN_EVERY_RUN else pytest.mark.slow)
    for kind in KINDS
    for firewall in FIREWALLS
]
PLAN, FIRST, SECOND, THIRD = "root/plan.toml", "192.168.0.200", "192.168.0.201", "192.168.0.202"
ANOTHER_NODE = '\n[[nodes]]\nname = "extra"\nmac = "b8:ae:ed:7b:51:99"\nrole = "compute"\n'
OFFICE, CONTROLLER = "10.77.0.1", "192.168.0.101"
JOURNAL = ("var/lib/ciao-wizard", "var/lib/misc")
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Picture:
    """What a laptop is like, as far as a reset gives it back."""

    nics: str
    routes: str
    manager: str
    rules: str
    zones: str


def _lines(picture: Picture) -> set[str]:
    texts = (picture.nics, picture.routes, picture.manager, picture.rules, picture.zones)
    return {" ".join(line.split()) for text in texts for line in text.splitlines()}


class Job:
    """A laptop of a kind, and what is asked of it. It is booted at once."""

    def __init__(self, computer: Computer, kind: Kind, firewall: LaptopFirewall, say: Say, what: str) -> None:
        self.computer = computer
        self.kind, self.firewall, self.say = kind, firewall, say
        self.gateway = FIRST
        computer.write({**HASTE, PLAN: EXAMPLE.read_text()})
        prepare(computer, kind, firewall)
        if what:
            say(MATRIX, {"job": what, **versions(computer, kind, firewall)})
        # It asks for a lease on the cluster's wire too, where nobody answers.
        wait_for(self.is_settled, PATIENCE_S, f"a settled {kind.name}")
        self.remember()

    def is_settled(self) -> bool:
        if not self.kind.status:
            return True
        told = self.computer.run(*self.kind.status).stdout
        return any(state in told for state in ("getting IP configuration", "degraded", "off ", "configured"))

    # What it is like

    def remember(self) -> None:
        self.before, self.disk_before = self.look(), image(self.computer.disk)

    def look(self) -> Picture:
        def shell(command: str) -> str:
            return self.computer.run("sh", "-c", command, check=False).stdout

        # Neither the number of a veth's other end nor an IPv6 address is anybody's setting here.
        nics = re.sub(r"@if\d+|fe80:\S+", "", shell("ip -br address"))
        manager = self.computer.run(*self.kind.status).stdout if self.kind.status else ""
        return Picture(
            "\n".join(" ".join(line.split()) for line in nics.splitlines()),
            # networkd forgets a route's metric when it is restarted, and has it again after a lease.
            re.sub(r" metric \d+| proto \w+", "", shell("ip -4 route")),
            # NetworkManager numbers its own profiles; which number they get depends on what else there is.
            re.sub(r"Wired connection \S+", "Wired connection", re.sub(r"^ *\d+ eth1", "eth1", manager)),
            # firewalld makes its own of its zones, and keeps the empty chains of one that it once used.
            re.sub(r"table inet firewalld \{\n.*?\n\}", "", shell("nft -s list ruleset 2>/dev/null"), flags=re.DOTALL),
            shell("firewall-cmd --list-all-zones 2>/dev/null"),
        )

    def await_as_before(self, when: str) -> None:
        differing: set[str] = set()

        def same() -> bool:
            differing.clear()
            differing.update(_lines(self.look()) ^ _lines(self.before))
            return not differing

        with suppress(AssertionError):
            wait_for(same, PATIENCE_S, "")
        assert sorted(differing) == [], when

    def disk_changes(self) -> list[str]:
        now = image(self.computer.disk)
        return [path for path in changed(_without_times(self.disk_before), _without_times(now)) if path != PLAN]

    # What is asked of it

    @contextmanager
    def own_connection_kept(self) -> Iterator[None]:
        """The laptop's own connection keeps its address, and loses no packet."""
        address = self.computer.addresses("eth0")
        log = self.computer.console.with_suffix(".ping")
        ping = ("ip", "netns", "exec", "laptop", "ping", "-n", "-i", "0.05", OFFICE)
        process = self.computer.wires.popen(*ping, log=log)
        try:
            yield
        finally:
            process.kill()
            process.wait(10)
        heard = [int(number) for number in re.findall(r"icmp_seq=(\d+) .*time=", log.read_text())]
        log.unlink()
        assert heard == list(range(1, len(heard) + 1)), "the laptop's own connection lost a packet"
        assert len(heard) > 10
        assert self.computer.addresses("eth0") == address

    def apply(self, *, gateway: str | None = None, more: str = "") -> None:
        plan = self.computer.disk / PLAN
        plan.write_text(plan.read_text().replace(self.gateway, gateway or self.gateway) + more)
        self.computer.ciao("apply", "-c", f"/{PLAN}", "--yes")
        self.gateway = gateway or self.gateway

    def await_service(self, event: str, begun: float | None = None) -> None:
        """Wait until a node is served, as it sees it and as the gateway says; record how long that took."""
        begun = begun or time.monotonic()
        wires, lease = self.computer.wires, f"{CONTROLLER} from {self.gateway}"
        wait_for(lambda: wires.leased("switch", tries=1) == lease, PATIENCE_S, f"a lease, {event}")
        leased = time.monotonic() - begun
        wires.run("ip", "-n", "switch", "address", "replace", f"{CONTROLLER}/24", "dev", "wire")
        wires.run("ip", "-n", "switch", "route", "replace", "default", "via", self.gateway)
        ping = ("ip", "netns", "exec", "switch", "ping", "-c", "1", "-W", "1", OFFICE)
        wait_for(lambda: "1 received" in wires.run(*ping, check=False), PATIENCE_S, f"a way out, {event}")
        out = time.monotonic() - begun
        self.say(f"{event}: leased after, way out after", f"{leased:.1f} s, {out:.1f} s")
        self.say(MATRIX, {"served": round(max(leased, out), 1), "event": event})
        said: list[dict[str, Any]] = [{}]

        def healthy() -> bool:
            said[0] = self.computer.status()
            return bool(said[0]["healthy"])

        wait_for(healthy, PATIENCE_S, f"a healthy gateway, {event}: {said}")

    def disturb(self, event: str, argv: tuple[str, ...]) -> None:
        if argv:
            self.computer.run(*argv)
            self.await_service(event)

    def pull_the_plug(self) -> None:
        self.computer.pull_the_plug()
        self.computer.power_on()

    def start_trial(self) -> None:
        front = self.computer.start("ciao-wizard", "apply", "-c", f"/{PLAN}", "--confirm-within", "120")

        def waits() -> bool:
            told = self.computer.status()
            return told["state"] == "pending" and told["remaining_s"] is not None

        try:
            wait_for(waits, PATIENCE_S, "an apply that waits for its answer")
        finally:
            front.kill()
            front.wait()
        assert self.computer.wires.leased("switch") == f"{CONTROLLER} from {self.gateway}"
        assert [path for path in self.disk_changes() if not path.startswith(JOURNAL)] == []


def _without_times(found: Image) -> Image:
    """ufw writes its files again when it is reloaded."""
    return {path: (*about[:3], *about[4:]) if path.startswith("etc/ufw") else about for path, about in found.items()}


@pytest.mark.parametrize(("kind", "firewall"), WHOLE_JOBS)
def test_whole_job(computer: Computer, record_property: Say, kind: str, firewall: str) -> None:
    job = Job(computer, KINDS[kind], FIREWALLS[firewall], record_property, "whole job")
    found = json.loads(computer.ciao("check", "-c", f"/{PLAN}", "--json", check=False).stdout)
    notes = [each["message"] for each in found if each["code"] == "network-manager"]
    assert [note[: len(job.kind.said)] for note in notes] == ([job.kind.said] if job.kind.said else [])

    with job.own_connection_kept():
        job.apply()
    job.await_service("applied")
    identity = tomllib.loads(computer.run("cat", "/etc/ciao-wizard/identity.toml").stdout)
    assert identity.get("address", {"backend": Backend.IFUPDOWN})["backend"] == job.kind.backend

    job.disturb("manager restarted", ("systemctl", "restart", job.kind.unit) if job.kind.unit else ())
    job.disturb("firewall reloaded", job.firewall.reload)
    job.disturb("firewall restarted", job.firewall.restart)

    job.apply(more=ANOTHER_NODE)
    job.await_service("a node more")
    with job.own_connection_kept():
        job.apply(gateway=SECOND)
    job.await_service("another gateway address")

    job.pull_the_plug()
    computer.await_armed()
    job.await_service("power cut, from power", computer.powered_at)
    assert computer.failed_units() == []
    job.apply(gateway=THIRD)
    job.await_service("another gateway address after a boot")

    with job.own_connection_kept():
        computer.ciao("reset", "--yes", "--forget-leases")
    job.await_as_before("after a reset")
    assert job.disk_changes() == []

    job.pull_the_plug()
    job.await_as_before("after a reset and a boot")
    assert job.disk_changes() == []
    assert computer.failed_units() == []
    assert computer.processes("dnsmasq", "wizard serve", "wizard engine") == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_trial_that_is_not_kept(computer: Computer, record_property: Say, kind: str) -> None:
    job = Job(computer, KINDS[kind], FIREWALLS["no firewall"], record_property, "trial not kept")

    job.start_trial()
    computer.ciao("rollback")
    job.await_as_before("after a no")
    assert job.disk_changes() == []

    job.start_trial()
    (engine,) = re.findall(r'"pid": (\d+)', computer.run_file("ciao-wizard/work.json") or "")[:1]
    computer.run("kill", "-KILL", engine)
    wait_for(lambda: computer.status()["state"] == "absent", PATIENCE_S, "the worker's way back")
    job.await_as_before("after the engine's death")
    assert job.disk_changes() == []

    job.start_trial()
    job.pull_the_plug()
    job.await_as_before("after a power cut")
    assert [path for path in job.disk_changes() if not path.startswith(JOURNAL)] == []
    assert computer.wires.leased("switch", tries=1) == ""
    computer.ciao("rollback")
    job.await_as_before("after the journal's end")
    assert job.disk_changes() == []


_MINE = "nmcli connection add type ethernet ifname eth1 con-name mine ipv4.method manual ipv6.method disabled"
DONE_BY_HAND = {
    "disconnected": ("NetworkManager", "nmcli device disconnect eth1"),
    "a profile of one's own": (
        "NetworkManager",
        f"{_MINE} ipv4.addresses 172.16.5.1/24 && nmcli connection up mine",
    ),
    "a file of one's own": (
        "networkd",
        "printf '[Match]\\nName=eth1\\n[Network]\\nAddress=172.16.5.1/24\\nLinkLocalAddressing=no\\n'"
        " >/etc/systemd/network/10-mine.network && networkctl reload && networkctl reconfigure eth1",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", DONE_BY_HAND)
def test_what_a_person_had_done_is_given_back(computer: Computer, record_property: Say, what: str) -> None:
    kind, command = DONE_BY_HAND[what]
    job = Job(computer, KINDS[kind], FIREWALLS["no firewall"], record_property, "")
    computer.run("sh", "-c", command)
    wait_for(lambda: job.look().manager != job.before.manager, PATIENCE_S, what)
    has = "172.16.5.1" in command
    wait_for(lambda: ("172.16.5.1" in job.look().nics) == has, PATIENCE_S, what)
    job.remember()

    for power_cut in (False, True):
        job.apply()
        job.await_service("applied")
        if power_cut:
            job.pull_the_plug()
            computer.await_armed()
        computer.ciao("reset", "--yes", "--forget-leases")
        job.await_as_before(f"after a reset, {power_cut=}")
        assert job.disk_changes() == []


@pytest.mark.slow
def test_a_file_that_comes_before_ours_is_refused_and_the_remedy_helps(
    computer: Computer, record_property: Say
) -> None:
    job = Job(computer, KINDS["networkd"], FIREWALLS["no firewall"], record_property, "")
    first = "/etc/systemd/network/01-first.network"
    mine = f"[Match]\\nName=eth1\\n[Network]\\nAddress={FIRST}/24\\nLinkLocalAddressing=no\\n"
    computer.run("sh", "-c", f"printf '{mine}' >{first} && networkctl reload && networkctl reconfigure eth1")
    wait_for(lambda: FIRST in job.look().nics, PATIENCE_S, "an address by that file")
    job.remember()

    refused = computer.ciao("apply", "-c", f"/{PLAN}", "--yes", check=False)
    assert refused.returncode == 1
    assert f"Change {first} so that it leaves eth1 alone, and apply again." in refused.stdout + refused.stderr
    job.await_as_before("after a refused apply")
    assert job.disk_changes() == []

    computer.run("sed", "-i", "s/Name=eth1/Name=eth9/", first)
    job.apply()
    job.await_service("applied")


@pytest.mark.slow
def test_networking_that_is_switched_off_and_on_again_is_served_again(computer: Computer, record_property: Say) -> None:
    job = Job(computer, KINDS["NetworkManager"], FIREWALLS["no firewall"], record_property, "")
    job.apply()
    job.await_service("applied")
    computer.run("nmcli", "networking", "off")
    wait_for(lambda: computer.guard()["mode"] != "armed", PATIENCE_S, "a mute guard without its address")
    computer.run("nmcli", "networking", "on")
    job.await_service("networking off and on")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_power_cut_in_a_later_trial_leaves_what_was_in_force(
    computer: Computer, record_property: Say, kind: str
) -> None:
    job = Job(computer, KINDS[kind], FIREWALLS["no firewall"], record_property, "")
    job.apply()
    job.await_service("applied")
    kept = image(computer.disk)

    plan = computer.disk / PLAN
    in_force = plan.read_text()
    plan.write_text(in_force.replace(FIRST, SECOND))
    job.gateway = SECOND
    front = computer.start("ciao-wizard", "apply", "-c", f"/{PLAN}", "--confirm-within", "120")
    wait_for(lambda: computer.status().get("remaining_s") is not None, PATIENCE_S, "an apply that waits")
    job.pull_the_plug()
    front.wait()
    plan.write_text(in_force)
    job.gateway = FIRST

    computer.await_armed()
    job.await_service("power cut in a trial, from power", computer.powered_at)
    differing = [path for path in changed(kept, image(computer.disk)) if path != PLAN and not path.startswith(JOURNAL)]
    assert differing == []
    computer.ciao("reset", "--yes", "--forget-leases")
    job.await_as_before("after a reset")
    assert job.disk_changes() == []
