"""What the welcome page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.widgets.page import PageMessage


@dataclass
class WayChosen(PageMessage):
    """The way on from the start: "begin", "resume", "afresh", "recover", "anyway", or the name of a page."""

    way: str
