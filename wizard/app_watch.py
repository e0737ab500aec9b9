"""The lease monitor's pages and that of the instances: what they are told, and what is done for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from textual import on
from textual.timer import Timer

from wizard import screens
from wizard.plan.findings import WizardError
from wizard.screens import messages
from wizard.widgets.page import Page
from wizard.widgets.speaking import SpeakingApp

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.monitor.forwards import ForwardHealth
    from wizard.monitor.index import Wanted
    from wizard.monitor.instances import Known, Reading
    from wizard.monitor.leases import Row
    from wizard.monitor.watching import Board
    from wizard.plan.adopt import Offer
    from wizard.services.protocols import ChangeProcess, LeaseFeed

EVERY_S = 0.25
AWAY_S = 1.0
AGAIN_S = 2.0
FORWARDS_EVERY_S = 10.0

_Item = TypeVar("_Item")


class WatchPages(SpeakingApp):
    """One monitor is kept from the first look at the leases for as long as a page of the gateway in force is open.

    The leases' page asks it four times a second, the others less: so that what takes its time to be seen, as a clone
    does, is known when somebody comes back, and what happened meanwhile is told with its time.
    """

    _watch: LeaseFeed | None = None
    _watching: bool = False
    _next_look: Timer | None = None
    _next_forwards: Timer | None = None
    _known: Known | None = None
    _plan_text: str
    _before: Status | None

    def watch_page(self, name: str) -> Page | None:
        """A page of ours by its name, or None where it is none of ours."""
        if name == "leases":
            page = screens.LeasesPage(self.services.now)
            self.call_after_refresh(self._look_on)
            self.call_after_refresh(self._ask_forwards)
            return page
        if name == "instances":
            self.call_after_refresh(self._ask_known)
            return screens.InstancesPage()
        return None

    @property
    def _near(self) -> bool:
        pages = screens.InstancesPage | screens.DashboardPage | screens.ExportPage | screens.ResetPage
        return self._watch is not None and isinstance(self._page, pages)

    # Leases

    def _look_on(self) -> None:
        if self._watching:
            return
        page = self._page
        if self._next_look is not None:
            self._next_look.stop()
        if not isinstance(page, screens.LeasesPage) and not self._near:
            self._close_watch()
            return
        from wizard.monitor.index import Wanted

        self._watching = True
        wanted = page.wanted if isinstance(page, screens.LeasesPage) else Wanted()
        self.ask("watch", partial(self._look_once, wanted), self._looked_on, self._not_looked_on)

    def _look_once(self, wanted: Wanted) -> tuple[Wanted, Board, str]:
        watch = self._watch
        if watch is None:
            watch = self._watch = self.services.open_leases()
        return wanted, watch.look(wanted), self.services.held_back()

    def _looked_on(self, found: tuple[Wanted, Board, str]) -> None:
        wanted, board, held_back = found
        self._watching = False
        page = self._page
        if not isinstance(page, screens.LeasesPage):
            self._next_look = self.set_timer(AWAY_S, self._look_on)
        elif wanted == page.wanted:
            page.blind, page.held_back = "", held_back
            page.board = board
            self._next_look = self.set_timer(EVERY_S, self._look_on)
        else:
            self._look_on()

    def _not_looked_on(self, error: WizardError) -> None:
        self._watching = False
        page = self._page
        if isinstance(page, screens.LeasesPage):
            page.blind = f"{error.message} {error.remedy}".strip()
        self._next_look = self.set_timer(AGAIN_S, self._look_on)

    def _close_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            self.ask("watch", watch.close, lambda _: None)

    @on(messages.RowsWanted)
    def _look_for_rows(self) -> None:
        self._look_on()

    @on(messages.ForwardsWanted)
    def _ask_forwards_now(self) -> None:
        self._ask_forwards()

    def _ask_forwards(self) -> None:
        if self._next_forwards is not None:
            self._next_forwards.stop()
        if isinstance(self._page, screens.LeasesPage):
            self.ask("forwards", self.services.forwards, self._forwards_told, self._forwards_not_told)

    def _forwards_told(self, health: tuple[ForwardHealth, ...]) -> None:
        if isinstance(self._page, screens.LeasesPage):
            self._page.health = health
            self._next_forwards = self.set_timer(FORWARDS_EVERY_S, self._ask_forwards)

    def _forwards_not_told(self, error: WizardError) -> None:
        if isinstance(self._page, screens.LeasesPage):
            self.complain(error)
            self._next_forwards = self.set_timer(FORWARDS_EVERY_S, self._ask_forwards)

    # Adopting

    @on(messages.AdoptAsked)
    def _offer_adoption(self, message: messages.AdoptAsked) -> None:
        row = message.row
        if self.changing:
            self.notify("A change is under way already.", severity="warning", markup=False)
            return

        def look() -> Offer:
            from wizard.plan.adopt import offer

            return offer(self.services.plan_to_adopt_into(), row.mac, row.hostname)

        self.ask("offer", look, partial(self._offered_node, row))

    def _offered_node(self, row: Row, found: Offer) -> None:
        from wizard.screens.adopt_dialog import AdoptDialog

        if isinstance(self._page, screens.LeasesPage):
            known = ", ".join(part for part in (row.vendor, row.hostname and f'calls itself "{row.hostname}"') if part)
            self.push_screen(AdoptDialog(found, f"{row.mac}{f' ({known})' if known else ''}"))

    @on(messages.AdoptionWanted)
    def _grow_plan(self, message: messages.AdoptionWanted) -> None:
        # The plan may have changed under the dialog: it is read once more.
        mac = message.dialog.mac

        def grow() -> tuple[str, str]:
            from wizard.plan.adopt import adopt

            text = adopt(self.services.plan_to_adopt_into(), mac, message.name, message.role, message.ip or None)
            return text, reserved(text, mac)

        self.ask("adopt", grow, partial(self._grown, message), message.dialog.refuse)

    def _grown(self, message: messages.AdoptionWanted, found: tuple[str, str]) -> None:
        if self.screen is not message.dialog:
            # It was left, or something lies over it: nobody waits for this any more.
            return
        message.dialog.dismiss(None)
        self.when_privileged(partial(self._adopt, message.name, *found))

    def _adopt(self, name: str, text: str, ip: str) -> None:
        from wizard.screens.leases import Adoption

        def start() -> ChangeProcess:
            self._plan_text, self._before = text, self.services.status()
            return self.services.start_adopt(text)

        if self.changing:
            self.change_refused(WizardError("A change is under way already.", "Wait for its end."))
            return
        if isinstance(self._page, screens.LeasesPage):
            self._page.adopting = Adoption(name, ip)
        self._adopting = True
        self.change(start)

    _adopting: bool = False

    def _could_not_start(self, error: WizardError) -> None:
        self._adopting = False
        super()._could_not_start(error)

    def end_adoption(self) -> bool:
        """No adoption is under way any more; whether one was, of whose end the page tells itself."""
        was, self._adopting = self._adopting, False
        return was

    @on(messages.ReleaseAsked)
    def _release_lease(self, message: messages.ReleaseAsked) -> None:
        row = message.row
        self.ask("release", partial(self.services.release, row.mac, row.ip), partial(self._released, row.ip))

    def _released(self, ip: str, heeded: bool) -> None:
        if heeded:
            self.notify(f"dnsmasq has forgotten the lease of {ip}.", markup=False)
        else:
            text = (
                f"dnsmasq has not let go of {ip}: it may just have been renewed. Does the dashboard say that it runs?"
            )
            self.notify(text, severity="error", markup=False)

    # Instances

    def _ask_known(self) -> None:
        self.ask("known", self.services.known_here, self._known_told)

    def _known_told(self, known: Known) -> None:
        self._known = known
        if isinstance(self._page, screens.InstancesPage):
            self._page.offer(tuple(vm.ip for vm in known.vms))

    @on(messages.InstancesAsked)
    def _read_instances(self, message: messages.InstancesAsked) -> None:
        page = self._page
        if not isinstance(page, screens.InstancesPage):
            return

        def each() -> Iterator[tuple[int, Reading]]:
            known = self._known or self.services.known_here()
            return self.services.read_instances(message.cncis, known, message.user)

        self.ask_each("instances", each, page.take, page.finish, page.refuse)

    def ask_each(
        self,
        group: str,
        questions: Callable[[], Iterator[_Item]],
        then: Callable[[_Item], None],
        done: Callable[[None], None],
        otherwise: Callable[[WizardError], None],
    ) -> None:
        """As `ask`, for answers that come one by one; `done` once all are there."""
        number = self._asked.get(group, 0) + 1

        def answer() -> None:
            for item in questions():
                self.post_message(self.Told(group, number, then, item))

        self.ask(group, answer, done, otherwise)


def reserved(plan_text: str, mac: str) -> str:
    """The address that a plan has for a MAC, "" where none."""
    from wizard.plan.fields import format_mac
    from wizard.plan.planfile import load

    nodes = load(plan_text, "the plan").nodes
    return next((str(node.ip) for node in nodes if format_mac(node.mac) == mac), "")
