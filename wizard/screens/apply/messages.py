"""What the apply page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.widgets.page import PageMessage


@dataclass
class TrialAnswered(PageMessage):
    """A person answered the trial: keep it, or roll back."""

    keep: bool


@dataclass
class RetryRequested(PageMessage):
    """Apply again, and stop these services, which the last attempt was refused for: the person agreed."""

    units: tuple[str, ...]
