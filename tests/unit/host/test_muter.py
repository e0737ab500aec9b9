"""The muter without a network: made-up news of links, a packet filter that may wait, a child that is only looked at."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.waiting import wait_for
from wizard.host import muter_process, processes
from wizard.host.muter_process import (
    CHILD,
    GRANT,
    GRANT_BODY,
    HALT,
    ORDER,
    RESUME_BODY,
    RESUME_MUTED,
    REVOKE,
    RUNNING_MUTED,
    SERVING,
    STATE,
    STOPPED,
    Grant,
    Muter,
)
from wizard.host.net import netlink, nft_armed_set

MAC = bytes.fromhex("001b215a0198")
UP = 0x1 | 0x10000


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def news(
    index: int = 7,
    name: bytes = b"eth1",
    *,
    kind: int = 16,
    family: int = 0,
    flags: int = UP,
    mac: bytes = MAC,
    changes: int = 4,
    more: bytes = b"",
) -> bytes:
    parts = attribute(3, name + b"\0") + attribute(1, mac) + attribute(35, struct.pack("=I", changes)) + more
    body = struct.pack("=BxHiII", family, 1, index, flags, 0) + parts
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


class Filter:
    """The packet filter's set. While `busy` it waits, as it does behind somebody's large ruleset."""

    def __init__(self) -> None:
        self.holds: int | None = None
        self.free = threading.Event()
        self.free.set()
        self.waits = threading.Event()
        self.error = self.armed = 0

    def arm(self, index: int) -> None:
        self._wait()
        if self.error:
            raise nft_armed_set.ArmingFailed(self.error)
        self.holds = index
        self.armed += 1

    def disarm(self) -> None:
        self._wait()
        self.holds = None

    def _wait(self) -> None:
        self.waits.set()
        assert self.free.wait(10)
        self.waits.clear()


def rule_gone(table: bytes = b"ciao_gateway", kind: int = 8) -> bytes:
    body = bytes(4) + attribute(1, table + b"\0")
    return struct.pack("=IHHII", 16 + len(body), 10 << 8 | kind, 0, 0, 0) + body


class Clock:
    """The muter's own, which goes on when the test says so. What tells of a sleep counts on both clocks alike."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.looks = time.monotonic(), 0
        ahead = time.clock_gettime(time.CLOCK_BOOTTIME) - self.now
        fake = SimpleNamespace(
            monotonic=self.look,
            monotonic_ns=time.monotonic_ns,
            clock_gettime=lambda _: self.now + ahead,
            CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
        )
        monkeypatch.setattr(muter_process, "time", fake)

    def look(self) -> float:
        self.looks += 1
        return self.now


class Kernel:
    """What stands for the kernel's socket."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.here.setblocking(False)
        self.overrun = False
        self.joined: list[int] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.joined = [value] if option == 1 else []

    def fileno(self) -> int:
        return self.here.fileno()

    def recv(self, size: int) -> bytes:
        if self.overrun:
            self.overrun = False
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return self.here.recv(size)


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.filter, self.links, self.rules = Filter(), Kernel(), Kernel()
        monkeypatch.setattr(nft_armed_set, "arm", self.filter.arm)
        monkeypatch.setattr(nft_armed_set, "disarm", self.filter.disarm)
        monkeypatch.setattr(muter_process, "listen_for_links", lambda: self.links)
        monkeypatch.setattr(muter_process, "listen_for_rules", lambda: self.rules)
        self.ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(10)
        self.muter = Muter(its, os.pidfd_open(os.getpid()))
        self.thread = threading.Thread(target=self.muter.run, daemon=True)
        self.thread.start()
        self.child = subprocess.Popen(["sleep", "1000"])
        self.identity = processes.identify(self.child.pid)
        self.asked = 0
        fd = os.pidfd_open(self.child.pid)
        self.asked += 1
        socket.send_fds(self.ours, [ORDER.pack(CHILD, self.asked)], [fd])
        os.close(fd)
        self.sequence = self.state()[0]
        # As the guard does once it has its sockets.
        self.child.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        self.filter.free.set()
        self.ours.close()
        self.thread.join(10)
        self.child.kill()
        self.child.wait()

    def order(self, kind: int, body: bytes = b"") -> None:
        self.asked += 1
        self.ours.send(ORDER.pack(kind, self.asked) + body)

    def grant(self, sequence: int | None = None, index: int = 7) -> None:
        sequence = self.sequence if sequence is None else sequence
        self.order(GRANT, GRANT_BODY.pack(sequence, index, 4, MAC, b"eth1"))

    def state(self) -> Any:
        """What it says once it is done with what it was asked: sequence, answered, released, error."""
        while True:
            state = STATE.unpack(self.ours.recv(STATE.size))
            if state[1] == self.asked:
                return state

    def rests(self) -> bool:
        return processes.stopped(self.identity)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.end()


def served(bench: Bench) -> None:
    bench.grant()
    _, _, child_state, error = bench.state()
    assert (child_state, error, bench.filter.holds) == (SERVING, 0, 7)
    wait_for(lambda: not bench.rests())


def test_a_grant_arms_and_lets_it_go_on_and_an_event_ends_that(bench: Bench) -> None:
    wait_for(bench.rests)
    served(bench)
    bench.links.there.send(news(changes=5))
    wait_for(bench.rests)
    wait_for(lambda: bench.filter.holds is None)


def test_what_was_judged_before_an_event_grants_nothing(bench: Bench) -> None:
    bench.links.there.send(news(changes=5))
    bench.grant()
    sequence, _, child_state, _ = bench.state()
    assert child_state == RUNNING_MUTED
    assert sequence > bench.sequence
    assert bench.filter.holds is None
    wait_for(bench.rests)
    bench.grant(sequence)
    assert bench.state()[2] == SERVING


def test_an_event_does_not_wait_for_the_packet_filter(bench: Bench) -> None:
    served(bench)
    bench.filter.free.clear()
    bench.links.there.send(news(flags=0x1))
    wait_for(bench.rests)
    wait_for(bench.filter.waits.is_set)
    assert bench.filter.holds == 7
    bench.filter.free.set()
    wait_for(lambda: bench.filter.holds is None)


def test_arming_that_was_kept_waiting_lets_nothing_out_on_a_moved_cable(bench: Bench) -> None:
    bench.filter.free.clear()
    bench.grant()
    wait_for(bench.filter.waits.is_set)
    bench.links.there.send(news(changes=6))
    wait_for(lambda: bench.muter.sequence != bench.sequence)
    bench.filter.free.set()
    wait_for(lambda: bench.muter.set.done == (None, 0))
    assert bench.filter.holds is None
    assert bench.rests()
    assert bench.muter.child_state != SERVING


def test_news_that_were_lost_are_an_event(bench: Bench) -> None:
    served(bench)
    bench.links.overrun = True
    bench.links.there.send(b"")
    # It is no grant that ended.
    wait_for(lambda: bench.muter.sequence == bench.sequence + 1)
    wait_for(bench.rests)


def test_a_grant_that_is_not_repeated_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    served(bench)
    begun, armed_once = clock.now, bench.filter.armed
    for _ in range(4):
        clock.now += muter_process.GRANT_S * 0.9
        bench.grant()
        assert bench.state()[2] == SERVING
    assert clock.now > begun + muter_process.GRANT_S
    looked = clock.looks
    wait_for(lambda: clock.looks > looked + 2)
    # A grant that had ended between, and was given anew, would have armed once more.
    assert bench.filter.armed == armed_once
    assert not bench.rests()
    clock.now += muter_process.GRANT_S * 1.1
    wait_for(bench.rests)
    wait_for(lambda: bench.filter.holds is None)


@pytest.mark.parametrize("kind", [REVOKE, HALT])
def test_what_the_guard_revokes_is_done_with_when_the_set_is_empty(bench: Bench, kind: int) -> None:
    served(bench)
    bench.order(kind)
    assert bench.state()[2] == (STOPPED if kind == HALT else RUNNING_MUTED)
    assert bench.filter.holds is None
    if kind == HALT:
        wait_for(bench.rests)
    assert bench.rests() is (kind == HALT)


def test_what_is_revoked_while_it_is_being_armed_is_not_done_with_before_that_is_undone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for(lambda: bench.muter.set.done == (None, 0))
    undo = threading.Event()

    def disarm() -> None:
        assert undo.wait(10)
        bench.filter.disarm()

    monkeypatch.setattr(nft_armed_set, "disarm", disarm)
    bench.filter.free.clear()
    bench.grant()
    wait_for(bench.filter.waits.is_set)
    bench.order(HALT)
    wait_for(lambda: bench.muter.ordered == bench.asked)
    bench.filter.free.set()
    wait_for(lambda: bench.filter.holds == 7)
    for _ in range(4):
        # What it says by itself, four times a second.
        assert STATE.unpack(bench.ours.recv(STATE.size))[1] < bench.asked
    undo.set()
    assert bench.state()[2] == STOPPED
    assert bench.filter.holds is None


def test_a_packet_filter_that_refuses_is_said(bench: Bench) -> None:
    bench.filter.error = errno.ENOENT
    bench.grant()
    _, _, child_state, error = bench.state()
    assert (child_state, error) == (STOPPED, errno.ENOENT)
    wait_for(bench.rests)


def loosened(bench: Bench) -> None:
    wait_for(lambda: bench.muter.set.done == (None, 0))
    bench.order(RESUME_MUTED, RESUME_BODY.pack(bench.sequence))
    assert bench.state()[2] == RUNNING_MUTED
    wait_for(lambda: not bench.rests())


def test_what_runs_and_is_kept_mute_by_rules_alone_rests_when_they_are_taken_away(bench: Bench) -> None:
    loosened(bench)
    assert bench.rules.joined
    bench.rules.there.send(rule_gone(b"docker"))
    bench.rules.there.send(rule_gone(kind=6))
    bench.links.there.send(news(changes=5))
    wait_for(lambda: bench.muter.sequence == bench.sequence + 1)
    assert not bench.rests()
    bench.rules.there.send(rule_gone())
    wait_for(bench.rests)
    wait_for(lambda: bench.muter.sequence == bench.sequence + 2)
    bench.order(RESUME_MUTED, RESUME_BODY.pack(bench.sequence + 1))
    assert bench.state()[2] == STOPPED
    assert bench.rests()


def test_what_rests_does_not_go_on_once_the_rules_were_taken_away(bench: Bench) -> None:
    """The guard saw the rules before that, and is about to let it bind its sockets."""
    wait_for(lambda: bench.muter.set.done == (None, 0))
    bench.order(HALT)
    bench.state()
    wait_for(bench.rests)
    bench.rules.there.send(rule_gone())
    wait_for(lambda: bench.muter.sequence == bench.sequence + 1)
    bench.order(RESUME_MUTED, RESUME_BODY.pack(bench.sequence))
    assert bench.state()[2] == STOPPED
    assert bench.rests()


def test_nothing_runs_on_to_bind_while_the_set_may_let_it_out(bench: Bench) -> None:
    served(bench)
    bench.filter.free.clear()
    bench.order(HALT)
    wait_for(bench.rests)
    bench.order(RESUME_MUTED, RESUME_BODY.pack(bench.sequence))
    assert bench.state()[2] == STOPPED
    assert bench.rests()


def test_rules_that_are_loaded_again_while_it_may_answer_are_the_guards_business(bench: Bench) -> None:
    served(bench)
    assert not bench.rules.joined
    bench.rules.there.send(rule_gone())
    bench.grant()
    assert bench.state()[2] == SERVING


def test_without_its_guard_there_is_no_dnsmasq(bench: Bench) -> None:
    served(bench)
    bench.ours.close()
    assert bench.child.wait(10) == -9
    bench.thread.join(10)
    assert not bench.thread.is_alive()
    wait_for(lambda: bench.filter.holds is None)


def test_what_concerns_the_cluster_nic(bench: Bench) -> None:
    ours = bench.muter

    def event(message: bytes) -> bool:
        kind, _, body = next(netlink.messages(message))
        return ours.concerns(kind, body)

    assert event(news(index=9, name=b"docker0")), "without a grant anything may matter"
    served(bench)
    assert not event(news())
    assert not event(news(index=9, name=b"docker0", changes=9))
    assert not event(news(flags=UP | 0x100)), "somebody listens to all of it"
    assert event(news(flags=0x1))
    assert event(news(flags=0x10000))
    assert event(news(changes=5))
    assert event(news(name=b"lan0"))
    assert event(news(mac=bytes(6)))
    assert event(news(kind=17))
    assert event(news(family=socket.AF_BRIDGE))
    assert event(news(more=attribute(10, struct.pack("=I", 12)))), "it has a master now"
    assert event(news(more=attribute(33, b"\0"))), "no carrier"
    assert event(news(index=9)), "another one under its name"


def test_the_count_of_carrier_changes_is_read_where_it_is_this_nics() -> None:
    grant = Grant(1, 0, bytes(6), b"lo")
    assert grant.counter is not None
    assert not grant.carrier_moved()
    grant.carrier_changes = 1
    assert grant.carrier_moved()
    grant.end()
    for other in (Grant(2, 0, bytes(6), b"lo"), Grant(1, 0, MAC, b"lo"), Grant(1, 0, bytes(6), b"none")):
        assert other.counter is None
        assert not other.carrier_moved()
