"""The client of the engine: starts it detached from the terminal, and follows its events. For the command line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from wizard.deploy import runtime_state
from wizard.deploy.apply.session import remove_run_directory
from wizard.deploy.events import read_events
from wizard.deploy.shapes import ApplyEvent, EngineRequest, EngineState
from wizard.host import processes
from wizard.host.commands import CommandFailed, detach
from wizard.host.files import write_atomic
from wizard.plan import paths
from wizard.plan.findings import WizardError

ENGINE_LOG = f"{paths.RUN}/engine.log"
_START_PATIENCE_S = 20.0
_TAKEOVER_PATIENCE_S = 3.0


class EventStream:
    """The events of one engine run, which goes on without a reader. `own`: the events file was made for this reader."""

    def __init__(self, events: Path, own: bool = False) -> None:
        self.events = events
        # Open from now on: at its end a run may leave nothing, this file included.
        self.handle = events.open("rb")
        self.own = own
        self.until = time.monotonic() + (_START_PATIENCE_S if own else 0)

    def alive(self) -> bool:
        """Whether more can come: the engine lives, may still be starting, or may just be replaced by another."""
        work = runtime_state.running_engine()
        if work is not None and str(self.events) in work.get("events", []):
            self.until = time.monotonic() + _TAKEOVER_PATIENCE_S
        return time.monotonic() < self.until

    def __iter__(self) -> Iterator[ApplyEvent | None]:
        ended = False
        try:
            for event in read_events(self.handle, self.alive):
                ended = event is not None and "result" in event
                yield event
            ended = True
        finally:
            self.handle.close()
            # Whoever leaves before the end leaves it to others, and to the engine to remove.
            if self.own and ended:
                self.events.unlink(missing_ok=True)
                remove_run_directory()


def start_engine(verb: str, order: EngineRequest, extra_events: str | None = None) -> EventStream:
    """Start `engine VERB` detached. `order` is what it is asked for, as JSON; events also go to `extra_events`.

    Raises WizardError where it cannot be started.
    """
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    events = Path(paths.RUN) / f"events-{mark}.jsonl"
    files = [str(events)]
    if extra_events is not None:
        # The engine runs elsewhere: a path relative to here would be lost.
        try:
            files.append(str(Path(extra_events).absolute()))
        except FileNotFoundError:
            raise WizardError("this directory is gone", "Run it from another one, or give whole paths.") from None
    path = f"{paths.RUN}/order-{mark}.json"
    try:
        _touch(events)
        write_atomic(path, json.dumps({**order, "events": files}).encode(), 0o600)
    except OSError as error:
        raise WizardError(f"{events}: {error.strerror}", f"Make {paths.RUN} writable, with room on it.") from error
    _detach(runtime_state.engine_command(verb, path))
    return EventStream(events, own=True)


def _detach(command: list[str]) -> None:
    try:
        detach(command, ENGINE_LOG)
    except CommandFailed as error:
        if error.code is not None:
            raise
        # What starts programs apart may be gone, and what was applied must be taken back all the same.
        with Path(ENGINE_LOG).open("ab") as log:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")


def _touch(file: Path) -> None:
    while True:
        # Root's own processes read what we make there; the caller's umask may be anything.
        os.umask(0o022)
        try:
            runtime_state.run_directory()
            file.touch(mode=0o644)
            return
        except FileNotFoundError:
            # The directory was taken away at this very moment, by a run that leaves nothing.
            continue


def take_request(path: str) -> EngineRequest:
    """In the engine: the order, which is then no longer needed."""
    file = Path(path)
    order: EngineRequest = json.loads(file.read_text())
    file.unlink()
    return order


def pending_apply() -> EngineState | None:
    """The apply that waits for an answer, or None."""
    work = runtime_state.running_engine()
    return work if work is not None and work.get("deadline") is not None else None


def answer_pending(word: str) -> EventStream | None:
    """Answer the pending apply, "keep" or "revert"; the rest of its events, or None where none waits.

    A way back that is under way already is followed to its end where that is what was asked for.
    """
    work = runtime_state.running_engine()
    if work is None:
        return None
    if work.get("kind") != "apply":
        return _following(work) if word == "revert" else None
    if word == "keep" and work.get("deadline") is None:
        return None
    following = _following(work)
    runtime_state.record_decision(word, processes.from_json(work.get("process")))
    return following


def _following(work: EngineState) -> EventStream | None:
    files = work.get("events") or [os.devnull]
    try:
        return EventStream(Path(str(files[0])))
    except FileNotFoundError:
        # Whoever asked for it has heard its end already.
        return None


def engine_was_killed() -> bool:
    """Whether an engine was killed in the middle and nobody has cleaned up after it."""
    data = runtime_state.read_engine_state()
    return data is not None and not processes.alive(
        processes.from_json(data.get("process")), runtime_state.ENGINE_COMMAND
    )
