"""What an apply would do: every step of the engine says it in words of its own."""

from __future__ import annotations

from wizard.deploy.apply.steps import persist, trial


def test_every_step_that_there_is_says_what_it_does() -> None:
    steps = {
        kind
        for module in (trial, persist)
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and hasattr(kind, "do")
    }
    assert steps
    assert {kind for kind in steps if "preview" not in vars(kind)} == set()
