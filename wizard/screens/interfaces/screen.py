"""The interfaces page: which NIC leads to which network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import DataTable

from wizard.plan.draft.model import Draft
from wizard.plan.draft.suggest import suggest
from wizard.plan.findings import Finding
from wizard.plan.machine import Facts
from wizard.plan.model import AUTO
from wizard.plan.rules.nics import CABLE_KINDS, kind_label
from wizard.plan.uplinks import default_uplinks
from wizard.screens import nic_words
from wizard.screens.interfaces import messages
from wizard.screens.interfaces.dialogs import StopDialog
from wizard.screens.interfaces.wiring import wiring
from wizard.screens.nic_words import NARROW, WIDE, NicNotes
from wizard.widgets.page import BACK, LOOK_AGAIN, MOST_FINDINGS, NEXT, ROOMY, StepPage, plain
from wizard.widgets.plain_text import PlainText
from wizard.widgets.spinner import Spinner
from wizard.widgets.table import KeyedTable

if TYPE_CHECKING:
    from wizard.host.facts.nic_watch import NicEvent
    from wizard.host.net.traffic import Rate
    from wizard.services.protocols import CablingReport, NicActivity

_NOT_SURE = "Not sure? f3, then pull a cable: its NIC is marked. f6: corporate = auto."
_IN_FORCE = "The networks are not probed here while the gateway is running; an apply probes them."
_UNASKED = "An apply probes both networks. If you start the wizard as root, it probes them here."
_ONE_NIC = "A gateway needs two NICs. Plug in a USB adapter: it appears here at once."
_LEAST_NICS = 2
_CABLE_MARKS = {"pulled": "◂ cable out", "plugged": "◂ cable in", "moved": "◂ out and in"}
# Rows of a terminal where the hint finds room beside all that the wires say.
_ROOM_FOR_HINTS = 28
_ROOM_FOR_DRAWING = 38
_LEAST_TABLE = 4
_ABOUT_PROBE, _ABOUT_ERRORS = "\0wires", "\0errors"


class InterfacesPage(StepPage):
    TITLE = "Interfaces"
    STEP = "interfaces"
    FIELDS = "interfaces"
    # Nothing but this page has their remedies.
    FEW_FINDINGS = MOST_FINDINGS
    QUESTION = "Which NIC leads to the company network, and which to the cluster switch?"
    HELP = (
        "One NIC leads to the company network and keeps its address. The other leads to the switch of your cluster: "
        "only there will this machine serve DHCP.\n\n"
        "space gives the selected NIC the free role, or the next one; if another NIC has that role, the two swap. "
        "enter changes nothing: it continues once both networks look right. f3, then pull a cable and plug it in "
        "again: the NIC that loses its link is selected. A new NIC appears as soon as it is plugged in.\n\n"
        "f6 makes the company's NIC 'auto': it follows the default route, at home and in the office, by cable, Wi-Fi "
        "or VPN. f6 again gives the role to the NIC of now.\n\n"
        "Once both are chosen, the wizard probes both networks for a DHCP server."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "change role"),
        Binding("f3", "identify", "identify"),
        Binding("f4", "swap", "swap"),
        Binding("f6", "follow", "auto", show=False),
        NEXT,
        Binding("enter", "confirm", "go on", show=False),
        BACK,
        LOOK_AGAIN,
    ]

    wires: reactive[CablingReport | None] = reactive(None)
    asking: reactive[bool] = reactive(False)
    identifying: reactive[bool] = reactive(False)
    pending: bool = False
    """True while a probe runs. `asking` follows if it takes a while."""
    may_ask: bool = True
    """True if the networks can be probed from here."""
    _waiting: bool = False
    _status_about: str = ""
    """What the status line speaks of: a NIC by its name, or one of the _OF below. Once that is past, so is the line."""
    _ignored_objections: tuple[object, ...] = ()
    _asked_at: float = 0.0
    _wide: bool = False
    _room: int = 0
    _newcomer: str = ""

    def __init__(self, draft: Draft, field: str = "") -> None:
        super().__init__(draft, field)
        self._marks: dict[str, str] = {}
        self._rates: Mapping[str, tuple[Rate, ...]] = {}

    def body(self) -> Iterable[Widget]:
        yield PlainText(id="wiring")
        yield KeyedTable(NARROW, id="nics")
        yield PlainText(id="nic")
        yield Spinner(nic_words.ASKING, id="asking")
        yield PlainText(id="wires")
        yield PlainText(id="hint")

    def set_status(self, message: str, severity: str = "information", about: str = "") -> None:
        super().set_status(message, severity)
        self._status_about = about

    def _clear_status_about(self, *about: str) -> None:
        """What the status line says of these is no longer true."""
        if self._status_about in about:
            self.set_status("")

    def watch_asking(self) -> None:
        self._asked_at = monotonic()
        self._clear_status_about(_ABOUT_PROBE)
        self.redraw()

    def watch_wires(self) -> None:
        self._clear_status_about(_ABOUT_PROBE)
        self.redraw()

    def watch_identifying(self) -> None:
        self.redraw()

    def draw(self) -> None:
        super().draw()
        if not self.errors():
            self._clear_status_about(_ABOUT_ERRORS)
        self._draw_table()
        self.draw_nic()
        self.draw_wires()
        self._draw_hint()
        self.call_after_refresh(self._fit)

    def _draw_hint(self) -> None:
        hint, wires = self.query_one("#hint", PlainText), self.wires
        sockets = sum(nic.kind in CABLE_KINDS for nic in (self.facts or Facts()).nics)
        if sockets < _LEAST_NICS and not all(self._chosen()):
            hint.update(_ONE_NIC)
            hint.display = not self._is_waiting()
            return
        if wires is not None and self._crowded():
            hint.update(nic_words.titled(wires))
        elif self.draft.follows_default_route:
            hint.update(nic_words.follows(self._nics()[0]))
        else:
            unasked = _IN_FORCE if self.facts is not None and self.facts.applied_cluster else _UNASKED
            hint.update(_NOT_SURE if self.may_ask or wires is not None else unasked)
        roomy = self.size.height >= _ROOM_FOR_HINTS or wires is None or self._crowded()
        hint.display = roomy and not self._is_waiting() and (wires is not None or not self.errors())
        if self.draft.follows_default_route and self.line_text == nic_words.follows(self._nics()[0]):
            # The status line says it.
            hint.display = False

    def _crowded(self) -> bool:
        """True if the findings leave no room for the report."""
        return self.size.height < ROOMY and bool(self.findings())

    def _fit(self) -> None:
        """Give the table the rows that the other widgets leave."""
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
        wide = self.size.width >= nic_words.WIDE_FROM
        if wide != self._wide:
            self._wide, here = wide, table.current
            table.clear(columns=True)
            for number, (heading, width) in enumerate(WIDE if wide else NARROW):
                table.add_column(Text(heading), width=width, key=str(number))
        else:
            here = None
        facts, known = self.facts or Facts(), self._known()
        nics = sorted(facts.nics, key=nic_words.table_order)
        self.query_one("#wiring").display = wide and self.size.height >= _ROOM_FOR_DRAWING
        corporate, cluster = map(facts.nic, self._nics())
        self.query_one("#wiring", PlainText).update(wiring(corporate, cluster, known.answers))
        table.sync([(nic.name, nic_words.cells(nic, known, wide)) for nic in nics])
        if here is not None:
            table.point_at(here)

    def _known(self) -> NicNotes:
        roles = dict(zip(self._nics(), ("corporate", "cluster"), strict=True))
        answers = dict(self.wires.answers) if self.wires is not None else {}
        if self.asking:
            answers = dict.fromkeys(roles, "asking…")
        return NicNotes(roles, answers, self._marks, self._rates, self.draft.follows_default_route)

    def _is_waiting(self) -> bool:
        return self.asking or self._waiting or self.identifying

    def findings(self) -> tuple[Finding, ...]:
        """The findings, with remedies in this page's words."""
        fine = self.wires is not None and self.wires.fine
        return tuple(replace(each, remedy=nic_words.said_here(each.remedy, fine)) for each in super().findings())

    def draw_nic(self) -> None:
        facts = self.facts or Facts()
        current = self.query_one("#nics", KeyedTable).current
        nic = facts.nic(current) if current else None
        panel = self.query_one("#nic", PlainText)
        panel.display = nic is not None and not (self.size.height < ROOMY and bool(self.errors()))
        if nic is not None:
            panel.border_title = plain(nic.name, limit=40)
            suggestion = next((s for s in suggest(facts) if s.nic == nic.name), None)
            panel.update(nic_words.about(nic, suggestion, self._rates.get(nic.name, ())))

    def draw_wires(self) -> None:
        spinner = self.query_one("#asking", Spinner)
        spinner.display = self._is_waiting()
        spinner.set_text(nic_words.patience(self.identifying, self._waiting, int(monotonic() - self._asked_at)))
        panel = self.query_one("#wires", PlainText)
        wires = self.wires
        panel.display = wires is not None and not self.asking and not self._crowded()
        self.set_class(wires is not None and wires.stop, "-halt")
        if wires is not None:
            panel.border_title = nic_words.titled(wires)
            said = [*wires.text.splitlines(), wires.remedy]
            panel.update(Text("\n").join(plain(line, limit=600) for line in said if line))

    def await_report(self) -> None:
        """A probe has started."""
        self.pending = True

    def take_report(self, said: CablingReport | None) -> None:
        """Take the probe's report. A person who waited continues by a key: an automatic step could misdirect it."""
        waiting, self._waiting, self.pending = self._waiting, False, False
        self.may_ask = said is not None
        self.wires = said
        self.redraw()
        if isinstance(self.app.screen, StopDialog):
            # What it says is no longer true, or is said anew.
            self.app.screen.dismiss("")
        if said is not None and said.stop and not self.identifying:
            # Where cables are being pulled it is no time for a dialog; what is said stands below the table.
            self._show_stop(said)
            return
        if not waiting:
            return
        if said is None:
            # They are asked from elsewhere: that is known at once.
            self.post_message(self.StepDone(self.STEP, self.draft))
        elif self._objections() != self._ignored_objections:
            # Nobody who pressed ctrl+n before can have meant this.
            self.set_status("See what the probe found before you continue.", "warning", _ABOUT_PROBE)
        else:
            self.set_status("Both networks are probed: ctrl+n continues.", about=_ABOUT_PROBE)

    def _show_stop(self, said: CablingReport) -> None:
        corporate = (self.facts or Facts()).nic(self._nics()[0])
        routed = corporate.name if corporate is not None and corporate.default_route else ""
        self.app.push_screen(StopDialog(said, routed), self._stop_answered)

    def _stop_answered(self, answer: str | None) -> None:
        if answer == "swap":
            self.action_swap()
        elif answer == "again":
            self.action_look_again()

    def take_activity(self, activity: NicActivity) -> None:
        """Take NIC events and traffic."""
        self._rates = activity.rates
        for news in activity.news:
            self._take_nic_event(news)
        self.redraw()

    def _take_nic_event(self, news: NicEvent) -> None:
        name = news.name
        if news.what == "came" or (news.what == "renamed" and news.was == self._newcomer):
            self._newcomer = name
            self.set_status(f"{name} was plugged in.")
        elif news.what == "went":
            self._marks.pop(name, None)
            lost = " It had a role: choose another NIC, or plug it in again." if name in self._nics() else ""
            self.set_status(f"{name} was unplugged.{lost}", "warning")
        elif news.of_cable:
            self._mark_nic(name, str(news.what))

    def _mark_nic(self, name: str, what: str) -> None:
        if not self.identifying:
            return
        self._marks = {name: _CABLE_MARKS[what]}
        self.query_one("#nics", KeyedTable).point_at(name)
        if what == "pulled":
            self.set_status(f"{name} lost its link: its cable is out. Plug it in again.")
        else:
            self.identifying = False
            role = dict(zip(self._nics(), ("CORPORATE", "CLUSTER"), strict=True)).get(name)
            then = f"It is {role}: space changes that" if role else "space gives it a role"
            self.set_status(f"{name} is the one. {then}, f3 tries another.", about=name)

    def facts_changed(self) -> None:
        super().facts_changed()
        facts = self.facts
        if self._newcomer and self._ready and facts is not None and facts.nic(self._newcomer) is not None:
            self.query_one("#nics", KeyedTable).point_at(self._newcomer)
            self.set_status(f"{self._newcomer} was plugged in. space gives it a role.", about=self._newcomer)
            self._newcomer = ""

    def action_identify(self) -> None:
        """Start or stop waiting for a pulled cable, to find its NIC."""
        self.identifying = not self.identifying
        self._marks = {}
        blind = [n.name for n in (self.facts or Facts()).nics if n.kind in CABLE_KINDS and not n.up and n.usable_name]
        if self.identifying and blind:
            up = f"sudo ip link set {blind[0]} up"
            self.set_status(f"Down, so it cannot show a cable: {', '.join(blind)}. `{up}` brings it up.", "warning")
        else:
            self.set_status("")
        self.redraw()

    def action_back(self) -> None:
        if self.identifying:
            self.action_identify()
        else:
            super().action_back()

    def _chosen(self) -> tuple[str, str]:
        return self.draft.corporate, self.draft.cluster

    def _nics(self) -> tuple[str, str]:
        """The NICs that have the roles now; "" for none."""
        return nics_now(self.draft, self.facts)

    def _objections(self) -> tuple[object, ...]:
        wires = self.wires
        return (*self.errors(), *([wires] if wires is not None and not wires.fine else []))

    def action_next(self) -> None:
        super().action_next()
        if self._line and not self._status_about and self.errors():
            self._status_about = _ABOUT_ERRORS

    def leave(self) -> None:
        """Wait once for the probe, and show its objections once."""
        if not self.pending and self.wires is not None and self.wires.stop:
            # Whoever goes on all the same is the accident that this page is for.
            self._show_stop(self.wires)
        elif self.pending and not self._waiting:
            self._waiting = True
            self._ignored_objections = self._objections()
            self.redraw()
        elif not self.pending and self._objections() not in (self.errors(), self._ignored_objections):
            self._ignored_objections = self._objections()
            self.set_status("See what the probe found. Press ctrl+n again to ignore this.", "warning", _ABOUT_PROBE)
        else:
            super().leave()

    @on(DataTable.RowHighlighted)
    def _show_nic(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        current = self.query_one("#nics", KeyedTable).current
        if self._status_about and self._status_about not in (current, _ABOUT_PROBE, _ABOUT_ERRORS):
            # It spoke of the NIC that had the cursor.
            self._clear_status_about(self._status_about)
        self.draw_nic()

    @on(DataTable.RowSelected)
    def _confirm_on_enter(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_confirm()

    def action_confirm(self) -> None:
        """Continue with the current roles. Unlike ctrl+n it never ignores a problem."""
        if self.unseen or self._waiting:
            return
        if not all(self._chosen()):
            self.set_status("Assign both roles first: space changes the role of the selected NIC.", "warning")
        elif self.wires is not None and self.wires.stop:
            self._show_stop(self.wires)
        elif self._objections():
            self.set_status(
                "Fix the marked problems first. space changes a role; ctrl+n ignores this.", "warning", _ABOUT_ERRORS
            )
        else:
            self.action_next()

    def action_choose(self) -> None:
        """Give the selected NIC its next role."""
        current = self.query_one("#nics", KeyedTable).current
        nic = (self.facts or Facts()).nic(current) if current else None
        if nic is None or self.unseen:
            return
        if not nic.usable_name:
            self.set_status("Tools could run this name as code. Rename the NIC first.", "error", nic.name)
            return
        possible = nic_words.roles_of(nic)
        if not possible:
            self.set_status(
                f"{nic.name} is {kind_label(nic)}: it has no cable, so it cannot have a role.", "error", nic.name
            )
            return
        corporate, cluster = nic_words.turned(nic, *self._chosen())
        self._take(replace(self.draft, corporate=corporate, cluster=cluster))
        if nic.name == corporate and "cluster" not in possible:
            said = f"{nic.name} is {kind_label(nic)}: it can be the company's NIC, not the cluster's."
            self.set_status(said, about=nic.name)

    def action_follow(self) -> None:
        """Have the corporate NIC follow the default route, or be the one that has it now."""
        if self.unseen:
            return
        now = self._nics()[0] if self.draft.follows_default_route else AUTO
        self._take(replace(self.draft, corporate=now))
        fixed = f"The company's NIC is {now or 'not chosen'}."
        self.set_status(nic_words.follows(self._nics()[0]) if now == AUTO else fixed)

    def action_swap(self) -> None:
        if self.draft.follows_default_route:
            self.set_status("The company's NIC follows the default route: there is nothing to swap. f6 ends that.")
            return
        self._take(replace(self.draft, corporate=self.draft.cluster, cluster=self.draft.corporate))

    def _take(self, draft: Draft) -> None:
        if nics_now(draft, self.facts) == self._nics():
            # The wires are the same two, and what was asked of them holds.
            self.edit(draft)
            return
        self.wires = None
        self._marks = {}
        self._waiting = False
        self._asked_at = monotonic()
        self.edit(draft)
        self.post_message(messages.RolesChosen(*nics_now(draft, self.facts)))


def nics_now(draft: Draft, facts: Facts | None) -> tuple[str, str]:
    """The names of the corporate and the cluster NIC of a draft as the machine is now; "" for none."""
    if not draft.follows_default_route:
        return draft.corporate, draft.cluster
    return next(iter(default_uplinks(draft.cluster, facts or Facts())), ""), draft.cluster
