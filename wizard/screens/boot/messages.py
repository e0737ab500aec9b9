"""What the boot page asks of its controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.widgets.page import PageMessage

if TYPE_CHECKING:
    from wizard.actions.boot import ArmOrder
    from wizard.screens.boot.dialogs import ArmDialog


@dataclass
class ArmDialogRequested(PageMessage):
    """Ask what to arm these nodes with."""

    names: tuple[str, ...]


@dataclass
class ArmingConfirmed(PageMessage):
    """Arm nodes. It was asked whether that is meant, where it may overwrite a disk."""

    dialog: ArmDialog
    names: tuple[str, ...]
    order: ArmOrder
    wake: bool


@dataclass
class DisarmRequested(PageMessage):
    names: tuple[str, ...]


@dataclass
class WakeRequested(PageMessage):
    names: tuple[str, ...]
