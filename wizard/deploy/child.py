"""The guard's child: our dnsmasq, started again where it ends, and looked at from outside."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import time
from collections.abc import Sequence

from wizard.deploy.gates import FINE, Verdict
from wizard.host import dnsmasq, processes
from wizard.host.files import read_text
from wizard.host.udp_sockets import bound_indexes
from wizard.plan import paths

log = logging.getLogger("ciao-gateway")

DHCP_PORT = 67
_START_S = 2.0
_REBIND_S = 4.0
_DEATHS, _DEATHS_WITHIN_S = 3, 30.0


class Child:
    """One dnsmasq at a time. It dies with the thread that started it, which must be the main one."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.identity: processes.Process | None = None
        self.conf_text = ""
        self.deaths: list[float] = []
        self.wrong_since: float | None = None
        self.resting = False

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def take_up(self) -> None:
        """Bring it to the live files: reservations by a signal, options by its end; `ensure` starts it again."""
        self.deaths = []
        conf = read_text(dnsmasq.CONF) or ""
        clashes = dnsmasq.conflicts(read_text(dnsmasq.HOSTS) or "", read_text(paths.LEASES) or "")
        if self.running() and conf == self.conf_text and not clashes:
            dnsmasq.reload_hosts(self.identity)
        else:
            self.stop()
        self.conf_text = conf

    def ensure(self, uid: int, no_dhcp_on: Sequence[str]) -> Verdict:
        """Have it run. Only once our rules keep it mute. Raises WizardError where it cannot be started at all."""
        if self.running():
            return FINE
        if self.process is not None:
            now = time.monotonic()
            words = self._collect()
            log.warning("dnsmasq ended: %s", words)
            self.deaths = [t for t in (*self.deaths, now) if now - t < _DEATHS_WITHIN_S]
            if len(self.deaths) >= _DEATHS:
                return Verdict(False, "dnsmasq-dies", f"dnsmasq does not stay alive: {words}", tripped=True)
        dnsmasq.prepare(uid)
        dnsmasq.drop_leases(dnsmasq.conflicts(read_text(dnsmasq.HOSTS) or "", read_text(paths.LEASES) or ""))
        self.process = dnsmasq.spawn(uid, no_dhcp_on)
        self.identity = processes.identify(self.process.pid)
        self.wrong_since = time.monotonic()
        return FINE

    def answers_only_at(self, index: int, nic: str) -> Verdict:
        """It has exactly one DHCP socket, and that is bound to the NIC with this index. Raises OSError."""
        if self.process is None or not self.running():
            return Verdict(False, "starting", "dnsmasq is starting")
        bound = bound_indexes(self.process.pid, DHCP_PORT)
        if bound == [index]:
            self.wrong_since = None
            return FINE
        # Only when it runs can it bind anew.
        self.go_on()
        now = time.monotonic()
        since = self.wrong_since = self.wrong_since or now
        if not bound and now - since < _START_S:
            return Verdict(False, "starting", "dnsmasq is starting")
        if now - since > _REBIND_S:
            # It binds anew by itself when its NIC comes back; where it does not, a new one will.
            log.warning("dnsmasq's DHCP socket is not where it should be; starting it again")
            self.stop()
        seen = ", ".join(f"NIC number {number}" if number else "every NIC" for number in bound) or "nothing"
        return Verdict(
            False, "dhcp-socket", f"dnsmasq's DHCP socket is bound to {seen}, not to {nic} (number {index}) alone"
        )

    def rest(self) -> None:
        """Have it do nothing at all until `go_on`: where somebody takes our rules away meanwhile, nothing gets out.

        Not before it has its sockets. Never raises.
        """
        if self.resting or self.process is None or not self.running():
            return
        with contextlib.suppress(OSError):
            if bound_indexes(self.process.pid, DHCP_PORT):
                self.process.send_signal(signal.SIGSTOP)
                self.resting = True

    def go_on(self) -> None:
        if self.resting and self.process is not None and self.running():
            self.process.send_signal(signal.SIGCONT)
        self.resting = False

    def stop(self) -> None:
        """End it and wait for it, so that its ports are free."""
        if self.process is None:
            return
        if self.running():
            # What rests is not woken to end: it would answer what it has not heard yet.
            (self.process.kill if self.resting else self.process.terminate)()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._collect()

    def _collect(self) -> str:
        """Wait for one that ends, and forget it. What it said last."""
        if self.process is None:
            return ""
        _, said = self.process.communicate()
        code = self.process.returncode
        self.process = self.identity = None
        self.resting = False
        return said.decode("utf-8", "replace").strip() or dnsmasq.last_words() or f"status {code}"
