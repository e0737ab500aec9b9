"""Is there room, and may we write, wherever an apply will?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from wizard.deploy import state
from wizard.plan import paths
from wizard.plan.findings import WizardError

NEEDED = 1 << 20
"""Bytes. The files of a plan are some kilobytes; a disk this full is in trouble anyway."""


def check() -> None:
    """Raises WizardError, naming the directory, where a disk is full or read-only, or others could change our files."""
    for path in (paths.ETC, paths.RUN, paths.STATE):
        _check_owner(Path(path))
    for path in (paths.PLAN_IN_FORCE, paths.INTERFACES_FILE, f"{paths.STATE}/journal", paths.LEASES, state.LOCK):
        directory = _nearest(Path(path))
        disk = os.statvfs(directory)
        if disk.f_flag & os.ST_RDONLY:
            raise WizardError(
                f"{directory} is on a read-only filesystem", "Mount it writable and run it again. Nothing was changed."
            )
        if disk.f_bavail * disk.f_frsize < NEEDED or (disk.f_files and not disk.f_ffree):
            raise WizardError(
                f"the disk of {directory} is full: less than 1 MiB is left",
                "Make room there and run it again. Nothing was changed.",
            )


def _check_owner(directory: Path) -> None:
    """Root runs what lies there, so nobody else may put anything there."""
    try:
        info = directory.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise WizardError(
            f"{directory} is not a directory that only root can write to",
            f"Look at 'ls -ld {directory}': root runs files from there. Move it away, or make it root's alone.",
        )


def _nearest(path: Path) -> Path:
    """The directory of `path`, or the first of its parents that is there."""
    return next(p for p in path.parents if p.is_dir())
