"""Which processes hold the ports that our dnsmasq could not bind. Called by `supervised_process` in the guard."""

from __future__ import annotations

from collections.abc import Collection

from wizard.deploy import runtime_state
from wizard.host.facts.listeners import read_listeners

DHCP_PORTS = (("udp", 67),)
DNS_PORTS = (("udp", 53), ("tcp", 53))


def port_holders(reason: str, wanted: Collection[tuple[str, int]]) -> str:
    """Others' sockets on the `wanted` (protocol, port) pairs, to append to dnsmasq's `reason`; "" for other reasons."""
    if "in use" not in reason:
        return ""
    ours = runtime_state.own_pids()
    found = [x for x in read_listeners() if (x.protocol, x.port) in wanted and x.pid not in ours]
    holders = {f"{x.process or 'somebody'} (process {x.pid}) has {x.protocol} port {x.port}" for x in found}
    return "".join(f"; {holder}" for holder in sorted(holders))
