"""What a small reset says and asks before it does anything; and what the pages of a gateway in force read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.lab.cycles import RESET, apply
from tests.lab.striking import Machine, ciao, status
from wizard.lab.control import Laboratory

HOSTS = "/run/ciao-wizard/live/tenant_dns.hosts"
LOST = "Changed since it was applied, and lost by this"


@pytest.fixture
def applied(machine: Machine) -> Iterator[Laboratory]:
    apply(machine.lab)
    yield machine.lab
    assert ciao(machine.lab, *RESET).returncode == 0


def test_rules_of_others_in_our_table_are_not_lost_unasked(applied: Laboratory) -> None:
    lab = applied
    # While the guard lives it brings its rules back by itself.
    guard = json.loads(lab.run(["cat", "/run/ciao-wizard/serve.json"]).stdout)["process"]["pid"]
    lab.run(["kill", "-9", str(guard)])
    table = ["nft", "list", "table", "inet", "ciao_gateway"]
    lab.run(["nft", "add", "rule", "inet", "ciao_gateway", "forward", "counter", "log", "prefix", '"theirs"'])
    refused = ciao(lab, "reset", "--only", "rules")
    assert refused.returncode == 1
    assert f"{LOST}: added in inet ciao_gateway" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert "theirs" in lab.run(table).stdout

    done = ciao(lab, "reset", "--only", "rules", "--yes", "--events", "-")
    assert done.returncode == 0, done.stderr
    assert LOST in done.stderr
    assert "theirs" not in lab.run(table).stdout
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(e.get("step"), e.get("state")) for e in events[:-1]] == [("rules", "running"), ("rules", "done")]
    assert events[-1]["result"] == "kept"

    assert ciao(lab, "reset", "--only", "dhcp").returncode == 0


def test_what_is_as_it_should_be_is_loaded_again_unasked(applied: Laboratory) -> None:
    lab = applied
    done = ciao(lab, "reset", "--only", "rules")
    assert done.returncode == 0, done.stderr
    assert LOST not in done.stderr
    assert status(lab)["drift"] == []


def test_nodes_written_in_by_hand_are_not_lost_unasked(applied: Laboratory) -> None:
    lab = applied
    assert ciao(lab, "reset", "--only", "nodes").returncode == 0
    lab.run(["sh", "-c", f"echo 02:00:00:00:00:99,192.168.0.99,nobody >>{HOSTS}"])
    refused = ciao(lab, "reset", "--only", "nodes")
    assert refused.returncode == 1
    assert f"{LOST}: {HOSTS} was changed" in refused.stderr
    assert "nobody" in lab.run(["cat", HOSTS]).stdout
    assert ciao(lab, "reset", "--only", "nodes", "--yes").returncode == 0
    assert "nobody" not in lab.run(["cat", HOSTS]).stdout


def test_leases_are_not_forgotten_unasked(applied: Laboratory) -> None:
    refused = ciao(applied, "reset", "--only", "leases")
    assert refused.returncode == 1
    assert "leases will be forgotten" in refused.stderr
    assert "nothing was changed" in refused.stderr


OVERVIEW = """
import time
from wizard.services.host import HostServices
services = HostServices()
for _ in range(40):
    seen = services.overview()
    if seen.rows[0].name == "controller" and seen.rows[0].reachable:
        break
    time.sleep(0.5)
look = services.traffic(("eth0", "eth1"))
forms = [one.form for one in services.exported_files()]
print(seen.status.state, seen.nodes.count, seen.rows[0].reachable, seen.address, seen.router)
print(sorted(look.nics), len(forms))
"""


def test_the_dashboard_reads_a_real_gateway(applied: Laboratory) -> None:
    applied.machine("reboot", "controller")
    told = applied.run([sys.executable, "-P", "-c", OVERVIEW]).stdout.split()
    assert told[:3] == ["applied", "4", "True"]
    assert told[3].startswith("10.77.0.")
    assert told[4] == "10.77.0.1"
    assert told[5:] == ["['eth0',", "'eth1']", "9"]
