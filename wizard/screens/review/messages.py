"""What the review page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.widgets.page import PageMessage

if TYPE_CHECKING:
    from wizard.screens.review.screen import ReviewPage


@dataclass
class StepsRequested(PageMessage):
    """List the steps of the apply; the result goes into `coming`, an error into `no_commands`."""

    page: ReviewPage


@dataclass
class PlanSaveRequested(PageMessage):
    """Write the plan to a file."""

    path: str


@dataclass
class StopAgreed(PageMessage):
    """A person agreed that the apply stops this service."""

    unit: str


class ApplyRequested(PageMessage):
    """Start the apply."""
