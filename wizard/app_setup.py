"""The first pages of the set-up, as the app sees them: what they are told, and what is done for them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message
from textual.reactive import reactive
from textual.timer import Timer

from wizard import screens
from wizard.plan.findings import WizardError
from wizard.screens import messages
from wizard.widgets.page import Page
from wizard.widgets.speaking import SpeakingApp

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.nic_watch import NicNews
    from wizard.plan.machine import Facts
    from wizard.plan.model import Plan
    from wizard.plan.welcome import Greeting
    from wizard.services.protocols import CablingReport, NicActivity, Services
    from wizard.widgets.drafting import LeftOver

# Where we may not ask the wires the answer is there at once.
SIGN_AFTER_S = 0.3
# A NIC that was plugged in gets its name, its driver's word and its link one after the other.
SETTLE_S = 0.4


class SetupPages(SpeakingApp):
    """Welcome and Interfaces."""

    services: Services
    facts: reactive[Facts | None]
    status: reactive[Status | None]

    @dataclass
    class Pulsed(Message):
        """The NICs have been looked at, of one watch, which its event ends."""

        watch: threading.Event
        pulse: NicActivity

    def __init__(self, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._wires_stop = threading.Event()
        self._wires_timer: Timer | None = None
        self._nics_stop = threading.Event()
        self._nics_timer: Timer | None = None
        self._stirred: set[str] = set()
        self._left: LeftOver | None = None

    if TYPE_CHECKING:
        # The app's own.
        _given: Plan | None
        _source: str

        def _show(self, page: Page) -> None: ...
        def _go(self, name: str, field: str = "") -> None: ...
        def _begin(self) -> None: ...
        def know_status(self, status: Status) -> None: ...

    def leave_setup(self) -> None:
        """Nobody wants to know any more what the wires and the NICs say."""
        self._wires_stop.set()
        self._nics_stop.set()

    def on_unmount(self) -> None:
        # However it ends: a thread that goes on would keep the process from ending.
        self.leave_setup()

    # Welcome

    def welcome(self) -> None:
        """Say what was found; the page is the one that has been there while we were looking, or a new one."""
        self.save_draft_now()
        if not isinstance(self._page, screens.StartPage):
            self._show(screens.StartPage())
        if self.facts is not None:
            self.ask("welcome", partial(self._greeting, self.facts, self.status), self._welcomed, self._not_welcomed)

    def look_around(self) -> None:
        """Look at the machine once more, and say what was found. What was typed in this run stays."""
        if self.facts is None or self.draft == self.begun_with:
            self._begin()
            return
        self.save_draft_now()

        def look() -> tuple[Facts, Status]:
            return self.services.facts(), self.services.status()

        self.ask("begin", look, self._looked_around)

    def _looked_around(self, found: tuple[Facts, Status]) -> None:
        self.facts = found[0]
        self.know_status(found[1])
        if isinstance(self._page, screens.StartPage):
            self.welcome()

    def _greeting(self, facts: Facts, known: Status | None) -> tuple[Greeting, LeftOver | None]:
        from wizard.plan import welcome

        # Not known where the gateway was looked at last, and could not be.
        status = known or self.services.status()
        around = self.services.surroundings()
        tools = {*facts.missing_tools, *around.missing}
        found = list(welcome.earlier(status.state, status.healthy, status.drift, status.reason))
        plan, source = self._beginning(status)
        if plan is not None:
            found.append(welcome.begins_with(plan, source, self.draft != self.begun_with))
        left = self.left_over()
        if left is not None:
            found.append(welcome.Line("!", "Draft", left.said))
        greeting = welcome.Greeting(
            welcome.about(facts, around.root),
            (*welcome.missing(tools, around.installer, around.root), *welcome.in_the_way(facts)),
            tuple(found),
            status.state,
            left.said if left is not None else "",
            tuple(nic for nic in facts.nics if nic.kind != "loopback"),
        )
        return greeting, left

    def _beginning(self, status: Status) -> tuple[Plan | None, str]:
        """The plan that the pages begin with, and where it is from; None where they suggest."""
        # What is in force is taken up where it can be edited, and nothing has been typed that would go on.
        edits = status.state in ("applied", "tripped") and self.draft == self.begun_with
        in_force = self.services.plan_in_force() if edits else None
        if status.plan is None or in_force is None:
            return self.begun_from
        from wizard.plan import planfile

        try:
            return planfile.load(in_force, status.plan), status.plan
        except WizardError:
            # Said where it is to be changed.
            return None, ""

    def _welcomed(self, found: tuple[Greeting, LeftOver | None]) -> None:
        if isinstance(self._page, screens.StartPage):
            self._page.greeting, self._left = found
            self._page.trouble = None

    def _not_welcomed(self, error: WizardError) -> None:
        if isinstance(self._page, screens.StartPage):
            self._page.trouble = error

    @on(messages.WayChosen)
    def _take_way(self, message: messages.WayChosen) -> None:
        if message.way == "recover":
            self.when_privileged(self._recover)
            return
        left, self._left = self._left, None
        taken = left is not None and message.way != "afresh"
        if left is not None:
            # Goes to Interfaces by itself where it is taken.
            self._offered(left, taken)
        if not taken:
            self._go("interfaces")

    def _recover(self) -> None:
        self._now_busy("Taking back what was cut off…")
        self.ask("recover", self.services.rollback, lambda _: self._begin(), self._not_recovered)

    def _not_recovered(self, error: WizardError) -> None:
        self._now_busy("")
        self.complain(error)

    def _now_busy(self, what: str) -> None:
        if isinstance(self._page, screens.StartPage):
            self._page.busy = what

    # The wires

    def interfaces_shown(self) -> None:
        """The page of the NICs is there: ask the wires, and follow the NICs for as long as it is."""
        self._look_at_wires(self.draft.corporate, self.draft.cluster)
        self._nics_stop.set()
        stop = self._nics_stop = threading.Event()

        def tell(pulse: NicActivity) -> None:
            self.post_message(self.Pulsed(stop, pulse))

        self.ask("nics", partial(self.services.watch_nics, stop, tell), lambda _: None)

    @on(messages.RolesChosen)
    def _look_at_chosen_wires(self, message: messages.RolesChosen) -> None:
        self._look_at_wires(message.corporate, message.cluster)

    def _look_at_wires(self, corporate: str, cluster: str) -> None:
        """Ask both wires while nothing of ours serves on one of them. Nobody waits for it."""
        self._wires_stop.set()
        page = self._page if isinstance(self._page, screens.InterfacesPage) else None
        if not corporate or not cluster or self.status is None or self.status.state != "absent":
            self._wires_told(None)
            return
        if page is not None:
            page.pending = True
        stop = self._wires_stop = threading.Event()
        if self._wires_timer is not None:
            self._wires_timer.stop()
        self._wires_timer = self.set_timer(SIGN_AFTER_S, self._asking_wires)
        look = partial(self.services.probe_cabling, corporate, cluster, stop)
        self.ask("wires", look, self._wires_told, self._no_wires)

    def _asking_wires(self) -> None:
        if isinstance(self._page, screens.InterfacesPage):
            self._page.asking = True

    def _wires_told(self, said: CablingReport | None) -> None:
        if self._wires_timer is not None:
            self._wires_timer.stop()
        if isinstance(self._page, screens.InterfacesPage):
            self._page.asking = False
            self._page.hear(said)

    def _no_wires(self, error: WizardError) -> None:
        from wizard.services.protocols import CablingReport

        self._wires_told(CablingReport(False, "The wires could not be asked", error.message, error.remedy))

    # The NICs

    @on(Pulsed)
    def _follow_nics(self, message: Pulsed) -> None:
        page = self._page
        if message.watch.is_set() or not isinstance(page, screens.InterfacesPage):
            return
        news = message.pulse.news
        if self.facts is not None and news:
            self.facts = felt(self.facts, news)
        page.feel(message.pulse)
        if not news:
            return
        self._stirred |= {name for each in news for name in (each.name, each.was) if name}
        if self._stirred & {page.draft.corporate, page.draft.cluster}:
            # What they said, they said of another cable.
            self._wires_stop.set()
            page.wires = None
        if self._nics_timer is not None:
            self._nics_timer.stop()
        self._nics_timer = self.set_timer(SETTLE_S, self._read_nics)

    def _read_nics(self) -> None:
        self.ask("nics-facts", self.services.facts, self._nics_read)

    def _nics_read(self, facts: Facts) -> None:
        self.facts = facts
        stirred, self._stirred = self._stirred, set()
        page = self._page
        if isinstance(page, screens.InterfacesPage) and stirred & {page.draft.corporate, page.draft.cluster}:
            self._look_at_wires(page.draft.corporate, page.draft.cluster)


def felt(facts: Facts, news: Iterable[NicNews]) -> Facts:
    """The facts as far as the news alone change them; what else is new is read a moment later."""
    carrier = {"pulled": False, "plugged": True, "moved": True}
    nics = {nic.name: nic for nic in facts.nics}
    for each in news:
        nic = nics.get(each.name)
        if nic is not None and each.what == "went":
            del nics[each.name]
        elif nic is not None and each.what in carrier:
            nics[each.name] = replace(nic, carrier=carrier[each.what])
    return replace(facts, nics=tuple(nics.values()))
