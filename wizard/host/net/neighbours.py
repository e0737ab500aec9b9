"""The kernel's neighbour table: IP addresses and MACs seen on a NIC."""

from __future__ import annotations

import json
from dataclasses import dataclass

from wizard.host import commands
from wizard.host.facts.nics import is_usable_name


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One entry. `mac` is lower case, "" if unknown; `state` the NUD state in lower case ("reachable", "stale", …)."""

    mac: str = ""
    state: str = ""

    @property
    def reachable(self) -> bool | None:
        """True or False if the kernel has checked lately, else None."""
        return {"reachable": True, "failed": False}.get(self.state)


def read_neighbours(nic: str) -> dict[str, Neighbour]:
    """IP address -> neighbour behind a NIC; empty without such a NIC or without `ip`."""
    if not is_usable_name(nic):
        return {}
    try:
        entries = json.loads(commands.run("ip", "-j", "neigh", "show", "dev", nic, timeout=5) or "[]", strict=False)
    except (commands.CommandFailed, ValueError):
        return {}
    found = {}
    for entry in entries:
        states = entry.get("state") or [""]
        found[str(entry.get("dst", ""))] = Neighbour(entry.get("lladdr", "").lower(), str(states[0]).lower())
    found.pop("", None)
    return found
