"""The state of one NIC's link, over netlink.

Not from /sys/class/net: a /sys mounted in another network namespace shows that namespace's NICs, under the same names.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from wizard.host.net import netlink

INFO = struct.Struct("=BxHiII")
"""struct ifinfomsg, the head of a link message: family, hardware type, index, flags, changed flags."""
NEW_LINK, DELETE_LINK, _GET_LINK = 16, 17, 18
LINKS = 0x1
"""The multicast group of link events, as a bit."""
UP, LOWER_UP = 0x1, 0x10000
MAC, NAME, MASTER, CARRIER, CHANGES = 1, 3, 10, 33, 35
"""IFLA_ADDRESS, IFLA_IFNAME, IFLA_MASTER, IFLA_CARRIER, IFLA_CARRIER_CHANGES."""
_LOWER, _OPERATIONAL_STATE, _ABOUT, _LOWER_NAMESPACE = 5, 16, 18, 37
_INFO_KIND = 1
_ETHERNET, _DORMANT = 1, 5
_STACKED = frozenset({"macvlan", "macvtap", "ipvlan", "ipvtap"})
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class LinkState:
    """A NIC's link at one moment. `mac` is six bytes, empty if `ethernet` is False.

    `carrier_changes` counts them since boot. `dormant`: the cable is in, and the link waits for something above it,
    such as 802.1X. `master` is the index of the bridge or bond above (0: none); `lower` that of the NIC below a
    macvlan or ipvlan (0: none).
    """

    index: int
    name: str
    mac: bytes
    ethernet: bool
    up: bool
    carrier: bool
    dormant: bool
    carrier_changes: int
    master: int
    lower: int


def read_link(nic: str | int) -> LinkState | None:
    """The link of a NIC, by name or index; None if this network namespace has no such NIC. Raises OSError."""
    try:
        index = nic if isinstance(nic, int) else socket.if_nametoindex(nic)
    except (OSError, ValueError):
        return None
    with netlink.connect(socket.NETLINK_ROUTE, _TIMEOUT_S) as kernel:
        kernel.send(netlink.message(_GET_LINK, 0, 1, INFO.pack(0, 0, index, 0, 0)))
        # One message: the link, or a refusal.
        kind, _, body = next(netlink.messages(netlink.receive(kernel)))
    return _decode(body) if kind == NEW_LINK else None


def ethernet_links(names: Iterable[str]) -> list[LinkState]:
    """The links of those of these NICs that are there, are up and take Ethernet frames; each once. Raises OSError."""
    links = (read_link(name) for name in dict.fromkeys(names) if name)
    return [link for link in links if link is not None and link.up and link.ethernet]


def _decode(body: bytes) -> LinkState:
    _, hardware, index, flags, _ = INFO.unpack_from(body)
    found = dict(netlink.attributes(body[INFO.size :]))
    about = dict(netlink.attributes(found.get(_ABOUT, b"")))
    stacked = _text(about.get(_INFO_KIND, b"")) in _STACKED and _LOWER_NAMESPACE not in found
    return LinkState(
        index=index,
        name=_text(found.get(NAME, b"")),
        mac=found.get(MAC, b"") if hardware == _ETHERNET else b"",
        ethernet=hardware == _ETHERNET,
        up=bool(flags & UP),
        carrier=bool(flags & UP) and any(found.get(CARRIER, b"\0")),
        dormant=found.get(_OPERATIONAL_STATE, b"\0")[0] == _DORMANT,
        carrier_changes=_number(found.get(CHANGES, b"")),
        master=_number(found.get(MASTER, b"")),
        lower=_number(found.get(_LOWER, b"")) if stacked else 0,
    )


def _number(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)


def _text(value: bytes) -> str:
    return os.fsdecode(value.rstrip(b"\0"))
