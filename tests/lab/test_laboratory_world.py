"""What stands in the laboratory: the laptop, the networks, the nodes, the cables."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from tests.lab.sample_server import NODES, serve_the_sample
from wizard.lab import marker
from wizard.lab.control import Laboratory
from wizard.lab.tools import LabFailed, find

pytestmark = pytest.mark.lab


def carrier(lab: Laboratory, nic: str, netns: str | None = None) -> bool:
    return lab.run(["cat", f"/sys/class/net/{nic}/carrier"], netns=netns).stdout.strip() == "1"


def has_an_office_address(lab: Laboratory, name: str) -> bool:
    return any(address.startswith("10.77.0.") for address in lab.addresses(name))


def test_the_laptop_is_a_fresh_debian_with_a_lease_from_the_corporate_network(lab: Laboratory) -> None:
    address = lab.run(["ip", "-4", "-o", "address", "show", "dev", "eth0"]).stdout
    assert "10.77.0.98/24" in address
    # udhcpc's own script does not tell the kernel that a lease runs out; the other clients do.
    assert "dynamic" in address or not find("dhclient")
    assert "default via 10.77.0.1 dev eth0" in lab.run(["ip", "route"]).stdout
    assert "nameserver 10.77.0.1" in lab.run(["cat", "/etc/resolv.conf"]).stdout
    assert lab.addresses(nic="eth1") == []
    assert carrier(lab, "eth1")
    assert lab.run(["hostname"]).stdout == "laptop\n"
    interfaces = lab.run(["cat", "/etc/network/interfaces"]).stdout
    assert "source /etc/network/interfaces.d/*" in interfaces
    assert "iface eth0 inet dhcp" in interfaces
    assert "eth1" not in interfaces
    assert lab.run(["ls", "-A", "/etc/network/interfaces.d", "/etc/network/if-up.d"]).stdout.split() == [
        "/etc/network/if-up.d:",
        "/etc/network/interfaces.d:",
    ]
    for path in ("/etc/ciao-wizard", "/var/lib/ciao-wizard"):
        assert lab.run(["test", "-e", path], check=False).returncode == 1
    assert lab.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "0\n"


def test_the_laptop_reaches_the_corporate_page_and_the_outside_by_name(lab: Laboratory) -> None:
    assert lab.fetch("http://www.corp.example/") == "corporate 80\nserved by 10.77.0.1\nasked by 10.77.0.98\n"
    outside = lab.fetch("http://registry.example:5000/")
    assert outside == "corporate 5000\nserved by 198.51.100.10\nasked by 10.77.0.98\n"
    nobody = lab.run(["getent", "hosts", "nobody.example"], check=False, timeout=10)
    assert nobody.returncode == 2


def test_a_colleague_sits_on_the_office_switch(lab: Laboratory) -> None:
    lab.wait_for(lambda: lab.addresses("colleague") == ["10.77.0.50"])
    assert lab.fetch("http://www.corp.example/", netns="colleague") is not None
    lab.wait_for(lambda: lab.fetch("http://10.77.0.50/"))


def test_the_nodes_get_the_samples_addresses_from_the_samples_dnsmasq(lab: Laboratory) -> None:
    serve_the_sample(lab)
    for name, address in NODES.items():
        leased = partial(lambda name, address: lab.addresses(name) == [address], name, address)
        lab.wait_for(leased, what=f"the lease of {name}")
    controller = lab.run(["cat", "/etc/resolv.conf"], netns="controller").stdout
    assert "nameserver 192.168.0.200" in controller
    assert "nameserver 10.77.0.1" in lab.run(["cat", "/etc/resolv.conf"]).stdout
    assert "default via 192.168.0.200" in lab.run(["ip", "route"], netns="controller").stdout
    for port in (8889, 35357, 5000):
        page = lab.fetch(f"http://192.168.0.101:{port}/")
        assert page == f"controller {port}\nserved by 192.168.0.101\nasked by 192.168.0.200\n"
    leases = lab.run(["cat", "/var/lib/misc/tenant_dns.leases"]).stdout
    assert {line.split()[2]: line.split()[3] for line in leases.splitlines()} == {a: n for n, a in NODES.items()}


LOGGED = "--interface=eth1 --bind-interfaces --user=root --group= --no-ping --log-dhcp --log-facility=/run/dhcp.log"


def dhcp_log(lab: Laboratory) -> str:
    return lab.run(["cat", "/run/dhcp.log"]).stdout


def test_a_node_renews_and_asks_anew_after_a_reboot(lab: Laboratory) -> None:
    lab.run(["ip", "address", "add", "192.168.0.200/24", "dev", "eth1"])
    served = "--dhcp-range=192.168.0.65,192.168.0.126 --dhcp-host=B8:AE:ED:7B:51:50,192.168.0.101"
    lab.run(["sh", "-c", f"dnsmasq {LOGGED} {served}"])
    given = "DHCPACK(eth1) 192.168.0.101 b8:ae:ed:7b:51:50"
    lab.wait_for(lambda: given in dhcp_log(lab))
    lab.wait_for(lambda: lab.addresses("controller") == ["192.168.0.101"])
    asked = "DHCPDISCOVER(eth1) b8:ae:ed:7b:51:50"
    before = dhcp_log(lab).count(asked)

    lab.machine("renew", "controller")
    lab.wait_for(lambda: dhcp_log(lab).count(given) == 2)
    assert dhcp_log(lab).count(asked) == before
    assert lab.addresses("controller") == ["192.168.0.101"]

    lab.machine("reboot", "controller")
    lab.wait_for(lambda: dhcp_log(lab).count(given) == 3)
    assert dhcp_log(lab).count(asked) > before
    lab.wait_for(lambda: lab.addresses("controller") == ["192.168.0.101"])


def test_cables_are_pulled_put_back_and_moved(lab: Laboratory) -> None:
    serve_the_sample(lab)
    lab.wait_for(lambda: lab.addresses("compute1") == ["192.168.0.103"])
    for cable, nic, netns in (("eth1", "eth1", None), ("compute1", "eth0", "compute1")):
        lab.machine("unplug", cable)
        lab.wait_for(partial(lambda nic, netns: not carrier(lab, nic, netns), nic, netns))
        lab.machine("plug", cable)
        lab.wait_for(partial(carrier, lab, nic, netns))
    lab.wait_for(lambda: lab.addresses("compute1") == ["192.168.0.103"])

    lab.machine("move", "compute1", "corporate")
    lab.wait_for(lambda: has_an_office_address(lab, "compute1"))
    lab.machine("move", "compute1", "cluster")
    lab.wait_for(lambda: lab.addresses("compute1") == ["192.168.0.103"])

    lab.machine("move", "eth1", "corporate")
    lab.wait_for(lambda: carrier(lab, "eth1"))
    found = json.loads(lab.run(["ip", "-j", "link", "show", "dev", "laptop-eth1"], netns="corporate").stdout)
    assert found[0]["master"] == "office"


def test_joined_switches_are_one_wire(lab: Laboratory) -> None:
    assert lab.addresses("compute1") == []
    lab.machine("join")
    lab.wait_for(lambda: has_an_office_address(lab, "compute1"))
    lab.machine("part")
    with pytest.raises(subprocess.CalledProcessError):
        lab.machine("part")


def test_an_added_machine_asks_with_what_it_was_told_to_say(lab: Laboratory) -> None:
    lab.run(["ip", "address", "add", "192.168.0.200/24", "dev", "eth1"])
    listens = (
        "--interface=eth1 --bind-interfaces --user=root --group= --no-ping --log-dhcp --log-facility=/run/dhcp.log"
    )
    lab.run(["sh", "-c", f"dnsmasq {listens} --dhcp-range=192.168.0.65,192.168.0.126"])
    add = ["add", "vm", "--mac", "02:00:00:00:00:07", "--client-id", "ff:00:11", "--vendor", "cnci image"]
    lab.machine(*add, "--hostname", "cnci-7", "--port", "8080")
    (address,) = lab.wait_for(lambda: lab.addresses("vm"))
    log = dhcp_log(lab)
    assert "DHCPACK(eth1) " + address + " 02:00:00:00:00:07 cnci-7" in log
    assert "vendor class: cnci image" in log
    assert "ff:00:11" in lab.run(["cat", "/var/lib/misc/dnsmasq.leases"]).stdout
    page = lab.wait_for(lambda: lab.fetch(f"http://{address}:8080/"))
    assert page is not None
    assert page.startswith("vm 8080\n")
    assert "vm" in lab.world()["machines"]

    lab.machine("remove", "vm")
    assert "vm" not in lab.world()["machines"]
    assert "vm" not in lab.run(["ip", "netns", "list"]).stdout.split()


def test_a_machine_may_have_static_addresses_and_no_client(lab: Laboratory) -> None:
    lab.machine("add", "still", "--mac", "00:1b:21:00:00:01", "--address", "192.168.0.9/24", "--switch", "cluster")
    lab.run(["ip", "address", "add", "192.168.0.200/24", "dev", "eth1"])
    lab.wait_for(lambda: lab.fetch("http://192.168.0.9/"))
    assert "udhcpc" not in lab.run(["sh", "-c", "ip netns pids still | xargs ps -o args= -p"]).stdout


@pytest.mark.parametrize(
    "argv",
    [
        ["add", "UPPER", "--mac", "02:00:00:00:00:01"],
        ["add", "a;>b", "--mac", "02:00:00:00:00:01"],
        ["add", "laptop", "--mac", "02:00:00:00:00:01"],
        ["add", "controller", "--mac", "02:00:00:00:00:01"],
        ["add", "fine", "--mac", "03:00:00:00:00:01"],
        ["add", "fine", "--mac", "02:00"],
        ["add", "fine", "--mac", "02:00:00:00:00:01", "--client-id", "xyz"],
        ["remove", "nobody"],
        ["unplug", "eth7"],
        ["move", "eth1", "moon"],
    ],
    ids=" ".join,
)
def test_machine_refuses_in_one_message(shared_lab: Laboratory, argv: list[str]) -> None:
    done = shared_lab.run(["machine", *argv], check=False)
    assert done.returncode in (1, 2)
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert set(shared_lab.world()["machines"]) == {*NODES, "colleague"}


@pytest.fixture(scope="module")
def shared_lab(lab_possible: None) -> Iterator[Laboratory]:
    """For tests that change nothing."""
    with Laboratory() as laboratory:
        yield laboratory


def test_a_program_can_tell_where_it_is(shared_lab: Laboratory) -> None:
    ask = [sys.executable, "-c", "from wizard.lab import marker; print(marker.inside())"]
    assert shared_lab.run(ask).stdout == "True\n"
    assert not marker.inside()
    with pytest.raises(LabFailed, match="not a laboratory"):
        marker.world()
    world = shared_lab.world()
    assert world["laptop"]["eth1"] == "00:1b:21:5a:01:98"
    assert set(world["netns"]) == {"switch", "corporate", "colleague", *NODES}
    assert world["machines"]["controller"]["mac"] == "b8:ae:ed:7b:51:50"
