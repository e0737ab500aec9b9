"""The Textual app: the order of the pages, what they are told, and what is done for them. No rule of the domain."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.reactive import reactive
from textual.screen import ModalScreen, Screen

from wizard import screens
from wizard.app_gateway import GatewayPages
from wizard.app_nodes import NodesPages
from wizard.app_review import ReviewPages
from wizard.app_setup import SetupPages
from wizard.app_watch import WatchPages
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.screens import messages
from wizard.widgets.aging import is_old
from wizard.widgets.changing import SIGHT_LOST
from wizard.widgets.escape import QuickEscapeDriver
from wizard.widgets.modal import Question
from wizard.widgets.page import HORIZONTAL_BREAKPOINTS, STEPS, VERTICAL_BREAKPOINTS, Page, StepPage, is_too_small
from wizard.widgets.telling import TellingApp

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.plan.machine import Facts
    from wizard.plan.model import Plan
    from wizard.services.protocols import Services

_STEP_PAGES = {
    "interfaces": "InterfacesPage",
    "network": "NetworkPage",
    "nodes": "NodesPage",
    "forwards": "ForwardsPage",
}


@dataclass(frozen=True, slots=True)
class Beginning:
    """What was found at the start."""

    facts: Facts
    status: Status
    plan_in_force: str | None


class WizardApp(SetupPages, NodesPages, ReviewPages, GatewayPages, WatchPages, TellingApp):
    """The wizard. `plan_text` is a plan to begin with, `source` its name in messages; `refused` is why it is none.

    Without `services` it is for this machine, whose services are loaded once the first screen stands.
    """

    TITLE = "ciao-wizard"
    CSS_PATH = "app.tcss"
    TOLD = ("host", "facts", "looked_at", "status", "progress", "overview", "traffic", "happened", "exported_files")
    HORIZONTAL_BREAKPOINTS = HORIZONTAL_BREAKPOINTS
    VERTICAL_BREAKPOINTS = VERTICAL_BREAKPOINTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "help", priority=True),
        Binding("ctrl+q", "quit", "leave", show=False, priority=True),
    ]

    facts: reactive[Facts | None] = reactive(None)
    host: reactive[str] = reactive("")

    def __init__(self, services: Services | None = None, plan_text: str | None = None, source: str = "") -> None:
        # Under NO_COLOR Textual drops colours only where it is told at once to use the terminal's own.
        plain = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if plain else None)
        if plain:
            self.theme = "ansi-dark"
        if services is not None:
            self.services = services
        self.refused: WizardError | None = None
        self._given: Plan | None = None
        self._unread = None if plan_text is None else (plan_text, source)
        self._original = plan_text
        self._source = source
        self._chosen = False
        self.name_draft(plan_text)
        self._in_force = False

    def get_driver_class(self) -> type[Driver]:
        driver = super().get_driver_class()
        return QuickEscapeDriver if driver is LinuxDriver else driver

    # The start

    def get_default_screen(self) -> Screen[Any]:
        """The first screen is on the terminal before anything else is loaded or looked at."""
        self._page = page = screens.StartPage()
        return self.kept_up_to_date(page)

    def on_mount(self) -> None:
        self.call_after_refresh(self._look)

    def _begin(self) -> None:
        self._show(screens.StartPage())
        self._look()

    def _load_services(self) -> None:
        if not hasattr(self, "services"):
            from wizard.services.host import HostServices

            self.services = HostServices()

    def _look(self) -> None:
        def look() -> Beginning:
            if self._unread is not None:
                self._given = _read(*self._unread)
                self._unread = None
            self._load_services()
            return Beginning(self.services.facts(), self.services.status(), self.services.plan_in_force())

        self.ask("begin", look, self._begun, self._cannot_begin)

    def _cannot_begin(self, error: WizardError) -> None:
        if self._unread is not None:
            self.refused = error
            self.exit(return_code=error.status)
        elif isinstance(self._page, screens.StartPage):
            self._page.trouble = error

    def _begun(self, found: Beginning) -> None:
        self.facts, self.host = found.facts, found.facts.host_name
        self.know_status(found.status)
        self._in_force = found.status.state in ("applied", "tripped") and found.plan_in_force is not None
        if self._original is None and self._in_force:
            self._original = found.plan_in_force
        from wizard.plan.draft import first_draft

        self.begin_draft(first_draft(self._given, found.facts), self._given, self._source)
        if found.status.state == "pending":
            self.answer_for_draft()
            self._show(screens.ApplyPage(self.services.now))
            self.change(self.services.pending_change)
            return
        if found.status.state in ("absent", "interrupted"):
            self.welcome()
            return
        self._go("dashboard")
        self.offer_draft()

    def draft_taken(self) -> None:
        self._go("interfaces")

    # The pages

    def _show(self, page: Page) -> None:
        """Put `page` in the place of the one that is there, dialogs and all."""
        while isinstance(self.screen, ModalScreen):
            self.pop_screen()
        self.leave_setup()
        # Nor is a password asked, and a change begun, for a page that was left.
        self.drop("sudo")
        self._page = self.kept_up_to_date(page)
        if len(self.screen_stack) > 1:
            self.switch_screen(page)
        else:
            self.push_screen(page)

    def _go(self, name: str, field: str = "") -> None:
        if name == "reset" and self.changing:
            # It would show the other change's end as its own.
            self.complain(WizardError("A change is under way already.", "Wait for its end."))
        elif name in _STEP_PAGES:
            step: type[StepPage] = getattr(screens, _STEP_PAGES[name])
            self._show(step(self.draft, self.facts, field))
            if name == "interfaces":
                self.interfaces_shown()
        elif name == "welcome":
            self.welcome()
        elif name == "review":
            self._review()
        elif (page := self.gateway_page(name) or self.watch_page(name)) is not None:
            self._show(page)
        elif name == "begin":
            self._begin()
        elif name in ("edit", "again"):
            self.ask("edit", self.services.plan_in_force, partial(self._edit, name))

    def _edit(self, name: str, text: str | None) -> None:
        """Take up the plan in force: to change it, or to apply it once more as it is."""
        if text is None:
            self._go("interfaces")
            return
        if self.draft != self.begun_with:
            self._go_on_or_begin_anew(name, text)
        elif name == "edit" and self._given is not None and text != self._original and not self._chosen:
            self._given_or_in_force(self._given, text)
        else:
            self._begin_edit(name, text)

    def _given_or_in_force(self, given: Plan, text: str) -> None:
        """Whoever names a plan at the start means it, and not the one that is in force."""
        from wizard.plan.draft import Draft

        def answered(take_given: bool | None) -> None:
            if take_given is None:
                return
            self._chosen = True
            if take_given:
                self.begin_draft(Draft.from_plan(given), given, self._source)
                self._go("interfaces")
            else:
                self._begin_edit("edit", text)

        told = f"{clean(self._source, 200)} was given at the start, and the plan in force here is another one."
        question = Question("Which plan?", told, "[ The given one ]", "[ The one in force ]", no_acts=True)
        self.push_screen(question, answered)

    def _go_on_or_begin_anew(self, name: str, text: str) -> None:
        """What was typed and not applied is not dropped unasked."""

        def answered(go_on: bool | None) -> None:
            if go_on:
                self._go("interfaces")
            elif go_on is False:
                self._begin_edit(name, text)

        told = "What you typed has not been applied. Starting from the plan in force drops it."
        if text != self._original:
            told += " It began with another plan than the one in force now: what Review shows is between the two."
        question = Question("Go on with what you typed?", told, "[ Go on ]", "[ Drop it ]", True, no_acts=True)
        self.push_screen(question, answered)

    def _begin_edit(self, name: str, text: str) -> None:
        try:
            plan = _read(text, "the plan in force")
        except WizardError as error:
            self.complain(error)
            return
        self._original = text
        from wizard.plan.draft import Draft

        self.begin_draft(Draft.from_plan(plan), plan, paths.PLAN_IN_FORCE)
        self._go("interfaces" if name == "edit" else "review")

    @on(Page.Edited)
    def _take_edited_draft(self, message: Page.Edited) -> None:
        self.draft = message.draft

    @on(Page.Next)
    def _go_to_next_step(self, message: Page.Next) -> None:
        # A page that has been left may still have something to say.
        if self._page is not None and message.step == self._page.STEP:
            self.draft = message.draft
            self._go(STEPS[STEPS.index(message.step) + 1])

    @on(Page.Go)
    def _go_to_page(self, message: Page.Go) -> None:
        self._go(message.page, message.field)

    @on(Page.Back)
    def _go_back(self) -> None:
        page = self._page
        if isinstance(page, screens.ResetPage) and self.progress.result and page.part not in page.PARTS:
            self._begin()
        elif isinstance(page, screens.LeasesPage | screens.ResetPage | screens.ExportPage) or (
            isinstance(page, screens.InterfacesPage) and self._in_force
        ):
            self._go("dashboard")
        elif isinstance(page, screens.InstancesPage):
            self._go("leases")
        elif isinstance(page, screens.InterfacesPage):
            self.welcome()
        elif page is not None and page.STEP in STEPS[1:]:
            self._go(STEPS[STEPS.index(page.STEP) - 1])

    @on(Page.LookAgain)
    def _look_again(self) -> None:
        page = self._page
        if isinstance(page, screens.StartPage):
            self.look_around()
        elif isinstance(page, screens.DashboardPage):
            self.look_at_gateway()
        else:
            self.ask("facts", self.services.facts, self._looked)

    def _looked(self, facts: Facts) -> None:
        self.facts = facts
        if isinstance(self._page, screens.InterfacesPage):
            self._look_at_wires(self._page.draft.corporate, self._page.draft.cluster)
        elif isinstance(self._page, screens.ReviewPage):
            self._review()

    def _look_at_status(self) -> None:
        self.ask("status", self.services.status, self.know_status)

    # Changes

    @on(messages.ResetAsked)
    def _reset_everything(self, message: messages.ResetAsked) -> None:
        start = partial(self.services.start_reset, message.forget_leases)
        self.when_privileged(partial(self.change, start))

    def change_refused(self, error: WizardError) -> None:
        if isinstance(self._page, screens.ResetPage):
            self._page.running = False
        self.complain(error)

    def change_ended(self) -> None:
        # What was known of the machine is no longer true.
        self.forget_overview()
        self._look_at_status()
        adopted = self.end_adoption()
        if adopted or self.progress.result != "kept" or isinstance(self._page, screens.ResetPage):
            return
        self._in_force = True
        self.begun_with = self.draft
        self.forget_draft()
        if isinstance(self._page, screens.ApplyPage):
            self._go("leases")
            if self.progress.reason in SIGHT_LOST.values():
                self.notify(self.progress.reason, severity="warning", markup=False)

    def outcome(self, status: Status, plan_in_force: str | None) -> str:
        if isinstance(self._page, screens.ResetPage):
            return self.reset_outcome(status)
        before = self._before
        another = before is None or (before.state, before.since) != (status.state, status.since)
        ours = not self._plan_text or plan_in_force == self._plan_text
        return "kept" if status.state in ("applied", "tripped") and another and ours else "failed"

    # Everywhere

    def ignores(self, _key: str) -> bool:
        # Nobody sees what a key would do to a page that is not shown.
        return is_too_small(self.size) and _key != "ctrl+q"

    async def action_quit(self) -> None:
        if not self.changing or isinstance(self.screen, Question):
            self._leave(True)
            return
        text = "The change goes on without this screen. If it waits for your answer, it goes back by itself."
        question = Question("Leave it alone?", text, "[ Leave ]", "[ Stay ]")
        self.push_screen(question, self._leave)

    def parting(self) -> str:
        """What goes on without the screen, and what is kept for the next one."""
        words = []
        if self.changing:
            words.append("The change goes on without the screen. 'ciao-wizard' shows it again.")
        elif self.status is not None and self.status.state == "applied" and is_old(self.looked_at):
            words.append("Leaving changed nothing on this machine. 'ciao-wizard status' says how the gateway is.")
        elif self.status is not None and self.status.state == "applied":
            words.append("The gateway goes on. 'ciao-wizard' shows it, 'ciao-wizard status' says how it is.")
        if self.kept:
            words.append("What you typed is kept: the next 'ciao-wizard' asks whether to go on with it.")
        return "\n".join(words)

    def _leave(self, sure: bool | None) -> None:
        if sure:
            self.leave_setup()
            self.save_draft_now()
            self.exit()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for command in super().get_system_commands(screen):
            if command.title == "Keys":
                # F1 has them, and this one's panel takes a page's room.
                continue
            if command.title == "Quit":
                yield SystemCommand("Leave", "Leave the wizard; what was typed is kept", self.action_quit)
            else:
                yield command
        yield SystemCommand("Look again", "Read this machine anew", self._look_again)
        if not self.changing:
            yield SystemCommand("Welcome", "What this machine is, and what is in the way", partial(self._go, "welcome"))
        if self._in_force and not self.changing:
            yield SystemCommand("Leases", "Who has which address", partial(self._go, "leases"))
            yield SystemCommand("Instances", "The VMs' instances, and the ways there", partial(self._go, "instances"))
            yield SystemCommand("Dashboard", "Whether the gateway works", partial(self._go, "dashboard"))
            yield SystemCommand("Edit plan", "Change the plan in force", partial(self._go, "edit"))
            yield SystemCommand("Reset", "Give everything back", partial(self._go, "reset"))


def _read(plan_text: str, source: str) -> Plan:
    from wizard.plan import planfile

    return planfile.load(plan_text, source)


def run(plan_text: str | None, source: str) -> tuple[int, str]:
    """Show the wizard on this terminal; the exit status, and a last word. Raises PlanUnreadable for `plan_text`."""
    app = WizardApp(None, plan_text, source)
    app.run()
    app.await_threads()
    if app.refused is not None:
        raise app.refused
    return app.return_code or 0, app.parting()
