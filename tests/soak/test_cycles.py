"""A hundred times applied, changed, applied again and reset: the machine is as it was, and so is everybody else."""

from __future__ import annotations

import pytest

from tests.lab.cycles import others, run_cycles
from tests.lab.striking import prepare
from tests.needs import unavailable
from wizard.lab.control import Laboratory
from wizard.lab.preflight import missing

pytestmark = [pytest.mark.lab, pytest.mark.slow]

CYCLES = 100


@pytest.mark.timeout(3 * 3600)
def test_a_hundred_cycles() -> None:
    if hindrances := missing():
        unavailable("no laboratory here: " + "; ".join(hindrances))
    with Laboratory() as lab:
        prepare(lab)
        with others(lab):
            # One start each, and two more each fourth time, when options change and change back; twice in four.
            assert run_cycles(lab, CYCLES) == CYCLES * (1 + 1 + 3 + 3) // 4
