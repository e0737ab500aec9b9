"""The boot page: which nodes are armed with which image, and how far each has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget

from wizard.monitor.boot_stages import Boot
from wizard.screens.boot import messages
from wizard.screens.boot.boot_cells import WIDE, cells, columns, details
from wizard.widgets.aging import clock, is_old
from wizard.widgets.page import Page, plain, plain_lines
from wizard.widgets.plain_text import PlainText
from wizard.widgets.spinner import Spinner
from wizard.widgets.virtual_table import VirtualRowTable

if TYPE_CHECKING:
    from wizard.monitor.boot_board import BootBoard

TICK_S = 1.0
_LONGEST_WHY = 150
NO_IMAGES = (
    "The plan in force has no images, so there is nothing that nodes could boot.",
    "1  Add one to this machine, and boot loaders; nothing is downloaded for you:\n"
    "   apt-get download debian-installer-12-netboot-amd64 ipxe\n"
    "   sudo ciao-wizard image add debian12 debian-installer-12-*.deb\n"
    "   sudo ciao-wizard boot loaders ipxe_*.deb\n"
    "2  Take it into the plan: esc, e, then f6 on Nodes. Apply.\n"
    "3  Come back here, and arm a node with it.",
)


class BootPage(Page):
    TITLE = "Boot"
    QUESTION = "Who boots an image over the network, and how far it has come. Live."
    HELP = (
        "A node that is armed boots its image at its next boot over the network; all others get an address and go on "
        "to their disk. With 'once' a node is disarmed when its installer has reported. Set the nodes to boot over the "
        "network first, in their firmware.\n\n"
        "stages, a sign each: offered an address, loader, script, kernel, initrd, seed, reported, answers on its ssh "
        "port. ● it came to it, ○ it is still to come, · passed over, ! stuck there: below the table is what usually "
        "is wrong. An image in brackets is the plan's for a node that is not armed.\n\n"
        "Enter arms the marked nodes, or the one under the cursor, and asks before a disk may be overwritten. d "
        "disarms them; a transfer under way ends at once. w sends magic packets (Wake-on-LAN) out of the cluster "
        "NIC.\n\n"
        "On the command line: ciao-wizard boot --help, ciao-wizard image --help."
    )
    AUTO_FOCUS: ClassVar[str | None] = "#boots"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "arm", "arm"),
        Binding("d", "disarm", "disarm"),
        Binding("w", "wake", "wake"),
        Binding("space", "mark", "mark", show=False),
        Binding("escape", "back", "dashboard"),
    ]

    # Its parts draw themselves, and only what differs from the last look.
    board: reactive[BootBoard | None] = reactive(None, repaint=False)
    failure: reactive[str] = reactive("")
    """Why it cannot be looked at now, "" if it can. The page then shows what was seen last."""

    held_back: reactive[str] = reactive("")
    """Why the guard blocks DHCP now, "" if it does not."""

    old: reactive[bool] = reactive(False)
    """True if the next look is so late that what is shown may be stale."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self.marked: dict[str, None] = {}
        """The names of marked nodes, in the order in which they were marked."""
        self._shows: bool | None = None
        """Whether there are rows; None before the first look."""
        self._as_of: datetime | None = None
        self._received_at = 0.0

    def body(self) -> Iterable[Widget]:
        yield Spinner("Reading how far the nodes have come…", id="working")
        yield PlainText(id="empty")
        yield VirtualRowTable[Boot](columns(0), self._cells, id="boots")
        yield PlainText(id="node")

    def on_mount(self) -> None:
        panel = self.query_one("#node")
        panel.border_title, panel.border_subtitle = "this node", "space mark"
        self.set_interval(TICK_S, self.tick)

    @property
    def table(self) -> VirtualRowTable[Boot]:
        return self.query_one("#boots", VirtualRowTable)

    @property
    def boot(self) -> Boot | None:
        """The row with the cursor."""
        return self.table.current

    # Drawing

    def take(self, board: BootBoard, held_back: str) -> None:
        """What was just seen."""
        self._as_of, self._received_at, self.old = self._now(), time.monotonic(), False
        self.failure, self.held_back = "", held_back
        there = {boot.node for boot in board.nodes}
        self.marked = {name: None for name in self.marked if name in there}
        self.board = board

    def watch_board(self) -> None:
        self.redraw()

    def watch_old(self) -> None:
        self.redraw()

    def watch_failure(self) -> None:
        self.redraw()

    def watch_held_back(self) -> None:
        self.redraw()

    def head_right(self) -> Text:
        nodes = self.board.nodes if self.board is not None else ()
        counts = {
            "armed": sum(bool(boot.times) for boot in nodes),
            "stuck": sum(bool(boot.hint) for boot in nodes),
            "marked": len(self.marked),
        }
        return Text(" · ".join(f"{count} {word}" for word, count in counts.items() if count))

    def draw(self) -> None:
        board = self.board
        why = self._why_empty()
        self.query_one("#working").display = board is None and not why
        empty = self.query_one("#empty", PlainText)
        empty.display = bool(why)
        empty.update(why)
        shows = not why if board is not None or why else None
        for part in ("#boots", "#node"):
            self.query_one(part).display = bool(shows)
        self.set_prompt("" if why else self._question())
        if shows != self._shows:
            # Each time the footer is blank for a moment.
            self._shows = shows
            self.refresh_bindings()
        if board is None or not shows:
            return
        table, here = self.table, self.boot
        table.set_columns(columns(self.size.width))
        place = next((n for n, boot in enumerate(board.nodes) if here is not None and boot.node == here.node), None)
        table.show(board.nodes, place)
        self._draw_node()

    def _why_empty(self) -> Text:
        """Why there are no rows to show, and what to do; nothing where there are, or are to come."""
        if self.board is None:
            return plain_lines(f"✗ {self.failure}") if self.failure else Text()
        if not self.board.images and not any(boot.begun for boot in self.board.nodes):
            what, todo = NO_IMAGES
            return Text.assemble((what, "bold"), "\n\n", todo)
        return Text()

    def _question(self) -> str:
        if self.failure and self._as_of is not None:
            return f"! As of {clock(self._as_of)}; cannot refresh: {plain(self.failure, limit=_LONGEST_WHY)}"
        if self.old and self._as_of is not None:
            return f"! As of {clock(self._as_of)}; still refreshing. The data below may be stale."
        if self.held_back:
            return f"! {plain(self.held_back, limit=_LONGEST_WHY)}"
        if self.board is not None and self.board.problem:
            return f"! {plain(self.board.problem, limit=_LONGEST_WHY)}"
        return self.QUESTION

    def _draw_node(self) -> None:
        boot = self.boot if self.board is not None else None
        in_columns = 3 if self.size.width >= WIDE else 2
        said = details(boot, self._now(), in_columns) if boot is not None else Text("The plan has no nodes.")
        self.query_one("#node", PlainText).update(said)

    def _cells(self, boot: Boot) -> Sequence[Text]:
        # Not by the page's width: in the middle of a resize the table has its old columns still.
        wide = len(self.table.columns) > len(columns(0))
        return cells(boot, self._now(), wide, boot.node in self.marked)

    def tick(self) -> None:
        """Count up the durations, and notice stale data."""
        self.old = self.board is not None and is_old(self._received_at)
        if self.drawable:
            self.table.refresh()
            self._draw_node()

    @on(VirtualRowTable.RowHighlighted)
    def _follow_cursor(self, message: VirtualRowTable.RowHighlighted) -> None:
        message.stop()
        if message.by_hand:
            # What was said was said of another node.
            self.set_status("")
        self._draw_node()

    # Doing something

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("arm", "disarm", "wake", "mark") and not self._shows:
            # Before the first look they are to come.
            return None if self._shows is None else False
        return super().check_action(action, parameters)

    def forget_marks(self) -> None:
        """What they were for is done."""
        self.marked = {}
        self.redraw()

    @property
    def _chosen(self) -> tuple[str, ...]:
        """The marked nodes, else the one with the cursor."""
        if self.marked:
            return tuple(self.marked)
        return (self.boot.node,) if self.boot is not None else ()

    def action_mark(self) -> None:
        boot = self.boot
        if boot is None:
            return
        if boot.node in self.marked:
            del self.marked[boot.node]
        else:
            self.marked[boot.node] = None
        self.table.move_to(self.table.cursor_row + 1)
        self.redraw()

    def action_arm(self) -> None:
        if self.board is None or not self._chosen:
            return
        if not self.board.images:
            self.set_status("The plan in force has no images any more: add [[images]] to it and apply it.", "warning")
            return
        self.post_message(messages.ArmDialogRequested(self._chosen))

    def action_disarm(self) -> None:
        armed = {boot.node for boot in self.board.nodes if boot.times} if self.board is not None else set()
        names = tuple(name for name in self._chosen if name in armed)
        if names:
            self.post_message(messages.DisarmRequested(names))
        else:
            self.set_status("Not armed: there is nothing to disarm.", "warning")

    def action_wake(self) -> None:
        if self._chosen:
            self.post_message(messages.WakeRequested(self._chosen))
