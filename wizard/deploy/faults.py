"""Stopping a run at a chosen moment. In the laboratory only: there a test kills it then, and looks at what is left.

CIAO_LAB_PAUSE holds the name of a moment, such as "before:rules" or "undo:rules": the process that comes to it
says so in the file `paused` beside the laboratory's marker and stops itself. "list" stops nobody and writes every
moment down in the file `moments`, so that a new step is tested the day it is written.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from wizard.plan import paths

VARIABLE = "CIAO_LAB_PAUSE"


def moment(name: str) -> None:
    """Here is a moment at which a run may be killed."""
    wanted = os.environ.get(VARIABLE)
    if wanted not in (name, "list") or not Path(paths.LAB_MARKER).exists():
        return
    with Path(paths.LAB_MARKER).with_name("moments" if wanted == "list" else "paused").open("a") as told:
        told.write(f"{name} {os.getpid()}\n")
    if wanted == name:
        os.kill(os.getpid(), signal.SIGSTOP)
