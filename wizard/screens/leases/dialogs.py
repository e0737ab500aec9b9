"""The dialog that adopts a stranger as a node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget

from wizard.plan.draft.adopt import AdoptionProposal
from wizard.plan.findings import WizardError
from wizard.screens.leases import messages
from wizard.widgets.field import Field
from wizard.widgets.form_dialog import FormDialog
from wizard.widgets.page import plain, plain_lines
from wizard.widgets.plain_text import PlainText


class AdoptDialog(FormDialog[None]):
    """Posts AdoptionConfirmed with what was typed, and stays until dismissed; `refuse` shows an error."""

    TITLE: ClassVar[str | None] = "Adopt as a node"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "accept", "adopt"),
        Binding("escape", "cancel", "cancel"),
    ]
    HELP = (
        "The machine becomes a node of the plan in force: its MAC gets the name and the reserved address below. "
        "dnsmasq reads that without a restart, and nothing else changes. The machine gets the address at its next DHCP "
        "request: when it boots, or half-way through its lease.\n\n"
        "Space ticks a role; a node may have several. An empty address means the next free one."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#field-adopt-name Input"
    PREFIX = "adopt"

    def __init__(self, offer: AdoptionProposal, about: str) -> None:
        super().__init__()
        self.mac = offer.mac
        self._offer = offer
        self._about = about

    def body(self) -> Iterable[Widget]:
        yield PlainText(plain(self._about, limit=300))
        yield PlainText()
        yield from self.role_boxes({self._offer.role}, self._offer.kind)
        yield Field("adopt.name", "Name", self._offer.name)
        yield Field("adopt.ip", "Address", self._offer.ip, "the next free one", "will be reserved")
        yield self.findings_panel()

    def action_accept(self) -> None:
        self.show_findings_text(Text())
        self.post_message(messages.AdoptionConfirmed(self, self.typed("name"), self.ticked_roles(), self.typed("ip")))

    def refuse(self, error: WizardError) -> None:
        if self.is_mounted:
            text = plain_lines(f"✗ {error.message}\n{error.remedy}")
            self.show_findings_text(text)
