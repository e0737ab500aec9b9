"""The muter: a process of its own that stops our dnsmasq as soon as the kernel tells of the cluster's cable.

It alone lets dnsmasq go on, and only for a judgement that is younger than the last such news. It runs no program,
takes no lock and touches no disk; what may wait in the kernel, the packet filter's set, is another thread's. So it
does not matter what its guard waits for. Its guard's side of it is wizard.host.muter.

    python -P -m wizard.host.muter_process FD GUARD     FD: the socket to the guard; GUARD: the guard's process number
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from wizard.host import armed

ORDER = struct.Struct("=BQ")
CHILD, GRANT, REVOKE, HALT, LOOSEN = range(5)
"""From the guard: the dnsmasq to look after, which runs (its pidfd comes along); let it answer; let it answer no
longer; the same, and stop it; have it run on, as long as the kernel keeps it mute."""
GRANTED = struct.Struct("=QiQ6s16s")
"""Of a grant: the sequence that it was judged at; the NIC's index, carrier changes, MAC and name."""
LOOSENED = struct.Struct("=Q")
"""The sequence that it was judged at."""
STATE = struct.Struct("=QQBi")
"""To the guard: the sequence, which every event raises; the last order that is done with; how dnsmasq is held; the
error number of a grant that the packet filter refused."""
HELD, LOOSE, RELEASED = range(3)
"""It rests, or is as the guard left it; it runs, and only the kernel keeps it mute; it may answer."""

GRANT_S = 4.0
"""How long a grant holds that the guard does not repeat: it is slow at times."""
ARM_EVERY_S = 1.0
"""Each time is a transaction: a listing of a large ruleset that takes longer than this begins anew, for ever."""
HEARTBEAT_S = 0.25
_POLL_S = 0.1
_SLEEP_S = 0.5
_ROOM = 8 << 20
_STACK = 256 << 10
_PRIORITY = 10

_HEADER = struct.Struct("=IHHII")
_INFO = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_LINKS, _NEW_LINK, _DELETE_LINK = 0x1, 16, 17
_UP, _LOWER_UP = 0x1, 0x10000
_MAC, _NAME, _MASTER, _CARRIER, _CHANGES = 1, 3, 10, 33, 35
_BUFFER_FORCE = 33
_NETLINK, _JOIN, _LEAVE = 270, 1, 2
_NETFILTER, _RULE_CHANGES = 12, 7
_TAKEN_AWAY = frozenset({10 << 8 | 2, 10 << 8 | 5, 10 << 8 | 8})  # tables, chains, rules
_TABLE = armed.TABLE.encode()


class Grant:
    """Leave to answer by one NIC, as the guard saw it."""

    def __init__(self, index: int, changes: int, mac: bytes, name: bytes) -> None:
        self.index, self.changes, self.mac, self.name = index, changes, mac, name
        self.until = 0.0
        self.counter = self._counter()

    def same(self, other: Grant | None) -> bool:
        return other is not None and _of(self) == _of(other)

    def _counter(self) -> int | None:
        """The NIC's count of carrier changes, open to be read: it needs no lock, where news wait for the kernel's.

        None where /sys is another network namespace's, or not there.
        """
        place = f"/sys/class/net/{os.fsdecode(self.name)}"
        fd = None
        try:
            seen = [Path(place, what).read_text().strip() for what in ("ifindex", "address")]
            if seen == [str(self.index), self.mac.hex(":")]:
                fd = os.open(f"{place}/carrier_changes", os.O_RDONLY | os.O_CLOEXEC)
                if int(os.pread(fd, 32, 0)) == self.changes:
                    return fd
        except (OSError, ValueError):
            pass
        if fd is not None:
            os.close(fd)
        return None

    def moved(self) -> bool:
        """Whether the carrier has changed since, as far as the counter tells."""
        if self.counter is None:
            return False
        try:
            return int(os.pread(self.counter, 32, 0)) != self.changes
        except (OSError, ValueError):
            return True

    def end(self) -> None:
        if self.counter is not None:
            os.close(self.counter)
            self.counter = None


def _of(grant: Grant) -> tuple[int, int, bytes, bytes]:
    return grant.index, grant.changes, grant.mac, grant.name


class ArmedSet(threading.Thread):
    """Keeps the set in the kernel as it is `wanted`. It waits there while somebody else loads rules.

    `done` is what it has last come to, and an error number; `told` can be read then.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.wanted: Grant | None = None
        self.done: tuple[Grant | None, int] | None = None
        self.told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._kick = threading.Event()

    def want(self, grant: Grant | None) -> None:
        self.done = None
        self.wanted = grant
        self._kick.set()

    def run(self) -> None:
        while True:
            self._kick.clear()
            grant, error = self.wanted, 0
            try:
                if grant is None:
                    armed.disarm()
                else:
                    armed.arm(grant.index)
            except armed.ArmingFailed as failed:
                error = failed.number
            self.done = grant, error
            os.eventfd_write(self.told, 1)
            if self.wanted is grant:
                self._kick.wait(ARM_EVERY_S if grant is not None or error else None)


class Muter:
    """One run of it. `control` is the socket to the guard, `guard` a pidfd of it."""

    def __init__(self, control: socket.socket, guard: int) -> None:
        self.control, self.guard = control, guard
        control.setblocking(False)
        self.links, self.rules = listen_for_links(), listen_for_rules()
        # Unlike that of any muter before.
        self.sequence = time.monotonic_ns()
        self.slept = _slept()
        self.child: int | None = None
        self.grant: Grant | None = None
        self.held = HELD
        self.was_released = False
        self.asked = self.answered = 0
        self.error = 0
        self.said_at = 0.0
        self.set = ArmedSet()

    def run(self) -> None:
        """Until the guard is no more."""
        self.set.start()
        self.say()
        sources = select.poll()
        for source in (self.links, self.rules, self.control, self.set.told, self.guard):
            sources.register(source, select.POLLIN)
        while True:
            ready = {fd for fd, _ in sources.poll(1000 * (_POLL_S if self.grant is not None else HEARTBEAT_S))}
            # First of all, whatever else there is.
            self.hear()
            if self.guard in ready or (self.control.fileno() in ready and not self.obey()):
                return self.end()
            if self.set.told in ready:
                self.settle()
            now = time.monotonic()
            if self.grant is not None and now > self.grant.until:
                self.halt()
                self.mute()
            if now - self.said_at >= HEARTBEAT_S:
                self.say()

    # Events

    def hear(self) -> None:
        """What the kernel tells; an event mutes before anything else is done."""
        told = [self.concerns(kind, body) for kind, body in _told_by(self.links)]
        if any(told):
            # One that was never released has no more than begun; it may not answer, whatever the cable does.
            self.event(halt=self.was_released)
        if self.grant is not None and (self.grant.moved() or _slept() - self.slept > _SLEEP_S):
            self.event()
        told = [kind == _LOST or _is_ours(kind, body) for kind, body in _told_by(self.rules)]
        if any(told) and self.held == LOOSE:
            self.event()

    def concerns(self, kind: int, body: bytes) -> bool:
        """Whether this is news of the cluster NIC. Without a grant all news may be."""
        grant = self.grant
        if grant is None or kind == _LOST:
            return True
        if kind not in (_NEW_LINK, _DELETE_LINK) or len(body) < _INFO.size:
            return False
        family, _, index, flags, _ = _INFO.unpack_from(body)
        said = dict(_attributes(body[_INFO.size :]))
        if index != grant.index:
            return said.get(_NAME, b"").rstrip(b"\0") == grant.name
        return (
            kind == _DELETE_LINK
            or family != socket.AF_UNSPEC
            or flags & (_UP | _LOWER_UP) != _UP | _LOWER_UP
            or said.get(_NAME, grant.name).rstrip(b"\0") != grant.name
            or said.get(_MAC, grant.mac) != grant.mac
            or any(said.get(_MASTER, b""))
            or not any(said.get(_CARRIER, b"\1"))
            or int.from_bytes(said.get(_CHANGES, grant.changes.to_bytes(4, sys.byteorder)), sys.byteorder)
            != grant.changes
        )

    def event(self, *, halt: bool = True) -> None:
        if halt:
            self.halt()
        self.sequence += 1
        self.slept = _slept()
        self.mute()
        self.say()

    def halt(self) -> None:
        """Stop dnsmasq in its tracks."""
        self.signal(signal.SIGSTOP)
        self.hold(HELD)

    def hold(self, how: int) -> None:
        """Note how it is held. What runs and may not answer is kept so by rules alone: then they are listened to."""
        if (how == LOOSE) != (self.held == LOOSE):
            self.rules.setsockopt(_NETLINK, _JOIN if how == LOOSE else _LEAVE, _RULE_CHANGES)
        self.held = how

    def signal(self, number: signal.Signals) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.child, number)

    def mute(self) -> None:
        """End the grant, and have the set emptied."""
        if self.grant is None:
            return
        self.grant.end()
        self.grant = None
        if self.held == RELEASED:
            self.hold(LOOSE)
        self.set.want(None)

    # The guard

    def obey(self) -> bool:
        """Do what the guard says; False when it has ended."""
        try:
            data, fds, _, _ = socket.recv_fds(self.control, 512, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        kind, self.asked = ORDER.unpack_from(data)
        if kind == CHILD:
            self.adopt(fds[0])
        elif kind == GRANT:
            sequence, index, changes, mac, name = GRANTED.unpack_from(data, ORDER.size)
            self.allow(sequence, Grant(index, changes, mac, name.rstrip(b"\0")))
        elif kind == LOOSEN:
            self.loosen(*LOOSENED.unpack_from(data, ORDER.size))
        else:
            self.error = 0
            if kind == HALT:
                self.halt()
            self.mute()
            # Once more where that was so: somebody else may have filled it.
            self.set.want(None)
        return True

    def adopt(self, child: int) -> None:
        self.mute()
        if self.child is not None:
            os.close(self.child)
        self.child, self.was_released = child, False
        self.hold(LOOSE)
        self.answer()

    def loosen(self, sequence: int) -> None:
        """Where nothing has happened since that was judged, and the set is known to be empty."""
        self.hear()
        if sequence == self.sequence and self.grant is None and self.set.done == (None, 0):
            self.hold(LOOSE)
            self.signal(signal.SIGCONT)
        self.answer()

    def allow(self, sequence: int, grant: Grant) -> None:
        """Grant it where nothing has happened since it was judged."""
        self.hear()
        self.error = 0
        if sequence != self.sequence or self.child is None:
            grant.end()
            self.answer()
        elif self.grant is not None and self.grant.same(grant):
            grant.end()
            self.grant.until = time.monotonic() + GRANT_S
            if self.held == RELEASED:
                self.answer()
        else:
            self.mute()
            grant.until = time.monotonic() + GRANT_S
            self.grant = grant
            self.set.want(grant)

    def settle(self) -> None:
        """The set has come to be as it was wanted, or it cannot."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.set.told)
        if self.set.done is None or self.set.done[0] is not self.grant:
            return
        error = self.set.done[1]
        if self.grant is None:
            if not error:
                self.answer()
        elif error == errno.ETIMEDOUT and self.held == RELEASED:
            # Somebody's large ruleset is being loaded; meanwhile the kernel mutes by itself.
            return
        elif error:
            self.halt()
            self.mute()
            self.error = error
            self.answer()
        elif self.held != RELEASED:
            # That may have taken a while.
            self.hear()
            if self.grant is not None:
                self.was_released = True
                self.hold(RELEASED)
                self.signal(signal.SIGCONT)
                self.answer()

    def answer(self) -> None:
        if self.answered != self.asked:
            self.answered = self.asked
            self.say()

    def say(self) -> None:
        self.said_at = time.monotonic()
        # A guard that is stopped does not read; what it misses comes again.
        with contextlib.suppress(OSError):
            self.control.send(STATE.pack(self.sequence, self.answered, self.held, self.error))

    def end(self) -> None:
        """Without a guard there is nothing to look after."""
        self.signal(signal.SIGKILL)
        self.mute()
        with contextlib.suppress(armed.ArmingFailed):
            armed.disarm()


def listen_for_links() -> socket.socket:
    return _listen(socket.NETLINK_ROUTE, _LINKS)


def listen_for_rules() -> socket.socket:
    """To rules of the packet filter, once that is joined."""
    return _listen(_NETFILTER, 0)


def _listen(protocol: int, groups: int) -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        kernel.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, _ROOM)
    except PermissionError:
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
    kernel.bind((0, groups))
    kernel.setblocking(False)
    return kernel


_LOST = -1


def _told_by(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """All that waits to be heard; _LOST for what could not be kept: anything may have happened."""
    while True:
        try:
            data = kernel.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            yield _LOST, b""
            continue
        yield from messages_in(data)


def _is_ours(kind: int, body: bytes) -> bool:
    """Whether a part of our table was taken away."""
    return kind in _TAKEN_AWAY and dict(_attributes(body[4:])).get(1, b"").rstrip(b"\0") == _TABLE


def _slept() -> float:
    """Seconds that this machine has slept since boot: nobody counts a cable's moves then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def messages_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += max(length + 3 & ~3, _HEADER.size)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3


def go_first() -> None:
    """Before everything else on this machine, as far as we may: never swapped out, never killed for its memory."""
    gc.disable()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # It ends with its guard, and not before.
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
    threading.stack_size(_STACK)
    ctypes.CDLL(None).mlockall(3)  # what there is now, and what will be


def main(control: int, guard: int) -> None:
    try:
        watched = os.pidfd_open(guard)
    except ProcessLookupError:
        return
    go_first()
    Muter(socket.socket(fileno=control), watched).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
