"""The laptops people have: who manages the network on them, and which firewall they run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.boot.computer import Computer
from tests.boot.wires import wait_for

_LO = "auto lo\niface lo inet loopback\n"
_IFUPDOWN = ("ifup", "ifdown", "ifquery")
_NM_FILES = {
    # NetworkManager leaves veths alone, by a rule of udev's and by its configuration; a laptop has none.
    "etc/NetworkManager/conf.d/lab.conf": "[device-lab]\nmatch-device=interface-name:eth*\nmanaged=1\n",
    "etc/udev/rules.d/90-nm-lab.rules": 'ENV{ID_NET_DRIVER}=="veth", ENV{NM_UNMANAGED}="0"\n',
}
_DHCP = "[Match]\nName={}\n\n[Network]\nDHCP=yes\n"
_NETPLAN = "network:\n  version: 2\n  ethernets:\n    {}\n"


@dataclass(frozen=True)
class Kind:
    """A laptop by its network manager. `backend`: the one that an apply takes; `unit`: the manager's.

    `said`: what `check` says of it, "" for nothing; `package`: the manager's; `status`: the command that tells what
    the manager does with the cluster NIC, () for none.
    """

    name: str
    backend: str
    unit: str
    package: str
    said: str
    files: Mapping[str, str]
    units: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    has_ifupdown: bool = False


_NMCLI = ("nmcli", "-g", "GENERAL.STATE,GENERAL.CONNECTION,GENERAL.AUTOCONNECT", "device", "show", "eth1")
_NETWORKCTL = ("networkctl", "list", "--no-legend", "eth1")
_NETWORKD = ("systemd-networkd.service",)

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "NetworkManager",
            "networkmanager",
            "NetworkManager.service",
            "network-manager",
            "NetworkManager has eth1 connecting",
            {**_NM_FILES, "etc/network/interfaces": _LO},
            ("NetworkManager.service",),
            _NMCLI,
        ),
        Kind(
            "NetworkManager+ifupdown",
            "networkmanager",
            "NetworkManager.service",
            "network-manager",
            "NetworkManager has eth1 connecting",
            {**_NM_FILES, "etc/network/interfaces": f"source /etc/network/interfaces.d/*\n\n{_LO}"},
            ("NetworkManager.service",),
            _NMCLI,
            has_ifupdown=True,
        ),
        Kind(
            "networkd",
            "networkd",
            "systemd-networkd.service",
            "systemd",
            "systemd-networkd configures eth1 by",
            {"etc/systemd/network/20-wired.network": _DHCP.format("e*")},
            _NETWORKD,
            _NETWORKCTL,
        ),
        Kind(
            "netplan, eth0 named",
            "none",
            "systemd-networkd.service",
            "netplan.io",
            "No network manager has eth1",
            {"etc/netplan/50-lab.yaml": _NETPLAN.format("eth0:\n      dhcp4: true")},
            _NETWORKD,
            _NETWORKCTL,
        ),
        Kind(
            "netplan, a pattern",
            "netplan",
            "systemd-networkd.service",
            "netplan.io",
            "netplan has systemd-networkd configure eth1",
            {
                "etc/netplan/50-lab.yaml": _NETPLAN.format(
                    'all-en:\n      match:\n        name: "e*"\n      dhcp4: true\n      optional: true'
                )
            },
            _NETWORKD,
            _NETWORKCTL,
        ),
        Kind(
            "ifupdown",
            "ifupdown",
            "networking.service",
            "ifupdown",
            "",
            {},
            ("networking.service",),
            has_ifupdown=True,
        ),
        Kind(
            "none",
            "none",
            "systemd-networkd.service",
            "systemd",
            "No network manager has eth1",
            {"etc/systemd/network/20-wired.network": _DHCP.format("eth0")},
            _NETWORKD,
            _NETWORKCTL,
        ),
    )
}

_DOCKER = """#!/bin/sh
# The rules that a Docker engine makes, with a container's port published.
set -e
I="iptables-nft -w"
$I -P FORWARD DROP
for chain in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do
    $I -N $chain 2>/dev/null || $I -F $chain
done
$I -S FORWARD | sed -n 's/^-A/-D/p' | grep DOCKER | while read -r rule; do $I $rule; done
$I -I FORWARD -j DOCKER-ISOLATION-STAGE-1
$I -I FORWARD -j DOCKER-USER
$I -A DOCKER-USER -j RETURN
$I -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
$I -A DOCKER-ISOLATION-STAGE-1 -j RETURN
$I -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
$I -A DOCKER-ISOLATION-STAGE-2 -j RETURN
$I -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT
$I -t nat -N DOCKER 2>/dev/null || $I -t nat -F DOCKER
$I -t nat -C POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE 2>/dev/null ||
    $I -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
$I -t nat -A DOCKER ! -i docker0 -p tcp --dport 8088 -j DNAT --to-destination 172.17.0.2:80
"""
_DOCKER_UNIT = """[Unit]
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/docker-rules
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class LaptopFirewall:
    """A firewall of a laptop: how it comes onto a disk, is set up once in the running machine, and is reloaded."""

    name: str
    package: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    units: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


_PUBLIC = tuple(f"firewall-cmd --quiet --permanent --zone=public --add-interface={nic}" for nic in ("eth0", "eth1"))

FIREWALLS = {
    firewall.name: firewall
    for firewall in (
        LaptopFirewall("no firewall"),
        LaptopFirewall(
            "ufw",
            "ufw",
            units=("ufw.service",),
            setup=("ufw allow ssh", "ufw --force enable"),
            reload=("ufw", "reload"),
            restart=("systemctl", "restart", "ufw"),
        ),
        LaptopFirewall(
            "firewalld",
            "firewalld",
            units=("firewalld.service",),
            reload=("firewall-cmd", "--reload"),
            restart=("systemctl", "restart", "firewalld"),
        ),
        LaptopFirewall(
            "firewalld, NICs in public",
            "firewalld",
            units=("firewalld.service",),
            setup=(*_PUBLIC, "firewall-cmd --quiet --reload"),
            reload=("firewall-cmd", "--reload"),
            restart=("systemctl", "restart", "firewalld"),
        ),
        LaptopFirewall(
            "Docker's rules",
            "iptables",
            files={
                "usr/local/sbin/docker-rules": _DOCKER,
                "etc/systemd/system/docker.service": _DOCKER_UNIT,
            },
            units=("docker.service",),
            reload=("systemctl", "restart", "docker"),
        ),
    )
}


def prepare(computer: Computer, kind: Kind, firewall: LaptopFirewall) -> None:
    """Make a laptop of that kind out of one that is off and new; and boot it."""
    computer.write({**kind.files, **firewall.files})
    disk = computer.disk
    if "networking.service" not in kind.units:
        _mask(computer, "networking.service")
    if not kind.has_ifupdown:
        for program in _IFUPDOWN:
            (disk / "usr/sbin" / program).unlink()
    for path in firewall.files:
        if path.startswith("usr/local/sbin"):
            (disk / path).chmod(0o755)
    for path in kind.files:
        if path.startswith("etc/netplan"):
            (disk / path).chmod(0o600)
    for unit in (*kind.units, *firewall.units):
        _enable(computer, unit)
    # NetworkManager gives its dispatcher to D-Bus to start; nothing in here needs it.
    (disk / "etc/systemd/system/dbus-org.freedesktop.nm-dispatcher.service").unlink(missing_ok=True)
    computer.power_on()
    for command in firewall.setup:
        computer.run("sh", "-c", command)
    wait_for(lambda: computer.addresses("eth0"), 60, "the laptop's own lease")


def versions(computer: Computer, kind: Kind, firewall: LaptopFirewall) -> dict[str, str]:
    """What this laptop is, in the words of docs/supported.md."""

    def version(package: str) -> str:
        told = computer.run("dpkg-query", "--show", "--showformat=${Version}", package).stdout
        return re.sub(r"^\d+:|[-+~].*$", "", told)

    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', computer.run("cat", "/etc/os-release").stdout, re.MULTILINE))
    return {
        "system": release["PRETTY_NAME"],
        "manager": f"{kind.name} ({version(kind.package)})",
        "firewall": f"{firewall.name} ({version(firewall.package)})" if firewall.package else firewall.name,
        "kernel": re.sub(r"[-+].*$", "", computer.run("uname", "-r").stdout.strip()),
    }


def _enable(computer: Computer, unit: str) -> None:
    wants = computer.disk / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    here = f"etc/systemd/system/{unit}"
    target = f"/{here}" if (computer.disk / here).exists() else f"/lib/systemd/system/{unit}"
    (wants / unit).unlink(missing_ok=True)
    (wants / unit).symlink_to(target)


def _mask(computer: Computer, unit: str) -> None:
    there = computer.disk / "etc/systemd/system" / unit
    there.unlink(missing_ok=True)
    there.symlink_to("/dev/null")
