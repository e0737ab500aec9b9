"""Failpoints: in the laboratory, stop a run at a named point, so that a test can kill it and look at what is left.

CIAO_LAB_PAUSE names a point, such as "before:rules" or "undo:rules". The process that reaches it appends its pid to the
file `paused` beside the laboratory's marker and stops itself. "list" stops nobody and appends every point reached to
the file `moments`, so that a new step is tested from the day it is written.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from wizard.plan import paths

VARIABLE = "CIAO_LAB_PAUSE"


def hit(name: str) -> None:
    """A point at which a run may be killed. Does nothing outside the laboratory."""
    wanted = os.environ.get(VARIABLE)
    if wanted not in (name, "list") or not Path(paths.LAB_MARKER).exists():
        return
    with Path(paths.LAB_MARKER).with_name("moments" if wanted == "list" else "paused").open("a") as log:
        log.write(f"{name} {os.getpid()}\n")
    if wanted == name:
        os.kill(os.getpid(), signal.SIGSTOP)
