"""The base of every page: head line, prompt, body, findings, status line, keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Footer

from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.text import clean
from wizard.widgets.plain_text import PlainText
from wizard.widgets.synced import SyncedState

if TYPE_CHECKING:
    # Loaded once there is a draft: the first screen does not wait for them.
    from wizard.plan.draft.check import DraftCheck
    from wizard.plan.draft.model import Draft
    from wizard.plan.machine import Facts

Result = TypeVar("Result")


class PageMessage(Message):
    """What a page or one of its dialogs asks of its controller."""


# A terminal of 80×24 less the status line of tmux or screen.

LEAST_SIZE = (80, 23)
HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (LEAST_SIZE[0], "-normal"), (120, "-wide")]
# Rows of a terminal that has room for every finding in full.
ROOMY = 32
VERTICAL_BREAKPOINTS = [(0, "-low"), (LEAST_SIZE[1], "-high"), (ROOMY, "-tall")]
MOST_FINDINGS = 3
# A key that comes sooner was meant for the page before.
UNSEEN_S = 0.5
# A draft of more nodes is is_checked off the keys' way, once nobody has typed for a moment.
QUICK_NODES = 200
CHECK_AFTER_S = 0.15
LONGEST_WARNING = 2 * (LEAST_SIZE[0] - 2) - 4

STEPS = ("interfaces", "network", "nodes", "forwards", "review", "apply")
_SIGNS = {Severity.ERROR: "✗ ", Severity.WARNING: "! ", Severity.NOTE: "· "}


def plain(text: str, style: str = "", limit: int = 400) -> Text:
    """`text` from anywhere as a Text that carries neither markup nor control characters."""
    return Text(clean(text, limit), style)


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def plain_lines(text: str, limit: int = 900) -> Text:
    """The same, of several lines."""
    return Text("\n").join(plain(line, limit=limit) for line in text.splitlines() if line)


# The footer shows a page's own keys in the order in which the page lists them, so each lists all of its keys.
NEXT = Binding("ctrl+n", "next", "next")
BACK = Binding("escape", "back", "back", show=False)
SHOWN_BACK = Binding("escape", "back", "back")
LOOK_AGAIN = Binding("ctrl+r", "look_again", "look again", show=False)
# With priority, or the app's own, which is not shown, takes its place.
LEAVE = Binding("ctrl+q", "app.quit", "leave", priority=True)


def is_too_small(size: Size) -> bool:
    return size.width < LEAST_SIZE[0] or size.height < LEAST_SIZE[1]


class TooSmall(PlainText):
    """Stands alone on the screen where the terminal is too small for a page."""

    def __init__(self) -> None:
        width, height = LEAST_SIZE
        super().__init__(
            f"ciao-wizard needs {width}×{height}. Enlarge this window, or leave with ctrl+q.", id="too-small"
        )


class FocusKept(Screen[Result]):
    """A screen whose cursor is where it was once there is room for it again: what is not shown loses it."""

    _had_focus: Widget | None = None

    def watch_focused(self, before: Widget | None, now: Widget | None) -> None:
        if now is not None:
            self._had_focus = None
        elif before is not None and is_too_small(self.app.size):
            self._had_focus = before

    def on_resize(self) -> None:
        if self._had_focus is not None and not is_too_small(self.app.size):
            self.call_after_refresh(self._give_back_focus)

    def _give_back_focus(self) -> None:
        had, self._had_focus = self._had_focus, None
        if had is not None and had.is_attached and self.focused is None:
            self.set_focus(had, scroll_visible=False)


class Page(FocusKept[None]):
    """A page. Plain data goes in, messages to the app come out."""

    @dataclass
    class Edited(Message):
        """The draft has changed."""

        draft: Draft

    @dataclass
    class StepDone(Message):
        """This step is done."""

        step: str
        draft: Draft

    class BackRequested(Message):
        """To the page before."""

    class RefreshRequested(Message):
        """Read the machine again."""

    @dataclass
    class PageRequested(Message):
        """To another page, by name; `field` is what to point at there."""

        page: str
        field: str = ""

    TITLE: ClassVar[str | None] = ""
    STEP: ClassVar[str] = ""
    QUESTION: ClassVar[str] = ""
    HELP: ClassVar[str] = ""
    FEW_FINDINGS: ClassVar[int] = 1
    """So many findings find room in full under this page's body, on the smallest terminal too."""
    AUTO_FOCUS: ClassVar[str | None] = "#body *"

    # Only `state_changed` redraws what depends on it.
    state: reactive[SyncedState] = reactive(SyncedState(), repaint=False)
    """What the app knows: set before the page is shown, and updated while it is."""

    def __init__(self) -> None:
        super().__init__()
        self._ready = False
        self._shown_at = 0.0
        self._line = Text()

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(id="page"):
            yield PlainText(id="head")
            yield PlainText(self.question(), id="question")
            with Vertical(id="body"):
                yield from self.body()
            yield PlainText(id="findings")
            yield PlainText(id="line")
            yield Footer(show_command_palette=False)

    def question(self) -> str:
        return self.QUESTION

    def body(self) -> Iterable[Widget]:
        """The widgets between the question and the findings."""
        return ()

    def on_mount(self) -> None:
        self._ready = True
        self._shown_at = monotonic()
        self.redraw()

    @property
    def unseen(self) -> bool:
        """Whether nobody can have looked at it yet: what chooses or changes something here was not meant for it."""
        return monotonic() - self._shown_at < UNSEEN_S

    def on_resize(self) -> None:
        self.redraw()

    def watch_state(self, before: SyncedState, now: SyncedState) -> None:
        if before.host != now.host:
            self.redraw()
        self.state_changed(before, now)

    def state_changed(self, before: SyncedState, now: SyncedState) -> None:
        """Redraw what depends on the changed parts."""

    def cannot_look(self, error: WizardError) -> None:
        """The machine could not be read when the app started."""

    @property
    def drawable(self) -> bool:
        """Whether there is something to draw on: not before the widgets are there, nor once the page is being left."""
        return self._ready and not self._closing

    def redraw(self) -> None:
        """Draw, once there is something to draw on. For watchers: values may come in before the widgets are there."""
        if self.drawable:
            self.draw_head()
            self.draw()
            self.draw_line()

    def set_status(self, message: str, severity: str = "information") -> None:
        """Show a message in the status line in place of the last one; "" clears it."""
        sign = {"error": "✗ ", "warning": "! "}.get(severity, "") if message else ""
        self._line = Text.assemble((sign, "bold")).append_text(plain(message, limit=600))
        if self.drawable:
            self.draw_line()

    def clear_status(self, message: str) -> None:
        """Clear the status line if it still shows this message."""
        if message and self._line.plain.endswith(clean(message, 600)):
            self.set_status("")

    @property
    def line_text(self) -> str:
        """What the line under the page says."""
        return self._line.plain

    def draw_line(self) -> None:
        line = self.query_one("#line", PlainText)
        line.update(self._line)
        line.display = bool(self._line)

    def draw(self) -> None:
        """Bring the body up to date with the data."""

    def draw_head(self) -> None:
        width = max(self.size.width - 2, 20)
        left = Text.assemble(("ciao-wizard", "bold"), " ─ ", (self.TITLE or "", "bold"), " ")
        right = self.head_right()
        right.append(f"  {clean(self.state.host, 16)}" if self.state.host else "")
        line = "─" * max(width - left.cell_len - right.cell_len - 1, 1)
        self.query_one("#head", PlainText).update(Text.assemble(left, (line, "dim"), " ", right))

    def head_right(self) -> Text:
        if self.STEP not in STEPS:
            return Text()
        here = STEPS.index(self.STEP)
        marks = [f"[{i + 1}]" if i == here else str(i + 1) for i in range(len(STEPS))]
        return Text("·".join(marks))

    def set_prompt(self, prompt: str) -> None:
        """Replace the prompt."""
        self.query_one("#question", PlainText).update(Text(prompt))

    def show_findings(self, findings: Sequence[Finding], draft: Draft) -> None:
        """Put findings under the body."""
        from wizard.plan.draft.model import field_label

        # Errors are mended here; where there is no room the rest is told in full by the review.
        longest = LONGEST_WARNING if self.size.height < ROOMY else None
        lines = []
        for finding in findings[:MOST_FINDINGS]:
            line = finding_text(finding, field_label(draft, finding.field))
            if longest is not None and finding.severity is not Severity.ERROR and len(findings) > self.FEW_FINDINGS:
                line.truncate(longest, overflow="ellipsis")
            lines.append(line)
        if len(findings) > MOST_FINDINGS:
            lines.append(Text(f"  … and {len(findings) - MOST_FINDINGS} more"))
        panel = self.query_one("#findings", PlainText)
        panel.update(Text("\n").join(lines))
        panel.display = bool(lines)

    def action_back(self) -> None:
        self.post_message(self.BackRequested())

    def action_look_again(self) -> None:
        self.post_message(self.RefreshRequested())


class StepPage(Page):
    """A page that edits the draft. It holds a working copy, so that no answer of the app can undo a key press."""

    @dataclass
    class CheckRequested(PageMessage):
        """Check `draft` in the background: The answer goes to `take_check`."""

        page: StepPage
        draft: Draft
        facts: Facts | None

    FIELDS: ClassVar[str | tuple[str, ...]] = ""
    """The findings of this page are those whose field begins so."""

    def __init__(self, draft: Draft, field: str = "") -> None:
        super().__init__()
        self.draft = draft
        self.pointed = field
        self._ignored: tuple[Finding, ...] = ()
        self._check: DraftCheck | None = None
        self._check_timer: Timer | None = None
        self._next_waits = False

    @property
    def facts(self) -> Facts | None:
        return self.state.facts

    def on_mount(self) -> None:
        if self.pointed:
            self.call_after_refresh(self.point_at, self.pointed)

    def state_changed(self, before: SyncedState, now: SyncedState) -> None:
        if before.facts != now.facts:
            self.facts_changed()

    def facts_changed(self) -> None:
        self.redraw()

    def draw(self) -> None:
        self.show_findings(self.findings(), self.draft)

    def edit(self, draft: Draft) -> None:
        """Take a changed draft."""
        if draft != self.draft:
            self.draft = draft
            self._next_waits = False
            self.set_status("")
            self.post_message(self.Edited(draft))
            self.redraw()

    @property
    def is_checked(self) -> bool:
        """True if the latest check is of the current draft and facts."""
        known = self._check
        return known is not None and known.draft is self.draft and known.facts is self.facts

    def latest_check(self) -> DraftCheck | None:
        """The latest check. For a large draft it may be a moment old; None until there is one."""
        if not self.is_checked:
            from wizard.plan.draft.check import check_draft

            if len(self.draft.nodes) <= QUICK_NODES:
                self._check = check_draft(self.draft, self.facts)
            elif self._ready:
                if self._check_timer is not None:
                    self._check_timer.stop()
                self._check_timer = self.set_timer(CHECK_AFTER_S, self._request_check)
        return self._check

    def _request_check(self) -> None:
        self.post_message(self.CheckRequested(self, self.draft, self.facts))

    def take_check(self, found: DraftCheck) -> None:
        """Take the check of this page's draft, unless the draft has changed since."""
        if found.draft is self.draft and found.facts is self.facts:
            self._check = found
            self.redraw()
            if self._next_waits:
                self._next_waits = False
                self.set_status("")
                self.action_next()

    def findings(self) -> tuple[Finding, ...]:
        """What is to be said about this page's fields, errors first; notes are left to the review."""
        known = self.latest_check()
        mine = [
            finding
            for finding in (known.findings if known else ())
            if finding.field.startswith(self.FIELDS) and finding.severity is not Severity.NOTE
        ]
        return tuple(sorted(mine, key=lambda finding: finding.severity is not Severity.ERROR))

    def point_at(self, field: str) -> None:
        """Bring the cursor to a field. Overridden by pages with several."""

    def action_next(self) -> None:
        """Go on, unless a text is no value of its field. What the rules refuse is said once before.

        A second press counts only for the very things that were there at the first.
        """
        errors = self.errors()
        if not self.is_checked:
            self._next_waits = True
            self.set_status("Checking the whole plan; the next page opens when that is done.")
            return
        from wizard.plan.draft.model import UNREADABLE

        unreadable = [finding for finding in errors if finding.code == UNREADABLE]
        if unreadable:
            self.point_at(unreadable[0].field)
            self.notify("Fix the ✗ fields first.", severity="error", markup=False)
        elif errors and errors != self._ignored:
            self._ignored = errors
            self.point_at(errors[0].field)
            self.notify("See the ✗ fields. Press ctrl+n again to ignore this.", severity="warning", markup=False)
        else:
            self.leave()

    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings() if f.severity is Severity.ERROR)

    def leave(self) -> None:
        """Nothing more is in the way of the next page."""
        self.post_message(self.StepDone(self.STEP, self.draft))


def finding_text(finding: Finding, name: str) -> Text:
    """A finding as "✗ name  message remedy". The sign says what the colour says."""
    text = Text.assemble((_SIGNS[finding.severity], "bold"))
    if name:
        text.append(f"{clean(name, 60)}  ", "bold")
    text.append(clean(finding.message, 600))
    if finding.remedy:
        text.append(f" {clean(finding.remedy, 400)}")
    return text
