"""The dashboard: what is applied, and whether it works."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Button

from wizard.screens.dashboard import messages
from wizard.screens.dashboard.texts import busiest_text, checks_text, drift_text, events_text, strangers_text
from wizard.screens.dashboard.topology import Topology
from wizard.widgets.aging import clock, is_old
from wizard.widgets.page import LOOK_AGAIN, ROOMY, Page, plain
from wizard.widgets.plain_text import PlainText
from wizard.widgets.spinner import Spinner
from wizard.widgets.synced import SyncedState

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.net.traffic import Traffic
    from wizard.monitor.overview import Overview

EVERY_S = 2
TRAFFIC_EVERY_S = 1
# The least that the picture takes, whatever must be scrolled to then.
_LEAST_PICTURE = 11
_SAYS = {
    "absent": "Not applied.",
    "pending": "A change is running.",
    "applied": "Gateway is running.",
    "tripped": "The guard stopped the gateway. The cluster gets no addresses.",
    "interrupted": "A change was interrupted.",
}
# What stands in the alarm: its title, what to do, the button, and the page that it leads to.
_ALARMS = {
    "tripped": (
        "✗ STOPPED BY THE GUARD",
        "It does not restart by itself. What to do:\n"
        "1  Fix what is named above. What is at the other end of that cable?\n"
        "2  Press a to apply again: DHCP starts only if no other server answers.",
        "[ a  Apply again ]",
        "again",
    ),
    "pending": (
        "A CHANGE IS RUNNING",
        "This gateway is being changed, or the change waits for your answer.",
        "[ a  Show it ]",
        "begin",
    ),
    "interrupted": (
        "✗ INTERRUPTED CHANGE",
        "Until it is undone, this gateway is neither as it was nor as planned.",
        "[ a  Show the options ]",
        "begin",
    ),
    "absent": (
        "NOT APPLIED",
        "This machine is not a gateway.",
        "[ a  Start ]",
        "begin",
    ),
}


class DashboardPage(Page):
    TITLE = "Dashboard"
    QUESTION = "Reading the gateway's state…"
    HELP = (
        "The picture: ● answers, ◐ has a lease but was quiet lately, ○ not seen, ! has a problem, named beside it. "
        "For forwards, ● and ○ show whether the port answers. Traffic is what each NIC receives (in) and sends (out), "
        "one bar a second, two minutes at most.\n\n"
        "Below: each part of the gateway: ✓ works, ✗ failed (with what to do), ? not tried. A path is what a node's "
        "packets meet; the guard tests it every few seconds. Then manual changes since the apply, strangers that asked "
        "for an address, the busiest machines (↓ receives, ↑ sends), and recent events. If a refresh fails, the last "
        "data stays, with its time.\n\n"
        "a applies the plan in force again, after probing both networks again. Only differences are changed."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#status"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "go('leases')", "leases"),
        Binding("i", "go('instances')", "instances", show=False),
        Binding("b", "go('boot')", "boot over the network", show=False),
        Binding("e", "go('edit')", "edit plan"),
        Binding("r", "go('reset')", "re-apply or reset"),
        Binding("x", "go('export')", "export"),
        Binding("a", "on", "apply again", show=False),
        LOOK_AGAIN,
    ]

    old: reactive[bool] = reactive(False)
    """True if the next refresh is so late that the data may be stale."""
    traffic: reactive[Traffic | None] = reactive(None)

    def __init__(self, traffic: Traffic | None = None) -> None:
        """`traffic` is the history read so far."""
        super().__init__()
        self.set_reactive(DashboardPage.traffic, traffic)

    @property
    def status(self) -> Status | None:
        return self.state.status

    @property
    def overview(self) -> Overview | None:
        return self.state.overview

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="status"):
            yield Spinner("Reading…", id="working")
            with Vertical(id="alarm"):
                yield PlainText(id="why")
                yield PlainText(id="todo")
                yield Button(Text(), id="on", compact=True)
            yield Topology(id="topology")
            with Vertical(id="below"):
                for part in ("checks", "drift", "strangers", "busiest", "events"):
                    yield PlainText(id=part)

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self.action_look_again)
        self.set_interval(TRAFFIC_EVERY_S, self.tick)

    def tick(self) -> None:
        self.old = is_old(self.state.looked_at)
        self.post_message(messages.TrafficRequested())

    def state_changed(self, before: SyncedState, now: SyncedState) -> None:
        if before.looked_at != now.looked_at:
            self.old = is_old(now.looked_at)
        seen = (now.status, now.overview, now.happened)
        if seen != (before.status, before.overview, before.happened):
            self.redraw()

    def watch_old(self) -> None:
        self.redraw()

    def watch_traffic(self) -> None:
        self.draw_picture()

    def head_right(self) -> Text:
        status = self.status
        if status is None:
            return Text()
        if self.old:
            return Text(f"as of {clock(self.overview.at)}" if self.overview is not None else "")
        # Of one that is tripped the state says it, whatever a check has read a moment earlier.
        checks = status.checks if status.state in ("applied", "pending") else ()
        guard = next((check.detail for check in checks if check.name == "guard" and check.ok), "")
        words = f"{status.state}, {'healthy' if status.healthy else 'not healthy'}"
        return plain(f"{words} · guard {guard.partition(';')[0].partition(':')[0]}" if guard else words, limit=60)

    @property
    def _seen(self) -> Overview | None:
        """The last overview; None once it is invalid."""
        return self.overview if self.status is not None else None

    def draw(self) -> None:
        seen = self._seen
        self.query_one("#working").display = seen is None
        for part in ("#topology", "#below"):
            self.query_one(part).display = seen is not None
        self._draw_alarm(seen)
        if seen is None:
            self.set_prompt(self.QUESTION)
            return
        self.set_prompt(self._said(seen))
        tall = self.size.height >= ROOMY
        for part, text in (
            ("checks", checks_text(seen.status, self.size.width - 2, tall)),
            ("drift", drift_text(seen.status)),
            ("strangers", strangers_text(seen.rows)),
            ("busiest", busiest_text(seen.rows, seen.traffic, self.size.width - 2) if tall else Text()),
            ("events", events_text(self.state.happened, _since(seen.status), seen.at, 8 if tall else 2)),
        ):
            widget = self.query_one(f"#{part}", PlainText)
            widget.display = bool(text)
            widget.update(text)
        # There is as much room as the rest leaves, once that is laid out.
        self.call_after_refresh(self.draw_picture)

    def _said(self, seen: Overview) -> str:
        if self.old:
            return f"! As of {clock(seen.at)}; still refreshing. The data below may be stale."
        if seen.status.state != "applied":
            return _SAYS.get(seen.status.state, "")
        return "Gateway is running." if seen.status.healthy else "Gateway is running, but something is wrong."

    def draw_picture(self) -> None:
        if not self.drawable:
            return
        seen = self._seen
        picture = self.query_one(Topology)
        picture.display = seen is not None and seen.plan is not None and seen.status.state != "absent"
        if seen is None or not picture.display:
            return
        place = self.query_one("#status").scrollable_content_region.size
        taken = [self.query_one(part).outer_size.height + 1 for part in ("#alarm", "#below")]
        room = max(place.height - sum(taken), _LEAST_PICTURE)
        rates = self.traffic.rates if self.traffic is not None else {}
        picture.show(seen, rates, self.state.host, (place.width, room))

    def _draw_alarm(self, seen: Overview | None) -> None:
        alarm = self.query_one("#alarm")
        told = _ALARMS.get(seen.status.state) if seen is not None else None
        # Whoever presses Enter on the button is not to lose it under his finger.
        alarm.display = told is not None
        if told is None or seen is None:
            return
        title, todo, button, _ = told
        alarm.border_title = Text(f" {title} ")
        self.query_one("#why", PlainText).update(plain(seen.status.reason, "bold", limit=300))
        self.query_one("#todo", PlainText).update(Text(todo))
        self.query_one("#on", Button).label = Text(button)

    @on(Button.Pressed)
    def _go_on(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_on()

    def action_on(self) -> None:
        """Do what the alarm proposes; without one, apply the plan again."""
        state = self._seen.status.state if self._seen is not None else ""
        self.action_go(_ALARMS[state][3] if state in _ALARMS else "again")

    def action_go(self, page: str) -> None:
        self.post_message(Page.PageRequested(page))


def _since(status: Status) -> datetime | None:
    try:
        return datetime.fromisoformat(status.since or "")
    except ValueError:
        return None
