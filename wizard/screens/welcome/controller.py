"""Looks at the machine for the welcome page, and takes the way on from there."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from wizard.plan.findings import WizardError
from wizard.screens.controller import Controller, handles
from wizard.screens.welcome import messages
from wizard.screens.welcome.screen import WelcomePage

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.plan.machine import Facts
    from wizard.plan.model import Plan
    from wizard.plan.welcome import WelcomeReport
    from wizard.screens.shell import LeftOver, Shell


class WelcomeController(Controller):
    def __init__(self, shell: Shell) -> None:
        super().__init__(shell)
        self._left_over: LeftOver | None = None

    @property
    def page(self) -> WelcomePage | None:
        page = self.shell.page
        return page if isinstance(page, WelcomePage) else None

    def open(self) -> WelcomePage | None:
        """The page is the one that has been there while we were looking, or a new one."""
        self.shell.drafts.save_now()
        if self.page is None:
            return WelcomePage()
        self.shown()
        return None

    def shown(self) -> None:
        facts = self.shell.state.facts
        if facts is not None:
            make = partial(self._make_report, facts, self.shell.state.status)
            self.shell.calls.call("welcome", make, self._take_report, self._no_report)

    def look_again(self) -> None:
        """Look at the machine once more, and say what was found. What was typed in this run stays."""
        if self.shell.state.facts is None or not self.shell.drafts.changed:
            self.shell.go("begin")
            return
        self.shell.drafts.save_now()
        services = self.shell.services

        def look() -> tuple[Facts, Status]:
            return services.facts(), services.status()

        self.shell.calls.call("begin", look, self._looked)

    def _looked(self, found: tuple[Facts, Status]) -> None:
        self.shell.state = replace(self.shell.state, facts=found[0])
        self.shell.gateway.take_status(found[1])
        if self.page is not None:
            self.shell.go("welcome")

    # What is said

    def _make_report(self, facts: Facts, known: Status | None) -> tuple[WelcomeReport, LeftOver | None]:
        from wizard.plan import welcome

        # Not known where the gateway was looked at last, and could not be.
        status = known or self.shell.services.status()
        around = self.shell.services.environment()
        tools = {*facts.missing_tools, *around.missing}
        found = list(welcome.earlier_run_lines(status.state, status.healthy, status.drift, status.reason))
        plan, source = self._beginning(status)
        if plan is not None:
            found.append(welcome.plan_line(plan, source, self.shell.drafts.changed))
        left = self.shell.drafts.left_over()
        if left is not None:
            found.append(welcome.WelcomeLine("!", "Draft", left.said))
        report = welcome.WelcomeReport(
            welcome.machine_lines(facts, around.root),
            (*welcome.missing_tool_lines(tools, around.installer, around.root), *welcome.port_conflict_lines(facts)),
            tuple(found),
            status.state,
            left.said if left is not None else "",
            tuple(nic for nic in facts.nics if nic.kind != "loopback"),
        )
        return report, left

    def _beginning(self, status: Status) -> tuple[Plan | None, str]:
        """The plan that the pages begin with, and where it is from; None where they suggest."""
        # What is in force is taken up where it can be edited, and nothing has been typed that would go on.
        edits = status.state in ("applied", "tripped") and not self.shell.drafts.changed
        in_force = self.shell.services.plan_in_force() if edits else None
        if status.plan is None or in_force is None:
            return self.shell.drafts.begun_from
        from wizard.plan.file import read as planfile

        try:
            return planfile.load_plan(in_force, status.plan), status.plan
        except WizardError:
            # Said where it is to be changed.
            return None, ""

    def _take_report(self, found: tuple[WelcomeReport, LeftOver | None]) -> None:
        if self.page is not None:
            self.page.report, self._left_over = found
            self.page.trouble = None

    def _no_report(self, error: WizardError) -> None:
        if self.page is not None:
            self.page.trouble = error

    # The way on

    @handles(messages.WayChosen)
    def go_on(self, message: messages.WayChosen) -> None:
        if message.way == "recover":
            self.shell.changes.when_privileged(self._recover)
            return
        left, self._left_over = self._left_over, None
        taken = left is not None and message.way != "afresh"
        if left is not None:
            # Goes to Interfaces by itself where it is taken.
            self.shell.drafts.answer(left, taken)
        if not taken:
            self.shell.go("interfaces")

    def _recover(self) -> None:
        self._now_busy("Undoing the interrupted change…")
        rollback = self.shell.services.rollback
        self.shell.calls.call("recover", rollback, lambda _: self.shell.go("begin"), self._not_recovered)

    def _not_recovered(self, error: WizardError) -> None:
        self._now_busy("")
        self.shell.show_error(error)

    def _now_busy(self, what: str) -> None:
        if self.page is not None:
            self.page.busy = what
