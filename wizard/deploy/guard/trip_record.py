"""What the guard tripped on: remembered for longer than its process lives, and than this boot lasts."""

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


def _places() -> list[Path]:
    # Where nothing was journaled there is no such directory, and none is to be made.
    return [place for place in (Path(paths.STATE), Path(paths.RUN)) if place.is_dir()]


def write(verdict: GuardVerdict) -> None:
    """Keep it until a fresh proof. Raises WizardError where it cannot be written."""
    when = datetime.now().astimezone().isoformat(timespec="seconds")
    told: TripState = {
        "code": verdict.code,
        "reason": verdict.reason,
        "since": when,
        "at": runtime_state.boottime(),
        "boot": boot_id(),
    }
    place = next(iter(_places()), runtime_state.run_directory())
    write_atomic(str(place / NAME), (json.dumps(told) + "\n").encode(), 0o644)


def read() -> GuardVerdict | None:
    """What it tripped on and nothing has ended since, or None."""
    data = _read()
    return (
        GuardVerdict(False, str(data.get("code")), str(data.get("reason")), tripped=True) if data is not None else None
    )


def ended_by(proven_at: float) -> bool:
    """Whether a proof of this moment (boottime) is newer than what is remembered."""
    data = _read()
    if data is None or data.get("boot") != boot_id():
        return True
    at = data.get("at")
    return isinstance(at, int | float) and proven_at > at


def clear() -> None:
    for place in _places():
        (place / NAME).unlink(missing_ok=True)


def _read() -> TripState | None:
    for place in _places():
        try:
            data = json.loads(read_text(str(place / NAME)) or "null")
        except ValueError:
            # Half of one is as good as none of it: it did trip.
            return {"code": "tripped", "reason": "it had tripped, and why can no longer be read", "at": 0}
        if isinstance(data, dict):
            return cast(TripState, data)
    return None
