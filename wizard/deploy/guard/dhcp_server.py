"""The DHCP server: a dnsmasq that serves DHCP alone, as a child of the guard, and checked from outside."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from wizard.deploy.guard.port_conflicts import DHCP_PORTS
from wizard.deploy.guard.preconditions import HOLDS, GuardVerdict
from wizard.deploy.guard.supervised_process import SupervisedProcess
from wizard.host import processes
from wizard.host.dhcp import dnsmasq
from wizard.host.facts.udp_sockets import bound_indexes
from wizard.host.files import read_text
from wizard.plan import paths

log = logging.getLogger("ciao-gateway")

DHCP_PORT = 67
_START_S = 2.0
_REBIND_S = 4.0


class DhcpServer(SupervisedProcess):
    """Our DHCP server."""

    log_file = paths.DNSMASQ_LOG
    ports = DHCP_PORTS

    def __init__(self, loosen: Callable[[subprocess.Popen[bytes]], bool]) -> None:
        super().__init__()
        self.loosen = loosen
        self.conf_text = ""
        self.wrong_since: float | None = None
        self.suspended = False

    def reload(self) -> None:
        """Bring it to the live files: reservations by a signal, options by its end; `ensure` starts it again."""
        self.reset_backoff()
        conf = read_text(dnsmasq.CONF) or ""
        clashes = dnsmasq.conflicts(read_text(dnsmasq.HOSTS) or "", read_text(paths.LEASES) or "")
        if self.running() and conf == self.conf_text and not clashes:
            dnsmasq.reload_hosts(self.identity)
        else:
            self.stop()
        self.conf_text = conf

    def ensure(self, uid: int, no_dhcp_on: Sequence[str]) -> GuardVerdict:
        """Have it run. Only once our rules keep it mute."""

        def begin() -> subprocess.Popen[bytes]:
            dnsmasq.prepare(uid)
            dnsmasq.drop_leases(dnsmasq.conflicts(read_text(dnsmasq.HOSTS) or "", read_text(paths.LEASES) or ""))
            self.wrong_since = time.monotonic()
            return dnsmasq.spawn(uid, no_dhcp_on)

        return self.keep_running(begin)

    def answers_only_at(self, index: int, nic: str) -> GuardVerdict:
        """It has exactly one DHCP socket, and that is bound to the NIC with this index. Raises OSError."""
        if self.process is None or not self.running():
            return GuardVerdict(False, "starting", "dnsmasq is starting")
        bound = bound_indexes(self.process.pid, DHCP_PORT)
        if bound == [index]:
            self.wrong_since = None
            return HOLDS
        # Only when it runs can it bind anew.
        self.resume()
        now = time.monotonic()
        since = self.wrong_since = self.wrong_since or now
        if not bound and now - since < _START_S:
            return GuardVerdict(False, "starting", "dnsmasq is starting")
        if now - since > _REBIND_S:
            # It binds anew by itself when its NIC comes back; where it does not, a new one will.
            log.warning("dnsmasq's DHCP socket is not where it should be; starting it again")
            self.stop()
        seen = ", ".join(f"NIC number {number}" if number else "every NIC" for number in bound) or "nothing"
        return GuardVerdict(
            False, "dhcp-socket", f"dnsmasq's DHCP socket is bound to {seen}, not to {nic} (number {index}) alone"
        )

    def suspend(self) -> None:
        """Have it do nothing at all until `go_on`: where somebody takes our rules away meanwhile, nothing gets out.

        Not before it has its sockets. Never raises.
        """
        if self.suspended or self.process is None or not self.running():
            return
        with contextlib.suppress(OSError):
            if bound_indexes(self.process.pid, DHCP_PORT):
                self.process.send_signal(signal.SIGSTOP)
                self.suspended = True

    def resume(self) -> None:
        """Have it run on, though it may not answer yet, where whoever is to decide that lets it."""
        if self.process is not None and self.running() and self.loosen(self.process):
            self.suspended = False

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        # What rests is not woken to end: it would answer what it has not heard yet.
        rests = self.suspended or processes.stopped(self.identity)
        (process.kill if rests else process.terminate)()

    def _collect(self) -> str:
        self.suspended = False
        return super()._collect()
