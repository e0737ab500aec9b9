"""Little bars."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wizard.widgets.sparkline import sparkline


def test_bars_grow_from_nothing() -> None:
    assert sparkline([0, 50, 100], 3) == "▁▄▇"
    # A steady stream is no flat line at the bottom.
    assert sparkline([70, 70, 70], 3) == "▇▇▇"


def test_next_to_nothing_does_not_look_like_much() -> None:
    assert sparkline([3, 0, 3], 3, least=1000) == "▁▁▁"


def test_the_newest_is_at_the_right() -> None:
    assert sparkline([9, 9, 0, 1], 2) == "▁▇"
    assert sparkline([1], 3) == "  ▇"
    assert sparkline([], 3) == "   "


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e12)), st.integers(0, 80))
def test_it_is_always_as_wide_as_asked(values: list[float], width: int) -> None:
    assert len(sparkline(values, width)) == width
