"""Whether a person looks for machines that boot over the network and are in no plan, and those that were found.

The command line opens and closes it, the guard keeps the list. Both are under /run: a restart of this machine ends it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from wizard.deploy import failpoints, runtime_state
from wizard.host.files import read_text, write_atomic
from wizard.plan import paths
from wizard.plan.raw_machines import RawMachine, dump, load


@dataclass(frozen=True, slots=True)
class Discovery:
    """It ends at `until` (boottime in s), whatever becomes of the clock. `ends`: ISO 8601, for people."""

    until: float
    ends: str

    @property
    def left_s(self) -> float:
        return max(0.0, self.until - runtime_state.boottime())


def read_discovery() -> Discovery | None:
    """None where nobody looks, or no longer."""
    try:
        data = json.loads(read_text(paths.DISCOVERY) or "null")
        found = Discovery(float(data["until"]), str(data["ends"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return found if found.left_s > 0 else None


def open_discovery(seconds: float) -> Discovery:
    """Look from now on for `seconds`. Raises WizardError."""
    ends = datetime.now().astimezone() + timedelta(seconds=seconds)
    made = Discovery(runtime_state.boottime() + seconds, ends.isoformat(timespec="seconds"))
    runtime_state.run_directory()
    failpoints.hit("discovery:writing")
    write_atomic(paths.DISCOVERY, json.dumps({"until": made.until, "ends": made.ends}).encode(), 0o644)
    failpoints.hit("discovery:written")
    return made


def close_discovery() -> None:
    """Look no longer. The list stays until a reset."""
    Path(paths.DISCOVERY).unlink(missing_ok=True)


def read_raw_machines() -> tuple[RawMachine, ...]:
    """Those that were found, the last one last; () where there is no list. Raises OSError without root."""
    return load(read_text(paths.RAW_MACHINES) or "")


def write_raw_machines(machines: Iterable[RawMachine]) -> None:
    """Raises WizardError."""
    write_atomic(paths.RAW_MACHINES, dump(machines).encode(), 0o600)
