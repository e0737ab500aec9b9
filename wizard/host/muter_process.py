"""The muter: a process that stops our dnsmasq as soon as the kernel reports an event on the cluster NIC's link.

Only it resumes dnsmasq, and only on a judgement that is younger than the last event. Its main thread runs no program,
takes no lock and touches no disk; a second thread changes the nftables set, where the kernel may make it wait. So it
reacts at once, whatever the guard waits for. The guard's side is wizard.host.muter.

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
from pathlib import Path

from wizard.host.net import link, netlink, nft_armed_set

ORDER = struct.Struct("=BQ")
CHILD, GRANT, REVOKE, HALT, LOOSEN = range(5)
"""Orders of the guard: watch this running dnsmasq (its pidfd comes along); let it answer; mute it; mute and stop it;
let it run while the kernel keeps it mute. Each has a number that rises."""
GRANTED = struct.Struct("=QiQ6s16s")
"""The body of GRANT: the sequence of the judgement; the NIC's index, carrier changes, MAC and name."""
LOOSENED = struct.Struct("=Q")
"""The body of LOOSEN: the sequence of the judgement."""
STATE = struct.Struct("=QQBi")
"""To the guard: the sequence, which every event raises; the number of the last order carried out; how dnsmasq is held;
the errno of a grant that the kernel refused to arm, else 0."""
HELD, LOOSE, RELEASED = range(3)
"""How dnsmasq is held: stopped (or as the guard left it); running, muted by the kernel alone; allowed to answer."""

GRANT_S = 4.0
"""How long a grant lasts unless the guard repeats it, which is slow at times."""
ARM_EVERY_S = 1.0
"""Not more often: each arming is a transaction, and nft restarts a listing that a transaction interrupts."""
HEARTBEAT_S = 0.25
_POLL_S = 0.1
_SLEEP_S = 0.5
_ROOM = 8 << 20
_STACK = 256 << 10
_PRIORITY = 10

_RULE_CHANGES = 7
_TAKEN_AWAY = frozenset({10 << 8 | 2, 10 << 8 | 5, 10 << 8 | 8})  # tables, chains, rules
_TABLE = nft_armed_set.TABLE.encode()


class Grant:
    """Permission to answer by one NIC, in the state in which the guard judged it."""

    def __init__(self, index: int, carrier_changes: int, mac: bytes, name: bytes) -> None:
        self.index, self.carrier_changes, self.mac, self.name = index, carrier_changes, mac, name
        self.until = 0.0
        self.counter = self._counter()

    def same(self, other: Grant | None) -> bool:
        return other is not None and _of(self) == _of(other)

    def _counter(self) -> int | None:
        """A descriptor of the NIC's carrier_changes: reading it takes no lock, where events wait for the kernel's.

        None if /sys is missing or shows another network namespace.
        """
        place = f"/sys/class/net/{os.fsdecode(self.name)}"
        fd = None
        try:
            seen = [Path(place, what).read_text().strip() for what in ("ifindex", "address")]
            if seen == [str(self.index), self.mac.hex(":")]:
                fd = os.open(f"{place}/carrier_changes", os.O_RDONLY | os.O_CLOEXEC)
                if int(os.pread(fd, 32, 0)) == self.carrier_changes:
                    return fd
        except (OSError, ValueError):
            pass
        if fd is not None:
            os.close(fd)
        return None

    def moved(self) -> bool:
        """True if the carrier has changed since the judgement, as far as the counter shows."""
        if self.counter is None:
            return False
        try:
            return int(os.pread(self.counter, 32, 0)) != self.carrier_changes
        except (OSError, ValueError):
            return True

    def end(self) -> None:
        if self.counter is not None:
            os.close(self.counter)
            self.counter = None


def _of(grant: Grant) -> tuple[int, int, bytes, bytes]:
    return grant.index, grant.carrier_changes, grant.mac, grant.name


class ArmedSet(threading.Thread):
    """The thread that keeps the nftables set as `wanted`; the kernel makes it wait while others load rules.

    `done`: the last grant (None: emptied) that it dealt with, and an errno or 0; None while it works. `told` is an
    eventfd that is readable after each.
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
                    nft_armed_set.disarm()
                else:
                    nft_armed_set.arm(grant.index)
            except nft_armed_set.ArmingFailed as failed:
                error = failed.number
            self.done = grant, error
            os.eventfd_write(self.told, 1)
            if self.wanted is grant:
                self._kick.wait(ARM_EVERY_S if grant is not None or error else None)


class Muter:
    """`control` is the socket to the guard, `guard` its pidfd."""

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
        """Serve the guard until it ends."""
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
        """Read the kernel's events. One that concerns us mutes before anything else happens."""
        told = [self.concerns(kind, body) for kind, body in netlink.drain_or_lost(self.links)]
        if any(told):
            # One that was never released has no more than begun; it may not answer, whatever the cable does.
            self.event(halt=self.was_released)
        if self.grant is not None and (self.grant.moved() or _slept() - self.slept > _SLEEP_S):
            self.event()
        told = [kind == netlink.LOST or _is_ours(kind, body) for kind, body in netlink.drain_or_lost(self.rules)]
        if any(told) and self.held == LOOSE:
            self.event()

    def concerns(self, kind: int, body: bytes) -> bool:
        """True if a message is about the cluster NIC. Without a grant any may be."""
        grant = self.grant
        if grant is None or kind == netlink.LOST:
            return True
        if kind not in (link.NEW_LINK, link.DELETE_LINK) or len(body) < link.INFO.size:
            return False
        family, _, index, flags, _ = link.INFO.unpack_from(body)
        said = dict(netlink.attributes(body[link.INFO.size :]))
        if index != grant.index:
            return said.get(link.NAME, b"").rstrip(b"\0") == grant.name
        return (
            kind == link.DELETE_LINK
            or family != socket.AF_UNSPEC
            or flags & (link.UP | link.LOWER_UP) != link.UP | link.LOWER_UP
            or said.get(link.NAME, grant.name).rstrip(b"\0") != grant.name
            or said.get(link.MAC, grant.mac) != grant.mac
            or any(said.get(link.MASTER, b""))
            or not any(said.get(link.CARRIER, b"\1"))
            or int.from_bytes(said.get(link.CHANGES, grant.carrier_changes.to_bytes(4, sys.byteorder)), sys.byteorder)
            != grant.carrier_changes
        )

    def event(self, *, halt: bool = True) -> None:
        if halt:
            self.halt()
        self.sequence += 1
        self.slept = _slept()
        self.mute()
        self.say()

    def halt(self) -> None:
        """Stop dnsmasq with SIGSTOP."""
        self.signal(signal.SIGSTOP)
        self.hold(HELD)

    def hold(self, how: int) -> None:
        """Record how dnsmasq is held. While only our rules keep it mute, listen for their removal."""
        if (how == LOOSE) != (self.held == LOOSE):
            change = netlink.join if how == LOOSE else netlink.leave
            change(self.rules, _RULE_CHANGES)
        self.held = how

    def signal(self, number: signal.Signals) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.child, number)

    def mute(self) -> None:
        """End the grant and have the set emptied."""
        if self.grant is None:
            return
        self.grant.end()
        self.grant = None
        if self.held == RELEASED:
            self.hold(LOOSE)
        self.set.want(None)

    # The guard

    def obey(self) -> bool:
        """Carry out one order of the guard; False when the guard has ended."""
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
        """Resume dnsmasq if there was no event since the judgement and the set is known to be empty."""
        self.hear()
        if sequence == self.sequence and self.grant is None and self.set.done == (None, 0):
            self.hold(LOOSE)
            self.signal(signal.SIGCONT)
        self.answer()

    def allow(self, sequence: int, grant: Grant) -> None:
        """Grant it if there was no event since the judgement."""
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
        """Act on what the set's thread has achieved, or failed at."""
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
        """The guard has ended: kill dnsmasq and empty the set."""
        self.signal(signal.SIGKILL)
        self.mute()
        with contextlib.suppress(nft_armed_set.ArmingFailed):
            nft_armed_set.disarm()


def listen_for_links() -> socket.socket:
    return netlink.listen(socket.NETLINK_ROUTE, link.LINKS, _ROOM)


def listen_for_rules() -> socket.socket:
    """For nftables rules; silent until `Muter.hold` joins their group."""
    return netlink.listen(netlink.NETFILTER, 0, _ROOM)


def _is_ours(kind: int, body: bytes) -> bool:
    """True if a table, chain or rule of ours was removed."""
    return kind in _TAKEN_AWAY and dict(netlink.attributes(body[4:])).get(1, b"").rstrip(b"\0") == _TABLE


def _slept() -> float:
    """Seconds this machine has been suspended since boot; the carrier counter misses what happens then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def set_realtime_priority() -> None:
    """Run before all else on this machine, as far as allowed: real-time, memory locked, spared by the OOM killer."""
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
    set_realtime_priority()
    Muter(socket.socket(fileno=control), watched).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
