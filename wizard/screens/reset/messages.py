"""What the reset page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.widgets.page import PageMessage


@dataclass
class ResetRequested(PageMessage):
    """Undo everything."""

    forget_leases: bool
    forget_images: bool


@dataclass
class RenewRequested(PageMessage):
    """Restart one part: "rules", "nodes", "dhcp" or "leases"."""

    part: str
