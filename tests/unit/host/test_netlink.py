"""Netlink byte by byte, against nonsense, and against the kernel that runs this test."""

from __future__ import annotations

import errno
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wizard.host.net import link, netlink
from wizard.host.net.netlink import (
    ACK,
    DONE,
    DUMP,
    ERROR,
    LOST,
    NETFILTER,
    attribute,
    attributes,
    message,
    messages,
    nested,
)

Kernel = tuple[socket.socket, socket.socket]

ATTRIBUTES = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=8)
BODIES = st.binary(max_size=40).map(lambda body: body + bytes(-len(body) % 4))


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """Our end, and that of what stands for the kernel."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.settimeout(5)
    with ours, its:
        yield ours, its


def error(number: int, sequence: int = 1) -> bytes:
    return message(ERROR, 0, sequence, struct.pack("=i", -number) + bytes(16))


@given(ATTRIBUTES)
def test_attributes_come_out_as_they_went_in(expected: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in expected)
    assert len(data) % 4 == 0
    assert list(attributes(data)) == expected
    assert list(attributes(nested(5, data))) == [(5, data)]


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), BODIES), max_size=8))
def test_messages_come_out_as_they_went_in(expected: list[tuple[int, int, bytes]]) -> None:
    data = b"".join(message(kind, 0, sequence, body) for kind, sequence, body in expected)
    assert list(messages(data)) == expected


def test_a_message_is_what_the_kernel_defines() -> None:
    request = message(18, ACK, 7, attribute(3, b"eth1\0"))
    assert request.hex() == (
        struct.pack("=IHHII", 28, 18, 5, 7, 0) + struct.pack("=HH", 9, 3) + b"eth1\0\0\0\0"
    ).hex()  # fmt: skip


@given(st.binary(max_size=200))
@example(bytes(64))
@example(b"\xff" * 64)
@example(b"\x01\0\0\0" * 16)
def test_nonsense_ends_and_never_raises(noise: bytes) -> None:
    parsed = list(messages(noise))
    assert len(parsed) <= len(noise) / 16
    assert len(list(attributes(noise))) <= len(noise) / 4
    assert all(0 <= kind < 0x4000 for kind, _ in attributes(noise))


@given(ATTRIBUTES, st.integers(0, 400))
def test_what_is_cut_short_is_a_beginning(expected: list[tuple[int, bytes]], cut: int) -> None:
    data = b"".join(attribute(kind, value) for kind, value in expected)
    for (kind, value), (found_kind, found) in zip(expected, attributes(data[:cut]), strict=False):
        assert found_kind == kind
        assert value.startswith(found)
    (whole,) = messages(message(16, 0, 1, data))
    for kind, sequence, body in messages(message(16, 0, 1, data)[:cut]):
        assert (kind, sequence) == whole[:2]
        assert whole[2].startswith(body)


def test_replies_in_several_datagrams_end_with_the_dump(kernel: Kernel) -> None:
    ours, its = kernel
    its.send(message(16, 0, 1, b"one.") + message(16, 0, 1, b"two."))
    its.send(message(16, 0, 1, b"more") + message(DONE, 0, 1, bytes(4)) + message(16, 0, 1, b"late"))
    assert list(netlink.replies(ours)) == [(16, b"one."), (16, b"two."), (16, b"more")]


def test_the_acknowledgement_of_another_message_ends_nothing(kernel: Kernel) -> None:
    ours, its = kernel
    for reply in (error(0, 1), message(24, 0, 2, b"this"), error(0, 2)):
        its.send(reply)
    assert list(netlink.replies(ours, 2)) == [(24, b"this")]


@pytest.mark.parametrize("sequence", [0, 1, 2])
def test_a_refusal_of_any_message_is_raised(kernel: Kernel, sequence: int) -> None:
    ours, its = kernel
    its.send(error(errno.EEXIST, sequence))
    with pytest.raises(FileExistsError):
        list(netlink.replies(ours, 2))


@pytest.mark.parametrize(
    "body", [b"", b"\0\0", struct.pack("=i", 5), struct.pack("=i", -(1 << 31))], ids=["none", "short", "+5", "least"]
)
def test_a_refusal_that_cannot_be_read_is_no_acknowledgement(kernel: Kernel, body: bytes) -> None:
    ours, its = kernel
    its.send(message(ERROR, 0, 1, body))
    with pytest.raises(OSError, match="Bad message"):
        list(netlink.replies(ours))


def test_a_kernel_that_says_nothing_is_not_waited_for(kernel: Kernel) -> None:
    ours, _ = kernel
    ours.settimeout(0.01)
    with pytest.raises(TimeoutError):
        list(netlink.replies(ours))


def test_the_kernel_answers_a_dump_and_refuses_what_is_not_there() -> None:
    replies = netlink.request(socket.NETLINK_ROUTE, 18, DUMP, link.INFO.pack(0, 0, 0, 0, 0), 5)
    names = [dict(attributes(body[link.INFO.size :]))[link.NAME].rstrip(b"\0") for _, body in replies]
    assert b"lo" in names
    with pytest.raises(OSError, match="No such device"):
        netlink.request(socket.NETLINK_ROUTE, 18, ACK, link.INFO.pack(0, 0, 0x7FFFFFFF, 0, 0), 5)


def test_events_that_were_lost_are_told_and_the_rest_is_heard() -> None:
    class Overrun(socket.socket):
        full = True

        def recv(self, size: int, flags: int = 0) -> bytes:
            if self.full:
                self.full = False
                raise OSError(errno.ENOBUFS, "No buffer space available")
            return super().recv(size, flags)

    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with there, Overrun(fileno=here.detach()) as ours:
        ours.setblocking(False)
        there.send(message(16, 0, 0, b"news"))
        assert list(netlink.drain_or_lost(ours)) == [(LOST, b""), (16, b"news")]
        ours.full = True
        with pytest.raises(OSError, match="No buffer space"):
            list(netlink.drain(ours))
        assert list(netlink.drain(ours)) == []


@pytest.mark.parametrize("room", [0, 1 << 20])
def test_a_socket_for_events_does_not_wait(room: int) -> None:
    with netlink.listen(socket.NETLINK_ROUTE, link.LINKS, room) as events:
        assert list(netlink.drain(events)) == []
        assert room == 0 or events.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 0
        netlink.join(events, 5)
        netlink.leave(events, 5)
    with netlink.listen(NETFILTER, 0) as events:
        assert list(netlink.drain(events)) == []


CYCLES = """
import gc, socket
from wizard.host.net import netlink
from wizard.host.net import link
gc.disable()
collected = []
for index in (1, 0x7FFFFFFF):
    for _ in range(2):
        gc.collect()
        try:
            netlink.request(socket.NETLINK_ROUTE, 18, netlink.ACK, link.INFO.pack(0, 0, index, 0, 0), 5)
        except OSError:
            pass
    collected.append(gc.collect())
print(collected)
"""


def test_no_exchange_leaves_cycles() -> None:
    """The muter runs without a garbage collector."""
    done = subprocess.run([sys.executable, "-c", CYCLES], capture_output=True, text=True, check=True)
    assert done.stdout == "[0, 0]\n"
