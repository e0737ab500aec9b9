"""When data is too old to be shown as current."""

from __future__ import annotations

import time
from datetime import datetime

from wizard.plan.staleness import STALE_S


def is_old(looked_at: float) -> bool:
    """True if data read at this time of the monotonic clock, in seconds, may be stale."""
    return time.monotonic() - looked_at > STALE_S


def clock(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"
