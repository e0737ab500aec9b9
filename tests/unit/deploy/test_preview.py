"""What an apply would do: every step of the engine has its words."""

from __future__ import annotations

from wizard.deploy import steps_keep, steps_trial
from wizard.deploy.preview import DOES


def test_every_step_that_there_is_says_what_it_does() -> None:
    steps = {
        kind
        for module in (steps_trial, steps_keep)
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and hasattr(kind, "do")
    }
    assert steps
    assert steps == set(DOES)
