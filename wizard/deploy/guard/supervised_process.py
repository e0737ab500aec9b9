"""A supervised server: restarted when it ends, after a growing pause.

The base of DhcpServer, NameServer and NetbootServer; runs in the guard's main thread.
"""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable

from wizard.deploy.guard.port_conflicts import port_holders
from wizard.deploy.guard.preconditions import HOLDS, GuardVerdict
from wizard.host import processes
from wizard.host.dhcp import dnsmasq
from wizard.plan.findings import WizardError

log = logging.getLogger("ciao-gateway")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
_HEALTHY_S = 30.0
"""A process that ran this long was well: it is restarted at once."""
_SETTLED_S = 3.0
"""One that has not ended this long has its port."""


class SupervisedProcess:
    """One process at a time. The kernel kills it when the thread that started it ends: start it from the main one."""

    title = "dnsmasq"
    log_file = ""
    ports: tuple[tuple[str, int], ...] = ()

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.identity: processes.Process | None = None
        self.started_at = self.restart_at = self.pause = 0.0
        self.failure = ""

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def reset_backoff(self) -> None:
        """Forget earlier failures: start it without a pause, as what hindered it may have changed."""
        self.restart_at = self.pause = 0.0
        self.failure = ""

    def keep_running(self, spawn: Callable[[], subprocess.Popen[bytes]]) -> GuardVerdict:
        """Start it by `spawn` where it does not run and no pause is due. Never raises; never returns a trip.

        `spawn` may raise WizardError or OSError.
        """
        if self.running():
            return HOLDS
        if self.process is not None:
            self._note_failure(self._collect())
        if time.monotonic() < self.restart_at:
            return self._failing()
        try:
            self.process = spawn()
        except (WizardError, OSError) as error:
            self._note_failure(str(error))
            return self._failing()
        self.identity = processes.identify(self.process.pid)
        self.started_at = time.monotonic()
        return HOLDS

    def _note_failure(self, reason: str) -> None:
        now = time.monotonic()
        lived = self.started_at and now - self.started_at > _HEALTHY_S
        self.pause = 0.0 if lived else min(max(self.pause * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self.started_at, self.restart_at = 0.0, now + self.pause
        self.failure = reason + port_holders(reason, self.ports)
        log.warning("%s ended, started again in %.1f s: %s", self.title, self.pause, self.failure)

    def _failing(self) -> GuardVerdict:
        return GuardVerdict(False, "dnsmasq-dies", f"{self.title} does not stay alive: {self.failure}")

    def fails_now(self) -> str:
        """Why it ended, while it is not running again for long enough to be believed; else ""."""
        settled = self.running() and time.monotonic() - self.started_at > _SETTLED_S
        return "" if settled else self.failure

    def stop(self) -> None:
        """End it and wait, so that its ports are free; SIGKILL after 5 s."""
        if self.process is None:
            return
        if self.running():
            self._end(self.process)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._collect()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()

    def _collect(self) -> str:
        """Wait for the process to end and forget it; its last output, or how it ended."""
        if self.process is None:
            return ""
        _, output = self.process.communicate()
        pid, code = self.process.pid, self.process.returncode
        self.process = self.identity = None
        text = output.decode("utf-8", "replace").strip()
        if code < 0:
            return text or f"ended by signal {-code}"
        return text or dnsmasq.log_tail(self.log_file, pid) or f"ended with status {code}"
