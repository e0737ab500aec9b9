"""What a probe asks besides its own DISCOVER before a plan is served: in the name of machines that a server may know.

A server that answers only known machines, as ours does, is silent to a stranger. So the probe asks for the plan's
nodes, a few at a time: with the node's MAC as the client's, and from our NIC's own MAC, so that no switch or server
takes us for the node.
"""

from __future__ import annotations

import fcntl
import hashlib
import random
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wizard.host.net.frames import NOBODY

if TYPE_CHECKING:
    from wizard.plan.model import Plan

_MOST_IN_A_ROUND = 64
_GET_ADDRESS = 0x8915
_REQUEST = struct.Struct("16sH2x4s16x")


@dataclass(frozen=True, slots=True)
class ProbeQuestions:
    """`clients` are the plan's nodes, MAC -> name; `vms` made-up MACs; `gateway` four bytes, NOBODY for none."""

    clients: Mapping[bytes, str] = field(default_factory=dict)
    vms: tuple[bytes, ...] = ()
    gateway: bytes = NOBODY

    @property
    def for_a_plan(self) -> bool:
        return bool(self.clients) or self.gateway != NOBODY

    def in_turn(self) -> list[bytes]:
        """The machines of one round: 64 nodes at most, at random, and the made-up VMs."""
        nodes = random.sample(tuple(self.clients), min(len(self.clients), _MOST_IN_A_ROUND))
        return [*nodes[:1], *self.vms, *nodes[1:]]

    def name_of(self, client: bytes) -> str:
        if client in self.clients:
            return self.clients[client]
        return "a made-up VM" if client in self.vms else ""


NOTHING_MORE = ProbeQuestions()


def questions_for(plan: Plan) -> ProbeQuestions:
    """What to ask on the network that this plan is to be served on. Raises SubnetFull."""
    from wizard.plan.addresses import assign

    nodes = {mac.packed: machine.name for machine in assign(plan).machines for mac in machine.macs}
    vms = tuple(_made_up(pattern, plan.nodes[0].mac.packed if plan.nodes else b"") for pattern in plan.network.vm_macs)
    return ProbeQuestions(nodes, vms, plan.network.gateway.packed)


def _made_up(pattern: str, seed: bytes) -> bytes:
    """A MAC that matches the pattern, the same each time: so a server reserves one address for it at most."""
    spare = hashlib.sha256(seed + pattern.encode()).digest()
    parts = pattern.split(":")
    mac = [spare[at] if part == "*" else int(part, 16) for at, part in enumerate(parts)]
    if parts[0] == "*":
        mac[0] = (mac[0] & 0xFC) | 2
    return bytes(mac)


def address_of(nic: str) -> bytes:
    """The NIC's first IPv4 address, or NOBODY."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        try:
            answer = fcntl.ioctl(asking, _GET_ADDRESS, _REQUEST.pack(nic.encode()[:15], socket.AF_INET, NOBODY))
        except OSError:
            return NOBODY
    return bytes(answer[20:24])


def address_text(ip: bytes) -> str:
    return socket.inet_ntoa(ip) if ip != NOBODY else ""
