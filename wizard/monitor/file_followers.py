"""Followers of files that change: dnsmasq's log, the plan in force."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from wizard.host.plan_in_force import RUNNING_OR_KEPT, read_plan_in_force
from wizard.monitor.dnsmasq_log import DnsmasqLog
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan

TAIL = 500_000
"""Bytes of a log that one poll reads at most; of a longer addition, the last ones."""


class LogFollower:
    """A log that another process appends to and rotates. Each byte is read once."""

    def __init__(self, path: str | Path = paths.DNSMASQ_LOG) -> None:
        self.path = Path(path)
        self.log = DnsmasqLog()
        self._inode = 0
        self._offset = 0

    def poll(self, now: datetime) -> bool:
        """Feed `log` with what was added; False where nothing was, or where the file cannot be read."""
        try:
            with self.path.open("rb") as handle:
                status = os.fstat(handle.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                if status.st_size == self._offset:
                    return False
                # Of a flood the end will do, from its first whole line on.
                skipped = status.st_size - self._offset > TAIL
                handle.seek(status.st_size - TAIL if skipped else self._offset)
                start = handle.tell()
                raw = handle.read(TAIL)
        except OSError:
            return False
        whole, newline, _ = raw.rpartition(b"\n")
        if not newline:
            return False
        self._offset = start + len(whole) + 1
        if skipped:
            whole = whole.partition(b"\n")[2]
        self.log.feed(whole.decode("utf-8", "replace"), now)
        return True


class PlanFollower:
    """The plan in force, or on trial, parsed only when its file has changed."""

    def __init__(self, paths_in_order: tuple[str, ...] = RUNNING_OR_KEPT) -> None:
        self._paths = paths_in_order
        self._stamp: object = None
        self._plan: Plan | None = None

    def read(self) -> Plan | None:
        """The plan, None where nothing is applied. Of an unreadable file, the last plan that could be read.

        Raises PlanUnreadable where there was none before.
        """
        stamp = tuple(_stamp(path) for path in self._paths)
        if stamp == self._stamp:
            return self._plan
        try:
            found = read_plan_in_force(self._paths)
            self._plan = found.plan if found is not None else None
        except WizardError:
            if self._plan is None:
                raise
        self._stamp = stamp
        return self._plan


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
