"""The kernel's table of tracked connections (conntrack)."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from wizard.host.net import nfnetlink
from wizard.host.net.netlink import attribute, attributes, nested
from wizard.host.net.nfnetlink import KernelRefused

_GET, _DELETE = 1, 2
_ORIGINAL, _REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18
_WAS_FORWARDED = 1 << 5
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}


class FlowTuple(NamedTuple):
    """One direction of a connection."""

    protocol: str
    source: str
    source_port: int
    target: str
    target_port: int


@dataclass(frozen=True, slots=True)
class Flow:
    """One connection. `original`: as its first packet was sent. `reply`: as answers come. `forwarded`: DNAT applied."""

    original: FlowTuple
    reply: FlowTuple
    forwarded: bool
    handle: bytes = field(repr=False)


def flows() -> Iterator[Flow]:
    """All tracked IPv4 connections of TCP and UDP. Raises KernelRefused."""
    for entry in nfnetlink.dump(nfnetlink.CONNTRACK, _GET, socket.AF_INET):
        original, reply = _tuple(entry.get(_ORIGINAL, b"")), _tuple(entry.get(_REPLY, b""))
        if original is not None and reply is not None:
            status = struct.unpack("!I", entry.get(_STATUS, bytes(4)))[0]
            handle = nested(_ORIGINAL, entry[_ORIGINAL])
            handle += b"".join(attribute(kind, entry[kind]) for kind in (_ID, _ZONE) if kind in entry)
            yield Flow(original, reply, bool(status & _WAS_FORWARDED), handle)


def delete(flow: Flow) -> None:
    """Delete it from the table: its next packet begins a new connection. Raises KernelRefused."""
    try:
        nfnetlink.request(nfnetlink.CONNTRACK, _DELETE, socket.AF_INET, flow.handle)
    except KernelRefused as error:
        if error.number != errno.ENOENT:
            raise


def _tuple(data: bytes) -> FlowTuple | None:
    parts = dict(attributes(data))
    addresses, protocol = (dict(attributes(parts.get(kind, b""))) for kind in (1, 2))
    name = _PROTOCOLS.get(protocol.get(1, b"\0")[0])
    if name is None:
        return None
    with contextlib.suppress(KeyError, struct.error, OSError):
        ports = [struct.unpack("!H", protocol[kind])[0] for kind in (2, 3)]
        source, target = (socket.inet_ntoa(addresses[kind]) for kind in (1, 2))
        return FlowTuple(name, source, ports[0], target, ports[1])
    return None
