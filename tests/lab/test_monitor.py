"""The lease monitor on a real wire: who boots, who is unplugged, who is a clone, who is adopted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.lab.support import EXAMPLE, NODES, apply, await_nodes, ciao, ciao_json, laptop_services, start_ciao
from wizard.lab.control import Laboratory
from wizard.plan.draft.adopt import adopt

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("monitor")]

PYTHON = [sys.executable]
CLONED = "b8:ae:ed:7b:51:50"
STRANGER = "00:16:3e:00:00:09"


@pytest.fixture(scope="module")
def gateway(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        apply(lab)
        await_nodes(lab)
        yield lab


class Watch:
    """A running `leases --watch --json`; its rows with the time at which each came."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.rows: list[tuple[float, dict[str, Any]]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.rows.append((time.monotonic(), json.loads(line)))

    def last(self, key: str, value: str) -> dict[str, Any]:
        """The row of a machine as it was told last; {} where it never was."""
        return next((row for _, row in reversed(self.rows) if row[key] == value), {})


@contextmanager
def watching(lab: Laboratory) -> Iterator[Watch]:
    process = start_ciao(lab, "leases", "--watch", "--json")
    try:
        watch = Watch(process)
        lab.wait_for(lambda: {row["name"] for _, row in watch.rows} >= set(NODES), 20, "the first rows")
        yield watch
    finally:
        process.kill()
        process.wait()


def holds(condition: Callable[[], Any], deadline: float) -> float:
    """Seconds until a condition comes true; fails after `deadline`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < deadline, f"not in {deadline} s"
        time.sleep(0.02)
    return time.monotonic() - start


def lease_line(lab: Laboratory, mac: str) -> bool:
    return mac in lab.run(["cat", "/var/lib/misc/tenant_dns.leases"]).stdout


def test_a_machine_that_boots_is_shown_within_a_second_of_its_lease(gateway: Laboratory) -> None:
    mac = "02:31:00:00:00:01"
    with watching(gateway) as watch:
        gateway.machine("add", "late", "--mac", mac)
        gateway.wait_for(lambda: watch.last("mac", mac) or lease_line(gateway, mac), 20)
        holds(lambda: watch.last("mac", mac), 1)
        row = watch.last("mac", mac)
        assert (row["kind"], row["state"]) == ("vm", "leased")
        holds(lambda: watch.last("mac", mac)["reachable"], 5)
    gateway.machine("remove", "late")


def test_one_that_is_unplugged_is_unreachable_within_ten_seconds_and_back(gateway: Laboratory) -> None:
    with watching(gateway) as watch:
        holds(lambda: watch.last("name", "compute2").get("reachable"), 10)
        gateway.machine("unplug", "compute2")
        try:
            assert holds(lambda: watch.last("name", "compute2")["reachable"] is False, 10.5) <= 10
            assert watch.last("name", "compute2")["state"] == "leased"
            # The others are as they were.
            assert watch.last("name", "compute1")["reachable"]
        finally:
            gateway.machine("plug", "compute2")
        holds(lambda: watch.last("name", "compute2")["reachable"], 15)


def test_a_clone_is_called_one_and_nobody_else_is(gateway: Laboratory) -> None:
    # A second monitor asks at the same time and hears the answers of the first.
    with watching(gateway) as watch, watching(gateway) as other:
        gateway.machine("add", "clone", "--mac", CLONED)
        try:
            for each in (watch, other):
                holds(partial(lambda w: w.last("mac", CLONED)["alarms"] == ["one-mac"], each), 40)
            assert "clone" in watch.last("mac", CLONED)["reason"]
            alarmed = {row["mac"] for _, row in (*watch.rows, *other.rows) if row["alarms"]}
            assert alarmed == {CLONED}
        finally:
            gateway.machine("remove", "clone")


def test_two_machines_with_one_address(gateway: Laboratory) -> None:
    with watching(gateway) as watch:
        gateway.machine(
            "add", "thief", "--mac", "00:16:3e:00:00:77", "--address", f"{NODES['network']}/24", "--no-dhcp"
        )
        try:
            holds(lambda: watch.last("name", "network")["alarms"] == ["one-address"], 25)
            assert "00:16:3e:00:00:77" in watch.last("name", "network")["reason"]
        finally:
            gateway.machine("remove", "thief")


def test_a_tenants_mac_on_the_wire(gateway: Laboratory) -> None:
    mac = "02:00:ac:10:00:02"
    with watching(gateway) as watch:
        gateway.machine("add", "leak", "--mac", mac)
        holds(lambda: watch.last("mac", mac), 20)
        assert watch.last("mac", mac)["alarms"] == ["tenant-mac"]
        assert "172.16.0.2" in watch.last("mac", mac)["reason"]
    gateway.machine("remove", "leak")


def test_a_stranger_is_adopted_and_a_ping_through_the_gateway_loses_nothing(gateway: Laboratory) -> None:
    gateway.machine("add", "stranger", "--mac", STRANGER)
    with watching(gateway) as watch:
        holds(lambda: watch.last("mac", STRANGER).get("state") == "ignored", 20)
        plan = gateway.run(["cat", "/etc/ciao-wizard/gateway.toml"]).stdout
        adopted = adopt(plan, STRANGER, "compute3", "compute", "192.168.0.110")
        line = ["sh", "-c", "echo $$; exec ping -i 0.05 10.77.0.1"]
        ping = gateway.popen(line, netns="compute1", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert ping.stdout is not None
        pid = ping.stdout.readline().strip()
        try:
            apply(gateway, adopted)
            gateway.wait_for(lambda: gateway.addresses("stranger") == ["192.168.0.110"], 20)
            holds(lambda: watch.last("mac", STRANGER).get("state") == "leased", 2)
        finally:
            gateway.run(["kill", "-INT", pid], check=False)
            said, _ = ping.communicate(timeout=10)
        sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", said)[0])
        assert sent >= 10
        assert received == sent
        row = watch.last("mac", STRANGER)
        assert (row["kind"], row["name"], row["ip"]) == ("node", "compute3", "192.168.0.110")
    # The comments of the plan are still there.
    kept = gateway.run(["cat", "/etc/ciao-wizard/gateway.toml"]).stdout
    assert "# leads to the switch of the nodes, and to nothing else" in kept


def test_without_root_it_still_knows_who_is_there(gateway: Laboratory) -> None:
    # Root without its capabilities: the files are to be read, raw sockets are not to be had.
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    done = gateway.run([*bare, "ciao-wizard", "leases", "--json"])
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert [rows[name]["reachable"] for name in NODES] == [True] * 4


def test_people_see_a_table_and_then_what_happens(gateway: Laboratory) -> None:
    process = start_ciao(gateway, "leases", "--watch")
    said: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        holds(lambda: any(line.startswith("compute2") for line in said), 10)
        gateway.machine("add", "seen", "--mac", "02:31:00:00:00:02", "--hostname", "seen")
        holds(lambda: any("came" in line and "02:31:00:00:00:02" in line for line in said), 20)
        gateway.machine("remove", "seen")
    finally:
        process.kill()
        process.wait()


def test_forwards_are_healthy_or_say_where_it_fails(gateway: Laboratory) -> None:
    code = (
        "import json; from wizard.plan.file.read import load_plan; "
        "from wizard.monitor.forward_checks import check_forwards; "
        f"p = load_plan(open({str(EXAMPLE)!r}).read(), 'x'); "
        "print(json.dumps([h.as_json() for h in check_forwards(p, '10.77.0.98')]))"
    )
    with laptop_services(gateway):
        told = json.loads(gateway.run([*PYTHON, "-c", code]).stdout)
        assert [(h["port"], h["at_node"], h["through_gateway"]) for h in told] == [
            (8889, True, True),
            (35357, True, True),
            (5000, True, True),
        ]
        gateway.machine("unplug", "controller")
        try:
            gateway.run(["ip", "neigh", "flush", "dev", "eth1"])
            told = json.loads(gateway.run([*PYTHON, "-c", code]).stdout)
            assert {(h["at_node"], h["through_gateway"]) for h in told} == {(False, False)}
            assert all("controller:" in h["words"] for h in told)
        finally:
            gateway.machine("plug", "controller")


def test_nothing_applied_is_3(lab: Laboratory) -> None:
    for argv in (["leases"], ["leases", "--watch"], ["export", "hosts"]):
        done = ciao(lab, *argv)
        assert (done.returncode, done.stdout) == (3, "")


def test_the_rows_of_a_look_are_those_of_a_watch(gateway: Laboratory) -> None:
    with watching(gateway) as watch:
        for row in ciao_json(gateway, "leases"):
            holds(partial(lambda r: watch.last("mac", r["mac"]).get("ip") == r["ip"], row), 5)
