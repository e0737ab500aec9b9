"""Writes the metrics into a file for node_exporter's textfile collector: a child of the guard, until SIGTERM.

A process of its own: what it reads and imports must not delay the guard.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

from wizard.deploy.guard import metrics_file
from wizard.monitor.metrics import prometheus_text, read_gateway
from wizard.plan.findings import WizardError
from wizard.plan.render import HEADER

EVERY_S = 15.0
_HEADER = f"{HEADER}'s guard; change [metrics] in the plan and run 'ciao-wizard apply'\n"


def write_once(path: str) -> None:
    """Raises WizardError, OSError."""
    metrics_file.write(path, _HEADER + prometheus_text(read_gateway()))


def main(path: str, guard: int) -> int:
    """Write it every EVERY_S while our parent is `guard`, and remove it at the end.

    What prevents that is said once, on stderr.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    said = ""
    try:
        while not ended.is_set() and os.getppid() == guard:
            try:
                write_once(path)
                said = ""
            except (WizardError, OSError) as error:
                if str(error) != said:
                    said = str(error)
                    sys.stderr.write(f"the metrics cannot be written: {said}\n")
                    sys.stderr.flush()
            ended.wait(EVERY_S)
    finally:
        # The guard says what is left.
        with contextlib.suppress(OSError):
            metrics_file.remove_ours(Path(path))
    return 0
