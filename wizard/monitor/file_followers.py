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
"""Bytes of a log that are read when first looking at it, and at the most in one go."""


class LogFollower:
    """A log that others append to and start anew; each byte of it is read once."""

    def __init__(self, path: str | Path = paths.DNSMASQ_LOG) -> None:
        self.path = Path(path)
        self.log = DnsmasqLog()
        self._inode = 0
        self._read = 0

    def look(self, now: datetime) -> bool:
        """Take in what is new; whether there was anything. What cannot be read says nothing."""
        try:
            with self.path.open("rb") as handle:
                status = os.fstat(handle.fileno())
                if status.st_ino != self._inode or status.st_size < self._read:
                    self._inode, self._read = status.st_ino, 0
                if status.st_size == self._read:
                    return False
                # Of a flood its end is enough, from the first whole line on.
                skipped = status.st_size - self._read > TAIL
                handle.seek(status.st_size - TAIL if skipped else self._read)
                start = handle.tell()
                raw = handle.read(TAIL)
        except OSError:
            return False
        whole, newline, _ = raw.rpartition(b"\n")
        if not newline:
            return False
        self._read = start + len(whole) + 1
        if skipped:
            whole = whole.partition(b"\n")[2]
        self.log.feed(whole.decode("utf-8", "replace"), now)
        return True


class PlanFollower:
    """The plan in force, or on trial, parsed only when its file has changed."""

    def __init__(self, places: tuple[str, ...] = RUNNING_OR_KEPT) -> None:
        self._places = places
        self._stamp: object = None
        self._plan: Plan | None = None

    def read(self) -> Plan | None:
        """The plan, None where nothing is applied. One that cannot be read is as the last that could.

        Raises PlanUnreadable where there has been none before.
        """
        stamp = tuple(_stamp(place) for place in self._places)
        if stamp == self._stamp:
            return self._plan
        try:
            found = read_plan_in_force(self._places)
            self._plan = found.plan if found is not None else None
        except WizardError:
            if self._plan is None:
                raise
        self._stamp = stamp
        return self._plan


def _stamp(place: str) -> tuple[int, int, int] | None:
    try:
        status = Path(place).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
