"""What the leases page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.widgets.page import PageMessage

if TYPE_CHECKING:
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.monitor.lease_view import LeaseQuery
    from wizard.screens.leases.dialogs import AdoptDialog
    from wizard.screens.leases.power import PowerChoice


@dataclass
class RowsRequested(PageMessage):
    """Show the leases that match another query."""

    wanted: LeaseQuery


class ForwardsRequested(PageMessage):
    """Check the forwards now."""


@dataclass
class AdoptRequested(PageMessage):
    row: LeaseRow


@dataclass
class AdoptionConfirmed(PageMessage):
    """Adopt the machine with these values. `role`: one or several, separated by commas."""

    dialog: AdoptDialog
    name: str
    role: str
    ip: str


@dataclass
class ReleaseRequested(PageMessage):
    row: LeaseRow


@dataclass
class PowerRequested(PageMessage):
    """Wake nodes, restart them or power them off. It was asked whether that is meant."""

    choice: PowerChoice
