"""What is known of the gateway in force, for all of the pages that show something of it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.screens.controller import words_of
from wizard.widgets.aging import is_old

if TYPE_CHECKING:
    from wizard.app.shell import PageShell
    from wizard.deploy.status import Status
    from wizard.monitor.machine_events import MachineEvent
    from wizard.monitor.overview import Overview
    from wizard.services.protocols import LeaseFeed, Services

MOST_EVENTS = 200
_SHOWN_ON = ("dashboard", "reset")
"""The pages that say so where it cannot be looked at."""


class GatewayWatcher:
    """Looks when it is asked to, and puts what it saw into the shell's state."""

    def __init__(self, shell: PageShell) -> None:
        self._shell = shell
        self.lease_feed: LeaseFeed | None = None
        """The one that is open, if one is: what it knows already is shown elsewhere too."""
        self.looking = False
        self._last: Overview | None = None
        self._blind = ""

    def look(self) -> None:
        """Look once more, unless a look is under way: they must not pile up on a slow machine."""
        if self.looking:
            return
        self.looking = True
        look = partial(_look, self._shell.services, self.lease_feed, self._last)
        self._shell.calls.call("overview", look, self._looked, self._not_looked)

    def _looked(self, found: tuple[Overview, tuple[MachineEvent, ...]]) -> None:
        self.looking = False
        self._shell.clear_status(self._blind)
        overview, events = found
        self._last = overview
        state = self._shell.state
        self._shell.state = replace(
            state,
            happened=(*state.happened, *events)[-MOST_EVENTS:] if events else state.happened,
            looked_at=time.monotonic(),
            overview=overview,
            status=overview.status,
        )

    def _not_looked(self, error: WizardError) -> None:
        self.looking = False
        # What was seen before is not what is.
        self._last = None
        self._shell.state = replace(self._shell.state, overview=None, status=None)
        self._blind = words_of(error)
        if self._shell.page_name in _SHOWN_ON:
            self._shell.show_error(error)

    def take_status(self, status: Status) -> None:
        """The status alone was read; an overview that is old by now does not become new by that."""
        state = self._shell.state
        overview = None if is_old(state.looked_at) else state.overview
        looked_at = time.monotonic() if overview is None else state.looked_at
        self._shell.state = replace(state, overview=overview, looked_at=looked_at, status=status)

    def read_status(self) -> None:
        self._shell.calls.call("status", self._shell.services.status, self.take_status)

    def drop_if_old(self) -> None:
        """Better to say for a moment that one looks than to show what may no longer be so."""
        if is_old(self._shell.state.looked_at):
            self._shell.state = replace(self._shell.state, overview=None)

    def forget(self) -> None:
        """What was known is no longer true; a look that is under way may be older than that."""
        self._last = None
        self._shell.state = replace(self._shell.state, overview=None, status=None)
        self.looking = False
        self._shell.calls.drop("overview")

    def applied_since(self, moment: datetime) -> bool:
        """Whether the plan in force is newer than that."""
        status = self._shell.state.status
        since = status.since if status is not None else None
        try:
            return since is not None and datetime.fromisoformat(since) > moment
        except ValueError:
            return False


def _look(
    services: Services, feed: LeaseFeed | None, before: Overview | None
) -> tuple[Overview, tuple[MachineEvent, ...]]:
    from wizard.monitor.lease_view import LeaseQuery
    from wizard.monitor.overview import events_between

    overview = services.overview(tuple(feed.poll(LeaseQuery()).rows) if feed is not None else None)
    return overview, events_between(before, overview)
