"""ifupdown's record of the interfaces that it brought up: two files under /run/network, which can differ.

ifup reads the interface's own file, ifquery the list of all.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from wizard.host.files import read_text

DIRECTORY = "/run/network"
_LOCK_PATIENCE_S = 5.0


def own_file(nic: str) -> str:
    """The state file of one interface; ifdown leaves it empty."""
    return f"{DIRECTORY}/ifstate.{nic}"


def raised_as(nic: str) -> str:
    """The stanza that the interface was raised with, by either file; "" if ifupdown has not raised it."""
    if own := (read_text(own_file(nic)) or "").strip():
        return own
    return _listed().get(nic, "")


def record(nic: str, stanza: str) -> None:
    """Record in both files that the interface is raised with this stanza ("": not raised)."""
    if not Path(DIRECTORY).is_dir():
        return
    lock = os.open(f"{DIRECTORY}/.ifstate.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(lock)
        listed = _listed()
        if listed.get(nic, "") != stanza:
            lines = {name: value for name, value in listed.items() if name != nic} | ({nic: stanza} if stanza else {})
            text = "".join(f"{name}={value}\n" for name, value in lines.items())
            Path(f"{DIRECTORY}/ifstate").write_text(text, encoding="utf-8")
        if (read_text(own_file(nic)) or "").strip() != stanza:
            Path(own_file(nic)).write_text(f"{stanza}\n" if stanza else "", encoding="utf-8")
    finally:
        os.close(lock)


def _listed() -> dict[str, str]:
    lines = (read_text(f"{DIRECTORY}/ifstate") or "").splitlines()
    return {name: stanza for name, _, stanza in (line.partition("=") for line in lines) if name}


def _lock(fd: int) -> None:
    """Wait for a running ifup to finish, for `_LOCK_PATIENCE_S` at most: it may hang."""
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while time.monotonic() < deadline:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(0.05)
