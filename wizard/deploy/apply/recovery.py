"""Recovery: take back what a killed run left, or everything."""

from __future__ import annotations

from collections.abc import Callable

from wizard.deploy.apply.reverter import Reverter
from wizard.deploy.apply.session import EngineSession
from wizard.deploy.events import EventWriter
from wizard.deploy.journal import Journal


def recover(events: tuple[str, ...]) -> int:
    """Take back whatever a killed run left; 0 when nothing is left of it."""
    return _way_back("rollback", events, lambda r: r.recover(), "what a killed run had left is undone")


def reset(events: tuple[str, ...], forget_leases: bool) -> int:
    """Undo everything the wizard ever did here; 0 when nothing is left of it."""
    return _way_back("reset", events, lambda r: r.reset(forget_leases), "everything is as it was before the wizard")


def _way_back(kind: str, events: tuple[str, ...], act: Callable[[Reverter], list[str]], done: str) -> int:
    teller = EventWriter(*events)

    def work(run: EngineSession) -> None:
        problems = act(Reverter(Journal(), teller))
        if problems:
            run.end("failed", "; ".join(problems))
        else:
            run.end("rolled-back", done)

    return EngineSession(kind, teller, events).run(work)
