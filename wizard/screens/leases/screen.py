"""The leases page: who has which address, who is missing, strangers, and events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from wizard.host.net.node_traffic import NodeTraffic
from wizard.monitor.lease_monitor import row_id
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.lease_view import ORDERS, LeaseQuery
from wizard.screens.leases import messages
from wizard.screens.leases.events_box import EventsBox
from wizard.screens.leases.forward_health import ForwardHealthPanel
from wizard.screens.leases.lease_cells import WIDE, cells, columns, details
from wizard.screens.leases.power import DANGEROUS, WORDS, PowerChoice, PowerDialog, groups_of, question_text
from wizard.widgets.aging import clock, is_old
from wizard.widgets.inputs import SafeInput
from wizard.widgets.modal import Question
from wizard.widgets.page import ROOMY, Page, plain, plural
from wizard.widgets.plain_text import PlainText
from wizard.widgets.spinner import Spinner
from wizard.widgets.synced import SyncedState
from wizard.widgets.virtual_table import VirtualRowTable

if TYPE_CHECKING:
    from wizard.monitor.forward_checks import ForwardCheck
    from wizard.monitor.lease_watch import LeaseSnapshot

TICK_S = 1.0
PANELS = ("machine", "happened", "health")
_NEXT_PANEL = {"happened": "forwards", "health": "this machine"}
_LONGEST_WHY = 110


@dataclass(frozen=True, slots=True)
class Adoption:
    """A stranger that is becoming a node."""

    name: str
    ip: str


class LeasesPage(Page):
    TITLE = "Leases"
    QUESTION = "Who has which address. Live."
    HELP = (
        "Every node of the plan has a row, with or without a lease; then VMs, then strangers that asked. "
        "● here: it answered a moment ago. ● static: it answers at its address without a lease. ○ silent: it has a "
        "lease and does not answer. ○ missing: neither. ✗ wrong: not its own address; the reason is below the table. "
        "! an alarm: two machines with one MAC or one address, or a tenant's MAC here. Traffic: through this gateway, "
        "both ways together.\n"
        "/ shows rows that match all the words you type: a name, an address, a MAC, a vendor, missing, stranger… "
        "a adopts a stranger, without a restart of dnsmasq. c and C copy to your terminal's clipboard. "
        "w wakes, restarts or powers off marked nodes, one, those of its role, or all shown. "
        "If the leases cannot be read, the last rows stay, with their time."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#leases"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "find", key_display="/"),
        Binding("a", "adopt", "adopt"),
        Binding("c", "copy", "copy ssh"),
        Binding("space", "mark", "mark", show=False),
        Binding("w", "power", "wake, restart, power off", show=False),
        Binding("escape", "back", "dashboard"),
        Binding("i", "instances", "instances", show=False),
        Binding("C", "copy_address", "copy the address", show=False),
        Binding("s", "sort", "sort by the next column", show=False),
        Binding("S", "turn", "reverse the order", show=False),
        Binding("x", "release", "release the lease", show=False),
        Binding("e", "panel", "machine, events, forwards", show=False),
        Binding("ctrl+r", "look_again", "check the forwards again", show=False),
    ]

    # Its parts draw themselves: the whole screen four times a second would be too much for a slow line.
    snapshot: reactive[LeaseSnapshot | None] = reactive(None, always_update=True, repaint=False)
    health: reactive[tuple[ForwardCheck, ...] | None] = reactive(None)
    failure: reactive[str] = reactive("")
    """Why the leases cannot be read now, "" if they can. The page then shows the last ones."""

    old: reactive[bool] = reactive(False)
    """True if the next snapshot is so late that this one may be stale."""

    held_back: reactive[str] = reactive("")
    """Why the guard blocks DHCP now, "" if it does not."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self.wanted = LeaseQuery()
        self.adopting: Adoption | None = None
        self.marked: dict[str, None] = {}
        """The names of marked nodes, in the order in which they were marked. A filter does not unmark them."""
        self._panel = PANELS[0]
        self._held: tuple[str, str] | None = None
        self._as_of: datetime | None = None
        self._received_at = 0.0

    def body(self) -> Iterable[Widget]:
        yield Spinner("Reading the leases…", id="working")
        yield FindLine(id="find")
        yield VirtualRowTable[LeaseRow](columns(0, "plan", False), self._cells, id="leases")
        with Container(id="panels"):
            yield PlainText(id="machine", classes="panel")
            yield ForwardHealthPanel(id="health", classes="panel")
        yield EventsBox(id="happened")

    def on_mount(self) -> None:
        self.query_one("#machine").border_title = "this machine"
        self.set_interval(TICK_S, self.tick)

    @property
    def _traffic(self) -> NodeTraffic:
        return self.snapshot.traffic if self.snapshot is not None else NodeTraffic()

    @property
    def table(self) -> VirtualRowTable[LeaseRow]:
        return self.query_one("#leases", VirtualRowTable)

    @property
    def row(self) -> LeaseRow | None:
        """The row with the cursor."""
        return self.table.current

    # Drawing

    def watch_snapshot(self) -> None:
        self._as_of = self._now() if self.snapshot is not None else None
        self._received_at = time.monotonic()
        self.old = False
        self.redraw()

    def watch_old(self) -> None:
        self.redraw()

    def watch_failure(self, before: str) -> None:
        self.clear_status(before)
        if len(self.failure) > _LONGEST_WHY:
            self.set_status(self.failure, "error")
        self.redraw()

    def watch_health(self) -> None:
        self.redraw()

    def head_right(self) -> Text:
        if self.snapshot is None or (not len(self.snapshot.rows) and not self.snapshot.counts):
            return Text()
        counts = self.snapshot.counts
        told = [f"{counts['node leased']} of {plural(counts['node'], 'node')}"]
        old = self._as_of if self.old or self.failure else None
        if old is None:
            told += [plural(counts["device"], "device")] if counts["device"] else []
            told += [plural(counts["vm"], "VM"), plural(counts["stranger"], "stranger")]
        if counts["alarm"]:
            told.append(plural(counts["alarm"], "alarm"))
        if self.marked:
            told.append(f"{len(self.marked)} marked")
        return Text((f"as of {clock(old)}: " if old is not None else "") + " · ".join(told))

    def draw(self) -> None:
        board = self.snapshot
        self.query_one("#working").display = board is None
        table = self.table
        table.display = board is not None
        if board is not None:
            table.set_columns(columns(self.size.width, self.wanted.order, self.wanted.descending))
            place = board.rows.index_of(self._held) if self._held is not None else None
            table.show(board.rows, place)
            self.query_one(EventsBox).show_events(board.events, self.size.width)
            self.query_one(FindLine).show_counts(
                len(board.rows), sum(board.counts[k] for k in ("node", "device", "vm", "stranger"))
            )
        self.set_prompt(self._question())
        self._draw_panels()

    def _question(self) -> str:
        board = self.snapshot
        if self.failure:
            at = f"As of {clock(self._as_of)}; cannot refresh" if self._as_of else "Cannot read the leases"
            return f"! {at}: {plain(self.failure, limit=_LONGEST_WHY)}"
        if board is None:
            return self.QUESTION
        if self.old and self._as_of is not None:
            return f"! As of {clock(self._as_of)}; still refreshing. The data below may be stale."
        if not board.applied:
            return "No longer applied."
        if board.problem:
            return f"The last rows that could be read; now {plain(board.problem, limit=120)}."
        return f"! {plain(self.held_back, limit=150)}" if self.held_back else self.QUESTION

    def _draw_panels(self) -> None:
        tall = self.size.height >= ROOMY
        ready = self.snapshot is not None
        keys = ["space mark", "w power", "s sort", "x release", *([] if tall else ["i instances", "e events"])]
        _subtitle(self.query_one("#machine"), " · ".join(keys))
        for name in PANELS:
            self.query_one(f"#{name}").display = ready and (tall or name == self._panel)
        health = self.query_one(ForwardHealthPanel)
        health.health, health.most = self.health, 7 if tall and self.size.width >= WIDE else 6
        for name, when_tall in (("happened", ""), ("health", "i instances")):
            _subtitle(self.query_one(f"#{name}"), when_tall if tall else f"e {_NEXT_PANEL[name]}")
        self._draw_row()

    def _draw_row(self) -> None:
        row = self.row if self.snapshot is not None else None
        said = details(row, self._now(), self._traffic) if row is not None else Text("No row selected.")
        self.query_one("#machine", PlainText).update(said)

    def _cells(self, row: LeaseRow) -> Sequence[Text]:
        # Not by the page's width: in the middle of a resize the table has its old columns still.
        wide = len(self.table.columns) > len(columns(0, "plan", False))
        marked = row.kind == "node" and row.name in self.marked
        return cells(row, self._now(), wide, self._traffic, marked)

    def tick(self) -> None:
        """Count down the leases, and notice stale data."""
        self.old = self.snapshot is not None and is_old(self._received_at)
        if self.drawable:
            self.table.refresh()
            self._draw_row()

    @on(VirtualRowTable.RowHighlighted)
    def _follow_cursor(self, message: VirtualRowTable.RowHighlighted) -> None:
        message.stop()
        row = self.row
        if row is not None:
            self._held = row_id(row)
        if message.by_hand and self.adopting is None:
            # What was said was said of another machine.
            self.set_status("")
        self._draw_row()

    # Looking for somebody

    def action_find(self) -> None:
        self.query_one(FindLine).open()

    @on(Input.Changed)
    def _find(self, event: Input.Changed) -> None:
        self._want(replace(self.wanted, text=event.value.strip()))

    @on(Input.Submitted)
    def _end_find(self, event: Input.Submitted) -> None:
        event.stop()
        self.table.focus()

    def action_back(self) -> None:
        line = self.query_one(FindLine)
        if line.display:
            line.close()
            self.table.focus()
        else:
            super().action_back()

    def action_sort(self) -> None:
        order = ORDERS[(ORDERS.index(self.wanted.order) + 1) % len(ORDERS)]
        self._want(replace(self.wanted, order=order))
        by = {"left": "expiry", "plan": "the plan's order"}.get(order, order)
        self.set_status(f"Sorted by {by}. S reverses the order.")

    def action_turn(self) -> None:
        self._want(replace(self.wanted, descending=not self.wanted.descending))

    def _want(self, wanted: LeaseQuery) -> None:
        if wanted != self.wanted:
            self.wanted = wanted
            self.post_message(messages.RowsRequested(wanted))

    def action_panel(self) -> None:
        self._panel = PANELS[(PANELS.index(self._panel) + 1) % len(PANELS)]
        self.redraw()

    def action_look_again(self) -> None:
        self.health = None
        self.post_message(messages.ForwardsRequested())

    def action_instances(self) -> None:
        self.post_message(Page.PageRequested("instances"))

    # Doing something about a machine

    def action_copy(self) -> None:
        row = self.row
        if row is None or not _has_address(row):
            self.action_copy_address()
            return
        self._copy(f"ssh {row.ip}", ", for a shell on this gateway")

    def action_copy_address(self) -> None:
        row = self.row
        if row is None:
            self.set_status("Nothing to copy.", "warning")
        elif _has_address(row):
            self._copy(row.ip)
        else:
            self._copy(row.mac, ": it has no address")

    def _copy(self, text: str, more: str = "") -> None:
        self.app.copy_to_clipboard(text)
        self.set_status(f"Copied: {text}{more}")

    def action_adopt(self) -> None:
        row = self.row
        if row is None or row.kind in ("node", "device"):
            why = f"{row.name} is already a {row.kind}." if row is not None else "No row selected."
            self.set_status(f"{why} Adopt strangers and VMs.", "warning")
        elif row.alarms:
            self.set_status("Cannot adopt this one: see below what is wrong with it.", "warning")
        else:
            self.post_message(messages.AdoptRequested(row))

    def action_release(self) -> None:
        row = self.row
        if row is None or row.state not in ("leased", "wrong-address"):
            self.set_status("No lease to release.", "warning")
            return
        question = Question(f"Release {row.ip}?", _release_text(row), "[ y  Release ]", "[ n  Keep it ]")

        def answered(sure: bool | None) -> None:
            if sure:
                self.post_message(messages.ReleaseRequested(row))

        self.app.push_screen(question, answered)

    def action_mark(self) -> None:
        row = self.row
        if row is None or row.kind != "node":
            self.set_status("Only nodes of the plan can be marked.", "warning")
            return
        if row.name in self.marked:
            del self.marked[row.name]
        else:
            self.marked[row.name] = None
        self.table.move_to(self.table.cursor_row + 1)
        self._held = row_id(self.row or row)
        self.redraw()

    def action_power(self) -> None:
        row, board = self.row, self.snapshot
        if board is None or not (self.marked or (row is not None and row.kind == "node")):
            self.set_status("Only nodes of the plan can be woken, restarted or powered off.", "warning")
            return

        def chosen(choice: PowerChoice | None) -> None:
            if choice is None:
                return
            if choice.action not in DANGEROUS:
                self.post_message(messages.PowerRequested(choice))
                return
            title = f"{WORDS[choice.action]} {choice.group.said}?"
            question = Question(title, question_text(choice), f"[ y  {WORDS[choice.action]} ]", "[ n  Leave them ]")
            self.app.push_screen(question, partial(self._order_if, choice))

        self.app.push_screen(PowerDialog(groups_of(row, board.rows, tuple(self.marked))), chosen)

    def _order_if(self, choice: PowerChoice, sure: bool | None) -> None:
        if sure:
            self.post_message(messages.PowerRequested(choice))

    # An adoption under way

    def state_changed(self, before: SyncedState, now: SyncedState) -> None:
        if self.adopting is None or before.progress == now.progress:
            return
        who, progress = self.adopting, now.progress
        if progress.result == "kept":
            self.adopting = None
            self.set_status(
                f"{who.name} is a node now. It gets {who.ip} at its next DHCP request: restart it to get it now."
            )
        elif progress.result:
            self.adopting = None
            self.set_status(f"{who.name} was not adopted. {progress.reason}".replace("\n", " "), "error")
        else:
            at = next((step.title for step in progress.steps if step.state == "running"), "")
            self.set_status(f"{who.name} becomes a node… {at}")


def _subtitle(panel: Widget, text: str) -> None:
    """Set the subtitle only if it changes: each setting redraws the panel."""
    if panel.border_subtitle != text:
        panel.border_subtitle = text


class FindLine(Widget):
    """The search field, and how many rows match."""

    DEFAULT_CSS = "FindLine { layout: horizontal; }"

    def compose(self) -> Iterable[Widget]:
        yield PlainText("find", classes="label")
        yield SafeInput(placeholder="words that a row must match")
        yield PlainText(id="found")

    def open(self) -> None:
        self.display = True
        self.query_one(SafeInput).focus()

    def close(self) -> None:
        self.query_one(SafeInput).value = ""
        self.display = False

    def show_counts(self, shown: int, total: int) -> None:
        self.query_one("#found", PlainText).update(f"{shown:,} of {total:,} · esc: all")


def _has_address(row: LeaseRow) -> bool:
    return bool(row.ip) and row.state in ("leased", "wrong-address")


def _release_text(row: LeaseRow) -> str:
    name = plain(row.name or row.hostname or row.mac, limit=63).plain
    kept = " It stays reserved." if row.kind in ("node", "device") else " Another machine may then get it."
    said = [
        f"dnsmasq drops the lease of {name} for {row.ip} at once.{kept}",
        f"{name} is not told: it keeps using {row.ip} until it renews. Release a lease only if its machine is gone for "
        "good, or if you restart it now.",
    ]
    if row.reachable:
        said.append(f"! It answers at {row.ip} right now.")
    return "\n\n".join([*said, "y releases it. Enter, n and esc change nothing."])
