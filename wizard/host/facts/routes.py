"""Routes of every table, IPv4 and IPv6."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from netaddr import AddrFormatError, IPNetwork

from wizard.host import commands
from wizard.host.facts.nics import shown_name
from wizard.plan.machine import Route

_NOT_UNICAST = frozenset({"local", "broadcast", "anycast", "multicast"})
_LEADS_NOWHERE = frozenset({"blackhole", "unreachable", "prohibit", "throw"})


def read_routes() -> tuple[Route, ...]:
    """Every route but those that only mirror a NIC's own addresses; empty if there is no `ip`."""
    try:
        # Without -4 or -6: both families.
        entries = json.loads(
            commands.run("ip", "-j", "route", "show", "table", "all", timeout=10) or "[]", strict=False
        )
    except (commands.CommandFailed, ValueError):
        return ()
    return tuple(route for entry in entries for route in _routes(entry))


def _routes(entry: Mapping[str, Any]) -> Iterator[Route]:
    kind = entry.get("type", "unicast")
    if kind in _NOT_UNICAST and entry.get("protocol") == "kernel":
        return
    hops = entry.get("nexthops") or [entry]
    # A bare "default" does not show its family; "pref" is IPv6's own, and a gateway of the other
    # family would stand under "via".
    six = "pref" in entry or any(":" in str(hop.get("gateway", "")) for hop in hops)
    destination = _network(str(entry.get("dst", "")), six)
    if destination is None:
        return
    for hop in hops:
        gateway = str(hop.get("gateway") or (hop.get("via") or {}).get("host") or "")
        nic = "" if kind in _LEADS_NOWHERE else str(hop.get("dev") or "")
        yield Route(
            destination=destination,
            nic=shown_name(nic) if nic else "",
            gateway=gateway,
            table=str(entry.get("table", "main")),
            metric=int(entry.get("metric") or 0),
        )


def _network(text: str, six: bool) -> IPNetwork | None:
    try:
        if text == "default":
            return IPNetwork("::/0" if six else "0.0.0.0/0")
        return IPNetwork(text)
    except (AddrFormatError, ValueError):
        return None
