"""Adopting and releasing at the screen, on a real wire: what the keys of a person do to machines and to traffic."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.support import LEASES, apply, await_nodes, ciao, ciao_json, dhcp_server
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("adopt")]

ROOT = Path(__file__).parents[2]
STRANGER, VM = "00:16:3e:00:00:09", "02:31:00:00:00:07"
PLAN = "/etc/ciao-wizard/gateway.toml"


@pytest.fixture(scope="module")
def gateway(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        apply(lab)
        await_nodes(lab)
        yield lab


def at_the_screen(lab: Laboratory, mac: str, *keys: str, until: str) -> str:
    """Press keys on the leases page with the cursor on a machine; what the page says in the end."""
    argv = [sys.executable, "-m", "tests.lab.at_the_screen", mac, *keys, "--", until]
    done = lab.run(argv, check=False, timeout=120, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@contextmanager
def pinging(lab: Laboratory) -> Iterator[dict[str, int]]:
    """A node pings through the gateway twenty times a second; how often, and how many answers came."""
    told: dict[str, int] = {}
    line = ["sh", "-c", "echo $$; exec ping -i 0.05 10.77.0.1"]
    ping = lab.popen(line, netns="compute1", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert ping.stdout is not None
    pid = ping.stdout.readline().strip()
    try:
        yield told
    finally:
        lab.run(["kill", "-INT", pid], check=False)
        said, _ = ping.communicate(timeout=10)
    sent, received = re.findall(r"(\d+) packets transmitted, (\d+) received", said)[0]
    told.update(sent=int(sent), received=int(received))


def board(lab: Laboratory) -> dict[str, dict[str, object]]:
    return {row["mac"]: row for row in ciao_json(lab, "leases")}


def test_a_stranger_is_adopted_from_the_screen_and_nobody_notices(gateway: Laboratory) -> None:
    gateway.machine("add", "nuc-05", "--mac", STRANGER)
    gateway.wait_for(lambda: board(gateway).get(STRANGER, {}).get("state") == "ignored", 20)
    server = dhcp_server(gateway)
    with pinging(gateway) as told:
        # Enter takes what the dialog offers.
        said = at_the_screen(gateway, STRANGER, "a", "enter", until="is a node now")
        address = re.findall(r"It gets (\S+) at its next DHCP request", said)[0]
        # It has been asking all the time; its next request is answered.
        gateway.wait_for(lambda: gateway.addresses("nuc-05") == [address], 20, f"{address} for the adopted")
        gateway.machine("renew", "nuc-05")
        gateway.wait_for(lambda: gateway.addresses("nuc-05") == [address], 20, f"{address} after a renewal")
        gateway.machine("reboot", "nuc-05")
        gateway.wait_for(lambda: gateway.addresses("nuc-05") == [address], 20, f"{address} after a restart")
    assert told["sent"] > 40
    assert told["sent"] - told["received"] <= 1, told
    # dnsmasq was not restarted, the plan has kept its comments, and all is well.
    assert dhcp_server(gateway) == server
    plan = gateway.run(["cat", PLAN]).stdout
    assert "# leads to the switch of the nodes, and to nothing else" in plan
    row = board(gateway)[STRANGER]
    assert (row["kind"], row["state"], row["ip"], row["name"]) == ("node", "leased", address, row["hostname"])
    status = json.loads(ciao(gateway, "status", "--json").stdout)
    assert (status["healthy"], status["drift"]) == (True, [])
    # The others have what they had.
    await_nodes(gateway)


def test_a_plan_that_was_edited_is_not_applied_along(gateway: Laboratory) -> None:
    gateway.machine("add", "other", "--mac", "00:16:3e:00:00:0a")
    gateway.wait_for(lambda: "00:16:3e:00:00:0a" in board(gateway), 20)
    before = gateway.run(["cat", PLAN]).stdout
    try:
        gateway.run(["sed", "-i", "s/port *= 5000/port = 5001/", PLAN])
        said = at_the_screen(gateway, "00:16:3e:00:00:0a", "a", until="was edited and not applied")
        assert "Apply it" in said
        assert board(gateway)["00:16:3e:00:00:0a"]["kind"] == "stranger"
    finally:
        gateway.run(["tee", PLAN], input=before)
        gateway.machine("remove", "other")


def test_a_lease_is_released_from_the_screen(gateway: Laboratory) -> None:
    gateway.machine("add", "vm", "--mac", VM)
    gateway.wait_for(lambda: gateway.addresses("vm"), 20, "an address for the VM")
    (address,) = gateway.addresses("vm")
    server = dhcp_server(gateway)
    gateway.machine("unplug", "vm")
    try:
        said = at_the_screen(gateway, VM, "x", "y", until="has released the lease")
        assert address in said
        assert VM not in gateway.run(["cat", LEASES]).stdout
        assert dhcp_server(gateway) == server
        # The machine was told nothing of it.
        assert gateway.addresses("vm") == [address]
    finally:
        gateway.machine("plug", "vm")
    gateway.machine("reboot", "vm")
    gateway.wait_for(lambda: VM in gateway.run(["cat", LEASES]).stdout, 20, "a lease anew")
    gateway.machine("remove", "vm")
