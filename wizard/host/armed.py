"""The set in the kernel that our DHCP answers depend on, spoken to directly.

Arming several times a second must not cost a process each time, and muting must not wait for one.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wizard.plan.findings import WizardError

TABLE, SET = "ciao_gateway", "armed"
LEASE_S = 2.0
"""How long the kernel lets our DHCP answers pass after it was last told to: the bound where everything else hangs."""

_NETFILTER = 12
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("!BBH")
_BATCH_BEGIN, _BATCH_END, _ERROR, _DONE = 0x10, 0x11, 0x2, 0x3
_NFTABLES = 10
_NEW_ELEMENT, _GET_ELEMENT, _DELETE_ELEMENT = _NFTABLES << 8 | 12, _NFTABLES << 8 | 13, _NFTABLES << 8 | 14
_REQUEST, _ACK, _DUMP, _CREATE = 0x1, 0x4, 0x300, 0x400
_INET = 1
_NESTED = 0x8000
_TABLE_NAME, _SET_NAME, _ELEMENTS = 1, 2, 3
_KEY, _TIMEOUT, _EXPIRATION = 1, 4, 5
_PATIENCE_S = 2.0

Message = tuple[int, int, bytes]


class ArmingFailed(WizardError):
    """The kernel does not take it; `number` is its errno."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(
            f"the packet filter's set {SET} of table inet {TABLE}: {os.strerror(number)}",
            "Run 'ciao-wizard apply' to load the rules again.",
        )


def arm(index: int, seconds: float = LEASE_S) -> None:
    """Let our DHCP answers out by the NIC with this index and no other, for so long from now. Raises ArmingFailed."""
    timeout = _attribute(_TIMEOUT, struct.pack("!Q", int(seconds * 1000)))
    # In one transaction: adding alone would leave the old element's time running, and whatever else is there.
    _transact(
        [
            (_DELETE_ELEMENT, 0, _names()),
            (_NEW_ELEMENT, _CREATE, _names() + _nest(_ELEMENTS, _nest(1, _key(index) + timeout))),
        ]
    )


def disarm() -> None:
    """Let our DHCP answers out by no NIC at all; where there is no such set there is nothing to do.

    Raises ArmingFailed.
    """
    try:
        _transact([(_DELETE_ELEMENT, 0, _names())])
    except ArmingFailed as error:
        if error.number != errno.ENOENT:
            raise


@dataclass(frozen=True, slots=True)
class Element:
    """A NIC in the set, by index; `left` are the seconds that it is there for, None where it stays."""

    index: int
    left: float | None


def elements() -> list[Element]:
    """What is in the set at this moment; [] where there is no such set. Raises ArmingFailed where it is not told."""
    asked = _message(_GET_ELEMENT, _DUMP, 1, _FAMILY.pack(_INET, 0, 0) + _names())
    found: list[Element] = []
    try:
        with _kernel() as kernel:
            kernel.sendto(asked, (0, 0))
            while True:
                for kind, body in _messages(kernel.recv(1 << 16)):
                    if kind == _DONE:
                        return found
                    if kind == _ERROR:
                        code = -struct.unpack_from("=i", body)[0]
                        if code == errno.ENOENT:
                            return []
                        raise ArmingFailed(code)
                    found += _elements_in(body[_FAMILY.size :])
    except TimeoutError:
        raise ArmingFailed(errno.ETIMEDOUT) from None
    except OSError as error:
        raise ArmingFailed(error.errno or errno.EIO) from error


def _elements_in(body: bytes) -> Iterator[Element]:
    for kind, listed in _attributes(body):
        for _, element in _attributes(listed) if kind == _ELEMENTS else ():
            about = dict(_attributes(element))
            key = dict(_attributes(about.get(_KEY, b""))).get(1, b"")
            left = about.get(_EXPIRATION) or about.get(_TIMEOUT)
            if len(key) == 4:
                yield Element(struct.unpack("=I", key)[0], struct.unpack("!Q", left)[0] / 1000 if left else None)


def _kernel() -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    kernel.settimeout(_PATIENCE_S)
    return kernel


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += max(length + 3 & ~3, _HEADER.size)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + 3 & ~3


def _transact(messages: Sequence[Message]) -> None:
    family, unspecified = _FAMILY.pack(_INET, 0, 0), _FAMILY.pack(0, 0, _NFTABLES)
    batch = _message(_BATCH_BEGIN, 0, 0, unspecified)
    for number, (kind, flags, body) in enumerate(messages, 1):
        batch += _message(kind, flags | _ACK, number, family + body)
    batch += _message(_BATCH_END, 0, len(messages) + 1, unspecified)
    try:
        with _kernel() as kernel:
            kernel.sendto(batch, (0, 0))
            _await_acks(kernel, len(messages))
    except TimeoutError:
        raise ArmingFailed(errno.ETIMEDOUT) from None
    except OSError as error:
        raise ArmingFailed(error.errno or errno.EIO) from error


def _await_acks(kernel: socket.socket, last: int) -> None:
    """Raises ArmingFailed at the first refusal: the whole batch is void then."""
    while True:
        answer = kernel.recv(65536)
        at = 0
        while at + _HEADER.size + 4 <= len(answer):
            length, kind, _, number, _ = _HEADER.unpack_from(answer, at)
            if kind == _ERROR:
                code = struct.unpack_from("=i", answer, at + _HEADER.size)[0]
                if code:
                    raise ArmingFailed(-code)
                if number == last:
                    return
            at += max(length + 3 & ~3, _HEADER.size)


def _message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST, number, 0) + body


def _names() -> bytes:
    return _attribute(_TABLE_NAME, TABLE.encode() + b"\0") + _attribute(_SET_NAME, SET.encode() + b"\0")


def _key(index: int) -> bytes:
    # In the machine's own byte order, as the kernel compares it.
    return _nest(1, _attribute(1, struct.pack("=I", index)))


def _nest(kind: int, inner: bytes) -> bytes:
    return _attribute(kind | _NESTED, inner)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
