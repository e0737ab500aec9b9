"""The reset page: re-apply one part, apply the plan again, or undo everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Checkbox, DataTable

from wizard.screens.reset import messages
from wizard.screens.reset.kinds import FORGOTTEN, KEPT_IMAGES, KEPT_LEASES, KINDS, Kind, lease_holders
from wizard.services.progress import Progress
from wizard.widgets.modal import Question
from wizard.widgets.page import LEAVE, SHOWN_BACK, Page, plain, plain_lines
from wizard.widgets.plain_text import PlainText
from wizard.widgets.sign_checkbox import SignCheckbox
from wizard.widgets.steps import StepsView
from wizard.widgets.synced import SyncedState
from wizard.widgets.table import KeyedTable

if TYPE_CHECKING:
    from wizard.monitor.overview import Overview

_TICKS = {
    KEPT_LEASES: ("forget", "f  forget the leases too: dynamic addresses may change"),
    KEPT_IMAGES: ("images", "i  forget the images too: they would have to be added again"),
}
"""For what may be forgotten besides: the name of its tick, and its words."""
_STAY = "Change nothing"
_QUESTION = "Restart a part, or undo everything?"


class ResetPage(Page):
    TITLE = "Reset"
    QUESTION = _QUESTION
    HELP = (
        "The smallest change comes first. Below: what the selected one changes, what it leaves alone, and which manual "
        "changes it would lose. Enter does the selected one, after asking: y does it, Enter or n changes nothing.\n\n"
        "The first four restart a part of the running gateway and undo nothing. Applying the plan again goes through "
        "Review and a trial, like any apply. Only the last one undoes: this machine is then as it was before the "
        "first apply, without the plan. To keep the plan, save it first (e on the dashboard, then f6 in Review). "
        "The leases are kept, so that addresses stay the same after the next apply; f forgets them too. The images "
        "that nodes boot are kept; i forgets them."
    )
    PARTS = frozenset(kind.key for kind in KINDS if kind.small)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "do", "do it"),
        Binding("ctrl+a", "do", "do it", show=False),
        Binding("f", "forget('forget')", "forget leases"),
        Binding("i", "forget('images')", "forget images", show=False),
        Binding("pagedown", "scroll(1)", "scroll", show=False, priority=True),
        Binding("pageup", "scroll(-1)", "scroll back", show=False, priority=True),
        SHOWN_BACK,
        LEAVE,
    ]

    running: reactive[bool] = reactive(False)
    part: str = ""
    """The kind that is or was carried out, by its key."""
    _unseen_told: bool = False

    def body(self) -> Iterable[Widget]:
        yield KeyedTable((("action", 30), ("interruption", 42)), id="kinds")
        with VerticalScroll(id="about", can_focus=False):
            # Never with the focus: Enter does what the cursor of the table stands on, always.
            for name, words in _TICKS.values():
                forget = SignCheckbox(words, id=name)
                forget.can_focus = False
                yield forget
            yield PlainText(id="what")
        yield StepsView(id="steps")
        yield PlainText(id="end")

    def on_mount(self) -> None:
        table = self.query_one("#kinds", KeyedTable)
        table.sync([(kind.key, (Text(kind.title), Text(kind.interruption))) for kind in KINDS])
        table.focus()

    @property
    def progress(self) -> Progress:
        return self.state.progress

    @property
    def overview(self) -> Overview | None:
        return self.state.overview

    def state_changed(self, before: SyncedState, now: SyncedState) -> None:
        if before.overview != now.overview:
            if now.overview is not None and self._unseen_told:
                self._unseen_told = False
                self.set_status("")
            self.redraw()
        elif before.progress != now.progress:
            self.redraw()

    def watch_running(self) -> None:
        self.redraw()

    @on(DataTable.RowHighlighted)
    def _show_kind(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self.query_one("#about", VerticalScroll).scroll_home(animate=False)
        self.redraw()

    @property
    def kind(self) -> Kind:
        """What the cursor stands on."""
        current = self.query_one("#kinds", KeyedTable).current
        return next((kind for kind in KINDS if kind.key == current), KINDS[0])

    @property
    def _forgets(self) -> frozenset[str]:
        """Keys of FORGOTTEN."""
        if self.kind.key != "everything":
            return frozenset()
        return frozenset(kept for kept, (name, _) in _TICKS.items() if self.query_one(f"#{name}", SignCheckbox).value)

    @on(Checkbox.Changed)
    def _show_what_is_lost(self, event: Checkbox.Changed) -> None:
        event.stop()
        self.redraw()

    def action_forget(self, name: str) -> None:
        self.query_one(f"#{name}", SignCheckbox).toggle()

    def draw(self) -> None:
        begun = self.running or bool(self.progress.result)
        self.query_one("#kinds").display = self.query_one("#about").display = not begun
        kind = self.kind
        for name, _ in _TICKS.values():
            self.query_one(f"#{name}").display = kind.key == "everything"
        self.query_one("#what", PlainText).update(_about(kind, self.overview, self._forgets))
        steps = self.query_one("#steps", StepsView)
        steps.display = begun
        if begun:
            steps.show(self.progress)
        self._draw_end()
        self.refresh_bindings()

    def _draw_end(self) -> None:
        result = self.progress.result
        end = self.query_one("#end", PlainText)
        end.display = bool(result)
        small = self.part in self.PARTS
        if result:
            good = result == ("kept" if small else "rolled-back")
            end.update(
                Text.assemble(("✓ " if good else "✗ ", "bold")).append_text(plain_lines(self.progress.reason or result))
            )
            if small:
                self.set_prompt("Done." if good else "Failed. The rest of the gateway is unchanged.")
            else:
                self.set_prompt("Done. This machine is as it was." if good else "Not everything could be undone.")
        elif self.running:
            self.set_prompt("Working…" if small else "Undoing everything…")
        else:
            self.set_prompt(_QUESTION)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "do":
            return not self.running and not self.progress.result
        if action == "forget":
            return self._ready and not self.running and not self.progress.result and self.kind.key == "everything"
        if action == "back":
            return not self.running or bool(self.progress.result)
        return super().check_action(action, parameters)

    def action_scroll(self, pages: int) -> None:
        about = self.query_one("#about", VerticalScroll)
        about.scroll_relative(y=pages * max(about.size.height - 1, 1), animate=False)

    def action_do(self) -> None:
        kind = self.kind
        if kind.key == "again":
            self.post_message(Page.PageRequested("again"))
            return
        if self.overview is None and not self._unseen_told:
            self._unseen_told = True
            self.set_status("Manual changes are not known yet. Press enter again to ignore this.", "warning")
            return
        forget = self._forgets
        lost = _lost(kind, self.overview)
        question = Question(kind.question, _warning(kind, lost, forget), f"[ y  {kind.yes} ]", f"[ n  {_STAY} ]")
        self.app.push_screen(question, lambda yes: self._answered(bool(yes), kind, forget))

    def _answered(self, yes: bool, kind: Kind, forget: frozenset[str]) -> None:
        if not yes:
            return
        self.part = kind.key
        self.running = True
        everything = messages.ResetRequested(KEPT_LEASES in forget, KEPT_IMAGES in forget)
        self.post_message(messages.RenewRequested(kind.key) if kind.small else everything)


def _lost(kind: Kind, seen: Overview | None) -> tuple[str, ...]:
    """The manual changes that this kind of reset would lose, a line each."""
    from wizard.deploy.installed_files import drift_lost_by

    return drift_lost_by(kind.key if kind.small else "", seen.status.drift) if seen is not None else ()


def _about(kind: Kind, seen: Overview | None, forget: frozenset[str]) -> Text:
    parts = [("Changes", (*kind.changes, *(what for kept, what in FORGOTTEN.items() if kept in forget)))]
    if kind.key == "leases" and seen is not None:
        parts.append(("Assigned to", lease_holders(seen.rows)))
    parts.append(("Leaves alone", tuple(line for line in kind.leaves if line not in forget)))
    lost = _lost(kind, seen)
    if lost:
        # What cannot be had again comes before what stays.
        parts.insert(1, ("! Changed by hand, and lost by this", lost))
    text = Text()
    for word, lines in parts:
        text.append(f"{word}\n", "bold")
        for line in lines:
            text.append("  · ").append_text(plain(line, limit=200)).append("\n")
    text.rstrip()
    return text


def _warning(kind: Kind, lost: Sequence[str], forget: frozenset[str]) -> str:
    fates = ""
    if kind.key == "everything":
        fates = " The leases are deleted." if KEPT_LEASES in forget else " The leases are kept."
        fates += " The images are deleted." if KEPT_IMAGES in forget else " The images are kept."
    said = [kind.warning + fates]
    if lost:
        more = f"\n… and {len(lost) - 4} more." if len(lost) > 4 else ""
        said.append("Changed by hand, and lost by this:\n" + plain_lines("\n".join(lost[:4])).plain + more)
    said.append("y does it. Enter, n and esc change nothing.")
    return "\n\n".join(said)
