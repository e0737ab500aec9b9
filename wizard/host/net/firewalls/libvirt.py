"""libvirt. A chain of ours in iptables' tables accepts what its rules would reject (see `iptables`)."""

from __future__ import annotations

import re

from wizard.host.net.firewalls.firewall import Evidence, Firewall

_BRIDGE = re.compile(r"virbr[0-9]+")


class Libvirt(Firewall):
    name = "libvirt"
    tables = frozenset({"libvirt_network"})
    chains = re.compile(r"LIBVIRT_")

    def is_running(self, evidence: Evidence, /) -> bool:
        return any(_BRIDGE.fullmatch(nic) for nic in evidence.nics)
