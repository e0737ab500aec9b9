"""Notes that nat.sh makes under /run of what it changed, such as forwarding.3 and firewalld.eth1."""

from __future__ import annotations

import contextlib
from pathlib import Path

from wizard.plan import paths


def notes(kind: str) -> list[Path]:
    """The notes of that kind, one for each NIC, sorted."""
    return sorted(Path(paths.RUN).glob(f"{kind}.*"))


def forget(note: Path) -> None:
    """Remove a note. One that somebody has made something else of, such as a directory, does not stop a reset."""
    with contextlib.suppress(OSError):
        note.unlink()
