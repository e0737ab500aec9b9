"""Ends open connections whose forward was removed or changed.

The kernel looks up a connection's forward at its first packet only; while packets flow, the connection stays.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from wizard.host.commands import CommandFailed, run
from wizard.host.net import conntrack, nft_armed_set
from wizard.host.net.conntrack import Flow

_TABLE = ("inet", nft_armed_set.TABLE)
_ROUNDS, _BETWEEN_S = 5, 0.05
"""Repeated, since a node that keeps sending may reopen a deleted flow before the other side sends."""

Port = tuple[str, int]
"""Protocol and port on this machine."""


@dataclass(frozen=True)
class Forwards:
    """The loaded forwards: the target of each, and the networks that may use it, where it is restricted."""

    targets: dict[Port, tuple[str, int]]
    sources: dict[Port, tuple[IPNetwork, ...]]

    def lets(self, flow: Flow) -> bool:
        """Whether this connection could be opened now, with the same target."""
        port, to = _port(flow), (flow.reply.source, flow.reply.source_port)
        allowed = self.sources.get(port)
        source = IPAddress(flow.original.source)
        # Restrictions are for the office: nodes are masqueraded, and this machine speaks to itself.
        from_office = flow.original.source == flow.reply.target != flow.original.target
        return self.targets.get(port) == to and (
            allowed is None or not from_office or any(source in network for network in allowed)
        )


def loaded() -> Forwards:
    """The forwards in the kernel; none if our table is not loaded."""
    targets = {
        (protocol, int(port)): (address, int(to))
        for protocol, port, address, to in re.findall(r"(\w+) \. (\d+) : ([\d.]+) \. (\d+)", _listed("map", "forwards"))
    }
    sources: dict[Port, tuple[IPNetwork, ...]] = {
        (protocol, int(port)): () for protocol, port in re.findall(r"(tcp|udp) \. (\d+)", _listed("set", "restricted"))
    }
    allowed = re.findall(r"(\w+) \. (\d+)(?:-(\d+))? \. ([\d./]+)", _listed("set", "allowed"))
    for protocol, first, last, network in allowed:
        # Of a range: the set has its ends, the map each of its ports.
        for port in range(int(first), int(last or first) + 1):
            key = (protocol, port)
            sources[key] = (*sources.get(key, ()), IPNetwork(network))
    return Forwards(targets, sources)


def delete_flows_of(before: Forwards, now: Forwards) -> None:
    """Delete the flows that `before` allows and `now` does not, and UDP to this machine itself from before a forward.

    Raises KernelRefused.
    """
    if before == now:
        return
    deleted: set[conntrack.FlowTuple] = set()
    here = _local_addresses()
    for _ in range(_ROUNDS):
        stale = [flow for flow in conntrack.flows() if _is_stale(flow, before, now, here) or flow.original in deleted]
        for flow in stale:
            conntrack.delete(flow)
            if flow.forwarded:
                deleted.add(flow.reply)
        if not stale:
            return
        time.sleep(_BETWEEN_S)


def _is_stale(flow: Flow, before: Forwards, now: Forwards, here: set[str]) -> bool:
    port = _port(flow)
    if flow.forwarded:
        ours = before.targets.get(port) == (flow.reply.source, flow.reply.source_port)
        return ours and not now.lets(flow)
    # A TCP connection to this machine itself goes on with its server here.
    is_new = port in now.targets and (before.targets.get(port), before.sources.get(port)) != (
        now.targets[port],
        now.sources.get(port),
    )
    return is_new and port[0] == "udp" and flow.original.target in here


def _local_addresses() -> set[str]:
    try:
        links = json.loads(run("ip", "-j", "-4", "address"))
    except (CommandFailed, ValueError):
        return set()
    return {str(address.get("local")) for link in links for address in link.get("addr_info", [])}


def _port(flow: Flow) -> Port:
    return flow.original.protocol, flow.original.target_port


def _listed(kind: str, name: str) -> str:
    try:
        return run("nft", "list", kind, *_TABLE, name)
    except CommandFailed:
        return ""
