"""One engine session, whatever it was asked for: takes the lock, publishes work.json, cleans up at its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wizard.deploy import runtime_state
from wizard.deploy.apply.lock import BusyMarker, ChangeLock
from wizard.deploy.events import EventWriter, timestamp
from wizard.deploy.installed_files import installed_state
from wizard.deploy.journal import Journal
from wizard.host import processes
from wizard.plan import paths
from wizard.plan.findings import WizardError

PURPOSES = {
    "apply": "ciao-wizard apply",
    "rollback": "ciao-wizard rollback",
    "reset": "ciao-wizard reset",
    "renew": "ciao-wizard reset --only",
}
GOING_BACK = ("rollback", "reset")


class EngineSession:
    """One run. `kind` is one of PURPOSES; the rest of `about` is told to whoever asks for the work."""

    lock: ChangeLock
    me: processes.Process

    def __init__(self, kind: str, teller: EventWriter, events: Sequence[str], **about: Any) -> None:
        self.kind = kind
        self.teller = teller
        self.events = list(events)
        self.about = about
        self.outcome: dict[str, Any] = {}

    def end(self, result: str, reason: str, **more: Any) -> None:
        """How it ends. Told last, once there is nothing left to do."""
        self.outcome = {"result": result, "reason": reason, **more}

    def run(self, work: Callable[[EngineSession], None]) -> int:
        """Do the work alone on this machine: 0 where it ends as "kept", or "rolled-back" where that was asked for.

        A person's mistake is told as "refused". Where it dies by a mistake of ours, everything is left as it is
        found, for those who take back what a killed run leaves.
        """
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            # Not SIG_IGN: our commands would inherit that, and could not be ended.
            signal.signal(number, lambda *_: None)
        try:
            self.lock = ChangeLock(PURPOSES[self.kind])
        except WizardError as error:
            self.teller.result("refused", full_message(error))
            return 1
        mark = None
        try:
            self.me = _myself()
            runtime_state.forget_decisions()
            mark = BusyMarker()
            self.publish()
            work(self)
        except (WizardError, OSError) as error:
            self.end("failed" if self.kind in GOING_BACK else "refused", full_message(error))
        if mark is not None:
            mark.remove()
        try:
            clean_up(self.lock, self.events)
        except OSError as error:
            self.outcome["reason"] += f" ({paths.RUN} could not be tidied up: {error})"
        self.teller.result(**self.outcome)
        return 0 if self.outcome["result"] == ("rolled-back" if self.kind in GOING_BACK else "kept") else 1

    def publish(self, **more: Any) -> None:
        """Tell everyone what is under way."""
        about = {"process": self.me.as_json(), "kind": self.kind, "since": timestamp(), "events": self.events}
        runtime_state.write_json(runtime_state.ENGINE_STATE, {**about, **self.about, **more})


def _myself() -> processes.Process:
    me = processes.identify(os.getpid())
    if me is None:
        raise WizardError("/proc does not show this process", "Mount /proc.")
    return me


def full_message(error: WizardError | OSError) -> str:
    if isinstance(error, WizardError):
        said = error.message if error.message.endswith((".", "!", "?")) else f"{error.message}."
        return f"{said} {error.remedy}".strip()
    return str(error)


def clean_up(lock: ChangeLock, events: Sequence[str]) -> None:
    """Remove what a run needs under /run; where nothing is applied here any more, all of it."""
    runtime_state.remove(runtime_state.ENGINE_STATE)
    runtime_state.forget_decisions()
    nothing_left = installed_state() == "absent"
    runtime_state.remove_orphaned_events([] if nothing_left else events)
    if not nothing_left:
        return
    Journal().remove_draft()
    needed = ("lock", "events-", "order-")
    for entry in Path(paths.RUN).iterdir():
        if not entry.name.startswith(needed):
            remove_tree(entry)
    lock.remove()
    remove_run_directory()


def remove_tree(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        for inner in entry.iterdir():
            remove_tree(inner)
        entry.rmdir()
    else:
        entry.unlink(missing_ok=True)


def remove_run_directory() -> None:
    """Remove the directory under /run where nothing is in it any more."""
    try:
        Path(paths.RUN).rmdir()
    except OSError:
        # Somebody still needs it, or has removed it already.
        return
