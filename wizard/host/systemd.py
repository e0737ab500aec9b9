"""systemctl, on machines where systemd runs."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from wizard.host.commands import CommandFailed, run, works


def running() -> bool:
    """Whether systemd is this machine's service manager (see sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def reload() -> None:
    if running():
        run("systemctl", "daemon-reload", timeout=60)


def enable(unit: str) -> None:
    run("systemctl", "daemon-reload", timeout=60)
    run("systemctl", "enable", "--quiet", unit, timeout=60)


def start(unit: str) -> None:
    run("systemctl", "daemon-reload", timeout=60)
    run("systemctl", "reset-failed", unit, ok=(0, 1, 5))
    run("systemctl", "start", unit, timeout=60)


def stop(unit: str) -> None:
    run("systemctl", "stop", unit, timeout=60, ok=(0, 5))


def notify(*states: str) -> None:
    """Tell systemd states such as "READY=1", see sd_notify(3). Nothing where it did not start us, or is gone."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
        peer.setblocking(False)
        peer.sendto("\n".join(states).encode(), address.replace("@", "\0", 1))


def log_tail(unit: str, lines: int = 3) -> str:
    """The last lines that a unit's processes wrote since boot, joined by "; "; "" if there are none."""
    try:
        # Not -u: what systemd says of the unit would be among them.
        wrote = run("journalctl", f"_SYSTEMD_UNIT={unit}", "-b", "-n", str(lines), "-o", "cat", "--no-pager", timeout=5)
    except CommandFailed:
        return ""
    return "; ".join(line for line in wrote.splitlines() if line and not line.startswith("-- "))


def active(unit: str) -> bool:
    return running() and works("systemctl", "is-active", "--quiet", unit)
