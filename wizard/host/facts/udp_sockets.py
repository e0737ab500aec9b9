"""UDP sockets, over netlink (sock_diag): the NIC and address each is bound to, its owner. And who listens by TCP."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wizard.host.net import netlink

_BY_FAMILY = 20
_QUESTION = struct.Struct("=BBBBI48x")
# family, state, timer, retransmissions; ports; addresses; index and cookie; expiry, queues, user, inode
_ANSWER = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_ALL_STATES = 0xFFFFFFFF
_LISTEN = "0A"
"""TCP's state in /proc/net/tcp."""
_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """`index`: the NIC it is bound to, 0 for none. `address`: four bytes, zero for any."""

    index: int
    address: bytes
    inode: int


def sockets_on_port(port: int) -> list[UdpSocket]:
    """The IPv4 sockets on this UDP port, of all processes. Raises OSError."""
    port_bytes = struct.pack("!H", port)
    return [UdpSocket(index, address, inode) for local, address, index, inode in _udp_sockets() if local == port_bytes]


def bound_indexes(pid: int, port: int) -> list[int]:
    """The NIC that each IPv4 socket of a process on this UDP port is bound to, by index and sorted; 0 for no NIC.

    Raises OSError.
    """
    theirs = sockets_on_port(port)
    if not theirs:
        return []
    owned = inodes_of(pid)
    return sorted(each.index for each in theirs if each.inode in owned)


def bound_names(pid: int, port: int) -> list[str]:
    """As `bound_indexes`, by name: "" for no NIC, the index of a NIC that has just gone."""
    return [_name(index) for index in bound_indexes(pid, port)]


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index) if index else ""
    except OSError:
        return str(index)


def other_sockets_at(pid: int, address: str, port: int) -> set[int]:
    """The inodes of other processes' sockets at exactly this address and port, where the last one bound gets it all.

    Raises OSError.
    """
    here = socket.inet_aton(address)
    found = {each.inode for each in sockets_on_port(port) if each.address == here}
    return found - inodes_of(pid) if found else found


def tcp_backlog(pid: int, address: str, port: int) -> int | None:
    """How many connections wait for a process to accept them, at exactly this IPv4 address and TCP port.

    None where it does not listen there. Raises OSError.
    """
    place = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    # tx_queue:rx_queue, the latter being the backlog of a socket that listens.
    found = {int(each[9]): int(each[4].split(":")[1], 16) for each in lines if each[1] == place and each[3] == _LISTEN}
    return next((found[inode] for inode in inodes_of(pid) if inode in found), None)


def _udp_sockets() -> Iterator[tuple[bytes, bytes, int, int]]:
    question = _QUESTION.pack(socket.AF_INET, socket.IPPROTO_UDP, 0, 0, _ALL_STATES)
    for _, body in netlink.request(netlink.SOCK_DIAG, _BY_FAMILY, netlink.DUMP, question, _TIMEOUT_S):
        found = _ANSWER.unpack_from(body)
        yield found[4], found[6][:4], found[8], found[14]


def inodes_of(pid: int) -> set[int]:
    """The inodes of the sockets that a process has open; empty if it has ended. Raises OSError."""
    found: set[int] = set()
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return found
    for descriptor in descriptors:
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found
