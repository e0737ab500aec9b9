"""The context of an apply, and the protocol of its steps. Used by `engine`, `preview` and `steps`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wizard.deploy.journal import Journal
from wizard.host.files import make_directory, write_atomic
from wizard.host.net.managers.backend import NetworkBackend
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan
from wizard.plan.ntp import NO_TIME, TimeSource
from wizard.plan.render import File

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApplyContext:
    """The input of an apply's steps. `files`: all that the plan renders, that of the address last; `live_address`: the
    latter as a trial needs it, for `backend`. `dhcp_uid`: the user that dnsmasq runs as.

    `previous`: the plan in force, or None. `corporate_has_lease`: the corporate NIC holds a DHCP lease. `stop`: the
    services to stop. `uplinks`, `others`: see `plan.uplinks`, its functions `uplinks` and `other_wires`. `time`: who
    gives the nodes the time; `former_time`: the same of the plan in force.
    """

    plan: Plan
    files: tuple[File, ...]
    live_address: File
    backend: NetworkBackend
    dhcp_uid: int
    journal: Journal
    previous: Plan | None = None
    corporate_has_lease: bool = False
    stop: tuple[str, ...] = ()
    uplinks: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    time: TimeSource = NO_TIME
    former_time: TimeSource = NO_TIME

    def file(self, path: str) -> File:
        return next(f for f in self.files if f.path == path)


class NotAsBefore(WizardError):
    """What a step had changed cannot be put back, and trying again would not help: the rest goes on without it."""


class Step(Protocol):
    """One step. `name`: its key in the journal; the part before a colon selects its undo. `title`: for people."""

    name: str
    title: str

    def needed(self) -> bool:
        """False where the machine is already as this step would make it."""

    def preview(self) -> list[str]:
        """What `do` would do now, a line each: "$ COMMAND", or a phrase for people. Changes nothing."""

    def capture(self) -> Record:
        """The pre-image that the undo works from, as JSON. Raises WizardError, OSError."""

    def do(self) -> str:
        """Change the machine; returns a phrase about what was done. Raises WizardError, OSError."""


def command_line(*argv: str) -> str:
    """A command as a preview line."""
    return f"$ {shlex.join(argv)}"


def write_file(file: File, owner: tuple[int, int] | None = None) -> None:
    """Write a file atomically with its mode and `owner` (uid, gid); make its directory. Raises WizardError, OSError."""
    make_directory(Path(file.path).parent)
    write_atomic(file.path, file.text.encode(), file.mode, owner)
