"""Which corporate wires have ever answered DHCP: the positive control of a probe.

A corporate wire that once answered and is silent now may no longer be the corporate wire: cables get swapped, leases
expire. The file lists a MAC per line, and lasts until a reset. The guard and an apply's step "wires" use it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from wizard.host.files import read_text, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError

NAME = "corporate-answered"


def note_answer(mac: str) -> None:
    """Record that a DHCP server answered behind the corporate NIC with this MAC. Never raises WizardError."""
    # Only `Journal` creates the state directory: one without a journal counts as damaged.
    if mac and Path(paths.STATE).is_dir() and not has_answered(mac):
        with contextlib.suppress(WizardError):
            write_atomic(str(_file()), "".join(f"{m}\n" for m in sorted({*_macs(), mac})).encode(), 0o600)


def has_answered(mac: str) -> bool:
    """Whether a DHCP server has ever answered behind the corporate NIC with this MAC."""
    return mac in _macs()


def _file() -> Path:
    return Path(paths.STATE) / NAME


def _macs() -> set[str]:
    try:
        return set((read_text(str(_file())) or "").split())
    except OSError:
        return set()
