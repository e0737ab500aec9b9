"""The context of an apply, and the protocol of its steps."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wizard.deploy.journal import Journal
from wizard.host.files import make_directory, write_atomic
from wizard.plan.model import Plan
from wizard.plan.render import File

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApplyContext:
    """What an apply works with. `dhcp_uid`: the user that dnsmasq runs as. `previous`: the plan in force, if any."""

    plan: Plan
    files: tuple[File, ...]
    dhcp_uid: int
    journal: Journal
    previous: Plan | None = None
    corporate_has_lease: bool = False

    def file(self, path: str) -> File:
        return next(f for f in self.files if f.path == path)


class Step(Protocol):
    """One step. `name` is its key in the journal, its part before a colon the kind of its undo."""

    name: str
    title: str

    def needed(self) -> bool:
        """False where the machine is already as this step would make it."""

    def preview(self) -> list[str]:
        """What `do` would do now, a line each: a command begins with "$ ", all else is in words. Changes nothing."""

    def capture(self) -> Record:
        """What `undo` will need, as JSON."""

    def do(self) -> str:
        """Change the machine; what was done, in a few words. Raises WizardError."""


def command_line(*argv: str) -> str:
    """A command as a preview shows it."""
    return f"$ {shlex.join(argv)}"


def write_file(file: File, owner: tuple[int, int] | None = None) -> None:
    """Put a file where it belongs, its directory too."""
    make_directory(Path(file.path).parent)
    write_atomic(file.path, file.text.encode(), file.mode, owner)
