"""The facts as a whole: composed from files and words, and read from a real kernel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.needs import unavailable
from wizard.host import commands
from wizard.host.facts import reader
from wizard.host.facts.reader import detect_rows, read_facts
from wizard.host.net import managers
from wizard.plan import paths
from wizard.plan.backends import ADDRESS_FILES

KEYS = [
    *("name", "mac", "permanent_mac", "kind", "driver", "vendor", "up", "carrier", "speed_mbps", "addresses"),
    *("default_route", "dhcp_client", "carries_ssh", "suggestion", "reasons"),
]

LINKS = [
    {"ifindex": 1, "ifname": "lo", "flags": ["UP", "LOWER_UP"], "link_type": "loopback"},
    {
        "ifindex": 2,
        "ifname": "eth0",
        "flags": ["UP", "LOWER_UP"],
        "link_type": "ether",
        "address": "b8:ae:ed:00:00:01",
        "parentbus": "pci",
        "addr_info": [
            {"family": "inet", "local": "10.77.0.98", "prefixlen": 24, "dynamic": True, "valid_life_time": 600}
        ],
    },
    {
        "ifindex": 3,
        "ifname": "eth1",
        "flags": ["UP", "LOWER_UP"],
        "link_type": "ether",
        "address": "00:e0:4c:68:00:01",
        "parentbus": "usb",
        "addr_info": [
            # A router done the NIC its IPv6 address; that is no DHCP.
            {"family": "inet6", "local": "fd00::5", "prefixlen": 64, "dynamic": True, "valid_life_time": 600}
        ],
    },
]
OUTPUTS = {
    "ip -j -d addr": json.dumps(LINKS),
    "ip -j route show table all": '[{"dst":"default","gateway":"10.77.0.1","dev":"eth0"}]',
    "ip -j route get 203.0.113.9": '[{"dst":"203.0.113.9","dev":"eth0"}]',
    "ss -H -lntup": "udp UNCONN 0 0 0.0.0.0%eth1:67 0.0.0.0:*\n",
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    def run(*argv: str, **_: Any) -> str:
        output = OUTPUTS.get(" ".join(argv))
        if output is None:
            raise commands.CommandFailed(argv, None, "", "not installed")
        return output

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(commands, "find", lambda tool: None if tool in ("nft", "iptables") else f"/x/{tool}")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME=x\nPRETTY_NAME="Debian \x1b[31m12"\n')
    return tmp_path


def test_what_one_source_knows_of_another_comes_together(machine: Path) -> None:
    facts = read_facts({"SSH_CONNECTION": "203.0.113.9 5 10.77.0.98 2222"}, "eth1", frozenset({7}), root=machine)
    eth0, eth1 = facts.nic("eth0"), facts.nic("eth1")

    assert eth0 is not None
    assert eth1 is not None
    assert (eth0.default_route, eth0.dhcp_client, eth0.carries_ssh) == (True, True, True)
    assert (eth1.default_route, eth1.dhcp_client, eth1.carries_ssh) == (False, False, False)
    assert facts.ssh_port == 2222
    assert facts.network_managers == ("ifupdown",)
    assert facts.missing_tools == ("nft",)
    assert facts.system == "Debian ?[31m12"
    assert (facts.applied_cluster, facts.our_pids) == ("eth1", frozenset({7}))
    assert [(one.port, one.nic) for one in facts.listeners] == [(67, "eth1")]


def test_iptables_is_missed_only_where_it_has_rules(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wizard.host.net.firewalls.active", lambda *_: ("docker", "iptables"))

    assert read_facts({}, root=machine).missing_tools == ("nft", "iptables")


def test_every_backends_file_is_looked_at(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wizard.host.facts.reader.blocked", lambda path: f"{path} is a directory")

    found = {path for path, _ in read_facts({}, root=machine).blocked}

    assert found == {*paths.WRITTEN, *(file.kept for file in ADDRESS_FILES.values())}


def test_networkds_lease_file_is_a_dhcp_client(machine: Path) -> None:
    (machine / "run/systemd/netif/leases").mkdir(parents=True)
    (machine / "run/systemd/netif/leases/3").touch()

    assert [nic.dhcp_client for nic in read_facts({}, root=machine).nics] == [False, True, True]


def test_the_json_has_the_keys_that_were_promised(machine: Path) -> None:
    rows = detect_rows(read_facts({}, root=machine))

    assert [list(row) for row in rows] == [KEYS] * 3
    assert rows[1] == rows[1] | {
        "name": "eth0",
        "mac": "b8:ae:ed:00:00:01",
        "permanent_mac": "b8:ae:ed:00:00:01",
        "kind": "ethernet",
        "vendor": "Elitegroup Computer Systems Co.,Ltd.",
        "up": True,
        "carrier": True,
        "speed_mbps": None,
        "addresses": ["10.77.0.98/24"],
        "default_route": True,
        "dhcp_client": True,
        "carries_ssh": False,
        "suggestion": "corporate",
    }
    assert rows[0]["suggestion"] is None
    assert json.loads(json.dumps(rows)) == rows


def test_this_very_machine_is_read_without_a_stumble() -> None:
    facts = read_facts()

    assert [nic.kind for nic in facts.nics if nic.name == "lo"] == ["loopback"]
    assert facts.host_name
    json.dumps(detect_rows(facts))


def test_where_no_program_runs_and_no_file_is_there_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*argv: str, **_: Any) -> str:
        raise commands.CommandFailed(argv, None, "", "not installed")

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(commands, "find", lambda _: None)

    facts = read_facts({}, root=tmp_path)

    assert (facts.nics, facts.routes, facts.network_managers, facts.firewalls) == ((), (), (), ())
    assert facts.missing_tools == ("dnsmasq", "nft", "ip", "ss", "setpriv", "unshare", "flock")


def test_time_servers_are_looked_for_where_that_is_asked_for(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "read_time_servers", lambda *_: (("eth0", ("10.77.0.1",)),))
    facts = read_facts({}, root=machine)
    assert (facts.time_known, facts.time_servers) == (False, ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    facts = read_facts({}, time=True, root=machine)
    assert (facts.time_known, facts.time_servers) == (True, (("eth0", ("10.77.0.1",)),))
    # It was not asked, so nobody knows that it names none.
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(managers, "active", lambda *_: ("NetworkManager",))
    assert not read_facts({}, time=True, root=machine).time_known


# In namespaces of its own: a real kernel's word for each kind, and sockets bound to a NIC.
SCENE = """\
set -e
mount -t sysfs sysfs /sys 2>/dev/null || true
ip link set lo up
ip link add eth0 type veth peer name peer0
ip link add eth1 type veth peer name peer1
ip link add br0 type bridge
ip link set peer0 master br0
for nic in eth0 peer0 br0 eth1; do ip link set "$nic" up; done
ip link add mv0 link eth0 type macvlan
ip link add 'a;>p' type bridge
ip address add 10.77.0.98/24 dev eth0 valid_lft 600 preferred_lft 600
ip route add default via 10.77.0.1
ip route add 10.11.0.0/16 dev eth1 table 77
exec "$@"
"""
READER = """\
import json, socket, sys
from dataclasses import asdict
from wizard.host.facts.reader import read_facts
bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
bound.setsockopt(socket.SOL_SOCKET, 25, b"eth1")
bound.bind(("0.0.0.0", 1067))
facts = read_facts({"SSH_CONNECTION": "10.77.0.5 1 10.77.0.98 22"})
json.dump(asdict(facts), sys.stdout, default=str)
"""


@pytest.fixture(scope="module")
def scene() -> dict[str, Any]:
    unshare = ["unshare", "-rnm"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        unavailable("no unprivileged namespaces here")
    done = subprocess.run(
        [*unshare, "sh", "-c", SCENE, "sh", sys.executable, "-c", READER],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_a_real_kernels_nics(scene: dict[str, Any]) -> None:
    nics = {nic["name"]: nic for nic in scene["nics"]}

    assert {name: nic["kind"] for name, nic in nics.items() if name in ("lo", "eth0", "br0", "mv0", "a;>p")} == {
        "lo": "loopback",
        "eth0": "veth",
        "br0": "bridge",
        "mv0": "macvlan",
        "a;>p": "bridge",
    }
    assert nics["peer0"]["master"] == "br0"
    assert nics["mv0"]["parent"] == "eth0"
    assert nics["eth0"]["parent"] == ""
    assert (nics["eth0"]["carrier"], nics["eth1"]["carrier"], nics["peer1"]["carrier"]) == (True, False, None)
    assert not nics["a;>p"]["usable_name"]
    assert [nics["eth0"][key] for key in ("default_route", "dhcp_client", "carries_ssh")] == [True] * 3
    assert [nics["eth1"][key] for key in ("default_route", "dhcp_client", "carries_ssh")] == [False] * 3


def test_a_real_kernels_routes_and_sockets(scene: dict[str, Any]) -> None:
    routes = {(route["destination"], route["nic"], route["table"]) for route in scene["routes"]}

    assert {("0.0.0.0/0", "eth0", "main"), ("10.77.0.0/24", "eth0", "main"), ("10.11.0.0/16", "eth1", "77")} <= routes
    assert ("udp", 1067, "eth1") in {(one["protocol"], one["port"], one["nic"]) for one in scene["listeners"]}
