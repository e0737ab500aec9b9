"""Docker. A chain of ours in iptables' tables accepts what its rules would reject (see `iptables`)."""

from __future__ import annotations

import re

from wizard.host.net.firewalls.firewall import Evidence, Firewall

_BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")


class Docker(Firewall):
    name = "docker"
    tables = frozenset({"docker-bridges"})
    chains = re.compile(r"DOCKER($|-)")

    def is_running(self, evidence: Evidence, /) -> bool:
        daemon = any(process.name == "dockerd" for process in evidence.processes)
        return daemon or any(_BRIDGE.fullmatch(nic) for nic in evidence.nics)
