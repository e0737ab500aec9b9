"""What the review page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.widgets.page import PageMessage

if TYPE_CHECKING:
    from wizard.screens.review.screen import ReviewPage


@dataclass
class StepsRequested(PageMessage):
    """What will be run? The answer goes into `coming`, a trouble with it into `no_commands`."""

    page: ReviewPage


@dataclass
class PlanSaveRequested(PageMessage):
    """Write the plan to a file."""

    path: str


class ApplyRequested(PageMessage):
    """Do it."""
