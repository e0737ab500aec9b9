"""The muter: a process that stops our dnsmasq as soon as the kernel reports an event on the cluster NIC's link.

Only it resumes dnsmasq, and only on a decision of the guard that is younger than the last event. Its main thread starts
no program, takes no lock and touches no disk; a second thread changes the nftables set, where the kernel may block it.
So it reacts at once, whatever the guard is waiting for. The guard's side is wizard.host.muter.

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
CHILD, GRANT, REVOKE, HALT, RESUME_MUTED = range(5)
"""Orders of the guard: watch this running dnsmasq (its pidfd comes along); let it answer; mute it; mute and stop it;
resume it while the kernel keeps it mute. Each carries a number; they rise."""
GRANT_BODY = struct.Struct("=QiQ6s16s")
"""The body of GRANT: the sequence that the guard decided on; the NIC's index, carrier changes, MAC and name."""
RESUME_BODY = struct.Struct("=Q")
"""The body of RESUME_MUTED: the sequence that the guard decided on."""
STATE = struct.Struct("=QQBi")
"""To the guard: the sequence, which every event raises; the number of the last order carried out; the state of dnsmasq;
the errno of a grant that the kernel refused to arm, else 0."""
STOPPED, RUNNING_MUTED, SERVING = range(3)
"""States of dnsmasq: stopped (or as the guard left it); running, muted by the kernel alone; allowed to answer."""

GRANT_S = 4.0
"""How long a grant lasts unless the guard repeats it; the guard is slow at times."""
ARM_EVERY_S = 1.0
"""Not more often: each arming is a transaction, and a transaction makes nft restart a listing."""
HEARTBEAT_S = 0.25
_POLL_S = 0.1
_SUSPEND_S = 0.5
_RECEIVE_BUFFER = 8 << 20
_STACK_BYTES = 256 << 10
_PRIORITY = 10

_RULE_CHANGES = 7
_REMOVALS = frozenset({10 << 8 | 2, 10 << 8 | 5, 10 << 8 | 8})  # tables, chains, rules
_TABLE = nft_armed_set.TABLE.encode()


class Grant:
    """Permission to answer by one NIC, in the state in which the guard inspected it."""

    def __init__(self, index: int, carrier_changes: int, mac: bytes, name: bytes) -> None:
        self.index, self.carrier_changes, self.mac, self.name = index, carrier_changes, mac, name
        self.until = 0.0
        self.counter = self._counter()

    def same(self, other: Grant | None) -> bool:
        return other is not None and _key(self) == _key(other)

    def _counter(self) -> int | None:
        """A descriptor of the NIC's carrier_changes: reading it takes no lock, while events wait for the kernel's.

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

    def carrier_moved(self) -> bool:
        """True if the carrier has changed since the guard inspected it, as far as the counter shows."""
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


def _key(grant: Grant) -> tuple[int, int, bytes, bytes]:
    return grant.index, grant.carrier_changes, grant.mac, grant.name


class ArmedSet(threading.Thread):
    """The thread that keeps the nftables set as `wanted`; the kernel blocks it while others load rules.

    `done`: the last grant that it handled (None: it emptied the set), and an errno or 0; None while it works.
    `done_event` is an eventfd, readable after each change.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.wanted: Grant | None = None
        self.done: tuple[Grant | None, int] | None = None
        self.done_event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._requested = threading.Event()

    def request(self, grant: Grant | None) -> None:
        self.done = None
        self.wanted = grant
        self._requested.set()

    def run(self) -> None:
        while True:
            self._requested.clear()
            grant, error = self.wanted, 0
            try:
                if grant is None:
                    nft_armed_set.disarm()
                else:
                    nft_armed_set.arm(grant.index)
            except nft_armed_set.ArmingFailed as failed:
                error = failed.number
            self.done = grant, error
            os.eventfd_write(self.done_event, 1)
            if self.wanted is grant:
                self._requested.wait(ARM_EVERY_S if grant is not None or error else None)


class Muter:
    """`control` is the socket to the guard, `guard` its pidfd."""

    def __init__(self, control: socket.socket, guard: int) -> None:
        self.control, self.guard = control, guard
        control.setblocking(False)
        self.links, self.rules = listen_for_links(), listen_for_rules()
        netlink.join(self.rules, _RULE_CHANGES)
        # Differs from that of any earlier muter.
        self.sequence = time.monotonic_ns()
        self.suspended_s = _suspended_s()
        self.child: int | None = None
        self.grant: Grant | None = None
        self.child_state = STOPPED
        self.has_served = False
        self.ordered = self.acknowledged = 0
        self.error = 0
        self.state_sent_at = 0.0
        self.set = ArmedSet()

    def run(self) -> None:
        """Serve the guard until it ends."""
        self.set.start()
        self.send_state()
        sources = select.poll()
        for source in (self.links, self.rules, self.control, self.set.done_event, self.guard):
            sources.register(source, select.POLLIN)
        while True:
            ready = {fd for fd, _ in sources.poll(1000 * (_POLL_S if self.grant is not None else HEARTBEAT_S))}
            # Before anything else.
            self.read_events()
            if self.guard in ready or (self.control.fileno() in ready and not self.handle_order()):
                return self.end()
            if self.set.done_event in ready:
                self.handle_set_change()
            now = time.monotonic()
            if self.grant is not None and now > self.grant.until:
                self.stop_child()
                self.mute()
            if now - self.state_sent_at >= HEARTBEAT_S:
                self.send_state()

    # Events

    def read_events(self) -> None:
        """Read the kernel's events. One that concerns us mutes before anything else happens."""
        relevant = [self.concerns(kind, body) for kind, body in netlink.drain_or_lost(self.links)]
        if any(relevant):
            # One that has never served is only starting; it may not answer anyway.
            self.on_event(halt=self.has_served)
        if self.grant is not None and (self.grant.carrier_moved() or _suspended_s() - self.suspended_s > _SUSPEND_S):
            self.on_event()
        removed = [kind == netlink.LOST or _is_ours(kind, body) for kind, body in netlink.drain_or_lost(self.rules)]
        if any(removed) and self.child_state != SERVING:
            # Also while it is stopped: the guard may be about to resume it on what it saw before.
            self.on_event()

    def concerns(self, kind: int, body: bytes) -> bool:
        """True if a message is about the cluster NIC. Without a grant any may be."""
        grant = self.grant
        if grant is None or kind == netlink.LOST:
            return True
        if kind not in (link.NEW_LINK, link.DELETE_LINK) or len(body) < link.INFO.size:
            return False
        family, _, index, flags, _ = link.INFO.unpack_from(body)
        attributes = dict(netlink.attributes(body[link.INFO.size :]))
        if index != grant.index:
            return attributes.get(link.NAME, b"").rstrip(b"\0") == grant.name
        return (
            kind == link.DELETE_LINK
            or family != socket.AF_UNSPEC
            or flags & (link.UP | link.LOWER_UP) != link.UP | link.LOWER_UP
            or attributes.get(link.NAME, grant.name).rstrip(b"\0") != grant.name
            or attributes.get(link.MAC, grant.mac) != grant.mac
            or any(attributes.get(link.MASTER, b""))
            or not any(attributes.get(link.CARRIER, b"\1"))
            or int.from_bytes(
                attributes.get(link.CHANGES, grant.carrier_changes.to_bytes(4, sys.byteorder)), sys.byteorder
            )
            != grant.carrier_changes
        )

    def on_event(self, *, halt: bool = True) -> None:
        if halt:
            self.stop_child()
        self.sequence += 1
        self.suspended_s = _suspended_s()
        self.mute()
        self.send_state()

    def stop_child(self) -> None:
        """Stop dnsmasq with SIGSTOP."""
        self.signal_child(signal.SIGSTOP)
        self.set_child_state(STOPPED)

    def set_child_state(self, state: int) -> None:
        """Record the state of dnsmasq. While it may not answer, listen for the removal of our rules."""
        if (state == SERVING) != (self.child_state == SERVING):
            change = netlink.leave if state == SERVING else netlink.join
            change(self.rules, _RULE_CHANGES)
        self.child_state = state

    def signal_child(self, number: signal.Signals) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.child, number)

    def mute(self) -> None:
        """End the grant and have the set emptied."""
        if self.grant is None:
            return
        self.grant.end()
        self.grant = None
        if self.child_state == SERVING:
            self.set_child_state(RUNNING_MUTED)
        self.set.request(None)

    # The guard

    def handle_order(self) -> bool:
        """Carry out one order of the guard; False when the guard has ended."""
        try:
            data, fds, _, _ = socket.recv_fds(self.control, 512, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        kind, self.ordered = ORDER.unpack_from(data)
        if kind == CHILD:
            self.watch(fds[0])
        elif kind == GRANT:
            sequence, index, changes, mac, name = GRANT_BODY.unpack_from(data, ORDER.size)
            self.handle_grant(sequence, Grant(index, changes, mac, name.rstrip(b"\0")))
        elif kind == RESUME_MUTED:
            self.resume_muted(*RESUME_BODY.unpack_from(data, ORDER.size))
        else:
            self.error = 0
            if kind == HALT:
                self.stop_child()
            self.mute()
            # Even if it was empty: somebody else may have filled it.
            self.set.request(None)
        return True

    def watch(self, child: int) -> None:
        """Take over a dnsmasq that waits or runs, muted, by its pidfd."""
        self.mute()
        if self.child is not None:
            os.close(self.child)
        self.child, self.has_served = child, False
        self.set_child_state(RUNNING_MUTED)
        self.acknowledge()

    def resume_muted(self, sequence: int) -> None:
        """Resume dnsmasq if there was no event since `sequence` and the set is known to be empty."""
        self.read_events()
        if sequence == self.sequence and self.grant is None and self.set.done == (None, 0):
            self.set_child_state(RUNNING_MUTED)
            self.signal_child(signal.SIGCONT)
        self.acknowledge()

    def handle_grant(self, sequence: int, grant: Grant) -> None:
        """Grant it if there was no event since `sequence`."""
        self.read_events()
        self.error = 0
        if sequence != self.sequence or self.child is None:
            grant.end()
            self.acknowledge()
        elif self.grant is not None and self.grant.same(grant):
            grant.end()
            self.grant.until = time.monotonic() + GRANT_S
            if self.child_state == SERVING:
                self.acknowledge()
        else:
            self.mute()
            grant.until = time.monotonic() + GRANT_S
            self.grant = grant
            self.set.request(grant)

    def handle_set_change(self) -> None:
        """Act on a change that the set's thread has made, or failed to make."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.set.done_event)
        if self.set.done is None or self.set.done[0] is not self.grant:
            return
        error = self.set.done[1]
        if self.grant is None:
            if not error:
                self.acknowledge()
        elif error == errno.ETIMEDOUT and self.child_state == SERVING:
            # Somebody is loading a large ruleset; until then the element expires and the kernel mutes.
            return
        elif error:
            self.stop_child()
            self.mute()
            self.error = error
            self.acknowledge()
        elif self.child_state != SERVING:
            # Arming may have taken a while.
            self.read_events()
            if self.grant is not None:
                self.has_served = True
                self.set_child_state(SERVING)
                self.signal_child(signal.SIGCONT)
                self.acknowledge()

    def acknowledge(self) -> None:
        """Report that the last order is carried out."""
        if self.acknowledged != self.ordered:
            self.acknowledged = self.ordered
            self.send_state()

    def send_state(self) -> None:
        self.state_sent_at = time.monotonic()
        # A stopped guard does not read; the state is sent again.
        with contextlib.suppress(OSError):
            self.control.send(STATE.pack(self.sequence, self.acknowledged, self.child_state, self.error))

    def end(self) -> None:
        """The guard has ended: kill dnsmasq and empty the set."""
        self.signal_child(signal.SIGKILL)
        self.mute()
        with contextlib.suppress(nft_armed_set.ArmingFailed):
            nft_armed_set.disarm()


def listen_for_links() -> socket.socket:
    return netlink.listen(socket.NETLINK_ROUTE, link.LINKS, _RECEIVE_BUFFER)


def listen_for_rules() -> socket.socket:
    """For nftables rules; silent until the muter joins their group."""
    return netlink.listen(netlink.NETFILTER, 0, _RECEIVE_BUFFER)


def _is_ours(kind: int, body: bytes) -> bool:
    """True if a table, chain or rule of ours was removed."""
    return kind in _REMOVALS and dict(netlink.attributes(body[4:])).get(1, b"").rstrip(b"\0") == _TABLE


def _suspended_s() -> float:
    """Seconds this machine has been suspended since boot; the carrier counter misses what happens then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def set_realtime_priority() -> None:
    """Run ahead of everything here, as far as allowed: real-time, memory locked, spared by the OOM killer."""
    gc.disable()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # It ends with its guard, not before.
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
    threading.stack_size(_STACK_BYTES)
    ctypes.CDLL(None).mlockall(3)  # MCL_CURRENT | MCL_FUTURE


def main(control: int, guard: int) -> None:
    try:
        watched = os.pidfd_open(guard)
    except ProcessLookupError:
        return
    set_realtime_priority()
    Muter(socket.socket(fileno=control), watched).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
