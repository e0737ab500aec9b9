"""Which of two gateways on one wire gives way."""

from __future__ import annotations

import pytest

from wizard.deploy.guard.link_listener import must_yield


@pytest.mark.parametrize(
    ("proven", "behind_link_s", "yields"),
    [(False, 0.0, True), (False, 1e6, True), (True, 3.0, True), (True, 59.0, True), (True, 61.0, False)],
)
def test_whoever_came_last_gives_way(proven: bool, behind_link_s: float, yields: bool) -> None:
    assert must_yield(proven, behind_link_s) is yields
