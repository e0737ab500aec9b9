"""What the interfaces page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.widgets.page import PageMessage


@dataclass
class RolesChosen(PageMessage):
    """The roles of the NICs have changed."""

    corporate: str
    cluster: str
