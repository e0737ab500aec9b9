"""Waiting for what another process or thread does; no test sleeps instead."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def wait_for(condition: Callable[[], object], what: str = "a condition", seconds: float = PATIENCE_S) -> None:
    """Return once the condition holds; fail the test where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.005)
