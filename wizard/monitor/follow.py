"""Files that grow or change under our eyes: dnsmasq's log, the plan in force."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from wizard.host.files import read_text
from wizard.monitor.log import Log
from wizard.plan import paths
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan

TAIL = 500_000
"""Bytes of a log that are read when first looking at it, and at the most in one go."""


class LogFile:
    """A log that others append to and start anew; each byte of it is read once."""

    def __init__(self, path: str | Path = paths.DNSMASQ_LOG) -> None:
        self.path = Path(path)
        self.log = Log()
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


class PlanFile:
    """The plan in force, or on trial, parsed only when its file has changed."""

    def __init__(self, places: tuple[str, ...] = (f"{paths.LIVE}/gateway.toml", paths.PLAN_IN_FORCE)) -> None:
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
        plan = None
        for place in self._places:
            text = read_text(place)
            if text is None:
                continue
            try:
                plan = load_plan(text, place)
            except WizardError:
                if self._plan is None:
                    raise
                plan = self._plan
            break
        self._plan, self._stamp = plan, stamp
        return plan


def _stamp(place: str) -> tuple[int, int, int] | None:
    try:
        status = Path(place).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
