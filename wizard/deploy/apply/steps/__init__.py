"""The steps of an apply, each with what it must remember and its undo.

A step captures what is there into a plain record, changes it, and its undo works from that record alone: in
another process, after a crash, any number of times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from wizard.deploy.apply.context import ApplyContext, Record, Step
from wizard.deploy.apply.steps.persist import EnableService, InstallFile, main_files, undo_file, undo_service
from wizard.deploy.apply.steps.trial import (
    LoadRules,
    ProveWires,
    ReleaseFormerNic,
    SetClusterAddress,
    StartGuard,
    undo_address,
    undo_gateway,
    undo_leases,
    undo_rules,
    undo_wires,
)
from wizard.deploy.journal import Journal
from wizard.host import systemd
from wizard.plan import paths
from wizard.plan.findings import WizardError

UNDO: Mapping[str, Callable[[Record, Journal], str]] = {
    "wires": undo_wires,
    "rules": undo_rules,
    "address": undo_address,
    "gateway": undo_gateway,
    "file": undo_file,
    "service": undo_service,
}

UNDO_AFTER_BOOT: Mapping[str, Callable[[Record, Journal], str]] = {"gateway": undo_leases}
"""What a reboot has left of the steps of a trial. Of the others it has left nothing."""
_TRIAL = ("wires", "rules", "address", "gateway")


def trial_steps(job: ApplyContext) -> list[Step]:
    """The steps that make it work, touching nothing that outlives a reboot; in order."""
    steps: list[Step] = [ProveWires(job), LoadRules(job)]
    if job.previous is not None and job.previous.interfaces.cluster != job.plan.interfaces.cluster:
        steps.append(ReleaseFormerNic(job, job.previous.interfaces.cluster))
    return [*steps, SetClusterAddress(job), StartGuard(job)]


def persist_steps(job: ApplyContext) -> list[Step]:
    """The steps that make it last, once it was kept; the interfaces file last."""
    files = [InstallFile(job, f) for f in job.files if f.path != paths.INTERFACES_FILE]
    others = main_files(job)
    service = [EnableService(job)] if systemd.running() else []
    last = InstallFile(job, job.file(paths.INTERFACES_FILE))
    return [*files, *service, *others, last]


def undo(name: str, image: Record, journal: Journal, after_boot: bool = False, tries: int = 3) -> str:
    """Undo one step, however far it got. `after_boot`: of a step that an earlier boot took.

    Raises WizardError or OSError after `tries`.
    """
    kind = name.partition(":")[0]
    act = UNDO[kind]
    if after_boot and kind in _TRIAL:
        if kind not in UNDO_AFTER_BOOT:
            return "gone with the reboot"
        act = UNDO_AFTER_BOOT[kind]
    for attempt in range(1, tries + 1):
        try:
            return act(image, journal)
        except (WizardError, OSError):
            if attempt == tries:
                raise
            time.sleep(0.2)
    raise AssertionError("unreachable")
