"""What the export page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass

from wizard.widgets.page import PageMessage


@dataclass
class ExportSaveRequested(PageMessage):
    """Write `text` to a file."""

    path: str
    text: str
