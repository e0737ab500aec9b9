"""What the nodes page asks of its controller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.widgets.page import PageMessage

if TYPE_CHECKING:
    import threading

    from wizard.plan.draft.node_list import ImportedNodes
    from wizard.screens.nodes.dialogs import PasteDialog
    from wizard.screens.nodes.screen import NodesPage


@dataclass
class VendorsRequested(PageMessage):
    """Look up the vendors of these MACs; the result goes into the page's `vendors`."""

    macs: tuple[str, ...]


@dataclass
class ListenRequested(PageMessage):
    """Listen behind `nic` until `until` is set; results go to `add_machines`, an error to `discovery_stopped`."""

    page: NodesPage
    nic: str
    until: threading.Event


@dataclass
class FileRequested(PageMessage):
    """Read a file with a list of machines; the answer goes to `opened` or `refused`."""

    dialog: PasteDialog
    path: str


@dataclass
class ParseRequested(PageMessage):
    """Parse this many lines in the background; the result goes to `take`."""

    dialog: PasteDialog
    text: str
    read: Callable[[], ImportedNodes]
