"""The record of a trip, tripped.json: it outlives the guard's process and the boot.

Written, read and cleared by `wire_watch.WireWatch` in the guard process.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import cast

from wizard.deploy import runtime_state
from wizard.deploy.guard.preconditions import GuardVerdict
from wizard.deploy.shapes import TripState
from wizard.host.files import read_text, write_atomic
from wizard.host.processes import boot_id
from wizard.plan import paths

NAME = "tripped.json"


def _directories() -> list[Path]:
    # Only `Journal` creates the state directory: one without a journal counts as damaged.
    return [place for place in (Path(paths.STATE), Path(paths.RUN)) if place.is_dir()]


def write(verdict: GuardVerdict) -> None:
    """Record it until a newer proof. Raises WizardError, OSError where it cannot be written."""
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    record: TripState = {
        "code": verdict.code,
        "reason": verdict.reason,
        "since": since,
        "at": runtime_state.boottime(),
        "boot": boot_id(),
    }
    place = next(iter(_directories()), runtime_state.run_directory())
    write_atomic(str(place / NAME), (json.dumps(record) + "\n").encode(), 0o644)


def read() -> GuardVerdict | None:
    """The verdict of the trip that nothing has ended since, or None."""
    data = _read()
    return (
        GuardVerdict(False, str(data.get("code")), str(data.get("reason")), tripped=True) if data is not None else None
    )


def ended_by(proven_at: float) -> bool:
    """Whether a proof of this moment (boottime in s) is newer than the trip, or the trip is of an earlier boot."""
    data = _read()
    if data is None or data.get("boot") != boot_id():
        return True
    at = data.get("at")
    return isinstance(at, int | float) and proven_at > at


def clear() -> None:
    for place in _directories():
        (place / NAME).unlink(missing_ok=True)


def _read() -> TripState | None:
    for place in _directories():
        try:
            data = json.loads(read_text(str(place / NAME)) or "null")
        except ValueError:
            # An unreadable record is still a trip.
            return {"code": "tripped", "reason": "it had tripped, and why can no longer be read", "at": 0}
        if isinstance(data, dict):
            return cast(TripState, data)
    return None
