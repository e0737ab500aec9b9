"""The client of the engine: starts it detached from the terminal, follows its events, answers a pending apply.

Runs in the process of the command line; the TUI runs that one.
"""

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
_TAKEOVER_PATIENCE_S = 10.0
"""A busy laptop takes seconds to start Python."""


class EventStream:
    """The events of one engine run. The engine does not depend on a reader. `own`: the file was made for this reader.

    Iterating yields ApplyEvents, and None while there is nothing new.
    """

    def __init__(self, events: Path, own: bool = False) -> None:
        self.events = events
        # Opened now: a run that leaves nothing removes this file too.
        self.handle = events.open("rb")
        self.own = own
        self.until = time.monotonic() + (_START_PATIENCE_S if own else 0)

    def alive(self) -> bool:
        """Whether more events can come: the engine lives, may still be starting, or may just be replaced by another."""
        engine = runtime_state.running_engine()
        if engine is not None and str(self.events) in engine.get("events", []):
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
            # A reader that stops early leaves the file to other readers; the engine removes it.
            if self.own and ended:
                self.events.unlink(missing_ok=True)
                remove_run_directory()


def start_engine(verb: str, request: EngineRequest, extra_events: str | None = None) -> EventStream:
    """Start `engine VERB` detached, with this request. Events also go to the file `extra_events`.

    Raises WizardError where it cannot be started.
    """
    run_id = f"{os.getpid()}-{time.monotonic_ns()}"
    events = Path(paths.RUN) / f"events-{run_id}.jsonl"
    files = [str(events)]
    if extra_events is not None:
        # The engine has another working directory.
        try:
            files.append(str(Path(extra_events).absolute()))
        except FileNotFoundError:
            raise WizardError("this directory is gone", "Run it from another one, or give whole paths.") from None
    path = f"{paths.RUN}/order-{run_id}.json"
    try:
        _touch(events)
        write_atomic(path, json.dumps({**request, "events": files}).encode(), 0o600)
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
        # `setsid` may be missing, and a rollback must be possible even so.
        with Path(ENGINE_LOG).open("ab") as log:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")


def _touch(file: Path) -> None:
    while True:
        # The caller's umask may be anything; the directory and the file must be readable.
        os.umask(0o022)
        try:
            runtime_state.run_directory()
            file.touch(mode=0o644)
            return
        except FileNotFoundError:
            # A run that leaves nothing has just removed the directory.
            continue


def take_request(path: str) -> EngineRequest:
    """In the engine: read the request file and remove it. Raises OSError."""
    file = Path(path)
    request: EngineRequest = json.loads(file.read_text())
    file.unlink()
    return request


def pending_apply() -> EngineState | None:
    """The apply that waits for an answer, or None."""
    engine = runtime_state.running_engine()
    return engine if engine is not None and engine.get("deadline") is not None else None


def answer_pending(word: str) -> EventStream | None:
    """Answer the pending apply, `word` being "keep" or "revert"; returns its further events, None where none waits.

    "revert" also follows a rollback or reset that is already running.
    """
    engine = runtime_state.running_engine()
    if engine is None:
        return None
    if engine.get("kind") != "apply":
        return _event_stream(engine) if word == "revert" else None
    if word == "keep" and engine.get("deadline") is None:
        return None
    stream = _event_stream(engine)
    runtime_state.record_decision(word, processes.from_json(engine.get("process")))
    return stream


def _event_stream(engine: EngineState) -> EventStream | None:
    files = engine.get("events") or [os.devnull]
    try:
        return EventStream(Path(str(files[0])))
    except FileNotFoundError:
        # Its reader has seen the result and removed the file.
        return None


def engine_was_killed() -> bool:
    """Whether an engine was killed and nothing has recovered from it yet."""
    engine = runtime_state.read_engine_state()
    return engine is not None and not processes.alive(
        processes.from_json(engine.get("process")), runtime_state.ENGINE_COMMAND
    )
