"""What is in force here, and whether it works."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.reactive import reactive
from textual.widget import Widget

from wizard.widgets.page import LOOK_AGAIN, Page, plain
from wizard.widgets.words import Words
from wizard.widgets.working import Working

if TYPE_CHECKING:
    from wizard.deploy.status import Status

EVERY_S = 5
_SAYS = {
    "absent": "Nothing is applied here.",
    "pending": "A trial is under way and waits for an answer.",
    "applied": "The gateway is in force.",
    "tripped": "The guard has stopped the gateway, to keep it from answering the wrong network.",
    "interrupted": "A change was interrupted half-way.",
}


class DashboardPage(Page):
    TITLE = "Dashboard"
    QUESTION = "Looking at the gateway…"
    HELP = (
        "Each part of the gateway with ✓ or ✗, and what to do where something is wrong. Drift is what somebody "
        "changed by hand since.\n\n"
        "l shows the leases, e edits the plan, a applies the plan in force once more (only what differs is "
        "touched), r gives everything back."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#status"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "go('leases')", "leases"),
        Binding("e", "go('edit')", "edit plan"),
        Binding("a", "go('again')", "apply again"),
        Binding("r", "go('reset')", "reset"),
        LOOK_AGAIN,
    ]

    status: reactive[Status | None] = reactive(None)

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="status"):
            yield Working("Looking…", id="working")
            yield Words(id="checks")

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self.action_look_again)

    def watch_status(self) -> None:
        self.redraw()

    def head_right(self) -> Text:
        if self.status is None:
            return Text()
        return Text(f"{self.status.state}, {'healthy' if self.status.healthy else 'not healthy'}")

    def draw(self) -> None:
        status = self.status
        self.query_one("#working").display = status is None
        if status is None:
            return
        self.say(_SAYS.get(status.state, ""))
        self.query_one("#checks", Words).update(_told(status))

    def action_go(self, page: str) -> None:
        self.post_message(Page.Go(page))


def _told(status: Status) -> Text:
    text = Text()
    if status.reason:
        text.append_text(plain(status.reason, limit=600)).append("\n\n")
    if status.plan:
        text.append_text(plain(f"  {'plan':<14} {status.plan}", limit=200)).append("\n")
    if status.since:
        text.append_text(plain(f"  {'since':<14} {_when(status.since)}", limit=80)).append("\n")
    for check in status.checks:
        sign = {True: "✓", False: "✗", None: "?"}[check.ok]
        text.append(f"\n{sign} ", "bold")
        text.append_text(plain(f"{check.name:<14}", limit=30)).append(" ")
        text.append_text(plain(check.detail, limit=300))
        if check.ok is False and check.remedy:
            text.append("\n    ").append_text(plain(check.remedy, limit=300))
    if status.drift:
        text.append("\n\nChanged by hand since:", "bold")
        for line in status.drift:
            text.append("\n! ", "bold").append_text(plain(line, limit=300))
    return text


def _when(iso: str) -> str:
    """A time as people here write it."""
    try:
        return datetime.fromisoformat(iso).strftime("%d %B %Y, %H:%M")
    except ValueError:
        return iso
