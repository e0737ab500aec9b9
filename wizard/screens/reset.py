"""Giving everything back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from wizard.progress import Progress
from wizard.widgets.modal import Question
from wizard.widgets.page import LEAVE, SHOWN_BACK, Page, plain_lines
from wizard.widgets.steps import StepsView
from wizard.widgets.tick import Tick
from wizard.widgets.words import Words

_WHAT = (
    "Reset undoes all that ciao-wizard ever did on this machine:\n\n"
    "  · the gateway stops: no addresses, names or forwards for the cluster\n"
    "  · the cluster NIC, forwarding and the packet filter go back as they were\n"
    "  · files it wrote are removed, files it changed are as they were before\n\n"
    "Nothing of others is touched. The plan in force goes too: to have it again, "
    "save it first (in the dashboard e, and in the review f6)."
)


class ResetPage(Page):
    TITLE = "Reset"
    QUESTION = "Give everything back?"
    HELP = _WHAT
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+a", "reset", "reset"),
        SHOWN_BACK,
        LEAVE,
    ]

    @dataclass
    class Asked(Message):
        """Reset it is."""

        forget_leases: bool

    progress: reactive[Progress] = reactive(Progress())
    running: reactive[bool] = reactive(False)

    def body(self) -> Iterable[Widget]:
        yield Words(_WHAT, id="what")
        yield Tick("forget the leases too (nodes may then get other dynamic addresses)", id="forget")
        yield StepsView(id="steps")
        yield Words(id="end")

    def watch_progress(self) -> None:
        self.redraw()

    def watch_running(self) -> None:
        self.redraw()

    def draw(self) -> None:
        begun = self.running or bool(self.progress.result)
        self.query_one("#what").display = self.query_one("#forget").display = not begun
        steps = self.query_one("#steps", StepsView)
        steps.display = begun
        steps.show(self.progress)
        end = self.query_one("#end", Words)
        end.display = bool(self.progress.result)
        if self.progress.result:
            # Going back is what a reset is for.
            good = self.progress.result == "rolled-back"
            self.say("Done. This machine is as it was." if good else "Not everything could be given back.")
            sign = "✓ " if good else "✗ "
            end.update(
                Text.assemble((sign, "bold")).append_text(plain_lines(self.progress.reason or self.progress.result))
            )
        elif begun:
            self.say("Giving everything back…")
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "reset":
            return not self.running and not self.progress.result
        if action == "back":
            return not self.running or bool(self.progress.result)
        return super().check_action(action, parameters)

    def action_reset(self) -> None:
        forget = self.query_one("#forget", Tick).value
        text = "The cluster loses its gateway at once." + (" Its leases are forgotten." if forget else "")
        question = Question("Give everything back?", text, "[ Reset ]", "[ Leave it ]")
        self.app.push_screen(question, lambda yes: self._answered(bool(yes), forget))

    def _answered(self, yes: bool, forget: bool) -> None:
        if yes:
            self.running = True
            self.post_message(self.Asked(forget))
