"""Which of many TCP ports take a connection, asked all at once."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Iterable

Place = tuple[str, int]
"""An IPv4 address and a port."""

# Well below the number of files that a process may have open.
_AT_ONCE = 256


def answering(places: Iterable[Place], patience: float) -> set[Place]:
    """Those of `places` that take a connection within `patience` seconds, which 256 at a time have. Never raises."""
    left, found = list(dict.fromkeys(places)), set()
    while left:
        found |= _answering(left[:_AT_ONCE], patience)
        del left[:_AT_ONCE]
    return found


def _answering(places: list[Place], patience: float) -> set[Place]:
    found = set()
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        waiting: dict[int, tuple[socket.socket, Place]] = {}
        poll = select.poll()
        for place in places:
            end = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            try:
                number = end.connect_ex(place)
            except (OSError, OverflowError):
                continue
            if number == 0:
                found.add(place)
            elif number == errno.EINPROGRESS:
                waiting[end.fileno()] = end, place
                poll.register(end, select.POLLOUT)
        while waiting and (rest := deadline - time.monotonic()) > 0:
            for number, _ in poll.poll(rest * 1000):
                end, place = waiting.pop(number)
                poll.unregister(number)
                if end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    found.add(place)
    return found
