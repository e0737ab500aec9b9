"""Who asks for an address behind a NIC. Listening needs root: where we are not, another process does it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.text import clean

if TYPE_CHECKING:
    from wizard.host.dhcp.discovery import DiscoveredMachine

_LOOK_S = 0.2
_PATIENCE_S = 3


def listen(nic: str, stop: threading.Event, tell: Callable[[tuple[DiscoveredMachine, ...]], None]) -> None:
    from wizard.host import commands
    from wizard.host.dhcp import discovery

    if os.geteuid() == 0:
        discovery.listen(nic, stop, tell)
    elif commands.works("sudo", "-n", "true"):
        listen_by(["sudo", "-n", sys.executable, "-P", "-m", "wizard.host.dhcp.discovery", nic], stop, tell)
    else:
        raise NeedsRoot("Listening on the network needs root.", "Start the wizard with sudo, or run 'sudo -v' first.")


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
            text = clean(rest.decode("utf-8", "replace").strip(), 300)
            raise WizardError(f"listening ended: {text or 'no reason given'}", "Start the wizard as root.")
