"""One NIC's link as the kernel sees it now, over netlink.

Not from /sys/class/net: a /sys mounted in another network namespace describes that one's NICs,
under the same names.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("=IHHII")
_INFO = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_GET_LINK, _NEW_LINK, _REQUEST = 18, 16, 1
_ETHERNET, _UP, _DORMANT = 1, 1, 5
_STACKED = frozenset({"macvlan", "macvtap", "ipvlan", "ipvtap"})


@dataclass(frozen=True, slots=True)
class Link:
    """`mac` is six bytes (empty where `ethernet` is False), `changes` counts carrier changes since boot.

    `dormant`: the cable is in, and the link waits for something above it, such as 802.1X.
    `master` is the index of the bridge or bond above (0: none); `lower` the index of the NIC that a
    macvlan or ipvlan shares its wire with (0: none).
    """

    index: int
    name: str
    mac: bytes
    ethernet: bool
    up: bool
    carrier: bool
    dormant: bool
    changes: int
    master: int
    lower: int


def read_link(nic: str | int) -> Link | None:
    """The link of a NIC, by name or by index; None where there is no such NIC in this network namespace."""
    try:
        index = nic if isinstance(nic, int) else socket.if_nametoindex(nic)
    except (OSError, ValueError):
        return None
    request = _HEADER.pack(_HEADER.size + _INFO.size, _GET_LINK, _REQUEST, 1, 0) + _INFO.pack(0, 0, index, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.settimeout(5)
        kernel.send(request)
        answer = kernel.recv(1 << 16)
    _, kind, *_ = _HEADER.unpack_from(answer)
    return _decode(answer) if kind == _NEW_LINK else None


def _decode(answer: bytes) -> Link:
    length = _HEADER.unpack_from(answer)[0]
    _, hardware, index, flags, _ = _INFO.unpack_from(answer, _HEADER.size)
    found = dict(attributes(answer[_HEADER.size + _INFO.size : length]))
    about = dict(attributes(found.get(18, b"")))
    stacked = _text(about.get(1, b"")) in _STACKED and 37 not in found  # 37: the lower NIC is in another namespace
    return Link(
        index=index,
        name=_text(found.get(3, b"")),
        mac=found.get(1, b"") if hardware == _ETHERNET else b"",
        ethernet=hardware == _ETHERNET,
        up=bool(flags & _UP),
        carrier=bool(flags & _UP) and any(found.get(33, b"\0")),
        dormant=found.get(16, b"\0")[0] == _DORMANT,
        changes=_number(found.get(35, b"")),
        master=_number(found.get(10, b"")),
        lower=_number(found.get(5, b"")) if stacked else 0,
    )


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a netlink message, as (type, value); stops at one that is cut short."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _number(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)


def _text(value: bytes) -> str:
    return os.fsdecode(value.rstrip(b"\0"))
