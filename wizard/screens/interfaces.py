"""Which NIC leads where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import DataTable

from wizard.plan.draft import Draft
from wizard.plan.findings import Finding
from wizard.plan.machine import Facts, Nic
from wizard.plan.rules_nics import CABLE_KINDS, kind_words
from wizard.plan.suggest import suggest
from wizard.screens.nic_words import NARROW, WIDE, Known, about, cells, roles_of
from wizard.screens.stop import StopDialog
from wizard.widgets.page import BACK, LOOK_AGAIN, NEXT, ROOMY, StepPage, plain
from wizard.widgets.table import KeyedTable
from wizard.widgets.words import Words
from wizard.widgets.working import Working

if TYPE_CHECKING:
    from wizard.host.nic_watch import NicNews
    from wizard.host.traffic import Rate
    from wizard.services_setup import Pulse, WiresSaid

_ASKING = "Asking both wires whether a DHCP server answers…"
_WAITING = "Going on as soon as both wires have answered; ctrl+n again goes on at once."
_FEELING = "Pull a cable, then put it back: the NIC that notices is marked. esc ends."
_NOT_SURE = "Not sure? Press f3, then pull one cable: the NIC that notices is the one."
_UNASKED = "The wires themselves are asked when you apply. Started as root, the wizard asks them here."
_LONELY = "A gateway needs two cables. Plug a USB adapter in: it appears here by itself."
_SOCKETS = 2
_HERE = {
    "Choose one on the Interfaces screen.": "Choose one above.",
    "exchange them.": "exchange them (F4).",
}
_FELT = {"pulled": "◂ cable out", "plugged": "◂ cable in", "moved": "◂ out and in"}
# Rows of a terminal where the hint finds room beside all that the wires say.
_ROOM_FOR_HINTS = 28
_LEAST_TABLE = 4
# A wait that one begins to wonder about.
_LONG_S = 3
WIDE_FROM = 110


class InterfacesPage(StepPage):
    TITLE = "Interfaces"
    STEP = "interfaces"
    FIELDS = "interfaces"
    QUESTION = "Which NIC leads to the company network, and which to the cluster switch?"
    HELP = (
        "One NIC leads to the company network and keeps its address. The other leads to the switch of your cluster: "
        "there, and only there, this machine will hand out addresses.\n\n"
        "enter gives the NIC under the cursor the role that is free, or the next one; where another NIC has it, the "
        "two change places. f3, then a cable out and in again: the NIC that notices has the cursor. What is plugged "
        "in appears by itself.\n\n"
        "Once both are chosen, both wires are asked whether a DHCP server answers there."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "choose role"),
        Binding("f3", "identify", "identify"),
        Binding("f4", "swap", "swap"),
        NEXT,
        BACK,
        LOOK_AGAIN,
    ]
    CSS = """
    InterfacesPage #nics { overflow-x: hidden; scrollbar-size-vertical: 1; }
    InterfacesPage #nic, InterfacesPage #wires { margin: 0; }
    InterfacesPage.-tall #nic, InterfacesPage.-tall #wires { margin: 1 0 0 0; }
    InterfacesPage.-halt #wires { border: heavy $error; }
    InterfacesPage #asking, InterfacesPage #hint { height: 1; padding: 0 1; margin: 0; }
    InterfacesPage.-tall #asking, InterfacesPage.-tall #hint { margin-top: 1; }
    """

    @dataclass
    class Chosen(Message):
        """The roles have changed."""

        corporate: str
        cluster: str

    wires: reactive[WiresSaid | None] = reactive(None)
    asking: reactive[bool] = reactive(False)
    identifying: reactive[bool] = reactive(False)
    pending: bool = False
    """Whether an answer of the wires is still to come. `asking` follows, where that takes a while."""
    may_ask: bool = True
    """Whether the wires are asked at all, from here."""
    _waiting: bool = False
    _told_all: tuple[object, ...] = ()
    _asked_at: float = 0.0
    _wide: bool = False
    _room: int = 0
    _newcomer: str = ""

    def __init__(self, draft: Draft, facts: Facts | None, field: str = "") -> None:
        super().__init__(draft, facts, field)
        self._marks: dict[str, str] = {}
        self._rates: Mapping[str, tuple[Rate, ...]] = {}

    def body(self) -> Iterable[Widget]:
        yield KeyedTable(NARROW, id="nics")
        yield Words(id="nic")
        yield Working(_ASKING, id="asking")
        yield Words(id="wires")
        yield Words(id="hint")

    def watch_asking(self) -> None:
        self._asked_at = monotonic()
        self.redraw()

    def watch_wires(self) -> None:
        self.redraw()

    def watch_identifying(self) -> None:
        self.redraw()

    def draw(self) -> None:
        super().draw()
        self._draw_table()
        self.draw_nic()
        self.draw_wires()
        self._draw_hint()
        self.call_after_refresh(self._fit)

    def _draw_hint(self) -> None:
        hint, wires = self.query_one("#hint", Words), self.wires
        sockets = sum(nic.kind in CABLE_KINDS for nic in (self.facts or Facts()).nics)
        if sockets < _SOCKETS and not all(self._chosen()):
            hint.update(_LONELY)
            hint.display = not self._turning()
            return
        if wires is not None and self._crowded():
            hint.update(_titled(wires))
        else:
            hint.update(_NOT_SURE if self.may_ask or wires is not None else _UNASKED)
        roomy = self.size.height >= _ROOM_FOR_HINTS or wires is None or self._crowded()
        hint.display = roomy and not self._turning() and (wires is not None or not self.errors())

    def _crowded(self) -> bool:
        """Whether what is refused needs the room of all that is not."""
        return self.size.height < ROOMY and bool(self.findings())

    def _fit(self) -> None:
        """The table gets the rows that all the others leave."""
        if not self.is_attached:
            return
        body, table = self.query_one("#body"), self.query_one("#nics", KeyedTable)
        others = (widget for widget in body.children if widget is not table and widget.display)
        taken = sum(widget.outer_size.height + widget.styles.margin.height for widget in others)
        room = max(body.size.height - taken, _LEAST_TABLE)
        if room != self._room:
            self._room = room
            table.styles.max_height = room

    def _draw_table(self) -> None:
        table = self.query_one("#nics", KeyedTable)
        wide = self.size.width >= WIDE_FROM
        if wide != self._wide:
            self._wide, here = wide, table.current
            table.clear(columns=True)
            for number, (heading, width) in enumerate(WIDE if wide else NARROW):
                table.add_column(Text(heading), width=width, key=str(number))
        else:
            here = None
        nics = sorted((self.facts or Facts()).nics, key=self._order)
        known = self._known()
        table.sync([(nic.name, cells(nic, known, wide)) for nic in nics])
        if here is not None:
            table.point_at(here)

    def _known(self) -> Known:
        roles = {self.draft.corporate: "corporate", self.draft.cluster: "cluster"}
        answers = dict(self.wires.answers) if self.wires is not None else {}
        if self.asking:
            answers = dict.fromkeys(roles, "asking…")
        return Known(roles, answers, self._marks, self._rates)

    def _turning(self) -> bool:
        return self.asking or self._waiting or self.identifying

    def findings(self) -> tuple[Finding, ...]:
        """In the words of this very page."""
        return tuple(replace(finding, remedy=_here(finding.remedy)) for finding in super().findings())

    def draw_nic(self) -> None:
        facts = self.facts or Facts()
        current = self.query_one("#nics", KeyedTable).current
        nic = facts.nic(current) if current else None
        panel = self.query_one("#nic", Words)
        panel.display = nic is not None and not (self.size.height < ROOMY and bool(self.errors()))
        if nic is not None:
            panel.border_title = plain(nic.name, limit=40)
            suggestion = next((s for s in suggest(facts) if s.nic == nic.name), None)
            panel.update(about(nic, suggestion, self._rates.get(nic.name, ())))

    def draw_wires(self) -> None:
        turning = self.query_one("#asking", Working)
        turning.display = self._turning()
        gone = int(monotonic() - self._asked_at)
        asking = f"{_ASKING} {gone} s" if gone >= _LONG_S else _ASKING
        turning.say(_FEELING if self.identifying else _WAITING if self._waiting else asking)
        panel = self.query_one("#wires", Words)
        wires = self.wires
        panel.display = wires is not None and not self.asking and not self._crowded()
        self.set_class(wires is not None and wires.stop, "-halt")
        if wires is not None:
            panel.border_title = _titled(wires)
            said = [*wires.text.splitlines(), wires.remedy]
            panel.update(Text("\n").join(plain(line, limit=600) for line in said if line))

    def hear(self, said: WiresSaid | None) -> None:
        """What the wires have answered. Goes on where that was all that was waited for."""
        waiting, self._waiting, self.pending = self._waiting, False, False
        self.may_ask = said is not None
        self.wires = said
        self.redraw()
        if isinstance(self.app.screen, StopDialog):
            # What it says is no longer true, or is said anew.
            self.app.screen.dismiss("")
        if said is not None and said.stop:
            self._halt(said)
            return
        if not waiting:
            return
        if self._objections() != self._told_all:
            # Nobody who pressed ctrl+n before can have meant this.
            self.tell("See what the wires say before you go on.", "warning")
        else:
            self.post_message(self.Next(self.STEP, self.draft))

    def _halt(self, said: WiresSaid) -> None:
        self.app.push_screen(StopDialog(said), self._after_halt)

    def _after_halt(self, answer: str | None) -> None:
        if answer == "swap":
            self.action_swap()
        elif answer == "again":
            self.action_look_again()

    def feel(self, pulse: Pulse) -> None:
        """What has happened to the NICs, and what goes through them."""
        self._rates = pulse.rates
        for news in pulse.news:
            self._felt(news)
        self.redraw()

    def _felt(self, news: NicNews) -> None:
        name = news.name
        if news.what == "came" or (news.what == "renamed" and news.was == self._newcomer):
            self._newcomer = name
            self.tell(f"{name} was plugged in.")
        elif news.what == "went":
            self._marks.pop(name, None)
            lost = " It was chosen: choose another, or plug it in again." if name in self._chosen() else ""
            self.tell(f"{name} is gone: it was unplugged.{lost}", "warning")
        elif news.of_cable:
            self._notice(name, str(news.what))

    def _notice(self, name: str, what: str) -> None:
        if not self.identifying:
            return
        self._marks = {name: _FELT[what]}
        self.query_one("#nics", KeyedTable).point_at(name)
        if what == "pulled":
            self.tell(f"{name} noticed: its cable is out. Put it back.")
        else:
            self.identifying = False
            self.tell(f"{name} is the one. enter gives it its role, f3 tries another.")

    def watch_facts(self) -> None:
        super().watch_facts()
        facts = self.facts
        if self._newcomer and self._ready and facts is not None and facts.nic(self._newcomer) is not None:
            self.query_one("#nics", KeyedTable).point_at(self._newcomer)
            self.tell(f"{self._newcomer} was plugged in. enter gives it a role.")
            self._newcomer = ""

    def action_identify(self) -> None:
        """Have a person pull a cable, and see which NIC notices."""
        self.identifying = not self.identifying
        self._marks = {}
        blind = [n.name for n in (self.facts or Facts()).nics if n.kind in CABLE_KINDS and not n.up and n.usable_name]
        if self.identifying and blind:
            up = f"sudo ip link set {blind[0]} up"
            self.tell(f"Off, and so notices nothing: {', '.join(blind)}. `{up}` switches it on.", "warning")
        else:
            self.tell("")
        self.redraw()

    def action_back(self) -> None:
        if self.identifying:
            self.action_identify()
        else:
            super().action_back()

    def _chosen(self) -> tuple[str, str]:
        return self.draft.corporate, self.draft.cluster

    def _objections(self) -> tuple[object, ...]:
        wires = self.wires
        return (*self.errors(), *([wires] if wires is not None and not wires.fine else []))

    def leave(self) -> None:
        """Waits for the wires once, and says once what they object to."""
        if not self.pending and self.wires is not None and self.wires.stop:
            # Whoever goes on all the same is the accident that this page is for.
            self._halt(self.wires)
        elif self.pending and not self._waiting:
            self._waiting = True
            self._told_all = self._objections()
            self.redraw()
        elif not self.pending and self._objections() not in (self.errors(), self._told_all):
            self._told_all = self._objections()
            self.tell("See what the wires say. ctrl+n again goes on all the same.", "warning")
        else:
            super().leave()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self.draw_nic()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_choose()

    def action_choose(self) -> None:
        """Turn the role of the NIC under the cursor on by one."""
        facts = self.facts or Facts()
        current = self.query_one("#nics", KeyedTable).current
        nic = facts.nic(current) if current else None
        if nic is None:
            return
        if not nic.usable_name:
            self.notify("Tools would take this name for code. Rename the NIC first.", severity="error", markup=False)
            return
        possible = roles_of(nic)
        if not possible:
            self.tell(f"{nic.name} is {kind_words(nic)}: no cable can be in it, so it has no role.", "error")
            return
        turn = ["", *possible]
        old = self._role(nic)
        held = {"corporate": self.draft.corporate, "cluster": self.draft.cluster}
        free = [role for role in possible if not held[role]]
        role = turn[(turn.index(old) + 1) % len(turn)] if old in turn else ""
        if not old and free:
            # Nobody else has to give anything up.
            role = free[0]
        if old:
            # Where another NIC had the new role, the two change places.
            held[old] = held[role] if role else ""
        if role:
            held[role] = nic.name
        self._take(replace(self.draft, corporate=held["corporate"], cluster=held["cluster"]))
        if role == "corporate" and "cluster" not in possible:
            self.tell(f"{nic.name} is {kind_words(nic)}: it can lead to the company, not to the cluster's switch.")

    def action_swap(self) -> None:
        self._take(replace(self.draft, corporate=self.draft.cluster, cluster=self.draft.corporate))

    def _take(self, draft: Draft) -> None:
        self.wires = None
        self._marks = {}
        self._waiting = False
        self.edit(draft)
        self.post_message(self.Chosen(draft.corporate, draft.cluster))

    def _role(self, nic: Nic) -> str:
        if nic.name == self.draft.cluster:
            return "cluster"
        return "corporate" if nic.name == self.draft.corporate else ""

    def _order(self, nic: Nic) -> tuple[bool, bool, int]:
        """NICs that a cable can be in come first."""
        return nic.kind not in ("ethernet", "veth"), nic.kind == "loopback", nic.index


def _titled(wires: WiresSaid) -> Text:
    sign = "✓ " if wires.fine else "✗ " if wires.stop else "! "
    return Text(sign).append_text(plain(wires.title))


def _here(remedy: str) -> str:
    for said, here in _HERE.items():
        remedy = remedy.replace(said, here)
    return remedy
