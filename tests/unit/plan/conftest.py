"""A plan and a machine on which nothing is wrong; tests change one thing at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from netaddr import IPNetwork

from wizard.plan.file.read import load_plan
from wizard.plan.machine import Address, Facts, Listener, Nic, Route
from wizard.plan.model import Plan

EXAMPLE = Path(__file__).parents[3] / "examples" / "ciao.toml"


@pytest.fixture(scope="session")
def example() -> str:
    return EXAMPLE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def plan(example: str) -> Plan:
    return load_plan(example, "ciao.toml")


@pytest.fixture(scope="session")
def facts() -> Facts:
    """A laptop: eth0 in the company's 10.77.0.0/24, eth1 with a cable and nothing else, Docker, a local resolver."""
    lease = (Address(IPNetwork("10.77.0.98/24"), dynamic=True), Address(IPNetwork("fe80::1/64")))
    eth0 = Nic(
        "eth0",
        2,
        "ethernet",
        "00:1b:21:00:00:01",
        "00:1b:21:00:00:01",
        "pci0000:00/0000:00:1f.6",
        up=True,
        carrier=True,
        addresses=lease,
        default_route=True,
        dhcp_client=True,
    )
    eth1 = Nic(
        "eth1",
        3,
        "ethernet",
        "00:1b:21:00:00:02",
        "00:1b:21:00:00:02",
        "pci0000:00/usb1/1-1",
        up=True,
        carrier=True,
    )
    docker0 = Nic(
        "docker0", 4, "bridge", "02:42:00:00:00:01", up=True, addresses=(Address(IPNetwork("172.17.0.1/16")),)
    )
    return Facts(
        nics=(Nic("lo", 1, "loopback", addresses=(Address(IPNetwork("127.0.0.1/8")),)), eth0, eth1, docker0),
        routes=(
            Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1", metric=100),
            Route(IPNetwork("10.77.0.0/24"), "eth0"),
            Route(IPNetwork("10.77.0.98/32"), "eth0", table="local"),
            Route(IPNetwork("172.17.0.0/16"), "docker0"),
            Route(IPNetwork("127.0.0.0/8"), "lo", table="local"),
            Route(IPNetwork("224.0.0.0/4"), "eth0"),
        ),
        listeners=(
            Listener("udp", "127.0.0.53", 53, "systemd-resolve", 400),
            Listener("tcp", "0.0.0.0", 22, "sshd", 401),  # noqa: S104
            Listener("tcp", "127.0.0.1", 5000, "flask", 402),
        ),
        network_managers=("ifupdown",),
        host_name="laptop",
        system="Debian 12",
    )
