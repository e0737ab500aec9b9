"""The Textual app: the order of the pages, and what is common to all of them. Nothing of any one page, no rule."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.worker import Worker

from wizard import screens
from wizard.app.calls import CallFinished
from wizard.app.changes import ChangeFollower
from wizard.app.drafts import DraftAutosave
from wizard.app.escape import QuickEscapeDriver
from wizard.app.gateway import GatewayWatcher
from wizard.app.saving import FileSaver
from wizard.app.shell import PageShell
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.text import clean
from wizard.widgets.aging import is_old
from wizard.widgets.modal import Question
from wizard.widgets.page import HORIZONTAL_BREAKPOINTS, STEPS, VERTICAL_BREAKPOINTS, Page, PageMessage, is_too_small

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.plan.draft.model import Draft
    from wizard.plan.machine import Facts
    from wizard.plan.model import Plan
    from wizard.screens.controller import Controller
    from wizard.services.protocols import Services

FIRST = "welcome"
PREVIOUS_PAGE = {
    "interfaces": "welcome",
    **dict(zip(STEPS[1:], STEPS, strict=False)),
    "leases": "dashboard",
    "reset": "dashboard",
    "export": "dashboard",
    "boot": "dashboard",
    "instances": "leases",
}
"""The page before each, where its controller knows no better."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What was found at the start."""

    facts: Facts
    status: Status
    plan_in_force: str | None


class WizardApp(PageShell):
    """The wizard. `plan_text` is a plan to begin with, `source` its name in messages; `refused` is why it is none.

    Without `services` it is for this machine, whose services are loaded once the first screen stands.
    """

    TITLE = "ciao-wizard"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = HORIZONTAL_BREAKPOINTS
    VERTICAL_BREAKPOINTS = VERTICAL_BREAKPOINTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "help", priority=True),
        Binding("ctrl+q", "quit", "leave", show=False, priority=True),
    ]

    def __init__(self, services: Services | None = None, plan_text: str | None = None, source: str = "") -> None:
        # Under NO_COLOR Textual drops colours only where it is told at once to use the terminal's own.
        plain = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if plain else None)
        if plain:
            self.theme = "ansi-dark"
        if services is not None:
            self.services = services
        self.gateway = GatewayWatcher(self)
        self.changes = ChangeFollower(self, self._change_ended)
        self.drafts = DraftAutosave(self, plan_text, partial(self.go, "interfaces"), self.gateway.applied_since)
        self.saver = FileSaver(self)
        self.refused: WizardError | None = None
        self._controllers: dict[str, Controller] = {}
        self._given: Plan | None = None
        self._unread = None if plan_text is None else (plan_text, source)
        self._source = source
        self._chosen = False
        self._in_force = False

    @property
    def draft(self) -> Draft:
        return self.drafts.draft

    @property
    def facts(self) -> Facts | None:
        return self.state.facts

    @property
    def changing(self) -> bool:
        return self.changes.under_way

    def get_driver_class(self) -> type[Driver]:
        driver = super().get_driver_class()
        return QuickEscapeDriver if driver is LinuxDriver else driver

    # What runs beside the screen

    @on(CallFinished)
    def _deliver(self, message: CallFinished) -> None:
        self.calls.deliver(message)

    @on(Worker.StateChanged)
    def _take_worker_state(self, event: Worker.StateChanged) -> None:
        self.calls.take_worker_state(event)

    def on_unmount(self) -> None:
        # However it ends: a thread that goes on would keep the process from ending.
        self._leave_pages()

    # The start

    def get_default_screen(self) -> Screen[Any]:
        """The first screen is on the terminal before anything else is loaded or looked at."""
        return self.take_page(FIRST, screens.WelcomePage())

    def on_mount(self) -> None:
        self.call_after_refresh(self._look)

    def _begin(self) -> None:
        self._show(FIRST, screens.WelcomePage())
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

        self.calls.call("begin", look, self._begun, self._cannot_begin)

    def _cannot_begin(self, error: WizardError) -> None:
        if self._unread is not None:
            self.refused = error
            self.exit(return_code=error.status)
        elif self.page is not None:
            self.page.cannot_look(error)

    def _begun(self, found: Beginning) -> None:
        self.state = replace(self.state, facts=found.facts, host=found.facts.host_name)
        self.gateway.take_status(found.status)
        self._in_force = found.status.state in ("applied", "tripped") and found.plan_in_force is not None
        if self.drafts.original is None and self._in_force:
            self.drafts.original = found.plan_in_force
        from wizard.plan.draft.model import first_draft

        self.drafts.begin(first_draft(self._given, found.facts), self._given, self._source)
        if found.status.state == "pending":
            self.drafts.answer_for_found()
            self.drafts.prepared = None
            self.go("apply")
        elif found.status.state in ("absent", "interrupted"):
            self.go(FIRST)
        else:
            self.go("dashboard")
            self.drafts.offer()

    # The pages

    def controller(self, name: str) -> Controller:
        """The controller of the page of that name, which is loaded when it is first asked for."""
        if name not in self._controllers:
            self._controllers[name] = screens.load_controller(name)(self)
        return self._controllers[name]

    def go(self, name: str, field: str = "") -> None:
        """To a page by its name, or one of the ways on: "begin", "edit", "again". `field` is what to point at there."""
        if name == "begin":
            self._begin()
        elif name in ("edit", "again"):
            self.calls.call("edit", self.services.plan_in_force, partial(self._edit, name))
        elif name in screens.PAGES:
            controller = self.controller(name)
            page = controller.open_at(field)
            if page is not None:
                self._show(name, page)
                controller.shown()

    def _show(self, name: str, page: Page) -> None:
        self._leave_pages()
        # Nor is a password asked, and a change begun, for a page that was left.
        self.calls.drop("sudo")
        self.put_on_screen(name, page)

    def _leave_pages(self) -> None:
        for controller in self._controllers.values():
            controller.left()

    @on(PageMessage)
    def _hand_over(self, message: PageMessage) -> None:
        """To the controller of the page; one of a page that has been left may still be on its way to another."""
        for controller in (self.controller(self.page_name), *self._controllers.values()):
            if type(message) in controller.handlers:
                controller.handle(message)
                return
        raise LookupError(f"no controller handles {message!r}")

    @on(Page.Edited)
    def _take_draft(self, message: Page.Edited) -> None:
        self.drafts.draft = message.draft

    @on(Page.StepDone)
    def _go_on(self, message: Page.StepDone) -> None:
        # A page that has been left may still have something to say.
        if self.page is not None and message.step == self.page.STEP:
            self.drafts.draft = message.draft
            self.go(STEPS[STEPS.index(message.step) + 1])

    @on(Page.PageRequested)
    def _go_to(self, message: Page.PageRequested) -> None:
        self.go(message.page, message.field)

    @on(Page.BackRequested)
    def _go_back(self) -> None:
        name = self.controller(self.page_name).back() or PREVIOUS_PAGE.get(self.page_name, "")
        if name == FIRST and self._in_force:
            name = "dashboard"
        self.go(name)

    @on(Page.RefreshRequested)
    def _look_again(self) -> None:
        self.controller(self.page_name).look_again()

    def read_facts(self) -> None:
        """Read the machine; the page on the screen is told of it."""
        self.calls.call("facts", self.services.facts, self._facts_read)

    def _facts_read(self, facts: Facts) -> None:
        if self.facts is not None:
            # What was agreed to holds for this run.
            facts = replace(facts, to_stop=self.facts.to_stop)
        self.state = replace(self.state, facts=facts)
        self.controller(self.page_name).facts_read()

    # Which plan

    def _edit(self, name: str, text: str | None) -> None:
        """Take up the plan in force: to change it, or to apply it once more as it is."""
        if text is None:
            self.go("interfaces")
            return
        if self.drafts.changed:
            self._go_on_or_begin_anew(name, text)
        elif name == "edit" and self._given is not None and text != self.drafts.original and not self._chosen:
            self._given_or_in_force(self._given, text)
        else:
            self._begin_edit(name, text)

    def _given_or_in_force(self, given: Plan, text: str) -> None:
        """Whoever names a plan at the start means it, and not the one that is in force."""
        from wizard.plan.draft.model import Draft

        def answered(take_given: bool | None) -> None:
            if take_given is None:
                return
            self._chosen = True
            if take_given:
                self.drafts.begin(Draft.from_plan(given), given, self._source)
                self.go("interfaces")
            else:
                self._begin_edit("edit", text)

        told = f"{clean(self._source, 200)} was given at the start; the plan in force here is another one."
        question = Question("Which plan?", told, "[ The given plan ]", "[ The plan in force ]", no_acts=True)
        self.push_screen(question, answered)

    def _go_on_or_begin_anew(self, name: str, text: str) -> None:
        """What was typed and not applied is not dropped unasked."""

        def answered(go_on: bool | None) -> None:
            if go_on:
                self.go("interfaces")
            elif go_on is False:
                self._begin_edit(name, text)

        told = "Your changes have not been applied. Starting from the plan in force discards them."
        if text != self.drafts.original:
            told += " They started from another plan than the one in force now: Review shows the difference."
        question = Question("Continue with your changes?", told, "[ Continue ]", "[ Discard them ]", True, no_acts=True)
        self.push_screen(question, answered)

    def _begin_edit(self, name: str, text: str) -> None:
        try:
            plan = _read(text, "the plan in force")
        except WizardError as error:
            self.show_error(error)
            return
        self.drafts.original = text
        from wizard.plan.draft.model import Draft

        self.drafts.begin(Draft.from_plan(plan), plan, paths.PLAN_IN_FORCE)
        self.go("interfaces" if name == "edit" else "review")

    # Changes

    def _change_ended(self) -> None:
        # What was known of the machine is no longer true.
        self.gateway.forget()
        self.gateway.read_status()

    def gateway_applied(self) -> None:
        """A plan was applied from here, and kept."""
        self._in_force = True

    # Everywhere

    def ignores(self, _key: str) -> bool:
        # Nobody sees what a key would do to a page that is not shown.
        return is_too_small(self.size) and _key != "ctrl+q"

    async def action_quit(self) -> None:
        if not self.changing or isinstance(self.screen, Question):
            self._leave(True)
            return
        text = "The change continues without this screen. If it waits for your answer and gets none, it is undone."
        question = Question("Leave now?", text, "[ Leave ]", "[ Stay ]")
        self.push_screen(question, self._leave)

    def parting(self) -> str:
        """What goes on without the screen, and what is kept for the next one."""
        words = []
        status = self.state.status
        if self.changing:
            words.append("The change continues without the screen. 'ciao-wizard' shows it again.")
        elif status is not None and status.state == "applied" and is_old(self.state.looked_at):
            words.append("Leaving changed nothing on this machine. 'ciao-wizard status' shows the gateway's state.")
        elif status is not None and status.state == "applied":
            words.append("The gateway keeps running. 'ciao-wizard' shows it, 'ciao-wizard status' checks it.")
        if self.drafts.kept:
            words.append("Your changes are saved: the next 'ciao-wizard' offers to continue with them.")
        return "\n".join(words)

    def _leave(self, sure: bool | None) -> None:
        if sure:
            self._leave_pages()
            self.drafts.save_now()
            self.exit()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for command in super().get_system_commands(screen):
            if command.title == "Keys":
                # F1 has them, and this one's panel takes a page's room.
                continue
            if command.title == "Quit":
                yield SystemCommand("Leave", "Leave the wizard; your changes are saved", self.action_quit)
            else:
                yield command
        yield SystemCommand("Look again", "Read this machine again", self._look_again)
        if not self.changing:
            yield SystemCommand("Welcome", "What was found on this machine", partial(self.go, "welcome"))
        if self._in_force and not self.changing:
            yield SystemCommand("Leases", "Who has which address", partial(self.go, "leases"))
            yield SystemCommand("Instances", "The VMs' instances, and how to reach them", partial(self.go, "instances"))
            yield SystemCommand("Boot", "Nodes that boot an image over the network", partial(self.go, "boot"))
            yield SystemCommand("Dashboard", "The gateway's state", partial(self.go, "dashboard"))
            yield SystemCommand("Edit plan", "Change the plan in force", partial(self.go, "edit"))
            yield SystemCommand("Reset", "Restart a part, or undo everything", partial(self.go, "reset"))


def _read(plan_text: str, source: str) -> Plan:
    from wizard.plan.file.read import load_plan

    return load_plan(plan_text, source)


def run(plan_text: str | None, source: str) -> tuple[int, str]:
    """Show the wizard on this terminal; the exit status, and a last word. Raises PlanUnreadable for `plan_text`."""
    app = WizardApp(None, plan_text, source)
    app.run()
    app.calls.await_threads()
    if app.refused is not None:
        raise app.refused
    return app.return_code or 0, app.parting()
