"""The command line: apply, apply again, apply something else, reset; who may; and that it all comes back."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from tests.lab.support import (
    BRIEF,
    EXAMPLE,
    LEASES,
    NODES,
    Question,
    apply,
    await_nodes,
    ciao,
    ciao_json,
    dhcp_server,
    differences,
    page,
    plan_with,
    reset,
    whole,
    wrong,
)
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab


def node_text(name: str, mac: str, ip: str) -> str:
    return f'\n[[nodes]]\nname = "{name}"\nrole = "compute"\nmac = "{mac}"\nip = "{ip}"\n'


def lease_of(lab: Laboratory, name: str) -> Any:
    return next(row for row in ciao_json(lab, "leases") if row["name"] == name)


# Apply twice, reset


def test_the_second_apply_changes_nothing_and_a_reset_gives_everything_back(lab: Laboratory) -> None:
    before = whole(lab)
    assert ciao(lab, "diff", "-c", str(EXAMPLE)).returncode == 1
    apply(lab)
    await_nodes(lab)
    assert ciao(lab, "check", "-c", str(EXAMPLE)).returncode == 0
    for argv in (["diff", "-c", str(EXAMPLE)], ["diff"]):
        done = ciao(lab, *argv)
        assert (done.returncode, done.stdout) == (0, "")
    said = ciao(lab, "status").stdout.splitlines()
    assert said[0] == "applied, healthy"
    since = datetime.strptime(said[1].partition("since ")[2], "%Y-%m-%d %H:%M:%S").astimezone()
    assert since == datetime.fromisoformat(ciao_json(lab, "status")["since"])
    applied, server = whole(lab), dhcp_server(lab)

    for plan in (["-c", str(EXAMPLE)], []):
        done = ciao(lab, "apply", *plan, "--yes")
        assert done.returncode == 0, done.stderr
    again = whole(lab)
    for which in (applied, again):
        # What runs tell of themselves; everything else there is compared, times included.
        which["files"] = {path: entry for path, entry in which["files"].items() if not _is_talk(path)}
    assert differences(applied, again) == []
    assert dhcp_server(lab) == server
    assert ciao_json(lab, "status")["drift"] == []

    reset(lab)
    assert differences(before, whole(lab)) == []


def _is_talk(path: str) -> bool:
    return re.fullmatch(r"/run/ciao-wizard/(events-.*|.*\.log|lock|(work|serve|path)\.json)", path) is not None


def test_a_reset_keeps_the_leases_and_nothing_else(lab: Laboratory) -> None:
    before = whole(lab)
    apply(lab)
    await_nodes(lab)
    leases = lab.run(["cat", LEASES]).stdout
    assert len(leases.splitlines()) == len(NODES)
    done = ciao(lab, "reset", "--yes")
    assert done.returncode == 0, done.stderr
    after = whole(lab)
    assert lab.run(["cat", LEASES]).stdout == leases
    mode, uid, gid, *_ = after["files"].pop(LEASES)
    assert (mode, uid, gid) == ("0o100644", 0, 0)
    assert differences(before, after) == []

    apply(lab)
    assert {lease_of(lab, name)["state"] for name in NODES} == {"leased"}


@pytest.fixture(scope="module")
def fresh(lab_possible: None) -> Iterator[Laboratory]:
    """A laptop that nothing was ever applied to; for what changes nothing."""
    with Laboratory() as lab:
        before = whole(lab)
        yield lab
        assert differences(before, whole(lab)) == []


@pytest.mark.parametrize(
    "argv",
    [["reset", "--yes"], ["apply", "--yes"], ["confirm"], ["rollback"], ["leases"], ["leases", "--json"], ["status"]],
    ids=" ".join,
)
def test_where_nothing_is_applied_that_is_said(fresh: Laboratory, argv: list[str]) -> None:
    done = ciao(fresh, *argv)
    assert done.returncode == 3
    assert "nothing is applied" in done.stdout + done.stderr or "no apply waits" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_status_of_nothing(fresh: Laboratory) -> None:
    assert ciao_json(fresh, "status")["state"] == "absent"
    assert ciao_json(fresh, "status").keys() >= {"state", "healthy", "plan", "since", "checks", "drift"}


SOMEBODY = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"]


def as_somebody(lab: Laboratory, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the wizard as another user of the laptop: one who may read this checkout, wherever it lies."""
    if lab.run([*SOMEBODY, "true"], check=False).returncode:
        pytest.skip("this laboratory has only one user")
    reads = "-all,+dac_read_search"
    return lab.run([*SOMEBODY, f"--inh-caps={reads}", f"--ambient-caps={reads}", "ciao-wizard", *argv], check=False)


@pytest.mark.parametrize(
    "argv",
    [["apply", "-c", str(EXAMPLE), "--yes"], ["reset", "--yes"], ["confirm"], ["rollback"], ["probe", "eth0"]],
    ids=lambda argv: argv[0],
)
def test_what_needs_root_says_so(fresh: Laboratory, argv: list[str]) -> None:
    done = as_somebody(fresh, *argv)
    assert done.returncode == 4
    assert "root" in done.stderr
    assert "sudo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["detect", "--json"], 0),
        (["check", "-c", str(EXAMPLE)], 0),
        (["render", "-c", str(EXAMPLE)], 0),
        (["diff", "-c", str(EXAMPLE)], 1),
        (["status"], 3),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_only_looks_needs_no_root(fresh: Laboratory, argv: list[str], status: int) -> None:
    done = as_somebody(fresh, *argv)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr


def test_a_diff_of_what_an_apply_would_refuse_says_so(fresh: Laboratory) -> None:
    done = ciao(
        fresh, "diff", "-c", "-", stdin=plan_with(('cidr       = "192.168.0.0/24"', 'cidr       = "10.77.0.0/16"'))
    )
    assert done.returncode == 1
    assert "would refuse this plan" in done.stderr
    assert "network.cidr" in done.stderr
    assert done.stdout.startswith("---")


def test_detect_suggests_the_right_nics(fresh: Laboratory) -> None:
    rows = {row["name"]: row for row in ciao_json(fresh, "detect")}
    keys = {"name", "mac", "permanent_mac", "kind", "driver", "vendor", "up", "carrier", "speed_mbps", "addresses"}
    keys |= {"default_route", "dhcp_client", "carries_ssh", "suggestion", "reasons"}
    assert all(set(row) >= keys for row in rows.values())
    assert (rows["eth0"]["suggestion"], rows["eth1"]["suggestion"]) == ("corporate", "cluster")
    assert rows["eth0"]["addresses"][0] == "10.77.0.98/24"
    assert (rows["eth0"]["default_route"], rows["eth0"]["dhcp_client"]) == (True, True)
    assert all(row["reasons"] for row in rows.values() if row["suggestion"])


@pytest.mark.parametrize(
    ("argv", "status", "verdict"),
    [(["eth0"], 1, "answer"), (["eth1", "--wait", "2"], 0, "silence"), (["eth7"], 3, "unknown")],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_probe_asks_one_wire(fresh: Laboratory, argv: list[str], status: int, verdict: str) -> None:
    done = ciao(fresh, "probe", *argv, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"], found["nic"]) == (status, verdict, argv[0])
    assert set(found) >= {"nic", "verdict", "waited_s", "servers", "reason"}
    servers = [(server["server_id"], server["source_ip"]) for server in found["servers"]]
    assert servers == ([("10.77.0.1", "10.77.0.1")] if verdict == "answer" else [])
    if verdict == "unknown":
        said = ciao(fresh, "probe", *argv)
        assert said.returncode == status
        assert "eth7" in said.stdout + said.stderr
        assert "no such" in said.stdout + said.stderr or "not there" in said.stdout + said.stderr


# A plan that changes


def test_a_node_that_is_added_gets_its_address_without_a_pause_for_the_others(lab: Laboratory) -> None:
    apply(lab)
    await_nodes(lab)
    server, leases = dhcp_server(lab), lab.run(["cat", LEASES]).stdout
    mac = "00:1b:21:00:00:05"
    lab.machine("add", "compute3", "--mac", mac)
    with pinging(lab, "compute1", "10.77.0.1") as lost:
        apply(lab, EXAMPLE.read_text() + node_text("compute3", mac, "192.168.0.20"))
    assert lost() == 0
    await_nodes(lab, {**NODES, "compute3": "192.168.0.20"})
    assert dhcp_server(lab) == server
    assert leases in lab.run(["cat", LEASES]).stdout
    assert (lease_of(lab, "compute3")["state"], lease_of(lab, "compute3")["ip"]) == ("leased", "192.168.0.20")
    seen = {
        "it": Question("compute3", "fetch", "http://compute1/", page("compute1", 80, "192.168.0.103", "192.168.0.20"))
    }
    assert wrong(lab, seen) == {}


def test_a_cable_that_is_out_is_not_healthy(lab: Laboratory) -> None:
    apply(lab)
    await_nodes(lab)
    for nic, check in (("eth1", "cable"), ("eth0", "way-out")):
        lab.machine("unplug", nic)
        lab.wait_for(partial(lambda nic: f"{nic} has no link" in ciao(lab, "status").stdout, nic))
        seen = ciao_json(lab, "status")
        assert (seen["state"], seen["healthy"]) == ("applied", False)
        # Who has no link is mute as well.
        assert {c["name"] for c in seen["checks"] if c["ok"] is False} - {"guard"} == {check}
        lab.machine("plug", nic)
        lab.wait_for(lambda: ciao_json(lab, "status")["healthy"], 30)


@contextmanager
def pinging(lab: Laboratory, netns: str, address: str) -> Iterator[Any]:
    """Ping all the while, twenty times a second; call what is yielded after it for the number of lost packets."""
    process = lab.popen(["ping", "-n", "-i", "0.05", address], netns=netns, stdout=subprocess.PIPE)
    pid = lab.wait_for(lambda: lab.run(["pgrep", "-x", "ping"], check=False).stdout.strip())
    told: list[str] = []

    def lost() -> int:
        sent, received = map(int, re.findall(r"(\d+) (?:packets transmitted|received)", told[0]))
        assert sent > 10
        # The last one may have been on its way.
        return max(0, sent - received - 1)

    try:
        yield lost
    finally:
        lab.run(["kill", "-INT", pid], check=False)
        told.append(process.communicate(timeout=10)[0])


def test_a_node_that_moves_and_an_option_that_changes(lab: Laboratory) -> None:
    apply(lab, EXAMPLE.read_text() + node_text("spare", "00:1b:21:00:00:77", "192.168.0.21"))
    await_nodes(lab)
    row = lease_of(lab, "spare")
    assert (row["state"], row["kind"], row["reachable"]) == ("missing", "node", None)

    # A node with another address has its old one until it asks again, and that is said.
    moved = ("192.168.0.104", "192.168.0.24")
    apply(lab, plan_with(moved))
    row = lease_of(lab, "compute2")
    assert (row["state"], row["ip"]) == ("wrong-address", "192.168.0.104")
    lab.machine("reboot", "compute2")
    await_nodes(lab, {**NODES, "compute2": "192.168.0.24"})
    row = lease_of(lab, "compute2")
    assert (row["state"], row["ip"]) == ("leased", "192.168.0.24")

    # Another option needs another dnsmasq; no lease is lost over that.
    server, leases = dhcp_server(lab), lab.run(["cat", LEASES]).stdout
    shorter = plan_with(moved, ('lease_time = "12h"', 'lease_time = "1h"'))
    assert ciao(lab, "diff", "-c", "-", stdin=shorter).returncode == 1
    apply(lab, shorter)
    assert dhcp_server(lab) != server
    assert sorted(lab.run(["cat", LEASES]).stdout.splitlines()) == sorted(leases.splitlines())
    assert {lease_of(lab, name)["state"] for name in NODES} == {"leased"}
    lab.machine("renew", "compute1")

    def left() -> float:
        expires = datetime.fromisoformat(lease_of(lab, "compute1")["expires"])
        return (expires - datetime.now().astimezone()).total_seconds()

    lab.wait_for(lambda: left() <= 3600, what="the shorter lease")


# Odd callers


def by_shell(lab: Laboratory, script: str) -> subprocess.CompletedProcess[str]:
    return lab.run(["bash", "-c", script], check=False, timeout=120, env=BRIEF)


def test_a_plan_on_a_stick_and_a_caller_that_ignores_much(lab: Laboratory) -> None:
    before = whole(lab)
    stick = "/run/ciao-lab/stick"
    lab.run(["mkdir", stick])
    lab.run(["mount", "-t", "tmpfs", "none", stick])
    lab.run(["cp", str(EXAMPLE), f"{stick}/plan.toml"])
    # As cron jobs and supervisors have it: no stream is open, and nobody waits for children.
    done = by_shell(lab, f"trap '' CHLD; cd {stick} && ciao-wizard apply -c plan.toml --yes >&- 2>&- <&-")
    assert done.returncode == 0
    assert ciao_json(lab, "status")["state"] == "applied"
    # The guard goes on, and holds nothing of it.
    lab.run(["umount", stick])
    for streams in (">/dev/full 2>/dev/full", "--events - >/dev/full", "--events - >&-"):
        done = by_shell(lab, f"trap '' CHLD; ciao-wizard apply --yes {streams}")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert ("stdout: " in done.stderr) == ("--events" in streams)
    done = by_shell(lab, f"cd {stick} && rmdir {stick} && trap '' CHLD && ciao-wizard reset --yes --events e.jsonl")
    assert done.returncode == 1
    assert "this directory is gone" in done.stderr
    done = by_shell(
        lab, f"mkdir {stick}; cd {stick} && rmdir {stick} && trap '' CHLD && ciao-wizard reset --yes --forget-leases"
    )
    assert done.returncode == 0, done.stderr
    assert differences(before, whole(lab)) == []


# The example in force


@pytest.fixture(scope="module")
def applied(lab_possible: None) -> Iterator[Laboratory]:
    """A laptop that the example is applied to; for what leaves that as it is."""
    with Laboratory() as lab:
        apply(lab)
        await_nodes(lab)
        yield lab


def test_a_reset_that_is_not_answered_changes_nothing(applied: Laboratory) -> None:
    before = whole(applied)
    done = ciao(applied, "reset")
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert differences(before["network"], whole(applied)["network"]) == []
    assert ciao_json(applied, "status")["state"] == "applied"


def test_the_example_is_what_is_applied(applied: Laboratory) -> None:
    """What `render` shows is what an apply writes, to the byte and to the mode."""
    directory = "/run/ciao-lab/rendered"
    assert ciao(applied, "render", "-c", str(EXAMPLE), "-o", directory).returncode == 0
    files = applied.run(["find", directory, "-type", "f", "-printf", "%P\n"]).stdout.split()
    assert len(files) >= 5
    for file in files:
        applied.run(["cmp", f"{directory}/{file}", f"/{file}"])
        modes = applied.run(["stat", "-c", "%a", f"{directory}/{file}", f"/{file}"]).stdout.split()
        assert modes[0] == modes[1], file
        first = "\n".join(applied.run(["head", "-2", f"/{file}"]).stdout.splitlines())
        assert "written by ciao-wizard" in first
