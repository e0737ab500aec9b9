"""A second laptop in a laboratory: its own NICs on both switches, its own /etc, /run and /var/lib."""

from __future__ import annotations

import subprocess

from tests.lab.guarding import sh
from wizard.lab.control import Laboratory
from wizard.lab.world import SWITCHES

NAME = "second"
CLUSTER_MAC = "00:1b:21:00:00:70"
_OWN = (
    "/etc/ciao-wizard",
    "/etc/network",
    "/etc/systemd/system",
    "/run/ciao-wizard",
    "/run/network",
    "/var/lib",
)
_INTERFACES = "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n"


def bring(lab: Laboratory) -> None:
    """Its office NIC is eth9, with an address; eth0 is on the cluster's switch."""
    lab.machine("add", NAME, "--mac", CLUSTER_MAC, "--no-dhcp")
    office = SWITCHES["corporate"]
    end = f"type veth peer name {NAME}-eth9 netns {office.netns}"
    sh(lab, f"ip link add eth9 netns {NAME} address 00:1b:21:00:00:71 {end}")
    sh(lab, f"ip -n {office.netns} link set {NAME}-eth9 master {office.bridge} up; ip -n {NAME} link set eth9 up")
    sh(lab, f"ip -n {NAME} address add 10.77.0.60/24 dev eth9; ip -n {NAME} route replace default via 10.77.0.1")


def run(lab: Laboratory, plan: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """A command of ciao-wizard there, with a plan on its standard input; what it writes is gone afterwards."""
    own = "".join(f"mkdir -p {place}; mount -t tmpfs -o mode=755 none {place}; " for place in _OWN)
    own += f"mkdir /var/lib/misc /etc/network/interfaces.d; printf '{_INTERFACES}' >/etc/network/interfaces; "
    script = f'set -e; {own} exec ciao-wizard "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", *argv]
    return lab.run(command, netns=NAME, check=False, input=plan, timeout=120, env={"CIAO_LAB_PROBE_WAIT": "6"})
