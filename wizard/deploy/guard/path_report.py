"""The report of the guard's latest walk of a node's path, published in path.json under /run/ciao-wizard."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wizard.deploy import runtime_state
from wizard.deploy.shapes import GuardState, PathState, ProcessRecord
from wizard.plan import paths
from wizard.plan.checks import Check, from_record

PATH = "path.json"
REQUEST_PIPE = f"{paths.RUN}/path.wish"
"""Who wants a walk now writes a byte to this pipe; the guard reads it."""
FRESH_S = 15.0
"""How old a walk may be and still say how things are."""
_POLL_S = 0.03


@dataclass(frozen=True, slots=True)
class PathReport:
    """One walk. Times are of state.boottime. `findings`: what the rules say of the plan on the machine of now.

    `whole`: who drops what does not get through has been looked for.
    """

    begun: float
    ended: float
    found: tuple[Check, ...]
    findings: tuple[Check, ...]
    whole: bool

    @property
    def age(self) -> float:
        return runtime_state.boottime() - self.ended


def publish(
    guard: ProcessRecord | None,
    mode: str,
    digest: str,
    begun: float,
    found: Iterable[Check],
    findings: Iterable[Check],
    whole: bool,
) -> None:
    """`guard` is its process as in serve.json, `mode` and `digest` what it said there as the walk began."""
    told: PathState = {
        "guard": guard,
        "mode": mode,
        "digest": digest,
        "whole": whole,
        "begun": begun,
        "ended": runtime_state.boottime(),
        "found": [each.as_json() for each in found],
        "findings": [each.as_json() for each in findings],
    }
    runtime_state.write_json(PATH, told)


def read(serve: GuardState) -> PathReport | None:
    """The walk of this guard, in the mode and with the configuration that it says; None where there is none."""
    told = runtime_state.read_json(PATH)
    if told is None or any(told.get(key) != serve.get(of) for key, of in _SAME):
        return None
    try:
        found, findings = (tuple(map(from_record, told[key])) for key in ("found", "findings"))
        return PathReport(float(told["begun"]), float(told["ended"]), found, findings, bool(told["whole"]))
    except (KeyError, TypeError, ValueError):
        return None


_SAME: Sequence[tuple[str, str]] = (("guard", "process"), ("mode", "mode"), ("digest", "digest"))


def request() -> None:
    """Ask the guard for a walk now. Without root, or without a guard, nothing comes of it."""
    with contextlib.suppress(OSError):
        fd = os.open(REQUEST_PIPE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fd, b"w")
        finally:
            os.close(fd)


def wait_for_report(patience: float, since: float | None = None) -> PathReport | None:
    """The latest walk that is still fresh; waits for it as long as `patience`, None where none comes.

    With `since`: one that began after that, and is told whole.

    Also None as soon as no guard runs that would walk.
    """
    deadline = time.monotonic() + patience
    while True:
        serve = runtime_state.running_guard()
        if serve is None or serve.get("mode") == "tripped":
            return None
        walked = read(serve)
        fresh = walked is not None and walked.age <= FRESH_S
        if walked is not None and fresh and (since is None or (walked.begun >= since and walked.whole)):
            return walked
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL_S)
