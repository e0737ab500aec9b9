"""A dnsmasq that the guard keeps running: restarted when it ends, with a growing back-off."""

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
_LIVED_S = 30.0
"""Whoever lived this long was well: it is started again at once."""


class SupervisedProcess:
    """One process at a time. It dies with the thread that started it, which must be the main one."""

    title = "dnsmasq"
    log_file = ""
    ports: tuple[tuple[str, int], ...] = ()

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.identity: processes.Process | None = None
        self.started_at = self.again_at = self.pause = 0.0
        self.trouble = ""

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def reset_backoff(self) -> None:
        """Start it without a pause: something was changed that may have been the matter."""
        self.again_at = self.pause = 0.0
        self.trouble = ""

    def keep_running(self, begin: Callable[[], subprocess.Popen[bytes]]) -> GuardVerdict:
        """Have it run, by `begin`, which may fail too. What hinders it may have passed in a moment: never tripped."""
        if self.running():
            return HOLDS
        if self.process is not None:
            self._stumbled(self._collect())
        if time.monotonic() < self.again_at:
            return self._pausing()
        try:
            self.process = begin()
        except (WizardError, OSError) as error:
            self._stumbled(str(error))
            return self._pausing()
        self.identity = processes.identify(self.process.pid)
        self.started_at = time.monotonic()
        return HOLDS

    def _stumbled(self, words: str) -> None:
        now = time.monotonic()
        lived = self.started_at and now - self.started_at > _LIVED_S
        self.pause = 0.0 if lived else min(max(self.pause * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self.started_at, self.again_at = 0.0, now + self.pause
        self.trouble = words + port_holders(words, self.ports)
        log.warning("%s ended, started again in %.1f s: %s", self.title, self.pause, self.trouble)

    def _pausing(self) -> GuardVerdict:
        return GuardVerdict(False, "dnsmasq-dies", f"{self.title} does not stay alive: {self.trouble}")

    def stop(self) -> None:
        """End it and wait for it, so that its ports are free."""
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
        """Wait for one that ends, and forget it. What it said last."""
        if self.process is None:
            return ""
        _, said = self.process.communicate()
        pid, code = self.process.pid, self.process.returncode
        self.process = self.identity = None
        words = said.decode("utf-8", "replace").strip()
        if code < 0:
            return words or f"ended by signal {-code}"
        return words or dnsmasq.log_tail(self.log_file, pid) or f"ended with status {code}"
