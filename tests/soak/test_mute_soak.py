"""Each thing that the guard waits for made slow or stuck in turn, and the cluster's cable moved to the office then.

The figures are the table in docs/guard.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import hindering
from tests.lab.conftest import lab_possible as lab_possible
from tests.lab.guarding import report
from tests.lab.hindering import Hindrance, make_ready, moved_to_the_office, serve_again
from wizard.host.muter import SILENT_S
from wizard.host.net.nft_armed_set import LEASE_S
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(900)]

AFTER_S = [0.3, 0.6, 1.0, 2.0]
WAITS = [
    hindering.nothing,
    hindering.xtables_lock_held,
    hindering.nft_slow,
    hindering.ip_and_ss_slow,
    hindering.large_transactions,
    hindering.foreign_rules,
    hindering.disk_slow,
    hindering.processor_busy,
    hindering.memory_short,
    hindering.guard_stopped,
]
BOUNDS = [(hindering.muter_stopped, SILENT_S), (hindering.both_stopped, LEASE_S)]


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        make_ready(lab)
        yield lab


@pytest.mark.parametrize("after", AFTER_S)
@pytest.mark.parametrize("hindrance", WAITS, ids=lambda hindrance: hindrance.__name__)
def test_nobody_in_the_office_is_answered(world: Laboratory, hindrance: Hindrance, after: float) -> None:
    serve_again(world)
    office = moved_to_the_office(world, after, hindrance)
    report(f"{hindrance.__name__}, {after:g} s: {office.ours} of ours (last at {office.last:.2f} s), {office.others}")
    assert office.ours == 0


@pytest.mark.parametrize("after", AFTER_S)
@pytest.mark.parametrize(("hindrance", "bound"), BOUNDS, ids=["muter", "both"])
def test_a_muter_that_is_stopped_has_a_bound(
    world: Laboratory, hindrance: Hindrance, bound: float, after: float
) -> None:
    serve_again(world)
    office = moved_to_the_office(world, after, hindrance)
    report(f"{hindrance.__name__}, {after:g} s: {office.ours} of ours (last at {office.last:.2f} s), {office.others}")
    assert office.last < max(bound + 0.5 - after, 0.01)
