"""What the pages and their dialogs post to the app.

Apart from the pages, so that the app can name a message in `@on` without loading the page that posts it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    import threading

    from wizard.monitor.index import Wanted
    from wizard.monitor.leases import Row
    from wizard.plan.nodelines import Reading
    from wizard.screens.adopt_dialog import AdoptDialog
    from wizard.screens.apply import ApplyPage
    from wizard.screens.node_dialogs import PasteDialog
    from wizard.screens.nodes import NodesPage
    from wizard.screens.review import ReviewPage

# The set-up


@dataclass
class WayChosen(Message):
    """The way on from the start: "begin", "resume", "afresh", "recover", "anyway", or the name of a page."""

    way: str


@dataclass
class RolesChosen(Message):
    """The roles of the NICs have changed."""

    corporate: str
    cluster: str


@dataclass
class VendorsWanted(Message):
    """Whose are these MACs? The answer goes into the nodes page's `vendors`."""

    macs: tuple[str, ...]


@dataclass
class ListenWanted(Message):
    """Hear who asks behind `nic` until `until` is set. The answers go to `hear`, the end to `deaf`."""

    page: NodesPage
    nic: str
    until: threading.Event


@dataclass
class ListFileWanted(Message):
    """Read a file with a list of machines; the answer goes to `opened` or `refused`."""

    dialog: PasteDialog
    path: str


@dataclass
class ListReadWanted(Message):
    """What do so many lines say? The answer goes to `take`."""

    dialog: PasteDialog
    text: str
    read: Callable[[], Reading]


# Review and apply


@dataclass
class CommandsWanted(Message):
    """What will be run? The answer goes into `coming`, a trouble with it into `no_commands`."""

    page: ReviewPage


@dataclass
class PlanSaveAsked(Message):
    """Write the plan to a file."""

    path: str


class ApplyAsked(Message):
    """Do it."""


@dataclass
class ApplyOpened(Message):
    """What will be run, if somebody knows? The answer goes into `coming`."""

    page: ApplyPage


@dataclass
class TrialAnswered(Message):
    """Keep it, or go back."""

    keep: bool


# A gateway in force


class TrafficWanted(Message):
    """Count the bytes once more."""


@dataclass
class RowsWanted(Message):
    """Other leases, or in another order."""

    wanted: Wanted


class ForwardsWanted(Message):
    """Ask the forwards now."""


@dataclass
class AdoptAsked(Message):
    row: Row


@dataclass
class AdoptionWanted(Message):
    """To be adopted so. `role`: one or several, with commas between."""

    dialog: AdoptDialog
    name: str
    role: str
    ip: str


@dataclass
class ReleaseAsked(Message):
    row: Row


@dataclass
class InstancesAsked(Message):
    """Read these."""

    cncis: tuple[str, ...]
    user: str


@dataclass
class ExportSaveAsked(Message):
    """Write `text` to a file."""

    path: str
    text: str


@dataclass
class ResetAsked(Message):
    """Undo everything."""

    forget_leases: bool


@dataclass
class RenewAsked(Message):
    """Bring one part about anew."""

    part: str
