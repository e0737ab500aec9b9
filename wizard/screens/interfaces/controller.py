"""Probes both networks and watches the NICs while the interfaces page is shown."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual.timer import Timer

from wizard.plan.findings import WizardError
from wizard.screens.controller import StepController, handles
from wizard.screens.interfaces import messages
from wizard.screens.interfaces.screen import InterfacesPage, nics_now

if TYPE_CHECKING:
    from wizard.host.facts.nic_watch import NicEvent
    from wizard.plan.machine import Facts
    from wizard.screens.shell import Shell
    from wizard.services.protocols import CablingReport, NicActivity

# Where we may not ask the networks the answer is there at once.
SIGN_AFTER_S = 0.3
# A NIC that was plugged in gets its name, its driver's word and its link one after the other.
SETTLE_S = 0.4


class InterfacesController(StepController):
    def __init__(self, shell: Shell) -> None:
        super().__init__(shell)
        self._probe_stop = threading.Event()
        self._probe_timer: Timer | None = None
        self._nics_stop = threading.Event()
        self._nics_timer: Timer | None = None
        self._stirred: set[str] = set()

    @property
    def page(self) -> InterfacesPage | None:
        page = self.shell.page
        return page if isinstance(page, InterfacesPage) else None

    def open_at(self, field: str) -> InterfacesPage:
        return InterfacesPage(self.shell.drafts.draft, field)

    def shown(self) -> None:
        """Probe the networks, and watch the NICs until the page is left."""
        draft = self.shell.drafts.draft
        self._probe(*nics_now(draft, self.shell.state.facts))
        self._nics_stop.set()
        stop = self._nics_stop = threading.Event()
        watch = partial(self.shell.services.watch_nics, stop)
        self.shell.calls.stream("nics", watch, partial(self._take_activity, stop))

    def left(self) -> None:
        """Stop probing and watching."""
        self._probe_stop.set()
        self._nics_stop.set()

    def facts_read(self) -> None:
        if self.page is not None:
            self._probe(*nics_now(self.page.draft, self.shell.state.facts))

    # The networks

    @handles(messages.RolesChosen)
    def probe_chosen(self, message: messages.RolesChosen) -> None:
        self._probe(message.corporate, message.cluster)

    def _probe(self, corporate: str, cluster: str) -> None:
        """Probe both networks in the background, unless our gateway runs on one of them."""
        self._probe_stop.set()
        status = self.shell.state.status
        if not corporate or not cluster or status is None or status.state != "absent":
            self._take_report(None)
            return
        if self.page is not None:
            self.page.await_report()
        stop = self._probe_stop = threading.Event()
        if self._probe_timer is not None:
            self._probe_timer.stop()
        self._probe_timer = self.shell.after(SIGN_AFTER_S, self._show_asking)
        probe = partial(self.shell.services.probe_cabling, corporate, cluster, stop)
        self.shell.calls.call("wires", probe, self._take_report, self._not_probed)

    def _show_asking(self) -> None:
        if self.page is not None:
            self.page.asking = True

    def _take_report(self, report: CablingReport | None) -> None:
        if self._probe_timer is not None:
            self._probe_timer.stop()
        if self.page is not None:
            self.page.asking = False
            self.page.take_report(report)

    def _not_probed(self, error: WizardError) -> None:
        from wizard.services.protocols import CablingReport

        self._take_report(CablingReport(False, "The networks could not be probed", error.message, error.remedy))

    # The NICs

    def _take_activity(self, watch: threading.Event, activity: NicActivity) -> None:
        page, state = self.page, self.shell.state
        if watch.is_set() or page is None:
            return
        news = activity.news
        if state.facts is not None and news:
            self.shell.state = replace(state, facts=with_news(state.facts, news))
        page.take_activity(activity)
        if not news:
            return
        self._stirred |= {name for each in news for name in (each.name, each.was) if name}
        if self._stirred & {*nics_now(page.draft, self.shell.state.facts)}:
            # What they said, they said of another cable.
            self._probe_stop.set()
            page.wires = None
        if self._nics_timer is not None:
            self._nics_timer.stop()
        self._nics_timer = self.shell.after(SETTLE_S, self._read_nics)

    def _read_nics(self) -> None:
        self.shell.calls.call("nics-facts", self.shell.services.facts, self._nics_read)

    def _nics_read(self, facts: Facts) -> None:
        self.shell.state = replace(self.shell.state, facts=facts)
        stirred, self._stirred = self._stirred, set()
        page = self.page
        if page is not None and stirred & {*nics_now(page.draft, self.shell.state.facts)}:
            self._probe(*nics_now(page.draft, self.shell.state.facts))


def with_news(facts: Facts, news: Iterable[NicEvent]) -> Facts:
    """The facts with the changes that the events name; the rest is read a moment later."""
    carrier = {"pulled": False, "plugged": True, "moved": True}
    nics = {nic.name: nic for nic in facts.nics}
    for each in news:
        nic = nics.get(each.name)
        if nic is not None and each.what == "went":
            del nics[each.name]
        elif nic is not None and each.what in carrier:
            nics[each.name] = replace(nic, carrier=carrier[each.what])
    return replace(facts, nics=tuple(nics.values()))
