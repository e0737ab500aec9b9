"""The pages of a gateway in force: what they are told, and what is done for them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from textual.reactive import reactive

from wizard import screens
from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.progress import Progress
from wizard.widgets.modal import Question
from wizard.widgets.page import Page
from wizard.widgets.speaking import SpeakingApp

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.traffic import Look, Traffic
    from wizard.monitor.events import Event
    from wizard.monitor.overview import Overview
    from wizard.services import Services
    from wizard.services_gateway import HandOver
    from wizard.services_watch import Watch

MOST_EVENTS = 200
# An overview that is older than this is shown no more: better to say for a moment that one looks.
STALE_S = 6.0


class GatewayPages(SpeakingApp):
    """`overview` is the last look at the gateway, `traffic` what goes over its NICs, `happened` is newest last."""

    status: reactive[Status | None] = reactive(None)
    overview: reactive[Overview | None] = reactive(None)
    traffic: reactive[Traffic | None] = reactive(None)
    happened: reactive[tuple[Event, ...]] = reactive(())
    hand_overs: reactive[tuple[HandOver, ...] | None] = reactive(None)

    _looking: bool = False
    _looked_at: float = 0.0
    _last: Overview | None = None
    _blind: str = ""
    _watch: Watch | None
    """The lease monitor, where one is open: what it knows already is shown here too."""
    _counting: bool = False

    def gateway_page(self, name: str) -> Page | None:
        """A page of ours by its name, or None where it is none of ours."""
        if name == "dashboard":
            if time.monotonic() - self._looked_at > STALE_S:
                self.overview = None
            self.look_at_gateway()
            return screens.DashboardPage()
        if name == "export":
            self.hand_overs = None
            self.ask("export", self.services.hand_overs, partial(setattr, self, "hand_overs"), self._no_hand_overs)
            return screens.ExportPage()
        if name == "reset":
            self.progress = Progress()
            self.look_at_gateway()
            return screens.ResetPage()
        return None

    # Looking

    def look_at_gateway(self) -> None:
        """Look once more, unless a look is under way: they must not pile up on a slow machine."""
        if self._looking:
            return
        self._looking = True
        look = partial(_look, self.services, self._watch, self._last)
        self.ask("overview", look, self._overlooked, self._not_overlooked)

    def _overlooked(self, found: tuple[Overview, tuple[Event, ...]]) -> None:
        self._looking = False
        if self._page is not None:
            self._page.untell(self._blind)
        overview, events = found
        if events:
            self.happened = (*self.happened, *events)[-MOST_EVENTS:]
        self.overview = self._last = overview
        self._looked_at = time.monotonic()
        self.status = overview.status

    def _not_overlooked(self, error: WizardError) -> None:
        self._looking = False
        # What was seen before is not what is.
        self.overview = self.status = self._last = None
        self._blind = f"{error.message} {error.remedy}".strip()
        if isinstance(self._page, screens.DashboardPage | screens.ResetPage):
            self.complain(error)

    def on_dashboard_page_traffic_wanted(self) -> None:
        plan = self.overview.plan if self.overview is not None else None
        if plan is None or self._counting:
            return
        self._counting = True
        nics = (plan.interfaces.corporate, plan.interfaces.cluster)
        self.ask("traffic", partial(self.services.traffic, nics), self._counted, self._not_counted)

    def _counted(self, look: Look) -> None:
        from wizard.host.traffic import Traffic

        self._counting = False
        self.traffic = (self.traffic or Traffic()).after(look)

    def _not_counted(self, _error: WizardError) -> None:
        """Traffic is a nicety: where it cannot be had, nothing stands there."""
        self._counting = False

    def forget_overview(self) -> None:
        """What was known of the gateway is no longer true; a look that is under way may be older than that."""
        self.overview = self.status = self._last = None
        self._looking = False
        self.drop("overview")

    # Export

    def _no_hand_overs(self, error: WizardError) -> None:
        self.hand_overs = ()
        self.complain(error)

    def on_export_page_save_asked(self, message: screens.ExportPage.SaveAsked) -> None:
        self.save_file(message.path, message.text)

    def save_file(self, path: str, text: str, over: bool = False) -> None:
        """Write a file, and say where it is; over one that is there already only once that was asked."""
        save = partial(self.services.save_plan, path, text, over)
        self.ask("save", save, self._file_saved, partial(self._not_saved, path, text))

    def _file_saved(self, path: str) -> None:
        self.notify(f"Saved as {clean(path, 300)}.", markup=False)

    def _not_saved(self, path: str, text: str, error: WizardError) -> None:
        from wizard.services_gateway import FileThere

        if not isinstance(error, FileThere):
            self.complain(error)
            return

        def answered(over: bool | None) -> None:
            if over:
                self.save_file(path, text, over=True)
            else:
                self.notify(f"Not saved: {clean(str(error.path), 200)} is as it was.", markup=False)

        told = f"{clean(str(error.path), 300)} is there already. What is in it now would be lost."
        self.push_screen(Question("Write over it?", told, "[ y  Write over it ]", "[ n  Leave it as it is ]"), answered)

    # Small resets

    def on_reset_page_renew_asked(self, message: screens.ResetPage.RenewAsked) -> None:
        self.when_privileged(partial(self.change, partial(self.services.start_renew, message.part)))

    def reset_outcome(self, status: Status) -> str:
        """What became of a reset that ended unseen."""
        page = self._page
        if isinstance(page, screens.ResetPage) and page.part in screens.ResetPage.PARTS:
            # Whether the part was brought about anew nobody can tell any more.
            return "failed"
        return "rolled-back" if status.state == "absent" else "failed"


def _look(services: Services, watch: Watch | None, before: Overview | None) -> tuple[Overview, tuple[Event, ...]]:
    from wizard.monitor.index import Wanted
    from wizard.monitor.overview import news

    overview = services.overview(tuple(watch.look(Wanted()).shown) if watch is not None else None)
    return overview, news(before, overview)
