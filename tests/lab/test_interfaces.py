"""/etc/network/interfaces as people have it: an apply copes, and a reset restores it to the byte."""

from __future__ import annotations

import pytest

from tests.lab.striking import APPLY
from tests.lab.support import (
    EXAMPLE,
    apply,
    await_nodes,
    ciao,
    ciao_json,
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
    "lines that go on, the last one too": (
        LOOPBACK
        + CORPORATE
        + "auto lo \\\n  eth1\n"
        + "iface eth1 inet dhcp\n    up echo a \\\n  iface b\n# caf\u00e9\niface eth7 inet manual\n  up true \\",
        "",
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
    assert "eth1" in lab.run(["ifquery", "--list", "--allow", "hotplug"]).stdout.split()
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


def test_a_stanza_that_another_inherits_from_is_refused_before_anything_happens(lab: Laboratory) -> None:
    text = LOOPBACK + CORPORATE + "iface eth1 inet manual\n    mtu 1400\niface vlan3 inet manual inherits eth1\n"
    lab.run(["sh", "-c", "cat >/etc/network/interfaces"], input=text)
    before = whole(lab)
    ended = ciao(lab, *APPLY)
    assert ended.returncode != 0
    assert "has vlan3 inherit from the stanza of eth1" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert differences(before, whole(lab)) == []
    assert lab.run(["cat", "/etc/network/interfaces"]).stdout == text


DROP_INS = {
    "50-cloud-init": "auto lo\niface lo inet loopback\n\nauto eth1\niface eth1 inet dhcp\n",
    "office": "allow-hotplug eth1\niface eth1 inet static\n    address 10.9.8.7/24\n    gateway 10.9.8.1",
    "lan": "auto eth1=lan eth9=lan\niface lan inet static\n    address 10.9.9.9/24\n    gateway 10.9.9.1\n",
}


def test_drop_ins_that_configure_the_nic_are_told_put_out_of_force_and_given_back(lab: Laboratory) -> None:
    """None of them gives it a second address or a default route at the next boot."""
    lab.run(["sh", "-c", "cat >/etc/network/interfaces"], input=SOURCE + LOOPBACK + CORPORATE)
    for name, text in DROP_INS.items():
        lab.run(["sh", "-ec", f"cat >/etc/network/interfaces.d/{name}"], input=text)
    before = whole(lab)
    found = {f["code"]: f["message"] for f in ciao_json(lab, "check", "-c", str(EXAMPLE))}
    for place in ("50-cloud-init:4", "50-cloud-init:5", "office:1", "office:2", "lan:1 brings it up as lan"):
        assert f"interfaces.d/{place}" in found["nic-configured-elsewhere"]
    assert "+# ciao-wizard: iface eth1 inet dhcp" in ciao(lab, "diff", "-c", str(EXAMPLE)).stdout
    apply(lab)
    assert asked_of_ifupdown(lab) == {"address": "192.168.0.200", "netmask": "255.255.255.0"}
    assert lab.run(["cat", "/etc/network/interfaces.d/lan"]).stdout.splitlines()[1] == "auto eth9=lan"
    # What the next boot runs, and udev for each NIC that is there.
    lab.run(["sh", "-c", "ifdown --force eth1; ifup --ignore-errors -a; ifup --allow=hotplug eth1"], check=False)
    assert lab.addresses(nic="eth1") == ["192.168.0.200"]
    assert "eth1" not in lab.run(["ip", "route", "show", "default"]).stdout
    assert ciao_json(lab, "status")["drift"] == []
    lab.run(["sh", "-ec", "echo 'auto eth1' >>/etc/network/interfaces.d/50-cloud-init"])
    assert any("50-cloud-init was changed: it gets in the way" in line for line in ciao_json(lab, "status")["drift"])
    lab.run(["sed", "-i", "$ d", "/etc/network/interfaces.d/50-cloud-init"])
    reset(lab)
    for name, text in DROP_INS.items():
        assert lab.run(["cat", f"/etc/network/interfaces.d/{name}"]).stdout == text
    # Its time has changed with what was added and taken away; and ifupdown has raised more than before.
    changed = [line for line in differences(before, whole(lab)) if line.startswith("/files//etc")]
    assert [line for line in changed if "50-cloud-init" not in line] == []


def test_what_would_take_the_nic_from_elsewhere_is_refused_before_anything_happens(lab: Laboratory) -> None:
    bridge = "auto br0\niface br0 inet manual\n    bridge_ports eth1\n"
    lab.run(["sh", "-ec", "cat >>/etc/network/interfaces.d/br0"], input=bridge)
    before = whole(lab)
    ended = ciao(lab, *APPLY)
    assert ended.returncode == 1
    assert "/etc/network/interfaces.d/br0:3 makes it a part of br0" in ended.stdout + ended.stderr
    assert differences(before, whole(lab)) == []
    # What the remedy says works, and so does a directory in the place of a link that leads nowhere.
    lab.run(["sh", "-ec", "cd /etc/network; rm -r interfaces.d; ln -s nowhere interfaces.d"])
    before = whole(lab)
    assert ciao_json(lab, "check", "-c", str(EXAMPLE))[0]["code"] == "path-blocked"
    ended = ciao(lab, *APPLY)
    assert ended.returncode == 1
    assert "is a link to nowhere, where no directory is" in ended.stdout + ended.stderr
    assert differences(before, whole(lab)) == []
    lab.run(["sh", "-ec", "cd /etc/network; rm interfaces.d; mkdir interfaces.d"])
    apply(lab)


def test_bytes_that_are_no_text_and_lines_of_others_stay(lab: Laboratory) -> None:
    """Written by an old editor, and changed once more while the gateway stood."""
    shell = "printf '# B\\374ro\\r\\nauto lo eth1\\r\\niface eth1 inet dhcp\\r\\n' >/etc/network/interfaces"
    lab.run(["sh", "-c", shell])
    before = lab.run(["sha256sum", "/etc/network/interfaces"]).stdout
    apply(lab)
    lab.run(["sh", "-c", "printf '# caf\\351\\r\\n' >>/etc/network/interfaces"])
    assert ciao(lab, "status").returncode in (0, 1)
    reset(lab)
    cut = lab.run(["sh", "-c", "head -c -8 /etc/network/interfaces | sha256sum"]).stdout
    assert cut.split()[0] == before.split()[0]
    end = lab.run(["sh", "-c", "tail -c 8 /etc/network/interfaces | od -An -c"]).stdout
    assert end.split() == ["#", "c", "a", "f", "351", "\\r", "\\n"]


@pytest.mark.parametrize("replaced", [False, True], ids=["through the link", "in the place of the link"])
def test_an_interfaces_file_that_is_a_link_stays_one_and_keeps_what_others_write(
    lab: Laboratory, replaced: bool
) -> None:
    """Somebody writes into it while the gateway stands; an editor may put a file in the place of the link."""
    main, real = "/etc/network/interfaces", "/etc/dotfiles/interfaces.real"
    text = LOOPBACK + "auto eth1\niface eth1 inet static\n    address 10.1.1.1/24\n" + CORPORATE
    lab.run(["sh", "-ec", f"mkdir /etc/dotfiles; cat >{real}; chmod 640 {real}; ln -sf {real} {main}"], input=text)
    before = whole(lab)
    apply(lab)
    assert lab.run(["readlink", main]).stdout == f"{real}\n"
    assert "# ciao-wizard: iface eth1" in lab.run(["cat", real]).stdout
    assert ciao(lab, "status").returncode == 0
    reset(lab)
    assert differences(before, whole(lab)) == []
    apply(lab)
    more = "\n# my NAS\niface eth5 inet manual\n"
    lab.run(["sh", "-ec", f"{f'cp --remove-destination {real} {main};' if replaced else ''} cat >>{main}"], input=more)
    reset(lab)
    assert lab.run(["cat", main]).stdout == text + more
    assert lab.run(["cat", real]).stdout == (text if replaced else text + more)
    assert lab.run(["stat", "-c", "%a", real]).stdout == "640\n"
