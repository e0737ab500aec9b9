"""Kernel events: links, addresses, routes, rules of routing and nftables that change, and forwarding switched off."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from enum import Flag, auto

from wizard.host.net import netlink

_LINKS, _IPV4_ADDRESSES, _IPV4_ROUTES, _IPV6_ROUTES = 0x1, 0x10, 0x40, 0x400
_IPV4_SWITCHES, _IPV4_ROUTING_RULES = 1 << 23, 1 << 7
_RULE_CHANGES = 1 << 6
_NEW_LINK, _DELETE_LINK, _NEW_SWITCHES = 16, 17, 80
_FORWARDING_OFF = struct.pack("=HHi", 8, 2, 0)
# Tables, chains, rules and sets as they come and go. Not elements of sets: ours come all the time.
_OF_RULES = frozenset({0, 2, 3, 5, 6, 8, 9, 11})


class NetlinkChange(Flag):
    NOTHING = 0
    LINKS = auto()
    ADDRESSES = auto()
    RULES = auto()


class NetlinkEvents:
    """Two netlink sockets to select on. Close it when done. Raises OSError."""

    def __init__(self) -> None:
        groups = _LINKS | _IPV4_ADDRESSES | _IPV4_ROUTES | _IPV6_ROUTES | _IPV4_SWITCHES | _IPV4_ROUTING_RULES
        self.machine = netlink.listen(socket.NETLINK_ROUTE, groups)
        self.rules = netlink.listen(netlink.NETFILTER, _RULE_CHANGES)

    def sockets(self) -> tuple[socket.socket, ...]:
        return self.machine, self.rules

    def drain(self) -> NetlinkChange:
        """What has changed since the last call; all kinds if the kernel had to drop events."""
        return _drain(self.machine, _kind_of_machine) | _drain(self.rules, _kind_of_rules)

    def close(self) -> None:
        for kernel in self.sockets():
            kernel.close()


def _drain(kernel: socket.socket, kind_of: Callable[[int, bytes], NetlinkChange]) -> NetlinkChange:
    news = NetlinkChange.NOTHING
    for kind, body in netlink.drain_or_lost(kernel):
        news |= (
            NetlinkChange.LINKS | NetlinkChange.ADDRESSES | NetlinkChange.RULES
            if kind == netlink.LOST
            else kind_of(kind, body)
        )
    return news


def _kind_of_machine(kind: int, body: bytes) -> NetlinkChange:
    if kind == _NEW_SWITCHES:
        # Behind the family, padded, attributes of eight bytes each.
        attributes = (body[at : at + 8] for at in range(4, len(body), 8))
        return NetlinkChange.RULES if _FORWARDING_OFF in attributes else NetlinkChange.NOTHING
    return NetlinkChange.LINKS if kind in (_NEW_LINK, _DELETE_LINK) else NetlinkChange.ADDRESSES


def _kind_of_rules(kind: int, _: bytes) -> NetlinkChange:
    return NetlinkChange.RULES if kind >> 8 == 10 and kind & 0xFF in _OF_RULES else NetlinkChange.NOTHING
