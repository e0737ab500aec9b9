"""The STOP dialog: the cluster NIC is on a network that another server serves."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button

from wizard.widgets.modal import Dialog
from wizard.widgets.page import plain
from wizard.widgets.plain_text import PlainText

if TYPE_CHECKING:
    from wizard.services.protocols import CablingReport

# It comes unasked: a key of its first moment was meant for the page below.
UNSEEN_S = 0.5


class StopDialog(Dialog[str]):
    """Shows the finding, the danger and the remedy. Returns "swap", "again" or "self"."""

    HELP = (
        "The wizard asked for an address on both networks, as any booting machine does, and accepted none. A DHCP "
        "server answered where only your cluster may be, or both NICs are on one network.\n\n"
        "Nothing was changed, and nothing can be applied until this is fixed: an apply probes both networks again, "
        "and the gateway keeps probing while it runs."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "answer('swap')", "swap them"),
        Binding("l,ctrl+r", "answer('again')", "look again"),
        Binding("c,escape", "answer('self')", "choose myself"),
        Binding("left", "app.focus_previous", "other button", show=False),
        Binding("right", "app.focus_next", "other button", show=False),
        Binding("down", "scroll_text(1)", "read on", show=False),
        Binding("up", "scroll_text(-1)", "read back", show=False),
    ]
    # Enter, which may have been meant for the page, changes no role.
    AUTO_FOCUS: ClassVar[str | None] = "#again"

    def __init__(self, said: CablingReport, routed: str = "") -> None:
        """`routed`: the NIC chosen for the company, if this machine's default route uses it; else ""."""
        super().__init__()
        self.title = said.title
        self._said = said
        self._routed = routed
        self._since = monotonic()

    def body(self) -> Iterable[Widget]:
        said = self._said
        lines = [plain(line, limit=600) for line in said.text.splitlines() if line]
        if self._routed and said.swap_helps:
            cables = f"This machine's default route goes through {self._routed}: more likely the cables are swapped."
            lines.append(plain(cables))
        with VerticalScroll(can_focus=False):
            yield PlainText(Text("\n").join([*lines, Text(), plain(said.remedy, "bold", limit=600)]))
        with Horizontal(classes="buttons"):
            if said.swap_helps:
                yield Button(Text("[ Swap them ]"), id="swap", compact=True)
            yield Button(Text("[ Look again ]"), id="again", compact=True)
            yield Button(Text("[ Choose myself ]"), id="self", compact=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "answer" and parameters == ("swap",) and not self._said.swap_helps:
            return False
        return super().check_action(action, parameters)

    @on(Button.Pressed)
    def _answer_with_button(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_answer(str(event.button.id))

    def action_scroll_text(self, rows: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)

    def action_answer(self, answer: str) -> None:
        if monotonic() - self._since >= UNSEEN_S:
            self.dismiss(answer)
