"""A question of the cluster's traffic, asked until it is answered."""

from __future__ import annotations

from dataclasses import replace

from tests.lab.support import (
    TRAFFIC,
    wrong,
)
from wizard.lab.control import Laboratory


def await_answer(lab: Laboratory, question: str, deadline: float = 40) -> None:
    """Wait until one of TRAFFIC has its answer again, asking anew all the time."""
    sign = replace(TRAFFIC[question], within=1)
    lab.wait_for(lambda: wrong(lab, {question: sign}) == {}, deadline, question)
