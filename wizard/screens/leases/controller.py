"""Follows the leases for their page; adopts machines and releases leases.

One feed is kept from the first look at the leases for as long as a page of the gateway in force is open. The leases'
page asks it four times a second, the others less: so that slow findings, such as a clone, are known when a
person comes back, and events in between have their time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.timer import Timer

from wizard.plan.findings import WizardError
from wizard.screens.controller import Controller, handles, words_of
from wizard.screens.leases import messages
from wizard.screens.leases.screen import Adoption, LeasesPage
from wizard.screens.plan_change import PlanChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from wizard.actions.outcome import NodeOutcome
    from wizard.monitor.forward_checks import ForwardCheck
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.monitor.lease_view import LeaseQuery
    from wizard.monitor.lease_watch import LeaseSnapshot
    from wizard.plan.draft.adopt import AdoptionProposal
    from wizard.screens.leases.power import PowerChoice
    from wizard.screens.shell import Shell

EVERY_S = 0.25
AWAY_S = 1.0
AGAIN_S = 2.0
FORWARDS_EVERY_S = 10.0
_NEAR = ("instances", "boot", "dashboard", "export", "reset")
"""The other pages of a gateway in force: while one is open the feed is kept."""


class LeasesController(Controller):
    def __init__(self, shell: Shell) -> None:
        super().__init__(shell)
        self.looking = False
        self._next_look: Timer | None = None
        self._next_forwards: Timer | None = None

    @property
    def page(self) -> LeasesPage | None:
        page = self.shell.page
        return page if isinstance(page, LeasesPage) else None

    def open(self) -> LeasesPage:
        page = LeasesPage(self.shell.services.now)
        self.shell.after_refresh(self._look)
        self.shell.after_refresh(self._ask_forwards)
        return page

    # Looking

    @handles(messages.RowsRequested)
    def look(self, _message: messages.RowsRequested) -> None:
        self._look()

    def _look(self) -> None:
        if self.looking:
            return
        page = self.page
        if self._next_look is not None:
            self._next_look.stop()
        near = self.shell.gateway.lease_feed is not None and self.shell.page_name in _NEAR
        if page is None and not near:
            self._close_feed()
            return
        from wizard.monitor.lease_view import LeaseQuery

        self.looking = True
        look = partial(self._look_once, page.wanted if page is not None else LeaseQuery())
        self.shell.calls.call("watch", look, self._looked, self._not_looked)

    def _look_once(self, wanted: LeaseQuery) -> tuple[LeaseQuery, LeaseSnapshot, str]:
        feed = self.shell.gateway.lease_feed
        if feed is None:
            feed = self.shell.gateway.lease_feed = self.shell.services.open_leases()
        return wanted, feed.poll(wanted), self.shell.services.held_back()

    def _looked(self, found: tuple[LeaseQuery, LeaseSnapshot, str]) -> None:
        wanted, board, held_back = found
        self.looking = False
        page = self.page
        if page is None:
            self._next_look = self.shell.after(AWAY_S, self._look)
        elif wanted == page.wanted:
            page.failure, page.held_back = "", held_back
            page.snapshot = board
            self._next_look = self.shell.after(EVERY_S, self._look)
        else:
            self._look()

    def _not_looked(self, error: WizardError) -> None:
        self.looking = False
        if self.page is not None:
            self.page.failure = words_of(error)
        self._next_look = self.shell.after(AGAIN_S, self._look)

    def _close_feed(self) -> None:
        gateway = self.shell.gateway
        feed, gateway.lease_feed = gateway.lease_feed, None
        if feed is not None:
            self.shell.calls.call("watch", feed.close, lambda _: None)

    # The forwards

    @handles(messages.ForwardsRequested)
    def ask_forwards(self, _message: messages.ForwardsRequested) -> None:
        self._ask_forwards()

    def _ask_forwards(self) -> None:
        if self._next_forwards is not None:
            self._next_forwards.stop()
        if self.page is not None:
            self.shell.calls.call("forwards", self.shell.services.forwards, self._take_health, self._no_health)

    def _take_health(self, health: tuple[ForwardCheck, ...]) -> None:
        if self.page is not None:
            self.page.health = health
            self._next_forwards = self.shell.after(FORWARDS_EVERY_S, self._ask_forwards)

    def _no_health(self, error: WizardError) -> None:
        if self.page is not None:
            self.shell.show_error(error)
            self._next_forwards = self.shell.after(FORWARDS_EVERY_S, self._ask_forwards)

    # Adopting

    @handles(messages.AdoptRequested)
    def offer(self, message: messages.AdoptRequested) -> None:
        row, services = message.row, self.shell.services
        if self.shell.changes.under_way:
            self.shell.set_status("A change is already running.", "warning")
            return

        def look() -> AdoptionProposal:
            from wizard.plan.draft.adopt import propose_adoption

            return propose_adoption(services.plan_to_adopt_into(), row.mac, row.hostname)

        self.shell.calls.call("offer", look, partial(self._offered, row))

    def _offered(self, row: LeaseRow, found: AdoptionProposal) -> None:
        from wizard.screens.leases.dialogs import AdoptDialog

        if self.page is not None:
            known = ", ".join(part for part in (row.vendor, row.hostname and f'calls itself "{row.hostname}"') if part)
            self.shell.open_dialog(AdoptDialog(found, f"{row.mac}{f' ({known})' if known else ''}"))

    @handles(messages.AdoptionConfirmed)
    def adopt(self, message: messages.AdoptionConfirmed) -> None:
        # The plan may have changed under the dialog: it is read once more.
        mac, services = message.dialog.mac, self.shell.services

        def grow() -> tuple[str, str]:
            from wizard.plan.draft.adopt import adopt

            text = adopt(services.plan_to_adopt_into(), mac, message.name, message.role, message.ip or None)
            return text, reserved(text, mac)

        self.shell.calls.call("adopt", grow, partial(self._grown, message), message.dialog.refuse)

    def _grown(self, message: messages.AdoptionConfirmed, found: tuple[str, str]) -> None:
        if self.shell.screen is not message.dialog:
            # It was left, or something lies over it: nobody waits for this any more.
            return
        message.dialog.dismiss(None)
        self.shell.changes.when_privileged(partial(self._start, message.name, *found))

    def _start(self, name: str, text: str, ip: str) -> None:
        if self.page is not None and not self.shell.changes.under_way:
            self.page.adopting = Adoption(name, ip)
        change = PlanChange(self.shell.services, self.shell.services.start_adopt, text)
        # Of its end the page tells itself.
        self.shell.changes.start(change.begin, change.outcome)

    # Power

    @handles(messages.PowerRequested)
    def order(self, message: messages.PowerRequested) -> None:
        choice = message.choice
        if choice.action == "wake":
            # A magic packet needs a socket that only root may open.
            self.shell.changes.when_privileged(partial(self._order, choice))
        else:
            self._order(choice)

    def _order(self, choice: PowerChoice) -> None:
        from wizard.screens.leases.power import WORDS
        from wizard.screens.outcomes import OutcomesDialog

        dialog = OutcomesDialog(f"{WORDS[choice.action]} {choice.group.said}", len(choice.group.names))
        services = self.shell.services

        def act(tell: Callable[[NodeOutcome], None]) -> None:
            for outcome in services.act_on_nodes(choice.action, choice.group.names):
                tell(outcome)

        self.shell.open_dialog(dialog)
        self.shell.calls.stream("power", act, dialog.take, otherwise=lambda e: dialog.refuse(words_of(e)))

    # Releasing

    @handles(messages.ReleaseRequested)
    def release(self, message: messages.ReleaseRequested) -> None:
        row = message.row
        release = partial(self.shell.services.release, row.mac, row.ip)
        self.shell.calls.call("release", release, partial(self._released, row.ip))

    def _released(self, ip: str, heeded: bool) -> None:
        if heeded:
            self.shell.set_status(f"dnsmasq has released the lease of {ip}.")
        else:
            text = (
                f"dnsmasq did not release {ip}: it may just have been renewed. Check the dashboard: does dnsmasq run?"
            )
            self.shell.set_status(text, "error")


def reserved(plan_text: str, mac: str) -> str:
    """The address that a plan has for a MAC, "" where none."""
    from wizard.plan.fields import format_mac
    from wizard.plan.file.read import load_plan

    machines = load_plan(plan_text, "the plan").machines
    return next((str(one.ip) for one in machines if mac in map(format_mac, one.macs)), "")
