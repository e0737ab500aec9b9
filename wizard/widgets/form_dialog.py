"""A dialog of fields: Enter in any of them accepts, and what is refused is marked at its field."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from wizard.plan.findings import Finding
from wizard.plan.model import USUAL_ROLES, ClusterKind, Role
from wizard.widgets.field import Field, field_id
from wizard.widgets.modal import Dialog
from wizard.widgets.page import finding_text
from wizard.widgets.plain_text import PlainText
from wizard.widgets.sign_checkbox import SignCheckbox

Answer = TypeVar("Answer")


class FormDialog(Dialog[Answer | None]):
    """Fields whose keys begin with `PREFIX` and a dot, and a `findings_panel`. Escape returns None."""

    PREFIX: ClassVar[str] = ""

    def findings_panel(self) -> Widget:
        return PlainText(id="dialog-findings")

    def role_boxes(self, ticked: Collection[str], kind: ClusterKind = ClusterKind.CIAO) -> Iterable[Widget]:
        """A row of the roles to tick; `ticked` are the names of those that are. A field where they are free labels."""
        if kind is not ClusterKind.CIAO:
            usual = ", ".join(USUAL_ROLES[kind]) or "any words"
            yield Field(f"{self.PREFIX}.role", "Roles", ", ".join(filter(None, ticked)), usual, "commas between")
            return
        with Horizontal(classes="field"):
            yield PlainText("Roles", classes="label")
            yield PlainText(" ", classes="sign")
            for role in Role:
                yield SignCheckbox(role.value, role.value in ticked, id=f"role-{role.value}")

    def typed(self, key: str) -> str:
        return self._field(f"{self.PREFIX}.{key}").value.strip()

    def ticked_roles(self) -> str:
        """The names of the ticked roles, or the labels that were typed, separated by commas."""
        if not self.query(SignCheckbox):
            return self.typed("role")
        ticked = [role.value for role in Role if self.query_one(f"#role-{role.value}", SignCheckbox).value]
        return ", ".join(ticked)

    def show_problems(self, problems: Sequence[Finding], names: Mapping[str, str], *more: Text) -> None:
        """Mark the fields of these problems, show the problems under their names, and below them `more`."""
        wrong = {problem.field for problem in problems}
        for field in self.query(Field):
            field.mark(field.key in wrong)
        lines = [finding_text(problem, names.get(problem.field, "")) for problem in problems]
        self.show_findings_text(Text("\n").join([*lines, *more]))

    def show_findings_text(self, text: Text) -> None:
        self.query_one("#dialog-findings", PlainText).update(text)

    def point_at(self, field: str) -> None:
        """Move the cursor to the field with this key."""
        self._field(field).point()

    def _field(self, key: str) -> Field:
        return self.query_one("#" + field_id(key), Field)

    @on(Input.Submitted)
    @on(SignCheckbox.Submitted)
    def _accept_on_enter(self, event: Input.Submitted | SignCheckbox.Submitted) -> None:
        event.stop()
        self.action_accept()

    def action_accept(self) -> None:
        """Take what was typed, or show why not. Every form has its own."""
        raise NotImplementedError

    def action_cancel(self) -> None:
        self.dismiss(None)
