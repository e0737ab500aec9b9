"""How the cost of a call grows with its input, whatever else the machine does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def times_dearer(call: Callable[[Any], object], small: Any, large: Any) -> float:
    """The processor time of `call(large)` over that of `call(small)`, each the least of three."""

    def cost(given: Any) -> float:
        found = []
        for _ in range(3):
            began = time.process_time()
            call(given)
            found.append(time.process_time() - began)
        return min(found)

    return cost(large) / max(cost(small), 1e-6)
