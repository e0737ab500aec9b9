"""/etc/network/interfaces as people have it: an apply copes, and a reset restores it to the byte."""

from __future__ import annotations

import pytest

from tests.lab.support import (
    apply,
    await_nodes,
    ciao,
    differences,
    reset,
    whole,
)
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab


LOOPBACK = "auto lo\niface lo inet loopback\n\n"
CORPORATE = "auto eth0\niface eth0 inet dhcp\n"
SOURCE = "source /etc/network/interfaces.d/*\n\n"

INTERFACES = {
    "no source line and no newline at the end": ((LOOPBACK + CORPORATE).rstrip("\n"), ""),
    "eth1 by dhcp, raised with eth0, not up": (
        SOURCE + LOOPBACK + "auto eth0 eth1\niface eth0 inet dhcp\n\niface eth1 inet dhcp\n    metric 7\n# the end\n",
        "",
    ),
    "eth1 static, up": (
        LOOPBACK
        + CORPORATE
        + "\nallow-hotplug eth1\niface eth1 inet static\n    address 10.9.9.9/24\n    mtu 1400\n\n"
        + SOURCE,
        "ifup eth1",
    ),
    "eth1 static with the very address, up": (
        LOOPBACK
        + CORPORATE
        + "auto eth1\niface eth1 inet static\n    address 192.168.0.200\n    netmask 255.255.255.0\n",
        "ifup eth1",
    ),
}


def asked_of_ifupdown(lab: Laboratory) -> dict[str, str]:
    """The address that ifupdown would give eth1, and no other."""
    lines = [line.partition(": ") for line in lab.run(["ifquery", "eth1"]).stdout.splitlines()]
    found = [(key, value) for key, _, value in lines if key in ("address", "netmask", "gateway", "metric")]
    assert len(found) == len(dict(found)), lines
    return dict(found)


@pytest.mark.parametrize("case", INTERFACES)
def test_an_interfaces_file_with_other_things_in_it_comes_back_to_the_byte(lab: Laboratory, case: str) -> None:
    text, begin = INTERFACES[case]
    lab.run(["sh", "-c", f"cat >/etc/network/interfaces; chmod 640 /etc/network/interfaces; {begin}"], input=text)
    before = whole(lab)
    apply(lab)
    await_nodes(lab)
    assert lab.addresses(nic="eth1") == ["192.168.0.200"]
    # After a reboot ifupdown itself is to give it this address and no other.
    assert asked_of_ifupdown(lab) == {"address": "192.168.0.200", "netmask": "255.255.255.0"}
    assert "eth1" in lab.run(["ifquery", "--list", "--allow", "auto"]).stdout.split()
    assert "eth0" in lab.run(["ifquery", "--list", "--allow", "auto"]).stdout.split()
    assert ciao(lab, "diff").returncode == 0
    reset(lab)
    assert differences(before, whole(lab)) == []
    assert lab.run(["cat", "/etc/network/interfaces"]).stdout == text


def test_a_laptop_without_an_interfaces_file(lab: Laboratory) -> None:
    lab.run(["rm", "/etc/network/interfaces"])
    before = whole(lab)
    apply(lab)
    assert asked_of_ifupdown(lab) == {"address": "192.168.0.200", "netmask": "255.255.255.0"}
    reset(lab)
    assert differences(before, whole(lab)) == []
