"""Recovery and reset: take back what a killed run left, or everything.

Called by `apply.main` in an engine process; the guard starts one after a crash, a worker becomes one.
"""

from __future__ import annotations

from collections.abc import Callable

from wizard.deploy.apply.reverter import Reverter
from wizard.deploy.apply.session import EngineSession
from wizard.deploy.events import EventWriter
from wizard.deploy.journal import Journal


def recover(event_files: tuple[str, ...]) -> int:
    """Take back what a killed run left; 0 where nothing of it remains."""
    return _revert_session("rollback", event_files, lambda r: r.recover(), "what a killed run had left is undone")


def reset(event_files: tuple[str, ...], forget_leases: bool, forget_images: bool) -> int:
    """Undo everything that the wizard ever did here; 0 where nothing of it remains."""
    done = "everything is as it was before the wizard"
    return _revert_session("reset", event_files, lambda r: r.reset(forget_leases, forget_images), done)


def _revert_session(kind: str, event_files: tuple[str, ...], revert: Callable[[Reverter], list[str]], done: str) -> int:
    events = EventWriter(*event_files)

    def task(session: EngineSession) -> None:
        problems = revert(Reverter(Journal(), events))
        if problems:
            session.end("failed", "; ".join(problems))
        else:
            session.end("rolled-back", done)

    return EngineSession(kind, events, event_files).run(task)
