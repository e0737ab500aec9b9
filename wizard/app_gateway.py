"""The pages of a gateway in force: what they are told, and what is done for them."""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.reactive import reactive, var

from wizard import screens
from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.screens import messages
from wizard.services.progress import Progress
from wizard.widgets.aging import is_old
from wizard.widgets.modal import Question
from wizard.widgets.page import Page
from wizard.widgets.speaking import SpeakingApp

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.host.traffic import Look, Traffic
    from wizard.monitor.events import Event
    from wizard.monitor.overview import Overview
    from wizard.services.protocols import ExportedFile, LeaseFeed, Services

MOST_EVENTS = 200


class GatewayPages(SpeakingApp):
    """`overview` is the last look at the gateway, `traffic` what goes over its NICs, `happened` is newest last."""

    looked_at: var[float] = var(0.0)
    """When `status` was looked at, and `overview` where there is one; of the monotonic clock."""
    status: reactive[Status | None] = reactive(None)
    overview: reactive[Overview | None] = reactive(None)
    traffic: reactive[Traffic | None] = reactive(None)
    happened: reactive[tuple[Event, ...]] = reactive(())
    exported_files: reactive[tuple[ExportedFile, ...] | None] = reactive(None)

    _looking: bool = False
    _last: Overview | None = None
    _blind: str = ""
    _watch: LeaseFeed | None
    """The lease monitor, where one is open: what it knows already is shown here too."""
    _counting: bool = False

    def __init__(self, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._being_saved: set[str] = set()
        """The paths that are being written to."""

    def gateway_page(self, name: str) -> Page | None:
        """A page of ours by its name, or None where it is none of ours."""
        if name == "dashboard":
            if is_old(self.looked_at):
                # Better to say for a moment that one looks.
                self.overview = None
            self.look_at_gateway()
            return screens.DashboardPage()
        if name == "export":
            self.exported_files = None
            take = partial(setattr, self, "exported_files")
            self.ask("export", self.services.exported_files, take, self._no_exported_files)
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
        self.looked_at = time.monotonic()
        self.overview = self._last = overview
        self.status = overview.status

    def know_status(self, status: Status) -> None:
        """The status alone was looked at; an overview that is old by now does not become new by that."""
        if is_old(self.looked_at):
            self.overview = None
        if self.overview is None:
            self.looked_at = time.monotonic()
        self.status = status

    def _not_overlooked(self, error: WizardError) -> None:
        self._looking = False
        # What was seen before is not what is.
        self.overview = self.status = self._last = None
        self._blind = f"{error.message} {error.remedy}".strip()
        if isinstance(self._page, screens.DashboardPage | screens.ResetPage):
            self.complain(error)

    @on(messages.TrafficWanted)
    def count_traffic(self) -> None:
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

    def applied_since(self, moment: datetime) -> bool:
        since = self.status.since if self.status is not None else None
        try:
            return since is not None and datetime.fromisoformat(since) > moment
        except ValueError:
            return False

    def forget_overview(self) -> None:
        """What was known of the gateway is no longer true; a look that is under way may be older than that."""
        self.overview = self.status = self._last = None
        self._looking = False
        self.drop("overview")

    # Export

    def _no_exported_files(self, error: WizardError) -> None:
        self.exported_files = ()
        self.complain(error)

    @on(messages.ExportSaveAsked)
    def _save_export(self, message: messages.ExportSaveAsked) -> None:
        self.save_file(message.path, message.text)

    def save_file(self, path: str, text: str, over: bool = False) -> None:
        """Write a file, and say where it is; over one that is there already only once that was asked."""
        if path in self._being_saved:
            busy = f"{clean(path, 300)} is being written already."
            self.complain(WizardError(busy, "Wait for its end, or choose another name."))
            return
        self._being_saved.add(path)
        page = self._page
        if page is not None:
            # What the last save came to is not what this one does.
            page.tell("")
        save = partial(self.services.save_file, path, text, over)
        # A group of its own: the end of one must not hide the end of another.
        self.ask(f"save {path}", save, partial(self._file_saved, path), partial(self._not_saved, page, path, text))

    def _file_saved(self, path: str, written: str) -> None:
        self._being_saved.discard(path)
        self.notify(f"Saved as {clean(written, 300)}.", markup=False)

    def _not_saved(self, page: Page | None, path: str, text: str, error: WizardError) -> None:
        from wizard.services.protocols import FileThere

        self._being_saved.discard(path)
        if not isinstance(error, FileThere):
            self.complain(error)
            return
        if page is None or self.screen is not page:
            # The person is elsewhere by now, and what is typed there must not answer a question.
            there = f"Not saved: {clean(str(error.path), 300)} is there already."
            self.complain(WizardError(there, "Save it again where you asked for it."))
            return

        def answered(over: bool | None) -> None:
            if over:
                self.save_file(path, text, over=True)
            else:
                self.notify(f"Not saved: {clean(str(error.path), 200)} is as it was.", markup=False)

        told = f"{clean(str(error.path), 300)} is there already. What is in it now would be lost."
        self.push_screen(Question("Write over it?", told, "[ y  Write over it ]", "[ n  Leave it as it is ]"), answered)

    # Small resets

    @on(messages.RenewAsked)
    def _renew_part(self, message: messages.RenewAsked) -> None:
        self.when_privileged(partial(self.change, partial(self.services.start_renew, message.part)))

    def reset_outcome(self, status: Status) -> str:
        """What became of a reset that ended unseen."""
        page = self._page
        if isinstance(page, screens.ResetPage) and page.part in screens.ResetPage.PARTS:
            # Whether the part was brought about anew nobody can tell any more.
            return "failed"
        return "rolled-back" if status.state == "absent" else "failed"


def _look(services: Services, watch: LeaseFeed | None, before: Overview | None) -> tuple[Overview, tuple[Event, ...]]:
    from wizard.monitor.index import Wanted
    from wizard.monitor.overview import news

    overview = services.overview(tuple(watch.look(Wanted()).shown) if watch is not None else None)
    return overview, news(before, overview)
