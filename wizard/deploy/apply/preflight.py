"""Preflight: disk space, the ownership of the directories that an apply writes to, the services that it may stop.

Called by `engine`.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from wizard.deploy import runtime_state
from wizard.deploy.apply.steps import services
from wizard.deploy.journal import JournalContents
from wizard.host.files import blocked, refuse_others_directory
from wizard.plan import paths
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, WizardError
from wizard.plan.machine import Facts
from wizard.plan.rules.ports import why_not_stopped

MIN_FREE_BYTES = 1 << 20
"""A plan's files take some kilobytes; a disk with less than this is in trouble anyway."""


def check(address_file: str) -> None:
    """Raises WizardError, naming the directory, where a disk is full or read-only, or others could change our files.

    `address_file`: the kept file of the cluster NIC's address.
    """
    for path in (paths.ETC, paths.RUN, paths.STATE, paths.LIVE, paths.DNSMASQ_RUN):
        if path != paths.DNSMASQ_RUN:
            refuse_others_directory(Path(path))
        elif Path(path).is_symlink():
            raise WizardError(f"{path} is a link", "Remove it: our dnsmasq's files would lie elsewhere.")
    for path in (*paths.WRITTEN, address_file):
        if why := blocked(path):
            raise WizardError(f"{path} cannot be written: {why}", "Move it away. Nothing was changed.")
    for path in (
        paths.PLAN_IN_FORCE,
        address_file,
        f"{paths.STATE}/journal",
        paths.LEASES,
        runtime_state.LOCK,
    ):
        directory = _nearest(Path(path))
        disk = os.statvfs(directory)
        if disk.f_flag & os.ST_RDONLY:
            raise WizardError(
                f"{directory} is on a read-only filesystem", "Mount it writable and run it again. Nothing was changed."
            )
        if disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES or (disk.f_files and not disk.f_ffree):
            raise WizardError(
                f"the disk of {directory} is full: less than 1 MiB is left",
                "Make room there and run it again. Nothing was changed.",
            )


def check_stops(stop: Collection[str], facts: Facts, findings: Collection[Finding], journal: JournalContents) -> None:
    """Raises WizardError for a service that an apply may not stop, or need not.

    `findings`: with these services agreed to. One that an earlier apply stopped may be named again.
    """
    offered = list(dict.fromkeys(finding.stops[0] for finding in findings if finding.stops))
    stopped = dict(journal.first_images())
    for unit in stop:
        if unit in offered or f"{services.STOP}:{unit}" in stopped:
            continue
        why = why_not_stopped(unit, facts) or "it does not hinder this plan"
        others = f", or name {' or '.join(offered)} instead" if offered else ""
        raise WizardError(f"--stop {shown(unit)}: {why}", f"Leave it out{others}. Nothing was changed.")


def _nearest(path: Path) -> Path:
    """The nearest parent directory of `path` that exists."""
    return next(p for p in path.parents if p.is_dir())
