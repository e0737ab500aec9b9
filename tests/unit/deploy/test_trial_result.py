"""The result of a trial, as it goes through the pipe from the worker to the watchman."""

from __future__ import annotations

import pytest

from wizard.deploy.apply.worker import TrialOutcome, TrialResult


@pytest.mark.parametrize(
    ("result", "raw"),
    [
        (TrialResult(TrialOutcome.HOLDS), b"y"),
        (TrialResult(TrialOutcome.FAILED, "nobody answers"), b"nnobody answers"),
        (TrialResult(TrialOutcome.REFUSED, "rogue"), b"rrogue"),
    ],
)
def test_a_result_goes_through_the_pipe_as_a_letter_and_the_reason(result: TrialResult, raw: bytes) -> None:
    assert result.encode() == raw
    assert TrialResult.decode(raw) == result


@pytest.mark.parametrize("raw", [b"", b"?", b"\xff"])
def test_what_no_worker_says_is_no_result(raw: bytes) -> None:
    assert TrialResult.decode(raw) is None
