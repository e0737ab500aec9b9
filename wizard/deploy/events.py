"""The events of an engine: one JSON object (an ApplyEvent) a line, in a file that any user interface can follow.

Engine processes write them by EventWriter; `client.EventStream` and the TUI read them by `read_events`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, BinaryIO, cast

from wizard.deploy.shapes import ApplyEvent
from wizard.plan.text import clean


def timestamp() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


class EventWriter:
    """Appends events to every given file. A file that cannot be written is left out: events do not affect an apply."""

    def __init__(self, *files: str) -> None:
        self._fds: list[int] = []
        for file in files:
            try:
                # O_NONBLOCK: do not wait for the reader of a pipe.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                self._fds.append(os.open(file, flags, 0o644))
            except OSError:
                continue

    def write(self, **event: Any) -> None:
        """Append one event: the keys of an ApplyEvent without "at". Never raises OSError."""
        line = (json.dumps({"at": timestamp(), **event}) + "\n").encode()
        for fd in list(self._fds):
            try:
                os.write(fd, line)
            except OSError:
                self._fds.remove(fd)

    def step(self, step: str, state: str, detail: str = "", **more: Any) -> None:
        self.write(step=step, state=state, detail=clean(detail, 2000), **more)

    def result(self, result: str, reason: str = "", **more: Any) -> None:
        self.write(result=result, reason=clean(reason, 4000), **more)


def read_events(handle: BinaryIO, alive: Callable[[], bool], patience: float = 0.05) -> Iterator[ApplyEvent | None]:
    """Yield the events of a file as they are written; ends after the one with a result.

    Yields None every `patience` s while there is nothing new, so that the caller can check the clock or the keyboard.
    Ends without a result where `alive()` is False and nothing more was written.
    """
    rest = b""
    while True:
        dead = not alive()
        chunk = handle.read()
        rest += chunk
        *lines, rest = rest.split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield cast(ApplyEvent, event)
                if "result" in event:
                    return
        if not chunk:
            if dead:
                return
            yield None
            time.sleep(patience)
