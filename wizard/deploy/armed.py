"""The record of the nodes that are armed, `paths.ARMED`: written by 'boot arm' and 'boot disarm', and by the guard.

The guard disarms who is done. It is replaced in one step under a lock: whole whoever is killed, and no change is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from wizard.deploy import failpoints, runtime_state
from wizard.host.files import read_text, write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.netboot import ArmedDamaged, ArmedNode, dump_armed, load_armed

Nodes = tuple[ArmedNode, ...]


def read_armed() -> Nodes:
    """The armed nodes, () where there is no record. Raises ArmedDamaged, and WizardError where it may not be read."""
    try:
        text = read_text(paths.ARMED)
    except PermissionError as error:
        raise WizardError(f"{paths.ARMED} is root's alone", "Look with sudo.") from error
    return load_armed(text) if text else ()


def change_armed(change: Callable[[Nodes], Nodes], wait: bool = True) -> Nodes:
    """Replace the record by what `change` makes of it, and return that. Raises WizardError, OSError.

    `wait`: False raises where somebody else is at it; the guard must not stand still.
    """
    with _locked(wait):
        if not Path(paths.STATE).is_dir():
            # Only the journal makes that directory.
            raise WizardError("nothing is applied here", "Apply a plan with 'ciao-wizard apply -c PLAN'.")
        try:
            before = read_armed()
        except ArmedDamaged:
            # Nobody is armed by it, and arming again is the remedy.
            before = ()
            Path(paths.ARMED).unlink()
        after = change(before)
        if after != before:
            failpoints.hit("armed:writing")
            write_atomic(paths.ARMED, dump_armed(after).encode(), 0o600)
            failpoints.hit("armed:written")
        return after


@contextlib.contextmanager
def _locked(wait: bool) -> Iterator[None]:
    path = runtime_state.run_directory() / "armed.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WizardError(f"{paths.ARMED} is being changed by somebody", "It is tried again.") from None
        yield
    finally:
        os.close(fd)
