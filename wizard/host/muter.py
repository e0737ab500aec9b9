"""The guard's side of the muter, the process that stops dnsmasq at once (see wizard.host.muter_process)."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from wizard.host.muter_process import (
    CHILD,
    GRANT,
    GRANTED,
    HALT,
    HELD,
    LOOSE,
    LOOSEN,
    LOOSENED,
    ORDER,
    RELEASED,
    REVOKE,
    STATE,
)
from wizard.host.net.nft_armed_set import LEASE_S, ArmingFailed

log = logging.getLogger("ciao-gateway")

SILENT_S = LEASE_S
"""A muter that is silent this long hangs; by then the kernel has muted."""
_PATIENCE_S = 1.0
_START_S = 5.0


class GrantedNic(Protocol):
    """The NIC of a grant, between two changes of its carrier."""

    @property
    def nic(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def mac(self) -> str: ...
    @property
    def carrier_changes(self) -> int: ...


class MuterClient:
    """Starts, commands and watches one muter. Calls `wake` in another thread on each event; use it from one thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.process: subprocess.Popen[bytes] | None = None
        self.sequence: int | None = None
        self.lost = True
        self._control: socket.socket | None = None
        self._news = threading.Condition()
        self._answered = self._asked = 0
        self._held, self._error = HELD, 0
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None

    # Its life

    def start(self) -> None:
        """Start a new muter, ending any former one. It watches no dnsmasq and grants nothing yet. Raises OSError."""
        self.end()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            argv = [sys.executable, "-P", "-m", "wizard.host.muter_process", str(its.fileno()), str(os.getpid())]
            # One heap only: another thread's would be locked into memory too.
            env = {**os.environ, "MALLOC_ARENA_MAX": "1"}
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()], cwd="/", env=env)
        self._control = ours
        self.sequence, self.lost = None, False
        self._answered = self._asked = 0
        ours.settimeout(_START_S)
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()

    def end(self) -> None:
        """Kill it. The kernel mutes by itself; whoever calls this deals with dnsmasq."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        with self._news:
            if self._control is not None:
                # Wakes the thread that reads it, which closes it.
                with contextlib.suppress(OSError):
                    self._control.shutdown(socket.SHUT_RDWR)
                self._control = None
            self._forget_child()
            self.lost = True

    def _listen(self, control: socket.socket) -> None:
        """Read its states in a thread: a muter that ends or hangs is noticed whatever the guard waits for."""
        with control:
            while True:
                try:
                    said = control.recv(STATE.size)
                except OSError:
                    said = b""
                if len(said) != STATE.size:
                    break
                control.settimeout(SILENT_S)
                with self._news:
                    before, current = self.sequence, self._control is control
                    if current:
                        self.sequence, self._answered, self._held, self._error = STATE.unpack(said)
                    self._news.notify_all()
                if current and before != self.sequence:
                    self.wake()
            with self._news:
                if self._control is control:
                    self.lost = True
                    # Nobody else would stop it now.
                    self._signal(signal.SIGSTOP)
                self._news.notify_all()
        self.wake()

    # What the guard asks of it

    def grant(self, child: subprocess.Popen[bytes], wire: GrantedNic, sequence: int | None) -> bool:
        """Let this dnsmasq answer by this NIC. Repeat about every second, or it ends by itself.

        `sequence` is that of the judgement. False if there was an event since, or if it takes longer than a second.
        Raises ArmingFailed if the kernel refuses to arm.
        """
        if self.lost or sequence is None:
            return False
        self.look_after(child)
        mac, name = bytes.fromhex(wire.mac.replace(":", "")), os.fsencode(wire.nic)
        if not self._ask(GRANT, GRANTED.pack(sequence, wire.index, wire.carrier_changes, mac, name)):
            return False
        with self._news:
            if self._error:
                raise ArmingFailed(self._error)
            return self._held == RELEASED and not self.lost

    def revoke(self, *, halt: bool) -> bool:
        """End the grant, and with `halt` stop dnsmasq too. True if the set is known to be empty now."""
        return self._ask(HALT if halt else REVOKE)

    def loosen(self, child: subprocess.Popen[bytes], sequence: int | None) -> bool:
        """Let a stopped dnsmasq run while it stays mute. False if there was an event since `sequence`, or if the set is
        not known to be empty."""
        if self.lost or sequence is None:
            return False
        self.look_after(child)
        return self._ask(LOOSEN, LOOSENED.pack(sequence)) and self._held == LOOSE

    def look_after(self, child: subprocess.Popen[bytes]) -> None:
        """Have the muter watch this dnsmasq from its start: it stops it if our rules are removed. Raises OSError."""
        if child is self._child or self._control is None:
            return
        pidfd = os.pidfd_open(child.pid)
        with self._news:
            self._forget_child()
            self._child, self._pidfd = child, pidfd
        self._asked += 1
        with contextlib.suppress(OSError):
            socket.send_fds(self._control, [ORDER.pack(CHILD, self._asked)], [pidfd])

    def _forget_child(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._child = self._pidfd = None

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _ask(self, kind: int, body: bytes = b"") -> bool:
        """Send an order. True once the muter has carried it out, False if that takes longer than a second."""
        if self.lost or self._control is None:
            return False
        self._asked += 1
        try:
            self._control.send(ORDER.pack(kind, self._asked) + body)
        except OSError:
            return False
        deadline = time.monotonic() + _PATIENCE_S
        with self._news:
            while self._answered < self._asked and not self.lost:
                if not self._news.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    return False
            return not self.lost
