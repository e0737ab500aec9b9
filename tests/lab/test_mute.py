"""Whatever the guard waits for: once the cluster's cable is in the office, nobody there is answered by us.

The whole matrix is in tests/soak.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import hindering
from tests.lab.guarding import report
from tests.lab.hindering import Hindrance, make_ready, moved_to_the_office, serve_again
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("mute")]

HEARD_AT_ONCE_S = 1.0
"""Where it is heard at all, it is in the first tenths."""


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        make_ready(lab)
        yield lab


@pytest.mark.parametrize(
    ("hindrance", "after"),
    [(hindering.xtables_lock_held, 0.6), (hindering.nft_slow, 0.3), (hindering.guard_stopped, 0.3)],
    ids=["the xtables lock is held", "nft is slow", "the guard is stopped"],
)
def test_a_cable_in_the_office_is_not_answered(world: Laboratory, hindrance: Hindrance, after: float) -> None:
    serve_again(world)
    office = moved_to_the_office(world, after, hindrance, stays=HEARD_AT_ONCE_S)
    report(f"{office.ours} of our answers in the office, {office.others} of its own")
    assert office.ours == 0
