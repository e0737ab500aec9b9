"""What the pages in the middle of the set-up ask of the machine. Nothing here changes it."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.machine_lists import decode, is_text
from wizard.plan.text import clean

if TYPE_CHECKING:
    from wizard.deploy.apply.preview import StepPreview
    from wizard.host.dhcp.discovery import DiscoveredMachine
    from wizard.plan.model import Plan

LARGEST_LIST = 8 << 20
_LOOK_S = 0.2
_PATIENCE_S = 3


class NodesServices(Protocol):
    """Calls may block and raise WizardError."""

    def listen(self, nic: str, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
        """Tell who asks for an address behind a NIC until `stop` is set; first of nobody, once it hears.

        Raises NeedsRoot where a password would have to be asked for it.
        """
        ...

    def read_list(self, path: str) -> str:
        """The text of a file of nodes."""
        ...

    def coming(self, plan: Plan, plan_text: str) -> tuple[StepPreview, ...]:
        """The steps that an apply of this plan would take here, and what each runs."""
        ...


class HostNodes:
    """The real machine."""

    def listen(self, nic: str, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
        from wizard.host import commands
        from wizard.host.dhcp import discovery

        if os.geteuid() == 0:
            discovery.listen(nic, stop, tell)
        elif commands.works("sudo", "-n", "true"):
            listen_by(["sudo", "-n", sys.executable, "-P", "-m", "wizard.host.dhcp.discovery", nic], stop, tell)
        else:
            raise NeedsRoot("Listening on a wire needs root.", "Start the wizard with sudo, or run 'sudo -v' first.")

    def read_list(self, path: str) -> str:
        place = home_expanded(path)
        try:
            # Not Path.open(): that waits for somebody to write to a pipe, and may make a terminal ours.
            fd = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise WizardError(f"{clean(path)} is no file.", "Write the path of a file of text.")
            with os.fdopen(fd, "rb") as handle:
                raw = handle.read(LARGEST_LIST + 1)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "that is no file name"
            raise WizardError(f"{clean(path)} cannot be read: {why}.", "Write the path of a file of text.") from error
        text = decode(raw)
        if len(raw) > LARGEST_LIST or not is_text(text):
            what = "larger than 8 MiB" if len(raw) > LARGEST_LIST else "no text"
            raise WizardError(f"{clean(path)} is {what}.", "Save the list as CSV, one machine a line.")
        return text

    def coming(self, plan: Plan, plan_text: str) -> tuple[StepPreview, ...]:
        from wizard.deploy.apply import preview

        return preview.preview_steps(plan, plan_text)


def home_expanded(path: str) -> Path:
    """The path with `~` and `~user` replaced. Raises WizardError where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        owner = clean(path.partition("/")[0], 80)
        raise WizardError(f"{owner} is nobody's home here.", "Write the whole path, from / on.") from None


def listen_by(command: list[str], stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
    """Have another process listen, and tell what it hears until `stop` is set. Raises WizardError."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)
    if process.stdin is None or process.stdout is None:
        raise WizardError("listening could not be started", "Start the wizard as root.")
    try:
        _tell_lines(process.stdout.fileno(), stop, tell)
    finally:
        # The end of its standard input is how it is told to end: it is root's, and not ours to kill.
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_PATIENCE_S)
        process.stdout.close()


def _tell_lines(source: int, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
    from wizard.host.dhcp.discovery import machines_from_json

    rest = b""
    while not stop.is_set():
        if not select.select([source], [], [], _LOOK_S)[0]:
            continue
        raw = os.read(source, 1 << 16)
        *lines, rest = (rest + raw).split(b"\n")
        for line in lines:
            tell(machines_from_json(line.decode("utf-8", "replace")))
        if not raw:
            said = clean(rest.decode("utf-8", "replace").strip(), 300)
            raise WizardError(f"listening ended: {said or 'it did not say why'}", "Start the wizard as root.")
