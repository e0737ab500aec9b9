"""Kernel events: links, addresses, routes and nftables rules that change, and forwarding that is switched off."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from enum import Flag, auto

from wizard.host import netlink

_LINKS, _IPV4_ADDRESSES, _IPV4_ROUTES, _IPV6_ROUTES = 0x1, 0x10, 0x40, 0x400
_IPV4_SWITCHES = 1 << 23
_RULE_CHANGES = 1 << 6
_NEW_LINK, _DELETE_LINK, _NEW_SWITCHES = 16, 17, 80
_FORWARDING_OFF = struct.pack("=HHi", 8, 2, 0)
# Tables, chains, rules and sets as they come and go. Not elements of sets: ours come all the time.
_OF_RULES = frozenset({0, 2, 3, 5, 6, 8, 9, 11})


class News(Flag):
    NOTHING = 0
    LINKS = auto()
    ADDRESSES = auto()
    RULES = auto()


class KernelNews:
    """Two netlink sockets to select on. Close it when done. Raises OSError."""

    def __init__(self) -> None:
        groups = _LINKS | _IPV4_ADDRESSES | _IPV4_ROUTES | _IPV6_ROUTES | _IPV4_SWITCHES
        self.machine = netlink.listen(socket.NETLINK_ROUTE, groups)
        self.rules = netlink.listen(netlink.NETFILTER, _RULE_CHANGES)

    def sockets(self) -> tuple[socket.socket, ...]:
        return self.machine, self.rules

    def drain(self) -> News:
        """What has changed since the last call; all kinds if the kernel had to drop events."""
        return _drain(self.machine, _kind_of_machine) | _drain(self.rules, _kind_of_rules)

    def close(self) -> None:
        for kernel in self.sockets():
            kernel.close()


def _drain(kernel: socket.socket, kind_of: Callable[[int, bytes], News]) -> News:
    news = News.NOTHING
    for kind, body in netlink.drain_or_lost(kernel):
        news |= News.LINKS | News.ADDRESSES | News.RULES if kind == netlink.LOST else kind_of(kind, body)
    return news


def _kind_of_machine(kind: int, body: bytes) -> News:
    if kind == _NEW_SWITCHES:
        # Behind the family, padded, attributes of eight bytes each.
        attributes = (body[at : at + 8] for at in range(4, len(body), 8))
        return News.RULES if _FORWARDING_OFF in attributes else News.NOTHING
    return News.LINKS if kind in (_NEW_LINK, _DELETE_LINK) else News.ADDRESSES


def _kind_of_rules(kind: int, _: bytes) -> News:
    return News.RULES if kind >> 8 == 10 and kind & 0xFF in _OF_RULES else News.NOTHING
