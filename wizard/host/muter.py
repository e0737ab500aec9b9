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
)
from wizard.host.net.nft_armed_set import LEASE_S, ArmingFailed

log = logging.getLogger("ciao-gateway")

SILENT_S = LEASE_S
"""A muter that is silent for this long hangs; by then the kernel has muted."""
_PATIENCE_S = 1.0
_START_S = 5.0


class GrantedNic(Protocol):
    """The NIC of a grant, and the count of its carrier changes."""

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
        self.failed = True
        self._control: socket.socket | None = None
        self._changed = threading.Condition()
        self._acknowledged = self._ordered = 0
        self._child_state, self._error = STOPPED, 0
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None

    # Its lifetime

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
        self.sequence, self.failed = None, False
        self._acknowledged = self._ordered = 0
        ours.settimeout(_START_S)
        threading.Thread(target=self._read_states, args=(ours,), daemon=True).start()

    def end(self) -> None:
        """Kill it. The kernel mutes by itself; whoever calls this deals with dnsmasq."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        with self._changed:
            if self._control is not None:
                # Wakes the thread that reads it, which closes it.
                with contextlib.suppress(OSError):
                    self._control.shutdown(socket.SHUT_RDWR)
                self._control = None
            self._forget_child()
            self.failed = True

    def _read_states(self, control: socket.socket) -> None:
        """Read its states in a thread, so that one that ends or hangs is noticed even while the guard is blocked."""
        with control:
            while True:
                try:
                    data = control.recv(STATE.size)
                except OSError:
                    data = b""
                if len(data) != STATE.size:
                    break
                control.settimeout(SILENT_S)
                with self._changed:
                    before, current = self.sequence, self._control is control
                    if current:
                        self.sequence, self._acknowledged, self._child_state, self._error = STATE.unpack(data)
                    self._changed.notify_all()
                if current and before != self.sequence:
                    self.wake()
            with self._changed:
                if self._control is control:
                    self.failed = True
                    # Nobody else would stop dnsmasq now.
                    self._signal(signal.SIGSTOP)
                self._changed.notify_all()
        self.wake()

    # Orders of the guard

    def grant(self, child: subprocess.Popen[bytes], wire: GrantedNic, sequence: int | None) -> bool:
        """Let this dnsmasq answer by this NIC. Repeat about every second; a grant expires after GRANT_S.

        `sequence` is the one that the guard decided on. False if there was an event since, or after a second without
        an answer.
        Raises ArmingFailed if the kernel refuses to arm.
        """
        if self.failed or sequence is None:
            return False
        self.watch(child)
        mac, name = bytes.fromhex(wire.mac.replace(":", "")), os.fsencode(wire.nic)
        if not self._order(GRANT, GRANT_BODY.pack(sequence, wire.index, wire.carrier_changes, mac, name)):
            return False
        with self._changed:
            if self._error:
                raise ArmingFailed(self._error)
            return self._child_state == SERVING and not self.failed

    def revoke(self, *, halt: bool) -> bool:
        """End the grant, and with `halt` stop dnsmasq too. True if the set is known to be empty now."""
        return self._order(HALT if halt else REVOKE)

    def resume_muted(self, child: subprocess.Popen[bytes], sequence: int | None) -> bool:
        """Resume a stopped dnsmasq, still muted. False if there was an event since `sequence`, or if the set is not
        known to be empty."""
        if self.failed or sequence is None:
            return False
        self.watch(child)
        return self._order(RESUME_MUTED, RESUME_BODY.pack(sequence)) and self._child_state == RUNNING_MUTED

    def watch(self, child: subprocess.Popen[bytes]) -> None:
        """Have the muter watch this dnsmasq: it stops it if our rules are removed. Raises OSError."""
        if child is self._child or self._control is None:
            return
        pidfd = os.pidfd_open(child.pid)
        with self._changed:
            self._forget_child()
            self._child, self._pidfd = child, pidfd
        self._ordered += 1
        with contextlib.suppress(OSError):
            socket.send_fds(self._control, [ORDER.pack(CHILD, self._ordered)], [pidfd])

    def _forget_child(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._child = self._pidfd = None

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _order(self, kind: int, body: bytes = b"") -> bool:
        """Send an order. True once the muter has carried it out, False if that takes longer than a second."""
        if self.failed or self._control is None:
            return False
        self._ordered += 1
        try:
            self._control.send(ORDER.pack(kind, self._ordered) + body)
        except OSError:
            return False
        deadline = time.monotonic() + _PATIENCE_S
        with self._changed:
            while self._acknowledged < self._ordered and not self.failed:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    return False
            return not self.failed
