"""What the apply page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.widgets.page import PageMessage


@dataclass
class TrialAnswered(PageMessage):
    """A person answered the trial: keep it, or roll back."""

    keep: bool


@dataclass
class StopAgreed(PageMessage):
    """A person agreed that another attempt stops these services, which the last one was refused for."""

    units: tuple[str, ...]
