"""The guard's blast radius under a release's own kernel: a real dnsmasq that is told to serve the office is not heard
there. The cases are those of the laboratory's own test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.blast_radius import CASES, LONG_S, Case, corporate_stays_clean
from tests.lab.guarding import is_running, kill, told
from tests.lab.support import apply
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unguarded(kernel: str) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        apply(lab)
        guard = told(lab)["process"]
        kill(lab, guard, "TERM")
        lab.wait_for(lambda: not is_running(lab, guard))
        lab.machine("add", "guest", "--mac", "00:1b:21:00:00:67", "--no-dhcp", "--switch", "corporate")
        yield lab


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_dnsmasq_forced_onto_the_corporate_nic_is_not_heard_there(unguarded: Laboratory, case: Case) -> None:
    corporate_stays_clean(unguarded, case, LONG_S)
