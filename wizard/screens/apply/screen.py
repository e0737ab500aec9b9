"""The apply page: the running change, and the question whether to keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Button

from wizard.screens.apply import messages
from wizard.screens.stop_question import stop_question
from wizard.services.progress import Progress, step_words
from wizard.widgets.page import LEAVE, SHOWN_BACK, Page, plain, plain_lines
from wizard.widgets.plain_text import PlainText
from wizard.widgets.spinner import Spinner
from wizard.widgets.steps import EventsView, StepsView
from wizard.widgets.synced import SyncedState

if TYPE_CHECKING:
    from wizard.deploy.apply.preview import StepPreview

_BAR = 60
_ENDS = {
    "kept": ("✓ ", "Kept. The gateway is running."),
    "rolled-back": ("↩ ", "Rolled back: this machine is as it was before."),
    "refused": ("✗ ", "Refused: nothing was changed. Details below."),
    "failed": ("✗ ", "Failed; details below."),
}
# An Enter that comes sooner was not meant for the question.
UNSEEN_S = 1.0


class ApplyPage(Page):
    TITLE = "Apply"
    STEP = "apply"
    QUESTION = "Applying. If you do nothing, every change is undone."
    HELP = (
        "The change runs in its own process and does not need this screen. Once every part is verified it waits for "
        "your answer. k keeps it; b, no answer, a lost terminal or a crash undo every change.\n\n"
        "l shows the full log of every step with the commands it ran; l again shows the steps.\n\n"
        "Leaving with ctrl+q stops nothing. Start ciao-wizard again, here or in another terminal, to return to it."
    )
    AUTO_FOCUS: ClassVar[str | None] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "answer(True)", "keep"),
        Binding("b", "answer(False)", "go back"),
        Binding("s", "stop", "stop the server"),
        Binding("l", "log", "full log"),
        SHOWN_BACK,
        LEAVE,
    ]

    answer: reactive[bool | None] = reactive(None)
    log_shown: reactive[bool] = reactive(False)

    def __init__(self, now: Callable[[], datetime], steps: Sequence[StepPreview] = ()) -> None:
        """`steps` are the planned steps, if known."""
        super().__init__()
        self._now = now
        self._runs = {step.name: step.lines for step in steps}

    @property
    def progress(self) -> Progress:
        return self.state.progress

    @property
    def _may_stop(self) -> bool:
        """Whether all that the last attempt lacked is a yes to stopping services."""
        return bool(self.progress.stops) and self.state.facts is not None

    def body(self) -> Iterable[Widget]:
        yield StepsView(id="steps")
        yield EventsView(id="log")
        yield Spinner("Starting…", id="working")
        with Vertical(id="keep"):
            with Horizontal(classes="buttons"):
                yield PlainText("Keep it?", classes="label")
                yield Button("[ Keep ]", id="yes", compact=True)
                yield Button("[ Go back ]", id="no", compact=True)
                yield PlainText(id="left")
            yield PlainText(id="bar")
        yield PlainText(id="end")

    _asked_at: float = 0.0

    def on_mount(self) -> None:
        for button, label in (("#yes", "[ Keep ]"), ("#no", "[ Go back ]")):
            self.query_one(button, Button).label = Text(label)
        self.set_interval(0.5, self.draw_clock)

    def state_changed(self, before: SyncedState, now: SyncedState) -> None:
        if before.progress == now.progress:
            return
        self.redraw()
        if now.progress.asking and not before.progress.asking:
            self._asked_at = monotonic()
            self.call_after_refresh(self._focus_answer)

    def _focus_answer(self) -> None:
        self.query_one("#yes", Button).focus()

    def watch_log_shown(self) -> None:
        self.redraw()

    def action_log(self) -> None:
        self.log_shown = not self.log_shown
        if self.log_shown and not self.progress.asking:
            self.query_one("#log", EventsView).focus()

    def watch_answer(self) -> None:
        self.redraw()

    def draw(self) -> None:
        progress = self.progress
        steps, log = self.query_one("#steps", StepsView), self.query_one("#log", EventsView)
        steps.display, log.display = not self.log_shown, self.log_shown
        steps.show(progress, self._now(), self._runs)
        log.follow(progress, self._runs)
        self.query_one("#working").display = not progress.steps and not progress.result and not progress.asking
        self.query_one("#keep").display = progress.asking
        end = self.query_one("#end", PlainText)
        end.display = bool(progress.result)
        if progress.result:
            self.set_prompt(_ENDS.get(progress.result, ("", progress.result))[1])
            end.update(Text("\n").join(end_lines(progress, self._may_stop)))
        elif progress.asking:
            self.set_prompt("Everything is in place and verified. Check your network, then answer.")
        self.draw_clock()
        self.refresh_bindings()

    def draw_clock(self) -> None:
        progress = self.progress
        if any(step.state == "running" for step in progress.steps) and not progress.result:
            self.query_one("#steps", StepsView).show(progress, self._now(), self._runs)
        if not progress.asking:
            return
        for button in self.query("#keep Button").results(Button):
            button.disabled = self.answer is not None
        left = self.query_one("#left", PlainText)
        bar = self.query_one("#bar", PlainText)
        if self.answer is not None:
            left.update("keeping…" if self.answer else "going back…")
            bar.update("")
            return
        if progress.deadline is None:
            left.update("without an answer it is undone")
            return
        seconds = max((progress.deadline - self._now()).total_seconds(), 0.0)
        left.update(f"going back in {int(seconds) // 60}:{int(seconds) % 60:02d}")
        full = round(_BAR * min(seconds / progress.wait_s, 1.0)) if progress.wait_s else 0
        bar.update("█" * full + "░" * (_BAR - full))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "answer":
            return self.progress.asking and self.answer is None
        if action == "back":
            return bool(self.progress.result)
        if action == "stop":
            return self._may_stop
        return super().check_action(action, parameters)

    @on(Button.Pressed)
    def _answer_with_button(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "yes" and monotonic() - self._asked_at < UNSEEN_S:
            # Meant for what stood there before: nobody has looked yet.
            self.set_status("Check your network first; then Enter or k keeps the change.")
            return
        self.set_status("")
        self.action_answer(event.button.id == "yes")

    def action_stop(self) -> None:
        self._ask_to_stop(list(self.progress.stops), ())

    def _ask_to_stop(self, left: list[tuple[str, ...]], agreed: tuple[str, ...]) -> None:
        """Ask about one service after the other; the first no ends it."""
        if not left:
            self.post_message(messages.RetryRequested(agreed))
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._ask_to_stop(left[1:], (*agreed, left[0][0]))

        self.app.push_screen(stop_question(left[0]), answered)

    def action_answer(self, keep: bool) -> None:
        if self.progress.asking and self.answer is None:
            self.answer = keep
            self.post_message(messages.TrialAnswered(keep))


def end_lines(progress: Progress, may_stop: bool = False) -> list[Text]:
    """The result: what failed and why, what was undone, what a key helps with, and the path of the full log."""
    sign = _ENDS.get(progress.result, ("✗ ", ""))[0]
    failed = next((step for step in progress.steps if step.state == "failed"), None)
    what = f"{step_words(failed.name, failed.title)}: " if failed is not None else ""
    lines = [Text.assemble((sign, "bold"), (what, "bold")).append_text(plain_lines(progress.reason or progress.result))]
    undone = [step_words(step.name, step.title) for step in progress.steps if step.state == "undone"]
    if undone:
        lines.append(Text.assemble(("↩ Undone: ", "bold")).append_text(plain(", ".join(undone), limit=300)))
    elif progress.result in ("failed", "refused") and failed is not None:
        lines.append(Text("· Nothing was changed, so nothing had to be undone."))
    if may_stop:
        units = " and ".join(units[0] for units in progress.stops)
        lines.append(Text.assemble(("· s ", "bold")).append_text(plain(f"applies again, and stops {units} for it.")))
    if progress.log and progress.result != "kept":
        lines.append(Text.assemble(("· Full log: ", "")).append_text(plain(progress.log, limit=300)))
    return lines
