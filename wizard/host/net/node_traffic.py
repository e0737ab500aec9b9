"""What each address of the cluster has received and sent through this gateway: the counters of two sets of our table.

Read over netlink, as it happens every second while somebody looks. What one node sends another does not pass here.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wizard.host.net import nfnetlink
from wizard.host.net.gateway_rules import RECEIVED, SENT
from wizard.host.net.netlink import attribute, attributes
from wizard.host.net.nfnetlink import NFTABLES, KernelRefused
from wizard.host.net.nft_armed_set import TABLE
from wizard.host.net.traffic import LONGEST_GAP_S, Counters, Rate, rate_between

NO_BYTES = Counters(0, 0)

_GET_ELEMENT = 13
_TABLE_NAME, _SET_NAME, _ELEMENTS = 1, 2, 3
_KEY, _EXPRESSION, _EXPRESSIONS = 1, 7, 11
_NAME, _DATA, _VALUE, _BYTES = 1, 2, 1, 1


@dataclass(frozen=True, slots=True)
class NodeTraffic:
    """Bytes by address since the rules were loaded, and the rates between the last two looks.

    `at`: seconds, monotonic. `known` is False where they could not be read: without root, or with rules of an earlier
    version. An address that is not among `bytes` has neither sent nor received anything.
    """

    at: float = 0.0
    known: bool = False
    bytes: Mapping[str, Counters] = field(default_factory=dict)
    rates: Mapping[str, Rate] = field(default_factory=dict)

    def of(self, ip: str) -> Counters | None:
        """What an address has received and sent; None where that is not known."""
        return self.bytes.get(ip, NO_BYTES) if self.known and ip else None

    def rate_of(self, ip: str) -> Rate | None:
        """Bits a second; None until there were two looks."""
        return self.rates.get(ip)

    def after(self, before: NodeTraffic) -> NodeTraffic:
        """These counters with the rates since `before`; without any where that is too long ago."""
        seconds = self.at - before.at
        if not self.known or not before.known or not 0 < seconds <= LONGEST_GAP_S:
            return self
        rates = {}
        for ip, now in self.bytes.items():
            rate = rate_between(before.bytes.get(ip, NO_BYTES), now, seconds)
            if rate is not None:
                rates[ip] = rate
        return NodeTraffic(self.at, True, self.bytes, rates)


def read_node_traffic() -> NodeTraffic:
    """The counters now. Never raises."""
    try:
        received, sent = (dict(_counted(name)) for name in (RECEIVED, SENT))
    except KernelRefused:
        return NodeTraffic(time.monotonic())
    found = {ip: Counters(received.get(ip, 0), sent.get(ip, 0)) for ip in {**received, **sent}}
    return NodeTraffic(time.monotonic(), True, found)


def _counted(name: str) -> Iterator[tuple[str, int]]:
    """Address and bytes of each element of a set. Raises KernelRefused."""
    which = attribute(_TABLE_NAME, TABLE.encode() + b"\0") + attribute(_SET_NAME, name.encode() + b"\0")
    for reply in nfnetlink.dump(NFTABLES, _GET_ELEMENT, nfnetlink.FAMILIES["inet"], which):
        for _, element in attributes(reply.get(_ELEMENTS, b"")):
            about = dict(attributes(element))
            key = dict(attributes(about.get(_KEY, b""))).get(_VALUE, b"")
            count = _bytes_in(about)
            if len(key) == 4 and count is not None:
                yield socket.inet_ntoa(key), count


def _bytes_in(element: Mapping[int, bytes]) -> int | None:
    """The bytes of an element's counter; None where it has none."""
    expressions = [element[_EXPRESSION]] if _EXPRESSION in element else []
    expressions += [value for _, value in attributes(element.get(_EXPRESSIONS, b""))]
    for expression in expressions:
        parts = dict(attributes(expression))
        value = dict(attributes(parts.get(_DATA, b""))).get(_BYTES, b"")
        if parts.get(_NAME, b"").rstrip(b"\0") == b"counter" and len(value) == 8:
            return int(struct.unpack("!Q", value)[0])
    return None
