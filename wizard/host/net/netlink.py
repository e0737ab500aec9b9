"""Netlink messages and attributes as bytes, and one exchange with the kernel over a socket.

Everything here that speaks netlink is built from these parts; the muter too. So this module stays small, allocates
little, leaves no reference cycles, and imports nothing but the standard library. See RFC 3549 and linux/netlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

NETFILTER, SOCK_DIAG = 12, 4
"""Protocols that Python's socket module has no names for, as it has NETLINK_ROUTE."""

REQUEST, ACK, DUMP, CREATE = 0x1, 0x4, 0x300, 0x400
ERROR, DONE = 0x2, 0x3
LOST = -1
"""The kind that `drain_or_lost` gives in place of messages that the kernel could not keep."""

Message = tuple[int, int, bytes]
"""Kind, sequence number, body."""

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_CODE = struct.Struct("=i")
_LARGEST_ERRNO = 4095
_NESTED, _KIND_BITS = 0x8000, 0x3FFF
# The kernel sends dumps in pieces of at most 32 KiB.
_LONGEST = 1 << 16
_SOL_NETLINK, _ADD_MEMBERSHIP, _DROP_MEMBERSHIP = 270, 1, 2
_RECEIVE_BUFFER_FORCE = 33


# Bytes


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A request; `body` is to be padded to four bytes, as attributes are."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | REQUEST, sequence, 0) + body


def messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram. A body that is cut short comes as it is; never raises."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        yield kind, sequence, data[at + _HEADER.size : at + length]
        at += max(length + 3 & ~3, _HEADER.size)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes. Raises struct.error for more than 65531 bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, inner: bytes) -> bytes:
    """An attribute whose value is attributes."""
    return attribute(kind | _NESTED, inner)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each attribute, in order. A value that is cut short comes as it is; never raises."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _KIND_BITS, data[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3


# Requests


def connect(protocol: int, timeout_s: float) -> socket.socket:
    """A socket to ask the kernel with; each wait on it ends after `timeout_s`. Raises OSError."""
    kernel = _open(protocol)
    kernel.settimeout(timeout_s)
    return kernel


def receive(kernel: socket.socket) -> bytes:
    """The next datagram. Raises OSError, TimeoutError after the socket's timeout."""
    return kernel.recv(_LONGEST)


def replies(kernel: socket.socket, sequence: int = 1) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each reply, up to the end of the dump or the acknowledgement with this sequence number.

    Raises OSError with the errno of the first refusal, whichever message it is of; TimeoutError where the kernel is
    silent for the socket's timeout.
    """
    while True:
        for kind, number, body in messages(receive(kernel)):
            if kind == DONE:
                return
            if kind != ERROR:
                yield kind, body
                continue
            if refusal := _refusal(body):
                raise OSError(refusal, os.strerror(refusal))
            if number == sequence:
                return


def _refusal(body: bytes) -> int:
    """The errno in an error message, 0 for an acknowledgement; one that cannot be read is none."""
    code = -_CODE.unpack_from(body)[0] if len(body) >= _CODE.size else -1
    return code if 0 <= code <= _LARGEST_ERRNO else errno.EBADMSG


def request(protocol: int, kind: int, flags: int, body: bytes, timeout_s: float) -> list[tuple[int, bytes]]:
    """Send one request over a socket of its own; kind and body of each reply. `flags` has to have ACK or DUMP.

    Raises OSError as `replies` does.
    """
    with connect(protocol, timeout_s) as kernel:
        kernel.send(message(kind, flags, 1, body))
        return list(replies(kernel))


# Events


def listen(protocol: int, groups: int, receive_buffer: int = 0) -> socket.socket:
    """A non-blocking socket on which the kernel's events arrive. Raises OSError.

    `groups` is a bit mask; `receive_buffer` in bytes, 0 for the system's default, beyond its limit where we may.
    """
    kernel = _open(protocol)
    try:
        if receive_buffer:
            try:
                kernel.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, receive_buffer)
            except PermissionError:
                kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        kernel.bind((0, groups))
        kernel.setblocking(False)
    except OSError:
        kernel.close()
        raise
    return kernel


def join(kernel: socket.socket, group: int) -> None:
    """Hear one more group, by number and not by bit. Raises OSError."""
    kernel.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)


def leave(kernel: socket.socket, group: int) -> None:
    """Hear a group no longer. Raises OSError."""
    kernel.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, group)


def drain(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each event that waits.

    Raises OSError where events were lost, ENOBUFS for want of room: call again for those that were not.
    """
    while True:
        try:
            data = receive(kernel)
        except BlockingIOError:
            return
        for kind, _, body in messages(data):
            yield kind, body


def drain_or_lost(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """As `drain`, with (LOST, b"") in place of each error: anything may have happened."""
    while True:
        try:
            yield from drain(kernel)
        except OSError:
            yield LOST, b""
        else:
            return


def _open(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
