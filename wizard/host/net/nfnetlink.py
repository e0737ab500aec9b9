"""nftables and connection tracking over netlink: for speed, and where nft and conntrack are not installed."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from wizard.host.net import netlink
from wizard.plan.findings import WizardError

CONNTRACK, NFTABLES = 1, 10
"""Subsystems."""
FAMILIES = {"inet": 1, "ip": 2, "arp": 3}

Attributes = dict[int, bytes]
Change = tuple[int, int, int, bytes]
"""Kind, flags, family and attributes of one change of nftables."""

_FAMILY = struct.Struct("!BBH")
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_TIMEOUT_S = 5.0


class KernelRefused(WizardError):
    """The kernel refused a request, or did not answer in time; `number` is the errno."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"the kernel's packet filter: {os.strerror(number)}")


def dump(
    subsystem: int, kind: int, family: int, which: bytes = b"", timeout_s: float = _TIMEOUT_S
) -> Iterator[Attributes]:
    """The attributes of all objects of a kind, or of those that the attributes `which` name. Raises KernelRefused."""
    body = _FAMILY.pack(family, 0, 0) + which
    with _connected(timeout_s) as kernel:
        kernel.send(netlink.message(subsystem << 8 | kind, netlink.DUMP, 1, body))
        for _, reply in netlink.replies(kernel):
            yield dict(netlink.attributes(reply[_FAMILY.size :]))


def request(subsystem: int, kind: int, family: int, body: bytes) -> None:
    """One request, acknowledged. Raises KernelRefused."""
    with _connected(_TIMEOUT_S) as kernel:
        kernel.send(netlink.message(subsystem << 8 | kind, netlink.ACK, 1, _FAMILY.pack(family, 0, 0) + body))
        _await_acknowledgement(kernel, 1)


def transact(changes: Sequence[Change], timeout_s: float = _TIMEOUT_S) -> None:
    """Make changes of nftables, all or none. Raises KernelRefused with the first refusal."""
    unspecified = _FAMILY.pack(0, 0, NFTABLES)
    last = len(changes)
    batch = netlink.message(_BATCH_BEGIN, 0, 0, unspecified)
    for number, (kind, flags, family, body) in enumerate(changes, 1):
        flags |= netlink.ACK if number == last else 0
        batch += netlink.message(NFTABLES << 8 | kind, flags, number, _FAMILY.pack(family, 0, 0) + body)
    batch += netlink.message(_BATCH_END, 0, last + 1, unspecified)
    with _connected(timeout_s) as kernel:
        kernel.send(batch)
        _await_acknowledgement(kernel, last)


@contextlib.contextmanager
def _connected(timeout_s: float) -> Iterator[socket.socket]:
    """A socket to the kernel; what goes wrong with it is a KernelRefused."""
    try:
        with netlink.connect(netlink.NETFILTER, timeout_s) as kernel:
            yield kernel
    except TimeoutError:
        raise KernelRefused(errno.ETIMEDOUT) from None
    except OSError as error:
        raise KernelRefused(error.errno or errno.EIO) from error


def _await_acknowledgement(kernel: socket.socket, number: int) -> None:
    for _ in netlink.replies(kernel, number):
        pass
