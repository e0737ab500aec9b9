"""What the instances page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.widgets.page import PageMessage


@dataclass
class InstancesRequested(PageMessage):
    """Read the instances behind these CNCIs, as `user`."""

    cncis: tuple[str, ...]
    user: str
