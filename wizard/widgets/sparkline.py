"""A row of little bars, in characters, so that it needs no colour."""

from __future__ import annotations

from collections.abc import Sequence

# Without the full block, which would grow together with the row above.
_BARS = "▁▂▃▄▅▆▇"


def sparkline(values: Sequence[float], width: int, least: float = 0.0) -> str:
    """The last `width` values, the newest at the right. Bars grow from nothing, not from the least value.

    The highest bar stands for the greatest value, or for `least` where all are below it: what is next to
    nothing must not look like much.
    """
    shown = values[-width:] if width > 0 else ()
    top = max([least, *shown]) or 1.0
    bars = "".join(_BARS[min(round(max(value, 0.0) / top * (len(_BARS) - 1)), len(_BARS) - 1)] for value in shown)
    return bars.rjust(width)
