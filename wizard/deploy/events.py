"""What an apply tells of itself: one JSON object a line, to a file that any face can follow."""

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
    """Appends events to every file it was given. A file that cannot be written is left out: telling is not doing."""

    def __init__(self, *files: str) -> None:
        self._fds: list[int] = []
        for file in files:
            try:
                # Not waiting for somebody to read a pipe.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                self._fds.append(os.open(file, flags, 0o644))
            except OSError:
                continue

    def write(self, **event: Any) -> None:
        """Append one event, an ApplyEvent without its time."""
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
    """The events of a file as they come, ending after the one that has a result.

    Yields None while there is nothing new, so that the caller can look at the clock or the keyboard. Ends
    without a result when `alive()` is false and nothing more came.
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
