"""The frame of every engine process: takes the lock, publishes work.json, runs the task, cleans up, reports the result.

Used by `engine`, `recovery` and `partial_reset`.
"""

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
    """One session. `kind`: a key of PURPOSES. `about`: more keys for work.json. `lock` and `me` exist while it runs."""

    lock: ChangeLock
    me: processes.Process

    def __init__(self, kind: str, events: EventWriter, event_files: Sequence[str], **about: Any) -> None:
        self.kind = kind
        self.events = events
        self.event_files = list(event_files)
        self.about = about
        self.outcome: dict[str, Any] = {}

    def end(self, result: str, reason: str, **more: Any) -> None:
        """Set the result, which `run` writes as the last event. `more`: further keys of that ApplyEvent."""
        self.outcome = {"result": result, "reason": reason, **more}

    def run(self, task: Callable[[EngineSession], None]) -> int:
        """Run the task under the lock; returns 0 where the result is "kept" (apply, renew) or "rolled-back" (others).

        A WizardError or OSError ends it as "refused", in a rollback or reset as "failed". Any other exception is a bug
        and passes: nothing is cleaned up, so that the worker, the guard or the next run takes over.
        """
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            # Not SIG_IGN: our commands would inherit it and could not be ended.
            signal.signal(number, lambda *_: None)
        try:
            self.lock = ChangeLock(PURPOSES[self.kind])
        except WizardError as error:
            self.events.result("refused", full_message(error))
            return 1
        marker = None
        try:
            self.me = _myself()
            runtime_state.forget_decisions()
            marker = BusyMarker()
            self.publish()
            task(self)
        except (WizardError, OSError) as error:
            self.end("failed" if self.kind in GOING_BACK else "refused", full_message(error))
        if marker is not None:
            marker.remove()
        try:
            clean_up(self.lock, self.event_files)
        except OSError as error:
            self.outcome["reason"] += f" ({paths.RUN} could not be tidied up: {error})"
        # Whoever reads the result may start the next run at once.
        self.lock.release()
        self.events.result(**self.outcome)
        return 0 if self.outcome["result"] == ("rolled-back" if self.kind in GOING_BACK else "kept") else 1

    def publish(self, **more: Any) -> None:
        """Write work.json, with `more` keys. Raises WizardError, OSError."""
        about = {"process": self.me.as_json(), "kind": self.kind, "since": timestamp(), "events": self.event_files}
        runtime_state.write_json(runtime_state.ENGINE_STATE, {**about, **self.about, **more})


def _myself() -> processes.Process:
    me = processes.identify(os.getpid())
    if me is None:
        raise WizardError("/proc does not show this process", "Mount /proc.")
    return me


def full_message(error: WizardError | OSError) -> str:
    """The message and the remedy, as sentences."""
    if isinstance(error, WizardError):
        message = error.message if error.message.endswith((".", "!", "?")) else f"{error.message}."
        return f"{message} {error.remedy}".strip()
    return str(error)


def clean_up(lock: ChangeLock, event_files: Sequence[str]) -> None:
    """Remove a session's files under /run; where nothing is applied any more, all of ours. Raises OSError."""
    runtime_state.remove(runtime_state.ENGINE_STATE)
    runtime_state.forget_decisions()
    nothing_left = installed_state() == "absent"
    runtime_state.remove_orphaned_events([] if nothing_left else event_files)
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
    """Remove the directory under /run if it is empty."""
    try:
        Path(paths.RUN).rmdir()
    except OSError:
        # It is still in use, or already gone.
        return
