"""A cluster that is not ciao's, with real clients: labels for roles, a machine with two NICs, a device, options."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.guarding import asking, macs, told
from tests.lab.support import (
    NODES,
    OFFICE,
    Question,
    apply,
    ask,
    await_nodes,
    await_status,
    ciao,
    ciao_json,
    page,
    peer,
    plan_with,
)
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("rack")]

USB, SWITCH = "00:e0:4c:00:00:01", "00:0c:42:00:00:01"
PLAN = plan_with(
    ("version = 1", 'version = 1\n\n[cluster]\nkind = "k3s"'),
    ("[network]\n", "[network]\nmtu = 1400\n"),
    ('role = "controller"', 'role = "server"'),
    ('role = "network"', 'role = ["agent", "gpu"]'),
    # Of many roles "compute" is one.
    ('"C0:3F:D5:67:A1:FB"', f'["C0:3F:D5:67:A1:FB", "{USB}"]'),
) + (
    f"""
[[devices]]
name = "switch"
mac  = "{SWITCH}"
ip   = "192.168.0.250"

[[forwards]]
port = "30000-30010"
to = "compute1"

[[options]]
option = "tftp-server"
value = "192.168.0.5"

[[options]]
option = 224
value = "00:ff:7f"

[[options]]
option = 224
value = "01"                       # a text, though it looks like an octet
to = ["agent", "gpu"]

[[options]]
option = 224
value = "hello, #world: 1.2.3.4"
to = ["compute2"]

[[options]]
option = 225
value = 7

[[options]]
option = 226
value = ["192.168.0.5", "192.168.0.6"]

[[options]]
option = "bootfile-name"
value = "http://192.168.0.5/a,b:c #d;$(e)"

[[options]]
option = "default-ttl"
value = 48
to = ["server"]
"""
)
OPTIONS = "/run/ciao-lab/options"


@pytest.fixture(scope="module")
def served(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        apply(lab, PLAN)
        await_nodes(lab)
        yield lab


def row(lab: Laboratory, name: str) -> dict[str, Any]:
    (found,) = [row for row in ciao_json(lab, "leases") if row["name"] == name]
    return dict(found)


def test_a_cluster_of_another_kind_is_served_and_healthy(served: Laboratory) -> None:
    assert await_status(served, "applied")["healthy"]
    assert row(served, "network")["role"] == "agent, gpu"
    assert ciao(served, "export", "k3s-ansible").returncode == 0
    refused = ciao(served, "export", "ciao")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "cluster.kind is k3s" in refused.stderr


def test_no_nic_of_a_machine_is_taken_for_another_machine(served: Laboratory) -> None:
    """The guard asks around for doubled addresses; compute2 answers with the first of its two MACs."""
    intruder = "00:1b:21:00:00:55"
    served.machine("add", "intruder", "--mac", intruder, "--address", f"{NODES['controller']}/24")

    def conflicts() -> list[str]:
        return [c["detail"] for c in ciao_json(served, "status")["checks"] if c["name"] == "address-conflict"]

    try:
        # A round of questions has been answered once one that is doubled was found.
        served.wait_for(conflicts, 60, "a conflict")
        assert conflicts() == [f"{NODES['controller']}, the address of controller, is also at {intruder}"]
    finally:
        served.machine("remove", "intruder")
    await_status(served, "applied", 90)


def test_a_machine_has_its_address_by_whichever_nic_asks(served: Laboratory) -> None:
    served.machine("unplug", "compute2")
    served.machine("add", "usb", "--mac", USB)
    await_nodes(served, {"usb": NODES["compute2"]})
    served.wait_for(lambda: row(served, "compute2")["mac"] == USB, 20, "its row with the other MAC")
    assert row(served, "compute2")["state"] == "leased"
    # Back at the first one: the address goes with the machine.
    served.machine("remove", "usb")
    served.machine("plug", "compute2")
    served.machine("reboot", "compute2")
    await_nodes(served, {"compute2": NODES["compute2"]})
    served.wait_for(lambda: row(served, "compute2")["mac"] != USB, 20, "its row with the first MAC")
    # Neither is a conflict with the other.
    assert not told(served)["conflicts"]
    assert await_status(served, "applied")["healthy"]


def test_a_device_is_reserved_and_watched(served: Laboratory) -> None:
    assert (row(served, "switch")["kind"], row(served, "switch")["state"]) == ("device", "missing")
    served.machine("add", "anything", "--mac", SWITCH)
    await_nodes(served, {"anything": "192.168.0.250"})
    served.wait_for(lambda: row(served, "switch")["state"] == "leased", 20, "its lease")
    assert row(served, "switch")["role"] == ""


def options(lab: Laboratory, name: str) -> dict[str, str]:
    """What a client (udhcpc) is told; options without a name of its own as octets. It sets nothing."""
    script = f'#!/bin/sh\n[ "$1" != bound ] || env >{OPTIONS}.new; mv -f {OPTIONS}.new {OPTIONS}\n'
    lab.run(["sh", "-c", f"rm -f {OPTIONS}; cat >{OPTIONS}.sh; chmod +x {OPTIONS}.sh"], input=script)
    wanted = [word for number in (23, 26, 66, 67, 224, 225, 226) for word in ("-O", str(number))]
    client = ["udhcpc", "-n", "-q", "-f", "-i", "eth0", "-t", "10", "-T", "1", "-s", f"{OPTIONS}.sh", *wanted]
    lab.run(client, netns=name, timeout=30)
    told = lab.run(["cat", OPTIONS]).stdout.splitlines()
    return dict(line.split("=", 1) for line in told if "=" in line)


def test_each_machine_is_told_its_own_options(served: Laboratory) -> None:
    server = options(served, "controller")
    assert (server["tftp"], server["opt224"], server["opt225"]) == ("192.168.0.5", "00ff7f", "07")
    assert server["opt226"] == "c0a80005c0a80006"
    assert server["bootfile"] == "http://192.168.0.5/a,b:c #d;$(e)"
    assert (server["ipttl"], server["mtu"]) == ("48", "1400")
    agent = options(served, "network")
    assert bytes.fromhex(agent["opt224"]) == b"01"
    assert "ipttl" not in agent
    # The machine's own comes before its role's, and that before the one for all.
    assert bytes.fromhex(options(served, "compute2")["opt224"]) == b"hello, #world: 1.2.3.4"
    # It has no role with options.
    assert options(served, "compute1")["opt224"] == "00ff7f"


def from_office(lab: Laboratory, port: int, kind: str = "fetch") -> Any:
    target = f"http://{OFFICE}:{port}/" if kind == "fetch" else f"{OFFICE}:{port}"
    (answer,) = ask(lab, {"": Question("colleague", kind, target, "", within=3)}).values()
    return answer


def test_a_range_of_ports_leads_to_the_same_ports(served: Laboratory) -> None:
    with peer(served, "serve", "inside", "30000", "30007", "30010", "30011", netns="compute1"):
        for port in (30000, 30007, 30010):
            assert from_office(served, port) == page("inside", port, NODES["compute1"], "10.77.0.50")
        assert from_office(served, 30011) is None
    check = next(c for c in ciao_json(served, "status")["checks"] if c["name"] == "forward-30000")
    assert "30000-30010 to compute1" in check["detail"]


@contextmanager
def asking_all_along(lab: Laboratory, port: int) -> Iterator[list[str]]:
    """A colleague's datagrams from one socket, ten a second; the answers."""
    script = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.1); s.connect((sys.argv[1], int(sys.argv[2])))
while True:
    try:
        s.send(b"x"); s.recv(2048); print(time.time(), "answer", flush=True); time.sleep(0.1)
    except OSError:
        print(time.time(), "silence", flush=True)
"""
    argv = ["/usr/bin/python3", "-c", script, OFFICE, str(port)]
    process = lab.popen(argv, netns="colleague", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(process.stdout or ()))
    reader.start()
    try:
        yield told
    finally:
        process.kill()
        process.wait()
        reader.join()


def test_a_narrowed_and_a_removed_range_end_what_runs_through_it(served: Laboratory) -> None:
    udp = '[[forwards]]\nport = "40000-40010"\nto = "compute1"\nprotocol = "udp"\n'
    with peer(served, "echo", "inside", "40005", netns="compute1"), asking_all_along(served, 40005) as told:
        apply(served, PLAN + udp)
        served.wait_for(lambda: "answer" in told[-1], 10, "an answer")
        apply(served, PLAN + udp + 'from = ["10.99.0.0/16"]\n')
        served.wait_for(lambda: all("silence" in line for line in told[-5:]), 10, "silence")
        apply(served, PLAN + udp + 'from = ["10.77.0.0/16"]\n')
        served.wait_for(lambda: "answer" in told[-1], 10, "an answer again")
        apply(served, PLAN)
        served.wait_for(lambda: all("silence" in line for line in told[-5:]), 10, "silence again")


def test_who_finds_the_range_full_is_listed_with_the_reason(served: Laboratory) -> None:
    few = PLAN.replace('dhcp_slice = "192.168.0.64/26"', 'dhcp_range = ["192.168.0.65", "192.168.0.66"]')
    assert few != PLAN
    apply(served, few)
    served.machine("add", "host", "--mac", "00:1b:21:00:00:66", "--no-dhcp")

    def refused() -> list[str]:
        return [row["reason"] for row in ciao_json(served, "leases") if row["kind"] == "vm" and not row["ip"]]

    with asking(served, "host", macs=macs(4), take=True, every=0.5, seconds=60) as crowd:
        served.wait_for(lambda: len(refused()) == 2, 30, "two without an address")
        assert set(refused()) == {"no address is left for it in the range"}
        crowd.end()
