"""Which NIC leads where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import DataTable

from wizard.plan.draft import Draft
from wizard.plan.findings import Finding
from wizard.plan.machine import Facts, Nic, Suggestion
from wizard.plan.rules_nics import CABLE_KINDS, kind_words
from wizard.plan.suggest import suggest
from wizard.widgets.page import BACK, NEXT, SHOWN_LOOK_AGAIN, StepPage, plain
from wizard.widgets.table import KeyedTable
from wizard.widgets.words import Words
from wizard.widgets.working import Working

if TYPE_CHECKING:
    from wizard.services import WiresSaid

COLUMNS = (("NIC", 15), ("role", 9), ("link", 13), ("address", 18), ("what is known", 13))
_ASKING = "Asking both wires whether a DHCP server answers…"
_WAITING = "Going on as soon as both wires have answered; ctrl+n again goes on at once."
_HERE = {
    "Choose one on the Interfaces screen.": "Choose one above.",
    "exchange them.": "exchange them (F4).",
}
_LEADS_TO = {"corporate": "the company network", "cluster": "the cluster switch"}


class InterfacesPage(StepPage):
    TITLE = "Interfaces"
    STEP = "interfaces"
    FIELDS = "interfaces"
    QUESTION = "Which NIC leads to the company network, and which to the cluster switch?"
    HELP = (
        "This machine becomes the gateway between two networks. One NIC leads to the company network and keeps "
        "the address it has. The other leads to the switch of your cluster; there, and only there, this machine "
        "will hand out addresses.\n\n"
        "Go to a NIC and press enter: its role goes from none to CORPORATE to CLUSTER. Each role is held by one "
        "NIC: where another has it, the two change places. Below the table stands all that is known of the NIC, "
        "and which role suits it and why."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "choose role"),
        Binding("f4", "swap", "swap"),
        SHOWN_LOOK_AGAIN,
        NEXT,
        BACK,
    ]

    @dataclass
    class Chosen(Message):
        """The roles have changed."""

        corporate: str
        cluster: str

    wires: reactive[WiresSaid | None] = reactive(None)
    asking: reactive[bool] = reactive(False)
    pending: bool = False
    """Whether an answer of the wires is still to come. `asking` follows, where that takes a while."""
    _waiting: bool = False
    _told_all: tuple[object, ...] = ()

    def body(self) -> Iterable[Widget]:
        yield KeyedTable(COLUMNS, id="nics")
        yield Words(id="nic")
        yield Working(_ASKING, id="asking")
        yield Words(id="wires")

    def watch_asking(self) -> None:
        self.redraw()

    def watch_wires(self) -> None:
        self.redraw()

    def draw(self) -> None:
        super().draw()
        table = self.query_one("#nics", KeyedTable)
        facts = self.facts or Facts()
        table.sync([(nic.name, self._cells(nic)) for nic in sorted(facts.nics, key=self._order)])
        self.draw_nic()
        self.draw_wires()

    def findings(self) -> tuple[Finding, ...]:
        """In the words of this very page."""
        return tuple(replace(finding, remedy=_here(finding.remedy)) for finding in super().findings())

    def draw_nic(self) -> None:
        facts = self.facts or Facts()
        current = self.query_one("#nics", KeyedTable).current
        nic = facts.nic(current) if current else None
        panel = self.query_one("#nic", Words)
        panel.display = nic is not None
        if nic is not None:
            panel.border_title = plain(nic.name, limit=40)
            suggestion = next((s for s in suggest(facts) if s.nic == nic.name), None)
            panel.update(_about(nic, suggestion))

    def draw_wires(self) -> None:
        turning = self.query_one("#asking", Working)
        turning.display = self.asking or self._waiting
        turning.say(_WAITING if self._waiting else _ASKING)
        panel = self.query_one("#wires", Words)
        panel.display = self.wires is not None and not self.asking
        if self.wires is not None:
            sign = "✓ " if self.wires.fine else "! "
            panel.border_title = Text(sign).append_text(plain(self.wires.title))
            said = [*self.wires.text.splitlines(), self.wires.remedy]
            panel.update(Text("\n").join(plain(line, limit=600) for line in said if line))

    def hear(self, said: WiresSaid | None) -> None:
        """What the wires have answered. Goes on where that was all that was waited for."""
        waiting, self._waiting, self.pending = self._waiting, False, False
        self.wires = said
        self.redraw()
        if not waiting:
            return
        if self._objections() != self._told_all:
            # Nobody who pressed ctrl+n before can have meant this.
            self.tell("See what the wires say before you go on.", "warning")
        else:
            self.post_message(self.Next(self.STEP, self.draft))

    def _objections(self) -> tuple[object, ...]:
        wires = self.wires
        return (*self.errors(), *([wires] if wires is not None and not wires.fine else []))

    def leave(self) -> None:
        """Waits for the wires once, and says once what they object to."""
        if self.pending and not self._waiting:
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
        possible = _roles(nic)
        if not possible:
            self.tell(f"{nic.name} is {kind_words(nic)}: no cable can be in it, so it has no role.", "error")
            return
        turn = ["", *possible]
        old = self._role(nic)
        role = turn[(turn.index(old) + 1) % len(turn)] if old in turn else ""
        held = {"corporate": self.draft.corporate, "cluster": self.draft.cluster}
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

    def _cells(self, nic: Nic) -> tuple[Text, ...]:
        role = self._role(nic)
        addresses = [str(address.network) for address in nic.addresses if address.network.version == 4]
        more = f" +{len(addresses) - 1}" if len(addresses) > 1 else ""
        return (
            plain(nic.name, limit=COLUMNS[0][1]),
            Text(role.upper() or "–", "bold" if role else ""),
            Text(_link(nic)),
            Text(addresses[0] + more if addresses else "–"),
            Text(_known(nic)),
        )


def _here(remedy: str) -> str:
    for said, here in _HERE.items():
        remedy = remedy.replace(said, here)
    return remedy


def _roles(nic: Nic) -> list[str]:
    """The roles that a NIC can have at all."""
    if nic.kind in ("loopback", "tunnel") or (nic.kind == "bridge" and not nic.default_route):
        return []
    return ["corporate", "cluster"] if nic.kind in CABLE_KINDS else ["corporate"]


def _link(nic: Nic) -> str:
    if not nic.up:
        return "○ down"
    if nic.carrier is False:
        return "○ no cable"
    speed = nic.speed_mbps
    if not speed:
        return "● up"
    return f"● {speed // 1000} Gb/s" if speed >= 1000 and speed % 1000 == 0 else f"● {speed} Mb/s"


def _known(nic: Nic) -> str:
    """The most telling thing about a NIC, in few words."""
    if nic.carries_ssh:
        return "your SSH"
    if nic.default_route:
        return "default route"
    if nic.master:
        return "enslaved"
    if nic.kind not in ("ethernet", "veth"):
        return nic.kind
    return "DHCP client" if nic.dhcp_client else ""


def _about(nic: Nic, suggestion: Suggestion | None) -> Text:
    parts = [nic.vendor, nic.driver, nic.permanent_mac or nic.mac, nic.kind]
    text = Text(" · ".join(clean for part in parts if (clean := plain(part, limit=60).plain)))
    if suggestion is not None:
        suits = f"Suits {_LEADS_TO[suggestion.role]}" if suggestion.role else "Suits neither"
        reasons = "; ".join(plain(reason, limit=160).plain for reason in suggestion.reasons)
        text.append(f"\n{suits}: {reasons}." if reasons else f"\n{suits}.")
    return text
