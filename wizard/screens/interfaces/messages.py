"""What the interfaces page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.widgets.page import PageMessage


@dataclass
class RolesChosen(PageMessage):
    """The NICs were given these roles; "" for none."""

    corporate: str
    cluster: str
