"""A machine on which much is missing and in the way."""

from __future__ import annotations

from dataclasses import replace

from netaddr import IPNetwork

from tests.tui.fakes import FACTS, FakeServices
from tests.tui.fakes_setup import DEBIAN
from wizard.plan.machine import Listener, Nic, Route

TROUBLED = replace(
    FACTS,
    nics=(*FACTS.nics, Nic("tun0", 7, "tunnel", up=True, carrier=True)),
    routes=(*FACTS.routes, Route(IPNetwork("10.8.0.0/16"), "tun0"), Route(IPNetwork("192.168.0.0/16"), "tun0")),
    listeners=(
        Listener("udp", "::", 67, "dnsmasq", 812, unit="dnsmasq.service"),
        Listener("udp", "127.0.0.53", 53, "systemd-resolve", 300, "lo"),
        Listener("tcp", "127.0.0.53", 53, "systemd-resolve", 300, "lo"),
        Listener("udp", "::", 53, "", None),
    ),
    firewalls=("docker", "ufw"),
    missing_tools=("ifup",),
)


def troubled() -> FakeServices:
    return FakeServices(machine=TROUBLED, around=replace(DEBIAN, missing=("dnsmasq", "setpriv"), root=False))
