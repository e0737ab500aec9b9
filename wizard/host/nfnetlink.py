"""The kernel's packet filter and connection tracking, spoken to directly: where nft and conntrack are not installed."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from wizard.plan.findings import WizardError

_NETFILTER = 12
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("!BBH")
_ERROR, _DONE = 0x2, 0x3
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_NESTED = 0x8000
_PATIENCE_S = 5.0

CONNTRACK, NFTABLES = 1, 10
FAMILIES = {"inet": 1, "ip": 2, "arp": 3}

Attributes = dict[int, bytes]


class KernelRefused(WizardError):
    """`number` is the errno."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"the kernel's packet filter: {os.strerror(number)}")


def dump(subsystem: int, kind: int, family: int) -> Iterator[Attributes]:
    """All objects of a kind. Raises KernelRefused."""
    with _opened() as kernel:
        kernel.sendto(_message(subsystem << 8 | kind, _DUMP, 1, _FAMILY.pack(family, 0, 0)), (0, 0))
        for kind_of, body in _answers(kernel):
            if kind_of == _DONE:
                return
            yield attributes(body[_FAMILY.size :])


def request(subsystem: int, kind: int, family: int, body: bytes) -> None:
    """One request, acknowledged. Raises KernelRefused."""
    with _opened() as kernel:
        kernel.sendto(_message(subsystem << 8 | kind, _ACK, 1, _FAMILY.pack(family, 0, 0) + body), (0, 0))
        _await_ack(kernel)


def transact(messages: Sequence[tuple[int, int, bytes]]) -> None:
    """Changes of nftables, (kind, family, body), all or none. Raises KernelRefused."""
    unspecified = _FAMILY.pack(0, 0, NFTABLES)
    batch = _message(_BATCH_BEGIN, 0, 0, unspecified)
    for number, (kind, family, body) in enumerate(messages, 1):
        flags = _ACK if number == len(messages) else 0
        batch += _message(NFTABLES << 8 | kind, flags, number, _FAMILY.pack(family, 0, 0) + body)
    batch += _message(_BATCH_END, 0, len(messages) + 1, unspecified)
    with _opened() as kernel:
        kernel.sendto(batch, (0, 0))
        _await_ack(kernel)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, inner: bytes) -> bytes:
    return attribute(kind | _NESTED, inner)


def attributes(data: bytes) -> Attributes:
    """The attributes in a message or in another attribute, by kind."""
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += max(length + 3 & ~3, 4)
    return found


@contextlib.contextmanager
def _opened() -> Iterator[socket.socket]:
    """A socket to the kernel; what goes wrong with it is a KernelRefused."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER) as kernel:
            kernel.settimeout(_PATIENCE_S)
            yield kernel
    except TimeoutError:
        raise KernelRefused(errno.ETIMEDOUT) from None
    except OSError as error:
        raise KernelRefused(error.errno or errno.EIO) from error


def _answers(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Messages as they come. Raises KernelRefused at the first that is a refusal."""
    while True:
        data = kernel.recv(1 << 18)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            body = data[at + _HEADER.size : at + length]
            code = struct.unpack_from("=i", body)[0] if kind == _ERROR and len(body) >= 4 else 0
            if code:
                raise KernelRefused(-code)
            yield kind, body
            at += max(length + 3 & ~3, _HEADER.size)


def _await_ack(kernel: socket.socket) -> None:
    for kind, _ in _answers(kernel):
        if kind == _ERROR:
            return


def _message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST, number, 0) + body
