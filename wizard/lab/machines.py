"""Machines, cables and switches of a running laboratory. For use inside it, by tests and by people.

A cable is known by its name at the switch: the machine's, or `laptop-eth0` and `laptop-eth1` (`eth0` and `eth1`
for short). Pulling one takes its switch end down: the machine loses its carrier.
"""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

from wizard.lab import marker, private
from wizard.lab.tools import LabFailed, ip, ip_batch, python, run, start
from wizard.lab.world import LAPTOP, LAPTOP_MACS, STATE, SWITCHES, Machine, Switch

NAME = re.compile(r"[a-z][a-z0-9-]{0,13}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
PATCH = "patch"
"""The cable between the two switches, and the name of both its ends."""


def build_switches() -> None:
    """The two switches, and the laptop's cables to them."""
    for switch in SWITCHES.values():
        private.netns_etc(switch.netns)
        ip("netns", "add", switch.netns)
    # A switch is no host: without this it would take part in neighbour discovery with addresses of its own.
    # There is nothing to do on a kernel without IPv6.
    quiet = "f=/proc/sys/net/ipv6/conf/default/disable_ipv6; [ ! -e $f ] || echo 1 > $f"
    run("ip", "netns", "exec", SWITCHES["cluster"].netns, "sh", "-c", quiet)
    for switch in SWITCHES.values():
        bridge = f"link add {switch.bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ip_batch([bridge, f"link set {switch.bridge} up", "link set lo up"], switch.netns)
    # Names and addresses are given before the cables are up, as hardware has them when a system boots.
    for nic, switch in zip(LAPTOP_MACS, SWITCHES.values(), strict=True):
        ip("link", "add", nic, "address", LAPTOP_MACS[nic], *_peer(f"{LAPTOP}-{nic}", switch))
        _connect(f"{LAPTOP}-{nic}", switch)


def _peer(cable: str, switch: Switch) -> tuple[str, ...]:
    return ("type", "veth", "peer", "name", cable, "netns", switch.netns)


def _connect(cable: str, switch: Switch) -> None:
    ip_batch([f"link set {cable} master {switch.bridge}", f"link set {cable} up"], switch.netns)


def add(machine: Machine) -> None:
    """Plug a new machine in and switch it on. Raises LabFailed for a name that is taken or impossible."""
    _check(machine)
    switch = _switch(machine.switch)
    private.netns_etc(machine.name)
    ip("netns", "add", machine.name)
    # From within its namespace: up to 6.12 the kernel looks the name up where it is asked, and the laptop has an eth0.
    ip("link", "add", "eth0", "address", machine.mac, *_peer(machine.name, switch), netns=machine.name)
    ip_batch(
        [
            "link set lo up",
            *(f"address add {address} dev eth0" for address in machine.addresses),
            "link set eth0 up",
        ],
        machine.name,
    )
    _connect(machine.name, switch)
    marker.remember(machine)
    boot(machine, machine.name)


def boot(machine: Machine, netns: str) -> None:
    """Start what runs on a machine: DHCP client and pages."""
    argv = ["ip", "netns", "exec", netns, *python("wizard.lab.node"), machine.name, *map(str, machine.ports)]
    if machine.dhcp:
        sent = {"hostname": machine.hostname, "client-id": machine.client_id, "vendor": machine.vendor}
        argv += ["--dhcp", *(f"--{option}={value}" for option, value in sent.items() if value)]
    start(argv, STATE / "log" / f"{machine.name}.log")


def reboot(name: str) -> None:
    """A machine forgets its address and asks again, as after a power cut."""
    _signal(name, signal.SIGHUP)


def renew(name: str) -> None:
    """A machine renews its lease now instead of at half its time."""
    _signal(name, signal.SIGUSR1)


def _signal(name: str, number: signal.Signals) -> None:
    file = marker.MACHINES / f"{_known(name)}.pid"
    deadline = time.monotonic() + 5
    while not file.exists() and time.monotonic() < deadline:
        # It was just plugged in and is booting.
        time.sleep(0.02)
    try:
        os.kill(int(file.read_text()), number)
    except (FileNotFoundError, ProcessLookupError):
        raise LabFailed(f"{name} is not running", f"its log is {STATE}/log/{name}.log") from None


def remove(name: str) -> None:
    """Take a machine away, cable and all."""
    _known(name)
    cable, switch = find_cable(name)
    ip("link", "delete", cable, netns=switch.netns)
    for pid in ip("netns", "pids", name).split():
        os.kill(int(pid), signal.SIGKILL)
    ip("netns", "delete", name)
    marker.forget(name)


def find_cable(name: str) -> tuple[str, Switch]:
    """A cable's full name and the switch that it is in. Raises LabFailed for one that is not there."""
    cable = f"{LAPTOP}-{name}" if name in LAPTOP_MACS else name
    for switch in SWITCHES.values():
        if f" {cable}@" in ip("-o", "link", "show", "type", "veth", netns=switch.netns):
            return cable, switch
    known = ", ".join([*LAPTOP_MACS, *marker.world()["machines"]])
    raise LabFailed(f"there is no cable {name!r}", f"the cables are {known}")


def unplug(name: str) -> None:
    """Pull a cable: the carrier goes."""
    cable, switch = find_cable(name)
    ip("link", "set", cable, "down", netns=switch.netns)


def plug(name: str) -> None:
    """Put a cable back. The machine at its end (not the laptop) asks for an address again."""
    cable, switch = find_cable(name)
    ip("link", "set", cable, "up", netns=switch.netns)
    if cable in marker.world()["machines"]:
        reboot(cable)


def move(name: str, switch: str) -> None:
    """Put a cable into another switch, whichever it was in."""
    cable, old = find_cable(name)
    new = _switch(switch)
    if new != old:
        ip("link", "set", cable, "down", netns=old.netns)
        ip("link", "set", cable, "netns", new.netns, netns=old.netns)
    _connect(cable, new)
    if cable in marker.world()["machines"]:
        reboot(cable)


def join() -> None:
    """Lay a cable between the two switches, the worst that can happen to an isolated cluster."""
    one, other = SWITCHES.values()
    if f" {PATCH}@" in ip("-o", "link", "show", "type", "veth", netns=one.netns):
        raise LabFailed("the switches are joined already", "take that cable away with: machine part")
    ip("link", "add", PATCH, *_peer(PATCH, other), netns=one.netns)
    _connect(PATCH, one)
    _connect(PATCH, other)


def part() -> None:
    """Take the cable between the switches away."""
    ip("link", "delete", PATCH, netns=find_cable(PATCH)[1].netns)


def _check(machine: Machine) -> None:
    if not NAME.fullmatch(machine.name):
        raise LabFailed(
            f"{machine.name!r} cannot be a machine's name",
            "up to 14 lower case letters, digits and hyphens, a letter first",
        )
    if Path("/run/netns", machine.name).exists() or machine.name in (PATCH, LAPTOP):
        raise LabFailed(f"the name {machine.name} is taken", "choose another, or remove that machine first")
    if not MAC.fullmatch(machine.mac):
        raise LabFailed(f"{machine.mac!r} is no MAC", "such as 02:00:00:00:00:01")
    if int(machine.mac[:2], 16) & 1:
        raise LabFailed(f"{machine.mac} is a multicast MAC: no machine can have it", "use an even first byte")


def _switch(name: str) -> Switch:
    if name not in SWITCHES:
        raise LabFailed(f"there is no switch {name!r}", f"the switches are {', '.join(SWITCHES)}")
    return SWITCHES[name]


def _known(name: str) -> str:
    machines = marker.world()["machines"]
    if name not in machines:
        raise LabFailed(f"there is no machine {name!r}", f"the machines are {', '.join(machines)}")
    return name
