"""Names in the cluster: from the plan and the leases, from this machine's resolver, and whatever DHCP does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.guarding import await_mode, is_running, kill, sh, start_serve, told
from tests.lab.support import HERE, NODES, apply, await_nodes
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("names")]

GATEWAY = "192.168.0.200"
UPSTREAM, OTHER = "127.0.0.7", "127.0.0.8"
DIR = "/run/ciao-lab/dns"
NOT_THERE, REFUSED = 3, 5
ACTORS = str(HERE / "name_actors.py")


@contextmanager
def upstream(lab: Laboratory, address: str) -> Iterator[None]:
    """The company's DNS server, as far as our name server can tell: on this laptop, with an open ear."""
    zone = f"{DIR}/{address}"
    lab.run(["sh", "-c", f"mkdir -p {zone}; echo www.corp.example {address} >{zone}/zone; : >{zone}/asked"])
    process = lab.popen(
        [sys.executable, ACTORS, "upstream", address, zone], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def resolver(lab: Laboratory, *servers: str) -> None:
    """Have the laptop's resolver name these, its file replaced as dhclient does it."""
    lines = "".join(f"nameserver {server}\\n" for server in servers)
    sh(lab, f"printf '{lines}' >/etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf")
    lab.wait_for(lambda: told(lab)["resolver"]["servers"] == list(servers), 10, f"resolver {servers}")


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab, upstream(lab, UPSTREAM), upstream(lab, OTHER):
        apply(lab)
        await_nodes(lab)
        yield lab


@pytest.fixture
def served(world: Laboratory) -> Laboratory:
    sh(world, "machine plug eth1; rm -rf /etc/resolv.conf", check=False)
    resolver(world, UPSTREAM)
    await_mode(world, "armed", deadline=30)
    await_names(world)
    return world


def ask(lab: Laboratory, *questions: str, netns: str | None = None) -> Any:
    """Answers of our name server: [rcode, records] each; to one question, that alone."""
    words = [word for question in questions for word in (question.split() if " " in question else (question, "A"))]
    found = json.loads(lab.run([sys.executable, ACTORS, "ask", GATEWAY, *words], netns=netns).stdout)
    return found if len(questions) > 1 else found[0]


def await_names(lab: Laboratory) -> None:
    lab.wait_for(lambda: ask(lab, "controller") == [0, [NODES["controller"]]], 20, f"names: {told(lab)}")


def asked(lab: Laboratory, address: str = UPSTREAM) -> list[str]:
    return lab.run(["cat", f"{DIR}/{address}/asked"]).stdout.split()


# Beside DHCP


def test_the_name_server_has_nothing_of_dhcp(served: Laboratory) -> None:
    dns, dhcp = told(served)["dns"]["pid"], told(served)["dnsmasq"]["pid"]
    sockets = sh(served, "ss -H -a -n -p -u; ss -H -l -n -p -t; ss -H -a -n -p -0").splitlines()
    assert not [line for line in sockets if f"pid={dns}," in line and (":67 " in line or "p_raw" in line)], sockets
    assert not [line for line in sockets if f"pid={dhcp}," in line and ":53 " in line], sockets
    assert [line for line in sockets if f"pid={dns}," in line and f"{GATEWAY}:53" in line], sockets
    status = sh(served, f"cat /proc/{dns}/status")
    assert "CapEff:\t0000000000000400" in status
    assert "CapBnd:\t0000000000000400" in status
    assert "Uid:\t60867" in status
    assert "dhcp" not in sh(served, "cat /run/ciao-wizard/live/dns.cfg").replace("no-dhcp", "")


def test_names_go_on_while_the_cable_is_out_and_dhcp_rests(served: Laboratory) -> None:
    before = told(served)["dns"]
    served.machine("unplug", "eth1")
    await_mode(served, "muted", code="no-carrier")
    dhcp = told(served)["dnsmasq"]["pid"]
    served.wait_for(lambda: sh(served, f"cat /proc/{dhcp}/stat").rpartition(")")[2].split()[0] == "T", 5, "at rest")
    assert ask(served, "compute1", "www.corp.example") == [[0, [NODES["compute1"]]], [0, [UPSTREAM]]]
    served.machine("plug", "eth1")
    served.wait_for(lambda: ask(served, "compute1", netns="controller"), 10, "names once the cable is in")
    assert told(served)["dns"] == before


def test_each_is_started_again_by_itself_and_both_die_with_the_guard(served: Laboratory) -> None:
    dns, dhcp = told(served)["dns"], told(served)["dnsmasq"]
    kill(served, dns, "KILL")
    served.wait_for(lambda: told(served)["dns"] not in (None, dns), 10, "another name server")
    await_names(served)
    dns = told(served)["dns"]
    assert told(served)["dnsmasq"] == dhcp
    kill(served, dhcp, "KILL")
    served.wait_for(lambda: told(served)["dnsmasq"] not in (None, dhcp), 10, "another DHCP server")
    state = await_mode(served, "armed")
    assert state["dns"] == dns
    kill(served, state["process"], "KILL")
    served.wait_for(lambda: not any(is_running(served, state[key]) for key in ("dns", "dnsmasq")), 5, "their end")
    start_serve(served)
    await_mode(served, "armed", deadline=30)
    await_names(served)
