"""The steps of an apply, in order, and the undo of each.

A step captures a pre-image as a plain record, changes the machine, and its undo works from that record alone: in
another process, after a crash, any number of times. `engine` takes them, `preview` shows them, `reverter` undoes them.

    trial     services to stop, both wires, rules, address, guard: under /run, in the kernel and in systemd, gone
              with a reboot but for what UNDO_AFTER_BOOT undoes
    persist   the files under /etc and the services, written once the trial was kept
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from wizard.deploy.apply.context import ApplyContext, Record, Step
from wizard.deploy.apply.steps.persist import (
    EnableService,
    InstallFile,
    former_address_files,
    main_files,
    undo_file,
    undo_service,
)
from wizard.deploy.apply.steps.services import DisableService, StopService, undo_disable, undo_stop
from wizard.deploy.apply.steps.time_server import TIME, InstallTimeFile, former_time_files, time_steps, undo_time
from wizard.deploy.apply.steps.trial import (
    LoadRules,
    ProveWires,
    ReleaseFormerNic,
    SetClusterAddress,
    StartGuard,
    former_nic,
    undo_address,
    undo_gateway,
    undo_leases,
    undo_rules,
    undo_wires,
)
from wizard.deploy.journal import Journal
from wizard.host import systemd
from wizard.plan.findings import WizardError
from wizard.plan.ntp import DROP_INS
from wizard.plan.render import File

UNDO: Mapping[str, Callable[[Record, Journal], str]] = {
    "wires": undo_wires,
    "rules": undo_rules,
    "address": undo_address,
    TIME: undo_time,
    "gateway": undo_gateway,
    "file": undo_file,
    "service": undo_service,
    "stop": undo_stop,
    "disable": undo_disable,
}

UNDO_AFTER_BOOT: Mapping[str, Callable[[Record, Journal], str]] = {
    "gateway": undo_leases,
    "stop": undo_stop,
    TIME: undo_time,
}
"""The trial's steps of which something survives a reboot: the leases, that a service which ran, though it was disabled,
is stopped, and that a time server has read a file that is undone."""
_TRIAL = ("stop", "wires", "rules", "address", TIME, "gateway")


def trial_steps(context: ApplyContext) -> list[Step]:
    """The trial's steps, in order. `UNDO_AFTER_BOOT` has those of which something survives a reboot."""
    # The services first: a DHCP server among them could be heard on the cluster wire.
    steps: list[Step] = [*(StopService(unit) for unit in context.stop), ProveWires(context), LoadRules(context)]
    was = context.previous.interfaces.cluster if context.previous is not None else ""
    if was and was != context.plan.interfaces.cluster:
        nic = former_nic(context.journal, was)
        steps += [ReleaseFormerNic(context, nic, was)] if nic else []
    return [*steps, SetClusterAddress(context), *time_steps(context), StartGuard(context)]


def persist_steps(context: ApplyContext) -> list[Step]:
    """The steps that persist a kept trial, in order: that of the NIC's address last. Raises WizardError."""
    *files, address = [_install(context, file) for file in context.files]
    service = [EnableService(context)] if systemd.running() else []
    disabled = [DisableService(context, unit) for unit in context.stop]
    former: list[Step] = [*former_time_files(context), *former_address_files(context)]
    return [*files, *service, *disabled, *main_files(context), *former, address]


def _install(context: ApplyContext, file: File) -> InstallFile:
    return InstallTimeFile(context, file.path) if file.path in DROP_INS else InstallFile(context, file)


def undo(name: str, image: Record, journal: Journal, after_boot: bool = False, tries: int = 3) -> str:
    """Undo one step, however far it got; returns a phrase about it. `after_boot`: it was taken before a reboot.

    Raises WizardError or OSError after `tries` attempts; LookupError, TypeError, ValueError and the like where the
    record is not one of this version's.
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
