"""The Textual app: the order of the pages, what they are told, and what is done for them. No rule of the domain."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import ModalScreen, Screen
from textual.timer import Timer

from wizard.deploy.status import Status
from wizard.monitor.leases import Row
from wizard.plan import planfile
from wizard.plan.draft import Draft, first_draft
from wizard.plan.findings import WizardError
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.progress import Progress
from wizard.screens.apply import ApplyPage
from wizard.screens.dashboard import DashboardPage
from wizard.screens.forwards import ForwardsPage
from wizard.screens.interfaces import InterfacesPage
from wizard.screens.leases import LeasesPage
from wizard.screens.network import NetworkPage
from wizard.screens.nodes import NodesPage
from wizard.screens.reset import ResetPage
from wizard.screens.review import ReviewPage
from wizard.screens.start import StartPage
from wizard.services import HostServices, Run, Services, WiresSaid
from wizard.widgets.changing import SIGHT_LOST
from wizard.widgets.modal import Question
from wizard.widgets.page import HORIZONTAL_BREAKPOINTS, STEPS, VERTICAL_BREAKPOINTS, Page, StepPage
from wizard.widgets.speaking import SpeakingApp

# Where we may not ask the wires the answer is there at once.
SIGN_AFTER_S = 0.3
_STEP_PAGES: dict[str, type[StepPage]] = {
    "interfaces": InterfacesPage,
    "network": NetworkPage,
    "nodes": NodesPage,
    "forwards": ForwardsPage,
}


@dataclass(frozen=True, slots=True)
class Beginning:
    """What was found at the start."""

    facts: Facts
    status: Status
    plan_in_force: str | None


class WizardApp(SpeakingApp):
    """The wizard. `plan_text` is a plan to begin with, `source` its name in messages; raises PlanUnreadable."""

    TITLE = "ciao-wizard"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = HORIZONTAL_BREAKPOINTS
    VERTICAL_BREAKPOINTS = VERTICAL_BREAKPOINTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "help", priority=True),
        Binding("ctrl+q", "quit", "leave", show=False, priority=True),
    ]

    facts: reactive[Facts | None] = reactive(None)
    status: reactive[Status | None] = reactive(None)
    rows: reactive[tuple[Row, ...] | None] = reactive(None)
    host: reactive[str] = reactive("")

    def __init__(self, services: Services, plan_text: str | None = None, source: str = "") -> None:
        # Under NO_COLOR Textual drops colours only where it is told at once to use the terminal's own.
        plain = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if plain else None)
        if plain:
            self.theme = "ansi-dark"
        self.services = services
        self._given = None if plan_text is None else planfile.load(plan_text, source)
        self._original = plan_text
        self.name_draft(plan_text)
        self._plan_text = ""
        self._in_force = False
        self._before: Status | None = None
        self._wires_stop = threading.Event()
        self._wires_timer: Timer | None = None

    # The start

    def on_mount(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._show(StartPage())

        def look() -> Beginning:
            return Beginning(self.services.facts(), self.services.status(), self.services.plan_in_force())

        self.ask("begin", look, self._begun, self._cannot_begin)

    def _cannot_begin(self, error: WizardError) -> None:
        if isinstance(self._page, StartPage):
            self._page.trouble = error

    def _begun(self, found: Beginning) -> None:
        self.facts, self.status = found.facts, found.status
        self.host = found.facts.host_name
        self._in_force = found.status.state in ("applied", "tripped") and found.plan_in_force is not None
        if self._original is None and self._in_force:
            self._original = found.plan_in_force
        self.begin_draft(first_draft(self._given, found.facts))
        if found.status.state == "pending":
            self._show(ApplyPage(self.services.now))
            self.change(self.services.pending_run)
            return
        self._go("interfaces" if found.status.state == "absent" else "dashboard")
        self.offer_draft()

    def draft_taken(self) -> None:
        self._go("interfaces")

    # The pages

    def _show(self, page: Page) -> None:
        """Put `page` in the place of the one that is there, dialogs and all."""
        while isinstance(self.screen, ModalScreen):
            self.pop_screen()
        self._wires_stop.set()
        page.data_bind(host=WizardApp.host)
        if isinstance(page, StepPage):
            page.data_bind(facts=WizardApp.facts)
        elif isinstance(page, ApplyPage | ResetPage):
            page.data_bind(progress=WizardApp.progress)
        elif isinstance(page, DashboardPage):
            page.data_bind(status=WizardApp.status)
        elif isinstance(page, LeasesPage):
            page.data_bind(rows=WizardApp.rows)
        self._page = page
        if len(self.screen_stack) > 1:
            self.switch_screen(page)
        else:
            self.push_screen(page)

    def _go(self, name: str, field: str = "") -> None:
        if name in _STEP_PAGES:
            self._show(_STEP_PAGES[name](self.draft, self.facts, field))
            if name == "interfaces":
                self._look_at_wires(self.draft.corporate, self.draft.cluster)
        elif name == "review":
            self._review()
        elif name == "dashboard":
            self._show(DashboardPage())
            self._look_at_status()
        elif name == "leases":
            self._show(LeasesPage(self.services.now))
            self._read_rows()
        elif name == "reset":
            self.progress = Progress()
            self._show(ResetPage())
        elif name in ("edit", "again"):
            self.ask("edit", self.services.plan_in_force, partial(self._edit, name))

    def _edit(self, name: str, text: str | None) -> None:
        """Take up the plan in force: to change it, or to apply it once more as it is."""
        if text is None:
            self._go("interfaces")
            return
        try:
            plan = planfile.load(text, "the plan in force")
        except planfile.PlanUnreadable as error:
            self.complain(error)
            return
        self._original = text
        self.begin_draft(Draft.from_plan(plan))
        self._go("interfaces" if name == "edit" else "review")

    def on_page_edited(self, message: Page.Edited) -> None:
        self.draft = message.draft

    def on_page_next(self, message: Page.Next) -> None:
        # A page that has been left may still have something to say.
        if self._page is not None and message.step == self._page.STEP:
            self.draft = message.draft
            self._go(STEPS[STEPS.index(message.step) + 1])

    def on_page_go(self, message: Page.Go) -> None:
        self._go(message.page, message.field)

    def on_page_back(self) -> None:
        page = self._page
        if isinstance(page, ResetPage) and self.progress.result:
            self._begin()
        elif isinstance(page, LeasesPage | ResetPage) or (isinstance(page, InterfacesPage) and self._in_force):
            self._go("dashboard")
        elif page is not None and page.STEP in STEPS[1:]:
            self._go(STEPS[STEPS.index(page.STEP) - 1])

    def on_page_look_again(self) -> None:
        page = self._page
        if isinstance(page, StartPage):
            self._begin()
        elif isinstance(page, DashboardPage):
            self._look_at_status()
        elif isinstance(page, LeasesPage):
            self._read_rows()
        else:
            self.ask("facts", self.services.facts, self._looked)

    def _looked(self, facts: Facts) -> None:
        self.facts = facts
        if isinstance(self._page, InterfacesPage):
            self._look_at_wires(self._page.draft.corporate, self._page.draft.cluster)
        elif isinstance(self._page, ReviewPage):
            self._review()

    def _look_at_status(self) -> None:
        self.ask("status", self.services.status, partial(setattr, self, "status"))

    def _read_rows(self) -> None:
        self.ask("rows", self.services.rows, partial(setattr, self, "rows"))

    def on_nodes_page_vendors_wanted(self, message: NodesPage.VendorsWanted) -> None:
        self.ask("vendors", lambda: self.services.vendors(message.macs), self._vendors_told)

    def _vendors_told(self, vendors: dict[str, str]) -> None:
        if isinstance(self._page, NodesPage):
            self._page.vendors = {**self._page.vendors, **vendors}

    # The wires

    def on_interfaces_page_chosen(self, message: InterfacesPage.Chosen) -> None:
        self._look_at_wires(message.corporate, message.cluster)

    def _look_at_wires(self, corporate: str, cluster: str) -> None:
        """Ask both wires while nothing of ours serves on one of them. Nobody waits for it."""
        self._wires_stop.set()
        if not corporate or not cluster or self.status is None or self.status.state != "absent":
            self._wires_told(None)
            return
        if isinstance(self._page, InterfacesPage):
            self._page.pending = True
        stop = self._wires_stop = threading.Event()
        self._wires_timer = self.set_timer(SIGN_AFTER_S, self._asking_wires)
        look = partial(self.services.look_at_wires, corporate, cluster, stop)
        self.ask("wires", look, self._wires_told, self._no_wires)

    def _asking_wires(self) -> None:
        if isinstance(self._page, InterfacesPage):
            self._page.asking = True

    def _wires_told(self, said: WiresSaid | None) -> None:
        if self._wires_timer is not None:
            self._wires_timer.stop()
        if isinstance(self._page, InterfacesPage):
            self._page.asking = False
            self._page.hear(said)

    def _no_wires(self, error: WizardError) -> None:
        self._wires_told(WiresSaid(False, "The wires could not be asked", error.message, error.remedy))

    # Review and apply

    def _review(self) -> None:
        page = ReviewPage(self.draft, self.facts)
        self._show(page)
        plan = self.draft.to_plan()
        if not isinstance(plan, Plan):
            return

        def compare() -> tuple[str, Any]:
            text = planfile.dump(plan, self._original)
            return text, self.services.changes(plan, text)

        self.ask("changes", compare, partial(self._compared, page), partial(setattr, page, "trouble"))

    def _compared(self, page: ReviewPage, found: tuple[str, Any]) -> None:
        self._plan_text, page.changes = found

    def on_review_page_save_asked(self, message: ReviewPage.SaveAsked) -> None:
        plan = self.draft.to_plan()
        if not isinstance(plan, Plan):
            self.notify("This is no plan yet: see what is marked ✗.", severity="error", markup=False)
            return

        def save() -> str:
            return self.services.save_plan(message.path, planfile.dump(plan, self._original))

        self.ask("save", save, lambda path: self.notify(f"Saved as {path}.", markup=False))

    def on_review_page_apply_asked(self) -> None:
        self.when_privileged(self._apply)

    def _apply(self) -> None:
        self._show(ApplyPage(self.services.now))

        def start() -> Run:
            self._before = self.services.status()
            return self.services.start_apply(self._plan_text)

        self.change(start)

    def on_reset_page_asked(self, message: ResetPage.Asked) -> None:
        start = partial(self.services.start_reset, message.forget_leases)
        self.when_privileged(partial(self.change, start))

    def change_refused(self, error: WizardError) -> None:
        if isinstance(self._page, ResetPage):
            self._page.running = False
        self.complain(error)

    def change_ended(self) -> None:
        # What was known of the machine is no longer true.
        self.status = None
        self._look_at_status()
        if self.progress.result != "kept":
            return
        self._in_force = True
        self.forget_draft()
        if isinstance(self._page, ApplyPage):
            self.rows = None
            self._go("leases")
            if self.progress.reason in SIGHT_LOST.values():
                self.notify(self.progress.reason, severity="warning", markup=False)

    def outcome(self, status: Status, plan_in_force: str | None) -> str:
        if isinstance(self._page, ResetPage):
            return "rolled-back" if status.state == "absent" else "failed"
        before = self._before
        another = before is None or (before.state, before.since) != (status.state, status.since)
        ours = not self._plan_text or plan_in_force == self._plan_text
        return "kept" if status.state in ("applied", "tripped") and another and ours else "failed"

    def on_apply_page_answered(self, message: ApplyPage.Answered) -> None:
        answer = self.services.confirm if message.keep else self.services.rollback
        self.ask("answer", answer, lambda _: None, self._not_answered)

    def _not_answered(self, error: WizardError) -> None:
        if isinstance(self._page, ApplyPage):
            self._page.answer = None
        self.complain(error)

    # Everywhere

    async def action_quit(self) -> None:
        if not self.changing or isinstance(self.screen, Question):
            self._leave(True)
            return
        text = "The change goes on without this screen. If it waits for your answer, it goes back by itself."
        question = Question("Leave it alone?", text, "[ Leave ]", "[ Stay ]")
        self.push_screen(question, self._leave)

    def _leave(self, sure: bool | None) -> None:
        if sure:
            self._wires_stop.set()
            self.save_draft_now()
            self.exit()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for command in super().get_system_commands(screen):
            if command.title == "Quit":
                yield SystemCommand("Leave", "Leave the wizard; what was typed is kept", self.action_quit)
            else:
                yield command
        yield SystemCommand("Look again", "Read this machine anew", self.on_page_look_again)
        if self._in_force and not self.changing:
            yield SystemCommand("Leases", "Who has which address", partial(self._go, "leases"))
            yield SystemCommand("Dashboard", "Whether the gateway works", partial(self._go, "dashboard"))
            yield SystemCommand("Edit plan", "Change the plan in force", partial(self._go, "edit"))
            yield SystemCommand("Reset", "Give everything back", partial(self._go, "reset"))


def run(plan_text: str | None, source: str) -> int:
    """Show the wizard on this terminal; the exit status. Raises PlanUnreadable for `plan_text`."""
    app = WizardApp(HostServices(), plan_text, source)
    app.run()
    return app.return_code or 0
