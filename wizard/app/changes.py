"""Follows a change that another process makes, through its events file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported
from textual.timer import Timer

from wizard.plan.findings import WizardError
from wizard.screens.controller import change_under_way
from wizard.services.progress import SIGHT_LOST, Progress, follow

if TYPE_CHECKING:
    from wizard.app.shell import PageShell
    from wizard.deploy.status import Status
    from wizard.screens.shell import Outcome, Refused
    from wizard.services.protocols import ChangeProcess

FOLLOW_EVERY_S = 0.2
# How long a change may say nothing, its process gone, before we look for ourselves.
PATIENCE_TICKS = 15


@dataclass(frozen=True, slots=True)
class _Change:
    process: ChangeProcess
    outcome: Outcome
    ended: Callable[[], None] | None


class ChangeFollower:
    """One change at a time. `any_ended` is called at the end of each, before its own `ended`."""

    def __init__(self, shell: PageShell, any_ended: Callable[[], None]) -> None:
        self._shell = shell
        self._any_ended = any_ended
        self._change: _Change | None = None
        self._timer: Timer | None = None
        self._silent = 0

    @property
    def under_way(self) -> bool:
        return self._change is not None

    @property
    def _progress(self) -> Progress:
        return self._shell.state.progress

    @_progress.setter
    def _progress(self, progress: Progress) -> None:
        self._shell.state = replace(self._shell.state, progress=progress)

    def when_privileged(self, then: Callable[[], None], refused: Refused | None = None) -> None:
        """Do `then` once sudo needs no password, which it asks for outside the screen."""
        no = refused or self._shell.show_error
        may_change = self._shell.services.may_change
        self._shell.calls.call("sudo", may_change, lambda already: self._password(then, no, already), no)

    def _password(self, then: Callable[[], None], refused: Refused, already: bool) -> None:
        try:
            if not already:
                with self._shell.suspend():
                    already = self._shell.services.ask_password()
        except SuspendNotSupported:
            refused(WizardError("sudo cannot ask for a password here.", "Start the wizard as root."))
            return
        except WizardError as error:
            refused(error)
            return
        if already:
            then()
        else:
            refused(WizardError("Nothing was changed: that needs root.", "Try again, or start the wizard as root."))

    def start(
        self,
        begin: Callable[[], ChangeProcess],
        outcome: Outcome,
        ended: Callable[[], None] | None = None,
        refused: Refused | None = None,
    ) -> None:
        """Start a change, or join one, and follow it to its end; `ended` is called once there is a result."""
        if self.under_way:
            (refused or self._shell.show_error)(change_under_way())
            return
        self._progress = Progress()

        def started(process: ChangeProcess) -> None:
            self._follow_from_here(_Change(process, outcome, ended))

        self._shell.calls.call("start", begin, started, self._could_not_start)

    def _could_not_start(self, error: WizardError) -> None:
        self._progress = Progress(result="refused", reason=f"{error.message} {error.remedy}".strip())

    def _follow_from_here(self, change: _Change) -> None:
        self._change = change
        self._progress = replace(self._progress, log=change.process.log_path())
        self._silent = 0
        self._timer = self._shell.set_interval(FOLLOW_EVERY_S, self._follow)

    def _follow(self) -> None:
        """Fold what the events file says by now into the progress."""
        if self._change is None:
            return
        process = self._change.process
        lines = process.lines()
        progress = self._progress
        for line in lines:
            progress = follow(progress, line)
        self._progress = progress
        if progress.result:
            self._end()
            return
        self._silent = 0 if lines or process.alive() else self._silent + 1
        if self._silent == PATIENCE_TICKS:
            services = self._shell.services

            def look() -> tuple[Status, str | None]:
                return services.status(), services.plan_in_force()

            self._shell.calls.call("silence", look, self._silence_explained)

    def _silence_explained(self, found: tuple[Status, str | None]) -> None:
        """The process is gone and the file says no more: what is true now?"""
        self._silent = 0
        status, plan = found
        if self._change is None or status.state == "pending":
            return
        result = self._change.outcome(status, plan)
        why = SIGHT_LOST.get(result)
        if why is None:
            why = f"It ended without a message. Now: {status.state}.\n{self._change.process.output_tail()}".strip()
        progress = self._progress
        self._progress = Progress(progress.steps, result=result, reason=why, log=progress.log)
        self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        change, self._change = self._change, None
        self._any_ended()
        if change is not None and change.ended is not None:
            change.ended()
