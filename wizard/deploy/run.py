"""One engine session, whatever it was asked for: takes the lock, publishes work.json, cleans up at its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wizard.deploy import state
from wizard.deploy.events import Teller, now
from wizard.deploy.journal import Journal
from wizard.deploy.kept import kept_state
from wizard.deploy.lock import Lock, Mark
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


class Run:
    """One run. `kind` is one of PURPOSES; the rest of `about` is told to whoever asks for the work."""

    lock: Lock
    me: processes.Process

    def __init__(self, kind: str, teller: Teller, events: Sequence[str], **about: Any) -> None:
        self.kind = kind
        self.teller = teller
        self.events = list(events)
        self.about = about
        self.outcome: dict[str, Any] = {}

    def end(self, result: str, reason: str, **more: Any) -> None:
        """How it ends. Told last, once there is nothing left to do."""
        self.outcome = {"result": result, "reason": reason, **more}

    def carry_out(self, work: Callable[[Run], None]) -> int:
        """Do the work alone on this machine: 0 where it ends as "kept", or "rolled-back" where that was asked for.

        A person's mistake is told as "refused". Where it dies by a mistake of ours, everything is left as it is
        found, for those who take back what a killed run leaves.
        """
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            # Not SIG_IGN: our commands would inherit that, and could not be ended.
            signal.signal(number, lambda *_: None)
        try:
            self.lock = Lock(PURPOSES[self.kind])
        except WizardError as error:
            self.teller.result("refused", in_full(error))
            return 1
        mark = None
        try:
            self.me = _myself()
            state.forget_decisions()
            mark = Mark()
            self.write_work()
            work(self)
        except (WizardError, OSError) as error:
            self.end("failed" if self.kind in GOING_BACK else "refused", in_full(error))
        if mark is not None:
            mark.remove()
        try:
            tidy(self.lock, self.events)
        except OSError as error:
            self.outcome["reason"] += f" ({paths.RUN} could not be tidied up: {error})"
        self.teller.result(**self.outcome)
        return 0 if self.outcome["result"] == ("rolled-back" if self.kind in GOING_BACK else "kept") else 1

    def write_work(self, **more: Any) -> None:
        """Tell everyone what is under way."""
        about = {"process": self.me.as_json(), "kind": self.kind, "since": now(), "events": self.events}
        state.write_json(state.WORK, {**about, **self.about, **more})


def _myself() -> processes.Process:
    me = processes.identify(os.getpid())
    if me is None:
        raise WizardError("/proc does not show this process", "Mount /proc.")
    return me


def in_full(error: WizardError | OSError) -> str:
    if isinstance(error, WizardError):
        said = error.message if error.message.endswith((".", "!", "?")) else f"{error.message}."
        return f"{said} {error.remedy}".strip()
    return str(error)


def tidy(lock: Lock, events: Sequence[str]) -> None:
    """Remove what a run needs under /run; where nothing is applied here any more, all of it."""
    state.remove(state.WORK)
    state.forget_decisions()
    nothing_left = kept_state() == "absent"
    state.drop_events([] if nothing_left else events)
    if not nothing_left:
        return
    Journal().discard()
    needed = ("lock", "events-", "order-")
    for entry in Path(paths.RUN).iterdir():
        if not entry.name.startswith(needed):
            remove_tree(entry)
    lock.remove()
    leave()


def remove_tree(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        for inner in entry.iterdir():
            remove_tree(inner)
        entry.rmdir()
    else:
        entry.unlink(missing_ok=True)


def leave() -> None:
    """Remove the directory under /run where nothing is in it any more."""
    try:
        Path(paths.RUN).rmdir()
    except OSError:
        # Somebody still needs it, or has removed it already.
        return
