"""What became of each node that something was done to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from wizard.widgets.modal import Dialog
from wizard.widgets.page import plain, plural
from wizard.widgets.plain_text import PlainText

if TYPE_CHECKING:
    from wizard.actions.outcome import NodeOutcome

DRAW_AFTER_S = 0.1


class OutcomesDialog(Dialog[None]):
    """What became of each node, as it becomes known."""

    AUTO_FOCUS: ClassVar[str | None] = "#outcomes"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "close", "close")]
    HELP = "✓ was done, ✗ was not, with the reason. Closing this ends nothing."

    def __init__(self, title: str, waiting: int) -> None:
        """`waiting`: how many outcomes there will be."""
        super().__init__()
        self.title = title
        self._waiting = waiting
        self._outcomes: list[NodeOutcome] = []
        self._failure = ""
        self._to_be_drawn = False

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="outcomes"):
            yield PlainText(id="outcomes-text")

    def on_mount(self) -> None:
        self._draw()

    def take(self, outcome: NodeOutcome) -> None:
        self._outcomes.append(outcome)
        if self.is_mounted and not self._to_be_drawn:
            # Of a thousand nodes not each by itself: all lines are drawn every time.
            self._to_be_drawn = True
            self.set_timer(DRAW_AFTER_S, self._draw)

    def refuse(self, message: str) -> None:
        """None could be begun, or no more can."""
        self._failure = message
        self._draw()

    def _draw(self) -> None:
        self._to_be_drawn = False
        if not self.is_mounted:
            return
        # What failed comes first: it is what somebody has to do something about.
        lines = [_line(outcome) for outcome in sorted(self._outcomes, key=lambda outcome: outcome.ok)]
        rest = self._waiting - len(self._outcomes)
        if self._failure:
            lines.insert(0, plain(f"✗ {self._failure}", "bold", limit=500))
        elif rest > 0:
            # On top, where it is seen however many there are.
            lines.insert(0, Text(f"… waiting for {plural(rest, 'node')}", "dim"))
        elif self._waiting > 1:
            good = sum(outcome.ok for outcome in self._outcomes)
            lines.insert(0, Text(f"{good} of {self._waiting} done", "bold"))
        self.query_one("#outcomes-text", PlainText).update(Text("\n").join(lines))

    def action_close(self) -> None:
        self.dismiss(None)


def _line(outcome: NodeOutcome) -> Text:
    text = Text.assemble(("✓ " if outcome.ok else "✗ ", "bold"))
    text.append_text(plain(outcome.node, "bold", limit=63)).append("  ").append_text(plain(outcome.detail, limit=300))
    if outcome.remedy and not outcome.ok:
        text.append("\n  ").append_text(plain(outcome.remedy, limit=300))
    return text
