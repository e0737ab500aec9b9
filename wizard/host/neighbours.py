"""The kernel's neighbour table: who was heard on a NIC."""

from __future__ import annotations

import json
from dataclasses import dataclass

from wizard.host import commands
from wizard.host.facts_nics import is_usable_name


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What the kernel knows of one address. `state` is its NUD state, lower case ("reachable", "stale", …)."""

    mac: str = ""
    state: str = ""

    @property
    def reachable(self) -> bool | None:
        """True or False where the kernel has asked lately; None where it would have to ask first."""
        return {"reachable": True, "failed": False}.get(self.state)


def read_neighbours(nic: str) -> dict[str, Neighbour]:
    """The neighbours behind a NIC by IP address; empty where there is no such NIC, or no `ip`."""
    if not is_usable_name(nic):
        return {}
    try:
        told = json.loads(commands.run("ip", "-j", "neigh", "show", "dev", nic, timeout=5) or "[]", strict=False)
    except (commands.CommandFailed, ValueError):
        return {}
    found = {}
    for entry in told:
        states = entry.get("state") or [""]
        found[str(entry.get("dst", ""))] = Neighbour(entry.get("lladdr", "").lower(), str(states[0]).lower())
    found.pop("", None)
    return found
