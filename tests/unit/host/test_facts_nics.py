"""NICs from what `ip -j -d addr` said on real machines, and a /sys to go with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from netaddr import IPNetwork

from wizard.host import commands
from wizard.host.facts import nics
from wizard.host.facts.nics import is_usable_name, read_nics, shown_name
from wizard.plan.machine import Address, Nic

FOREVER = 4294967295


def link(name: str, index: int = 2, **more: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "ifindex": index,
        "ifname": name,
        "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
        "link_type": "ether",
        "address": "b8:ae:ed:00:00:01",
        "addr_info": [],
    }
    return entry | more


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Nic, ...]]:
    """Reads the NICs of a machine where `ip` says `links`, under the root tmp_path."""

    def read(*links: dict[str, Any], text: str | None = None) -> tuple[Nic, ...]:
        output = json.dumps(links) if text is None else text
        monkeypatch.setattr(commands, "run", lambda *_, **__: output)
        return read_nics(tmp_path)

    return read


def in_sysfs(root: Path, name: str, bus: str = "", driver: str = "", **attributes: str) -> Path:
    """A NIC's directory in /sys; `bus` and `driver` make it a device."""
    at = root / "sys/class/net" / name
    at.mkdir(parents=True)
    attributes = {"ifindex": "2", "address": "b8:ae:ed:00:00:01", **attributes}
    for attribute, value in attributes.items():
        (at / attribute).write_text(value + "\n")
    if bus:
        device = root / "sys/devices" / bus
        device.mkdir(parents=True)
        (at / "device").symlink_to(device)
        (root / "sys/bus/drivers" / driver).mkdir(parents=True)
        (device / "driver").symlink_to(root / "sys/bus/drivers" / driver)
    return at


def test_a_card_on_the_bus(machine: Callable[..., tuple[Nic, ...]], tmp_path: Path) -> None:
    in_sysfs(tmp_path, "enp3s0", "pci0000:00/0000:03:00.0", "r8169", speed="1000")

    (nic,) = machine(
        link(
            "enp3s0",
            addr_info=[
                {"family": "inet", "local": "10.77.0.98", "prefixlen": 24, "dynamic": True, "valid_life_time": 600},
                {"family": "inet", "local": "10.0.0.9", "prefixlen": 8, "valid_life_time": FOREVER},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "valid_life_time": FOREVER},
            ],
        )
    )

    assert nic == Nic(
        name="enp3s0",
        index=2,
        kind="ethernet",
        mac="b8:ae:ed:00:00:01",
        permanent_mac="b8:ae:ed:00:00:01",
        bus="pci0000:00/0000:03:00.0",
        driver="r8169",
        vendor="Elitegroup Computer Systems Co.,Ltd.",
        up=True,
        carrier=True,
        speed_mbps=1000,
        addresses=(
            Address(IPNetwork("10.77.0.98/24"), dynamic=True),
            Address(IPNetwork("10.0.0.9/8")),
            Address(IPNetwork("fe80::1/64")),
        ),
    )


@pytest.mark.parametrize(
    ("more", "permanent"),
    [
        ({}, "b8:ae:ed:00:00:01"),
        ({"permaddr": "C0:3F:D5:00:00:02"}, "c0:3f:d5:00:00:02"),
        ({"permaddr": "00:00:00:00:00:00"}, "b8:ae:ed:00:00:01"),
        (
            {
                "master": "bond0",
                "permaddr": "c0:3f:d5:00:00:02",
                "linkinfo": {"info_slave_kind": "bond", "info_slave_data": {"perm_hwaddr": "c0:3f:d5:00:00:03"}},
            },
            "c0:3f:d5:00:00:03",
        ),
    ],
)
def test_the_permanent_mac_is_the_one_it_was_built_with(
    machine: Callable[..., tuple[Nic, ...]], more: dict[str, Any], permanent: str
) -> None:
    (nic,) = machine(link("eth0", **more))

    assert (nic.mac, nic.permanent_mac) == ("b8:ae:ed:00:00:01", permanent)


@pytest.mark.parametrize(
    ("flags", "up", "carrier"),
    [
        (["UP", "LOWER_UP"], True, True),
        (["NO-CARRIER", "UP"], True, False),
        (["BROADCAST"], False, None),
    ],
)
def test_nobody_knows_the_carrier_of_a_nic_that_is_down(
    machine: Callable[..., tuple[Nic, ...]], flags: list[str], up: bool, carrier: bool | None
) -> None:
    (nic,) = machine(link("eth0", flags=flags))

    assert (nic.up, nic.carrier) == (up, carrier)


@pytest.mark.parametrize("speed", ["-1", "0", "4294967295", ""])
def test_a_speed_that_means_nothing_is_none(
    machine: Callable[..., tuple[Nic, ...]], tmp_path: Path, speed: str
) -> None:
    in_sysfs(tmp_path, "eth0", "x/1", "d", speed=speed)

    assert machine(link("eth0"))[0].speed_mbps is None


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"link_type": "loopback", "address": "00:00:00:00:00:00"}, "loopback"),
        ({"linkinfo": {"info_kind": "veth"}, "link": "peer0"}, "veth"),
        ({"linkinfo": {"info_kind": "bridge"}}, "bridge"),
        ({"linkinfo": {"info_kind": "bond"}}, "bond"),
        ({"linkinfo": {"info_kind": "team"}}, "bond"),
        ({"linkinfo": {"info_kind": "vlan"}, "link": "eth0"}, "vlan"),
        ({"linkinfo": {"info_kind": "macvlan"}, "link": "eth0"}, "macvlan"),
        ({"linkinfo": {"info_kind": "ipvlan"}, "link": "eth0"}, "macvlan"),
        ({"linkinfo": {"info_kind": "tun"}, "link_type": "none", "address": None}, "tunnel"),
        ({"linkinfo": {"info_kind": "tun"}}, "tunnel"),
        ({"linkinfo": {"info_kind": "wireguard"}, "link_type": "none"}, "tunnel"),
        ({"linkinfo": {"info_kind": "vxlan"}}, "tunnel"),
        ({"link_type": "ppp"}, "tunnel"),
        ({"linkinfo": {"info_kind": "ifb"}}, "other"),
        ({"linkinfo": {"info_kind": "tomorrow"}}, "other"),
        ({}, "other"),
        ({"parentbus": "usb", "parentdev": "1-1:1.0"}, "ethernet"),
    ],
)
def test_kinds_where_sysfs_says_nothing(
    machine: Callable[..., tuple[Nic, ...]], more: dict[str, Any], kind: str
) -> None:
    (nic,) = machine(link("x0", **more))

    assert nic.kind == kind
    assert nic.bus == ""
    assert nic.parent == ("eth0" if kind in ("vlan", "macvlan") else "")


@pytest.mark.parametrize("sign", ["wireless", "phy80211"])
def test_a_radio_is_no_cable(machine: Callable[..., tuple[Nic, ...]], tmp_path: Path, sign: str) -> None:
    (in_sysfs(tmp_path, "wlp2s0", "pci/2", "iwlwifi") / sign).mkdir()

    assert machine(link("wlp2s0"))[0].kind == "wireless"


def test_a_bridge_port_names_its_master(machine: Callable[..., tuple[Nic, ...]]) -> None:
    assert machine(link("eth0", master="br0"))[0].master == "br0"


def test_the_sysfs_of_another_namespace_is_not_believed(
    machine: Callable[..., tuple[Nic, ...]], tmp_path: Path
) -> None:
    in_sysfs(tmp_path, "eth0", "pci/other", "other", address="aa:aa:aa:aa:aa:aa")
    in_sysfs(tmp_path, "eth9", "pci/nine", "nine", ifindex="9")

    (nic,) = machine(link("eth0", linkinfo={"info_kind": "veth"}))

    assert (nic.kind, nic.bus, nic.driver) == ("veth", "", "veth")


@pytest.mark.parametrize("name", ["eth0", "enp0s31f6", "enx00e04c680001", "eth0.100", "br-lan", "wl_1"])
def test_ordinary_names_are_usable(name: str) -> None:
    assert is_usable_name(name)
    assert shown_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("eth0;reboot", "$(id)", "`id`", "a|b", "-h", "e*", "eth+", "eth1,eth0", "[red]x", "a;>p", "it's", 'q"q'),
        *("e\x1bx", "\u202eabc", "u\ufffd", ".", "..", "_x", "b\\s", "all", "default", "", " eth0", "eth0\n", "a" * 16),
    ],
)
def test_hostile_names_are_shown_escaped_and_never_used(machine: Callable[..., tuple[Nic, ...]], name: str) -> None:
    (nic,) = machine(link(name, master=name))

    assert not nic.usable_name
    assert nic.name.isprintable()
    assert not is_usable_name(nic.name)
    assert nic.master == nic.name


def test_raw_control_characters_in_ips_json_do_not_hide_the_nics(
    machine: Callable[..., tuple[Nic, ...]],
) -> None:
    nics = machine(text=json.dumps([link("e?x"), link("eth0", 3)]).replace("?", "\x1b"))

    assert [nic.name for nic in nics] == ["e\\x1bx", "eth0"]


@pytest.fixture
def without_ip(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*argv: str, **_: Any) -> str:
        raise commands.CommandFailed(argv, None, "", f"{argv[0]} is not installed")

    monkeypatch.setattr(commands, "run", missing)


@pytest.mark.usefixtures("without_ip")
def test_without_ip_sysfs_still_tells_what_is_there(tmp_path: Path) -> None:
    in_sysfs(tmp_path, "eth7", "pci/7", "e1000e", type="1", flags="0x1003", carrier="1", speed="100")
    in_sysfs(tmp_path, "tun7", ifindex="3", address="", type="65534", flags="0x90", tun_flags="0x1001")
    bridge = in_sysfs(tmp_path, "br7", ifindex="4", type="1", flags="0x1003", carrier="0")
    (bridge / "bridge").mkdir()
    (tmp_path / "sys/class/net/bonding_masters").write_text("")

    nics = read_nics(tmp_path)

    assert [(n.name, n.kind, n.up, n.carrier) for n in nics] == [
        ("eth7", "ethernet", True, True),
        ("tun7", "tunnel", False, None),
        ("br7", "bridge", True, False),
    ]
    assert (nics[0].driver, nics[0].speed_mbps, nics[0].mac) == ("e1000e", 100, "b8:ae:ed:00:00:01")


@pytest.mark.usefixtures("without_ip")
def test_without_anything_there_are_no_nics(tmp_path: Path) -> None:
    assert read_nics(tmp_path) == ()


def test_unreadable_attributes_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    assert nics.read_sysfs(tmp_path / "nothing") == ""
    assert nics.read_sysfs(tmp_path / "file" / "below") == ""
    assert nics.read_sysfs(tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "driver", "uevent", "mac", "kind"),
    [
        ("wwan0", "qmi_wwan", "INTERFACE=wwan0", "b8:ae:ed:00:00:01", "modem"),
        ("wwp0s20", "new_wwan", "DEVTYPE=wwan\nINTERFACE=wwp0s20", "b8:ae:ed:00:00:01", "modem"),
        ("usb0", "rndis_host", "", "b8:ae:ed:00:00:01", "tether"),
        ("enx021122334455", "cdc_ether", "", "02:11:22:33:44:55", "tether"),
        ("enxb8aeed000001", "cdc_ether", "", "b8:ae:ed:00:00:01", "ethernet"),
        ("enxb8aeed000001", "r8152", "", "02:11:22:33:44:55", "ethernet"),
        ("eth5", "ipheth", "", "b8:ae:ed:00:00:01", "tether"),
        ("bnep0", "bnep", "DEVTYPE=bluetooth", "b8:ae:ed:00:00:01", "tether"),
        ("usb1", "g", "DEVTYPE=gadget", "b8:ae:ed:00:00:01", "gadget"),
        ("thunderbolt0", "thunderbolt-net", "", "b8:ae:ed:00:00:01", "gadget"),
        ("enp3s0", "r8169", "INTERFACE=enp3s0", "b8:ae:ed:00:00:01", "ethernet"),
    ],
)
def test_what_is_behind_the_socket(
    machine: Callable[..., tuple[Nic, ...]], tmp_path: Path, name: str, driver: str, uevent: str, mac: str, kind: str
) -> None:
    in_sysfs(tmp_path, name, "pci0000:00/usb1/1-1", driver, uevent=uevent, address=mac)
    (nic,) = machine(link(name, address=mac))
    assert (nic.kind, nic.driver) == (kind, driver)


@pytest.mark.parametrize("link_type", ["rawip", "none", "[519]"])
def test_a_modem_without_ethernet_is_a_modem(
    machine: Callable[..., tuple[Nic, ...]], tmp_path: Path, link_type: str
) -> None:
    """LTE in raw IP mode, as ModemManager sets it up: no header, no MAC."""
    in_sysfs(tmp_path, "wwan0", "pci0000:00/usb1/1-1", "qmi_wwan", uevent="DEVTYPE=wwan", address="")
    (nic,) = machine(link("wwan0", address="", link_type=link_type))
    assert (nic.kind, nic.mac, nic.permanent_mac) == ("modem", "", "")


@pytest.mark.parametrize(
    ("name", "mac", "kind"),
    [
        ("cali12ab34cd567", "ee:ee:ee:ee:ee:ee", "container"),
        ("odd", "ee:ee:ee:ee:ee:ee", "container"),
        ("lxc1234", "02:11:22:33:44:55", "container"),
        ("veth9f8e7d6", "02:11:22:33:44:55", "container"),
        ("ve-debian", "02:11:22:33:44:55", "container"),
        ("eth1", "02:11:22:33:44:55", "veth"),
        ("veth0", "02:11:22:33:44:55", "veth"),
    ],
)
def test_the_host_s_end_of_a_container(
    machine: Callable[..., tuple[Nic, ...]], tmp_path: Path, name: str, mac: str, kind: str
) -> None:
    in_sysfs(tmp_path, name, address=mac)
    (nic,) = machine(link(name, address=mac, linkinfo={"info_kind": "veth"}, link="eth0", link_netnsid=0))
    assert (nic.kind, nic.parent) == (kind, "")


def test_whose_wire_a_nic_shares(machine: Callable[..., tuple[Nic, ...]], tmp_path: Path) -> None:
    function = in_sysfs(tmp_path, "vf0", "pci0000:00/0000:03:10.0", "ixgbevf", ifindex="5")
    physical = tmp_path / "sys/devices/pci0000:00/0000:03:00.0"
    (physical / "net/pf0").mkdir(parents=True)
    (function / "device" / "physfn").symlink_to(physical)
    nics = machine(
        link("pf0", 2),
        link("pf0.20", 3, link="pf0", linkinfo={"info_kind": "vlan"}),
        link("iv", 4, link="pf0", linkinfo={"info_kind": "ipvlan"}),
        link("vf0", 5),
        link("vx", 6, link="pf0", linkinfo={"info_kind": "vxlan"}),
        link("elsewhere", 7, link="eth9", link_netnsid=3, linkinfo={"info_kind": "macvlan"}),
        link("lan1", 8, link="inner", linkinfo={"info_kind": "dsa"}),
        link("inner", 9),
    )
    parents = {nic.name: nic.parent for nic in nics}
    assert parents == {
        "pf0": "",
        "pf0.20": "pf0",
        "iv": "pf0",
        "vf0": "pf0",
        "vx": "pf0",
        "elsewhere": "",
        "lan1": "",
        "inner": "",
    }
    assert {nic.name: nic.kind for nic in nics}["inner"] == "conduit"
