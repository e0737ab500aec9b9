"""Finds another DHCP server on this machine; listening on the network would not show its answers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from wizard.host.facts.udp_sockets import UdpSocket, inodes_of, sockets_on_port
from wizard.host.processes import parent
from wizard.plan.text import clean

_PORT = 67
_ANY = bytes(4)
_LOOK_EVERY_S = 1.0


class LocalDhcpServers:
    """Looks for DHCP servers besides our dnsmasq, a child of this process. Caches the owners of sockets."""

    def __init__(self) -> None:
        self._owners: dict[int, int] = {}
        self._looked_at = -_LOOK_EVERY_S

    def find_other(self, index: int, address: bytes) -> str:
        """The program that serves the NIC with this index and address (four bytes), in words; "" if there is none.

        A server of other NICs does not count. Raises OSError.
        """
        suspects = [each for each in sockets_on_port(_PORT) if _may_serve(each, index, address)]
        unknown = {each.inode for each in suspects} - self._owners.keys()
        if unknown and time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            self._owners = _owners({each.inode for each in suspects})
        for each in suspects:
            pid = self._owners.get(each.inode, 0)
            if not pid or parent(pid) == os.getpid():
                # While a socket is opened or closed, its owner cannot be found.
                continue
            if each.index == index or each.address == address or _takes_every_nic(pid, index):
                return f"{clean(_name(pid), 40) or 'a program'} (process {pid})"
        return ""


def _may_serve(each: UdpSocket, index: int, address: bytes) -> bool:
    return each.index == index or (not each.index and each.address in (_ANY, address))


def _takes_every_nic(pid: int, index: int) -> bool:
    """Whether a server whose UDP socket is bound to no NIC serves this one: one that sends raw frames has a packet
    socket for each NIC that it serves."""
    owned = inodes_of(pid)
    raw = {nic for nic, inode in _packet_sockets() if inode in owned}
    return not raw or index in raw


def _packet_sockets() -> list[tuple[int, int]]:
    """NIC index and inode of every packet socket in this network namespace."""
    rows = (line.split() for line in Path("/proc/thread-self/net/packet").read_text().splitlines()[1:])
    return [(int(row[4]), int(row[8])) for row in rows if len(row) >= 9]


def _owners(wanted: Iterable[int]) -> dict[int, int]:
    """Inode -> pid, for those whose owner can be found."""
    left, found = set(wanted), dict[int, int]()
    for entry in Path("/proc").iterdir():
        if not left:
            break
        if not entry.name.isdigit():
            continue
        try:
            theirs = inodes_of(int(entry.name)) & left
        except OSError:
            # It has just ended, or we may not look at it.
            continue
        found.update(dict.fromkeys(theirs, int(entry.name)))
        left -= theirs
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""
