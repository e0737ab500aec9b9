"""Starting the engine away from the terminal, and following what it tells. The command line is built on this."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wizard.deploy import state
from wizard.deploy.events import follow
from wizard.host import processes
from wizard.host.commands import detach
from wizard.host.files import write_atomic
from wizard.plan import paths

Record = dict[str, Any]

ENGINE_LOG = f"{paths.RUN}/engine.log"
_START_PATIENCE_S = 20.0


class Following:
    """One run of the engine, followed from here; it does not need us."""

    def __init__(self, events: Path) -> None:
        self.events = events
        self.begun = time.monotonic()
        self.seen = False

    def alive(self) -> bool:
        """Whether more can come: the engine lives, or may still be starting."""
        if state.work() is not None:
            self.seen = True
            return True
        return not self.seen and time.monotonic() - self.begun < _START_PATIENCE_S

    def __iter__(self) -> Iterator[Record | None]:
        return follow(self.events, self.alive)


def start(verb: str, order: Record, extra_events: str | None = None) -> Following:
    """Start `engine VERB` detached. `order` is what it is asked for, as JSON; events also go to `extra_events`."""
    directory = state.run_directory()
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    events = directory / f"events-{mark}.jsonl"
    events.touch(mode=0o644)
    files = [str(events)]
    if extra_events is not None:
        # The engine runs elsewhere: a path relative to here would be lost.
        files.append(str(Path(extra_events).absolute()))
    path = directory / f"order-{mark}.json"
    write_atomic(str(path), json.dumps({**order, "events": files}).encode(), 0o600)
    detach(state.engine_command(verb, str(path)), ENGINE_LOG)
    return Following(events)


def take_order(path: str) -> Record:
    """In the engine: the order, which is then no longer needed."""
    file = Path(path)
    order: Record = json.loads(file.read_text())
    file.unlink()
    return order


def pending() -> Record | None:
    """The apply that waits for an answer, or None."""
    work = state.work()
    return work if work is not None and work.get("deadline") is not None else None


def answer(word: str) -> Following | None:
    """Answer the pending apply, "keep" or "revert"; the rest of its events, or None where none waits."""
    work = state.work()
    if work is None or work.get("kind") != "apply":
        return None
    if word == "keep" and work.get("deadline") is None:
        return None
    files = work.get("events") or []
    following = Following(Path(str(files[0])))
    following.seen = True
    state.decide(word)
    return following


def interrupted_engine() -> bool:
    """Whether an engine was killed in the middle and nobody has cleaned up after it."""
    data = state.read_json(state.WORK)
    return data is not None and not processes.alive(processes.from_json(data.get("process")), state.ENGINE_WORD)
