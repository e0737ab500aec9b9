"""What the DHCP server complains of reaches the person: a full range, declined addresses, addresses in use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.support import EXAMPLE, NODES, apply, await_nodes, await_status, ciao, ciao_json, start_ciao
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("refusals")]

SLICE = 'dhcp_slice = "192.168.0.64/26"'
PLAN = EXAMPLE.read_text()
FEW = PLAN.replace(SLICE, 'dhcp_range = ["192.168.0.65", "192.168.0.66"]')
VMS = {f"vm{number}": f"02:31:00:00:00:0{number}" for number in (1, 2, 3)}
PATIENCE_S = 40


@pytest.fixture(scope="module")
def served(lab_possible: None) -> Iterator[Laboratory]:
    assert FEW != PLAN
    with Laboratory() as lab:
        apply(lab, FEW)
        await_nodes(lab)
        yield lab


def check(lab: Laboratory, name: str) -> dict[str, Any]:
    (found,) = [each for each in ciao_json(lab, "status")["checks"] if each["name"] == name]
    return dict(found)


def reason_of(lab: Laboratory, mac: str) -> list[str]:
    return [row["reason"] for row in ciao_json(lab, "leases") if row["mac"] == mac]


def guard_log(lab: Laboratory) -> str:
    return lab.run(["cat", "/run/ciao-wizard/serve.log"]).stdout


def test_a_range_of_two_and_three_machines(served: Laboratory) -> None:
    await_status(served, "applied")
    assert check(served, "range") == {"name": "range", "ok": True, "detail": "2 of 2 addresses free", "remedy": ""}
    watching = start_ciao(served, "leases", "--watch")
    try:
        for name, mac in list(VMS.items())[:2]:
            served.machine("add", name, "--mac", mac)
        served.wait_for(lambda: len(served.addresses("vm1") + served.addresses("vm2")) == 2, PATIENCE_S, "two leases")
        served.machine("add", "vm3", "--mac", VMS["vm3"])
        vain = f"0 of 2 addresses free; asked in vain: {VMS['vm3']}"
        served.wait_for(lambda: check(served, "range")["detail"] == vain, PATIENCE_S, "a full range")
        assert watching.stdout is not None
        heard = next(line for line in watching.stdout if VMS["vm3"] in line and "  refused " in line)
        assert heard.rstrip().endswith("no address is left for it in the range")
    finally:
        watching.kill()
        watching.communicate()
    status = ciao(served, "status")
    assert status.returncode == 1
    assert "Enlarge network.dhcp_slice" in status.stdout
    assert not ciao_json(served, "status")["healthy"]
    assert reason_of(served, VMS["vm3"]) == ["no address is left for it in the range"]
    assert "0 of 2 addresses free" in guard_log(served)
    # Nodes have addresses of their own: they lack nothing.
    assert check(served, "served")["ok"]
    apply(served, PLAN)
    served.wait_for(lambda: served.addresses("vm3"), PATIENCE_S, "its address")
    await_status(served, "applied")
    # The four nodes' own are in that range too.
    assert check(served, "range")["detail"] == "55 of 62 addresses free"
    served.wait_for(lambda: reason_of(served, VMS["vm3"]) == [""], PATIENCE_S, "no complaint")


def test_a_node_that_declines_its_address_is_not_served(served: Laboratory) -> None:
    """Another machine has it: a real client looks, and declines."""
    address = NODES["compute1"]
    served.machine("remove", "compute1")
    served.machine("add", "squatter", "--mac", "00:1b:21:00:00:77", "--address", f"{address}/24")
    # It asks by hand alone: a client that asks all the time would be given the address that it just had.
    served.machine("add", "node", "--mac", "B8:AE:ED:7B:72:58", "--no-dhcp")
    client = ["udhcpc", "-n", "-q", "-f", "-a", "-i", "eth0", "-t", "3", "-T", "1", "-A", "1", "-s", "/bin/true"]
    served.run(client, netns="node", check=False, timeout=60)
    served.wait_for(lambda: check(served, "served")["ok"] is False, PATIENCE_S, "the fault")
    detail = check(served, "served")["detail"]
    assert detail.startswith("compute1 does not get its address: ")
    assert "declined" in detail
    assert not ciao_json(served, "status")["healthy"]
    (reason,) = {row["reason"] for row in ciao_json(served, "leases") if row["name"] == "compute1"}
    assert reason
    assert "compute1 does not get its address" in guard_log(served)


INIT_REBOOT = """
import socket, sys
from wizard.host.dhcp.packet import build_discover
mac, ip = bytes.fromhex(sys.argv[1].replace(":", "")), socket.inet_aton(sys.argv[2])
frame = bytearray(build_discover(mac, 7, 0, wanted=ip).replace(bytes((53, 1, 1)), bytes((53, 1, 3))))
frame[40:42] = bytes(2)  # no checksum
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as here:
    here.bind(("eth0", 0))
    here.send(frame)
"""


def test_an_address_in_use_is_named_for_who_asked_for_it(served: Laboratory) -> None:
    mac = "02:31:00:00:00:09"
    served.machine("add", "late", "--mac", mac, "--no-dhcp")
    if "vm1" not in served.run(["ip", "netns", "list"]).stdout.split():
        # Run alone: the range is empty still.
        served.machine("add", "vm1", "--mac", VMS["vm1"])
        served.wait_for(lambda: served.addresses("vm1"), PATIENCE_S, "a lease")
    (taken,) = served.addresses("vm1")
    served.run([sys.executable, "-c", INIT_REBOOT, mac, taken], netns="late")
    wanted = [f"it asked for {taken}, which another machine uses"]
    served.wait_for(lambda: reason_of(served, mac) == wanted, PATIENCE_S, "the reason")


def test_who_is_ignored_is_named_in_the_status(served: Laboratory) -> None:
    stranger = "00:1b:21:00:00:78"
    served.machine("add", "stranger", "--mac", stranger)
    served.wait_for(lambda: reason_of(served, stranger), PATIENCE_S, "its row")
    assert "is not in the plan" in reason_of(served, stranger)[0]
