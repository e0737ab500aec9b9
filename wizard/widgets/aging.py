"""How old an answer may be and still be shown as what is so now."""

from __future__ import annotations

import time
from datetime import datetime

STALE_S = 6.0


def is_old(looked_at: float) -> bool:
    """Whether what was seen at this moment of the monotonic clock may no longer be so."""
    return time.monotonic() - looked_at > STALE_S


def clock(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"
