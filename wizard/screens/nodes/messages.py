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
    """Whose are these MACs? The answer goes into the nodes page's `vendors`."""

    macs: tuple[str, ...]


@dataclass
class ListenRequested(PageMessage):
    """Hear who asks behind `nic` until `until` is set: to `add_machines`, and at the end to `discovery_stopped`."""

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
    """What do so many lines say? The answer goes to `take`."""

    dialog: PasteDialog
    text: str
    read: Callable[[], ImportedNodes]
