"""Processes by identity: pid, start time, boot and command line together, never by name or bare pid."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `started` is the kernel's start time in clock ticks since boot, `boot` the boot's id."""

    pid: int
    started: int
    boot: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat_fields(pid: int, root: Path = Path("/")) -> list[str]:
    """The fields of /proc/PID/stat from the state letter on. Raises OSError."""
    text = (root / "proc" / str(pid) / "stat").read_text(errors="replace")
    # The name in parentheses may itself hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a process, or None."""
    try:
        fields = _stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[19])


def parent(pid: int, root: Path = Path("/")) -> int:
    """The pid of a process's parent, 0 if unknown. `root` is the directory that holds /proc."""
    try:
        return int(_stat_fields(pid, root)[1])
    except (OSError, ValueError, IndexError):
        return 0


def identify(pid: int) -> Process | None:
    """The identity of a running process."""
    seen = _stat(pid)
    return Process(pid, seen[1], boot_id()) if seen else None


def from_json(data: object) -> Process | None:
    """A process as stored by `as_json`; None if the data is not one."""
    if not isinstance(data, Mapping):
        return None
    try:
        return Process(int(data["pid"]), int(data["started"]), str(data["boot"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def command_line(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
    return [part.decode("utf-8", "replace") for part in raw.split(b"\0") if part]


def alive(process: Process | None, *words: str) -> bool:
    """Whether exactly this process runs, and has every one of `words` in its command line."""
    if process is None or process.boot != boot_id():
        return False
    seen = _stat(process.pid)
    if seen is None or seen[0] in "ZX" or seen[1] != process.started:
        return False
    line = command_line(process.pid)
    return all(any(word in part for part in line) for word in words)


def stopped(process: Process | None, *words: str) -> bool:
    """Whether this process is stopped: by SIGSTOP, or by a tracer."""
    if process is None or not alive(process, *words):
        return False
    seen = _stat(process.pid)
    return seen is not None and seen[0] in "Tt"


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)


def stop(process: Process | None, *words: str, patience: float = 5.0) -> bool:
    """End a process: SIGTERM, then SIGKILL after `patience` seconds. True when it is gone.

    Nothing is sent unless pid, start time and `words` all match; a pidfd keeps a recycled pid safe.
    """
    if process is None or not alive(process, *words):
        return True
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not alive(process, *words):
            return True
        for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            try:
                signal.pidfd_send_signal(fd, number)
            except ProcessLookupError:
                return True
            if _ended(fd, process, wait):
                return True
        return False
    finally:
        os.close(fd)


def _ended(fd: int, process: Process, wait: float) -> bool:
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        # The pidfd turns readable at death, even before the parent collects it.
        ready, _, _ = select.select([fd], [], [], 0.1)
        if ready or not alive(process):
            return True
    return False


def send(process: Process | None, number: signal.Signals, *words: str) -> bool:
    """Send one signal to exactly this process. Returns whether it was there."""
    if process is None or not alive(process, *words):
        return False
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(process, *words):
            return False
        signal.pidfd_send_signal(fd, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
