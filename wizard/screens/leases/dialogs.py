"""The dialog that adopts a stranger as a node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from wizard.plan.draft.adopt import AdoptionProposal
from wizard.plan.findings import WizardError
from wizard.plan.model import Role
from wizard.screens.leases import messages
from wizard.widgets.field import Field, field_id
from wizard.widgets.modal import Dialog
from wizard.widgets.page import plain, plain_lines
from wizard.widgets.plain_text import PlainText
from wizard.widgets.sign_checkbox import SignCheckbox


class AdoptDialog(Dialog[None]):
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

    def __init__(self, offer: AdoptionProposal, about: str) -> None:
        super().__init__()
        self.mac = offer.mac
        self._offer = offer
        self._about = about

    def body(self) -> Iterable[Widget]:
        yield PlainText(plain(self._about, limit=300))
        yield PlainText()
        with Horizontal(classes="field"):
            yield PlainText("Roles", classes="label")
            yield PlainText(" ", classes="sign")
            for role in Role:
                yield SignCheckbox(role.value, role.value == self._offer.role, id=f"role-{role.value}")
        yield Field("adopt.name", "Name", self._offer.name)
        yield Field("adopt.ip", "Address", self._offer.ip, "the next free one", "will be reserved")
        yield PlainText(id="dialog-findings")

    @on(Input.Submitted)
    def _accept_on_enter(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_accept()

    @on(SignCheckbox.Submitted)
    def _accept_on_tick(self, event: SignCheckbox.Submitted) -> None:
        event.stop()
        self.action_accept()

    def action_accept(self) -> None:
        roles = [role.value for role in Role if self.query_one(f"#role-{role.value}", SignCheckbox).value]
        self.query_one("#dialog-findings", PlainText).update("")
        self.post_message(messages.AdoptionConfirmed(self, self._typed("name"), ", ".join(roles), self._typed("ip")))

    def refuse(self, error: WizardError) -> None:
        if self.is_mounted:
            text = plain_lines(f"✗ {error.message}\n{error.remedy}")
            self.query_one("#dialog-findings", PlainText).update(text)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def _typed(self, key: str) -> str:
        return self.query_one("#" + field_id(f"adopt.{key}"), Field).value.strip()
