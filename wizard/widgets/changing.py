"""An app that has the machine changed by another process, and follows what that tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported
from textual.reactive import reactive
from textual.timer import Timer

from wizard.plan.findings import WizardError
from wizard.services.progress import Progress, follow
from wizard.widgets.asking import AskingApp

if TYPE_CHECKING:
    from wizard.deploy.status import Status
    from wizard.services.protocols import ChangeProcess, Services

FOLLOW_EVERY_S = 0.2
# How long a change may say nothing, its process gone, before we look for ourselves.
PATIENCE_TICKS = 15
SIGHT_LOST = {
    "kept": "Kept. What it said last was not heard here; the dashboard says how it is.",
    "rolled-back": "Nothing is applied here any more, but I lost sight of it on the way.",
}


class ChangingApp(AskingApp):
    """`progress` is what is known of the change under way, or of the last one."""

    services: Services
    progress: reactive[Progress] = reactive(Progress())

    _run_followed: ChangeProcess | None = None
    _follower: Timer | None = None
    _silent: int = 0

    @property
    def changing(self) -> bool:
        return self._run_followed is not None

    def change_refused(self, error: WizardError) -> None:
        """The change never began. Overridden by the app."""

    def change_ended(self) -> None:
        """`progress` has a result. Overridden by the app."""

    def outcome(self, status: Status, plan_in_force: str | None) -> str:
        """The result of a change that ended unseen: "kept", "rolled-back" or "failed". Overridden by the app."""
        return "kept" if status.state == "applied" and plan_in_force is not None else "failed"

    def when_privileged(self, then: Callable[[], None]) -> None:
        """Do `then` once sudo needs no password, which it asks for outside the screen."""
        self.ask("sudo", self.services.may_change, partial(self._password, then), self.change_refused)

    def _password(self, then: Callable[[], None], already: bool) -> None:
        try:
            if not already:
                with self.suspend():
                    already = self.services.ask_password()
        except SuspendNotSupported:
            self.change_refused(WizardError("A password cannot be asked here.", "Start it again as root."))
            return
        except WizardError as error:
            self.change_refused(error)
            return
        if already:
            then()
        else:
            self.change_refused(WizardError("Nothing was changed: it needs root.", "Try again, or start it as root."))

    def change(self, start: Callable[[], ChangeProcess]) -> None:
        """Start a change, or join one, and follow it to its end."""
        if self.changing:
            self.change_refused(WizardError("A change is under way already.", "Wait for its end."))
            return
        self.progress = Progress()
        self.ask("start", start, self._started, self._could_not_start)

    def _could_not_start(self, error: WizardError) -> None:
        self.progress = Progress(result="refused", reason=f"{error.message} {error.remedy}".strip())

    def _started(self, run: ChangeProcess) -> None:
        self._run_followed = run
        self.progress = replace(self.progress, log=run.log())
        self._silent = 0
        self._follower = self.set_interval(FOLLOW_EVERY_S, self._follow)

    def _follow(self) -> None:
        """Fold what the events file says by now into the progress."""
        run = self._run_followed
        if run is None:
            return
        lines = run.lines()
        progress = self.progress
        for line in lines:
            progress = follow(progress, line)
        self.progress = progress
        if progress.result:
            self._end()
            return
        self._silent = 0 if lines or run.alive() else self._silent + 1
        if self._silent == PATIENCE_TICKS:

            def look() -> tuple[Status, str | None]:
                return self.services.status(), self.services.plan_in_force()

            self.ask("silence", look, self._silence_explained)

    def _silence_explained(self, found: tuple[Status, str | None]) -> None:
        """The process is gone and the file says no more: what is true now?"""
        self._silent = 0
        run = self._run_followed
        status, plan = found
        if run is None or status.state == "pending":
            return
        result = self.outcome(status, plan)
        why = SIGHT_LOST.get(result)
        if why is None:
            why = f"It ended without a word. Now: {status.state}.\n{run.said()}".strip()
        self.progress = Progress(self.progress.steps, result=result, reason=why, log=self.progress.log)
        self._end()

    def _end(self) -> None:
        if self._follower is not None:
            self._follower.stop()
        self._run_followed = None
        self.change_ended()
