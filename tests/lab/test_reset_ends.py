"""A reset comes to its end whatever was taken away meanwhile, and the address and ifupdown are as they were."""

from __future__ import annotations

import pytest

from tests.lab.support import EXAMPLE, apply, ciao, ciao_json, differences, reset, start_ciao, whole
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab

THEIRS = """auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp

allow-hotplug eth1
iface eth1 inet static
    address 10.9.9.9/24
"""
TOOLS = ("ifup", "ifdown", "ifquery", "ip", "ss", "setsid")
HIDE = """
for tool in {}; do for at in $(which -a $tool); do readlink -f $at; done; done | sort -u >/run/ciao-lab/hidden
while read -r at; do mount -n --bind /dev/null $at; done </run/ciao-lab/hidden
"""
BRING_BACK = "while read -r at; do umount -n $at; done </run/ciao-lab/hidden"


def test_the_person_s_own_stanza_was_deleted_meanwhile(lab: Laboratory) -> None:
    lab.run(["sh", "-ec", "cat >/etc/network/interfaces; ifup eth1"], input=THEIRS)
    before = whole(lab)
    apply(lab)
    lab.run(["sed", "-i", "/^# ciao-wizard: /d", "/etc/network/interfaces"])
    said = reset(lab).stderr
    assert "ifupdown no longer knows eth1" in said
    assert ciao_json(lab, "status")["state"] == "absent"
    left = [line for line in differences(before, whole(lab)) if "/etc/network/interfaces" not in line]
    assert left == []
    apply(lab)
    reset(lab)


def test_the_nic_was_replaced_in_a_trial(lab: Laboratory) -> None:
    pending = start_ciao(lab, "apply", "-c", str(EXAMPLE), "--confirm-within", "60")
    lab.wait_for(lambda: ciao_json(lab, "status").get("remaining_s"), what="the question")
    shell = "ip link set eth1 down; ip link set eth1 address 02:00:00:00:77:01; ip address flush dev eth1"
    lab.run(["sh", "-ec", shell])
    done = ciao(lab, "rollback")
    assert done.returncode == 0, done.stderr
    pending.wait(30)
    assert lab.run(["cat", "/run/network/ifstate"]).stdout == "lo=lo\neth0=eth0\n"
    assert lab.run(["ifquery", "--state", "eth1"], check=False).stdout == ""
    assert ciao_json(lab, "status")["state"] == "absent"
    # The other one is taken for good, and ifupdown believes nothing of it.
    apply(lab)
    reset(lab)


def test_the_programs_of_the_network_are_gone(lab: Laboratory) -> None:
    """Neither ifupdown nor iproute2 is there any more, nor what starts a process apart."""
    lab.run(["sh", "-ec", "ip link set eth1 up; ip address add 10.9.9.9/24 dev eth1"])
    before = whole(lab)
    apply(lab)
    lab.run(["sh", "-ec", HIDE.format(" ".join(TOOLS))])
    done = ciao(lab, "reset", "--yes", "--forget-leases")
    lab.run(["sh", "-ec", BRING_BACK])
    assert done.returncode == 0, done.stderr
    assert differences(before, whole(lab)) == []
    assert ciao_json(lab, "status")["state"] == "absent"
    apply(lab)
    reset(lab)
