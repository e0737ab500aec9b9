"""The DHCP server: a dnsmasq that serves DHCP alone, a child of the guard.

`daemon.Guard` calls it from the guard's main thread. Its socket is read from the kernel, not asked of dnsmasq.
"""

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
    """Our DHCP server. `loosen` asks the muter to let the process run (SIGCONT); `suspended`: it was sent SIGSTOP.

    `begun`: it has bound its sockets.
    """

    log_file = paths.DNSMASQ_LOG
    ports = DHCP_PORTS

    def __init__(self, loosen: Callable[[subprocess.Popen[bytes]], bool]) -> None:
        super().__init__()
        self.loosen = loosen
        self.conf_text = ""
        self.wrong_since: float | None = None
        self.suspended = self.begun = False

    def reload(self) -> None:
        """Apply the live files: reservations by SIGHUP, options by stopping it, so that `ensure` starts it again."""
        self.reset_backoff()
        conf = read_text(dnsmasq.CONF) or ""
        clashes = dnsmasq.conflicts(read_text(dnsmasq.HOSTS) or "", read_text(paths.LEASES) or "")
        if self.running() and conf == self.conf_text and not clashes:
            dnsmasq.reload_hosts(self.identity)
        else:
            self.stop()
        self.conf_text = conf

    def ensure(self, uid: int, no_dhcp_on: Sequence[str]) -> GuardVerdict:
        """Keep it running, as user `uid`, with no DHCP on the NICs `no_dhcp_on`. Only once our rules are loaded."""

        def spawn() -> subprocess.Popen[bytes]:
            dnsmasq.prepare(uid)
            dnsmasq.drop_leases(dnsmasq.conflicts(read_text(dnsmasq.HOSTS) or "", read_text(paths.LEASES) or ""))
            self.wrong_since, self.begun = time.monotonic(), False
            return dnsmasq.spawn(uid, no_dhcp_on)

        return self.keep_running(spawn)

    def begin(self) -> None:
        """Have one that was started run until it has bound its sockets. Once the muter watches it. Raises OSError.

        It waits, stopped, from its first moment: until then somebody may have flushed the rules that hold its answers.
        """
        if self.process is None or self.begun:
            return
        self.begun = bool(bound_indexes(self.process.pid, DHCP_PORT))
        if not self.begun:
            self.resume()

    def answers_only_at(self, index: int, nic: str) -> GuardVerdict:
        """HOLDS where its only DHCP socket is bound to the NIC with this index. Raises OSError."""
        if self.process is None or not self.running():
            return GuardVerdict(False, "starting", "dnsmasq is starting")
        bound = bound_indexes(self.process.pid, DHCP_PORT)
        if bound == [index]:
            self.wrong_since = None
            return HOLDS
        # A suspended process cannot rebind.
        self.resume()
        now = time.monotonic()
        since = self.wrong_since = self.wrong_since or now
        if not bound and now - since < _START_S:
            return GuardVerdict(False, "starting", "dnsmasq is starting")
        if now - since > _REBIND_S:
            # It rebinds by itself when its NIC returns; where it does not, a restart does.
            log.warning("dnsmasq's DHCP socket is not where it should be; starting it again")
            self.stop()
        seen = ", ".join(f"NIC number {number}" if number else "every NIC" for number in bound) or "nothing"
        return GuardVerdict(
            False, "dhcp-socket", f"dnsmasq's DHCP socket is bound to {seen}, not to {nic} (number {index}) alone"
        )

    def suspend(self) -> None:
        """Stop it with SIGSTOP until `resume`, so that no answer gets out even if somebody flushes our rules.

        Does nothing before it has bound its sockets. Never raises OSError.
        """
        if self.suspended or self.process is None or not self.running():
            return
        with contextlib.suppress(OSError):
            if bound_indexes(self.process.pid, DHCP_PORT):
                self.process.send_signal(signal.SIGSTOP)
                self.suspended = True

    def resume(self) -> None:
        """Have it run, if the muter allows that. Its answers stay blocked until the NIC is armed."""
        if self.process is not None and self.running() and self.loosen(self.process):
            self.suspended = False

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        # SIGTERM takes effect only after SIGCONT, and then it would first answer what is in its queue.
        stopped = self.suspended or processes.stopped(self.identity)
        (process.kill if stopped else process.terminate)()

    def _collect(self) -> str:
        self.suspended = False
        return super()._collect()
