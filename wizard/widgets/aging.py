"""Whether an answer is too old to be shown as what is so now."""

from __future__ import annotations

import time
from datetime import datetime

from wizard.plan.staleness import STALE_S


def is_old(looked_at: float) -> bool:
    """Whether what was seen at this moment of the monotonic clock may no longer be so."""
    return time.monotonic() - looked_at > STALE_S


def clock(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"
