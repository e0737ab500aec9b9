"""The report of the latest path probe, published in path.json under /run/ciao-wizard.

The guard's path prober writes it; an apply's verification, `status` and the dashboard read it, in their own processes.
"""

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
"""A byte written to this pipe requests a probe now; the guard's path prober reads it."""
FRESH_S = 15.0
"""How old a report may be and still count."""
_POLL_S = 0.03


@dataclass(frozen=True, slots=True)
class PathReport:
    """One probe of a node's path: `begun` and `ended` are runtime_state.boottime in s.

    `found`: the path's checks. `findings`: whether everybody gets an address (`deploy.dhcp_service`), and failed checks
    of the plan's rules. `whole`: every fault has been traced.
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
    """Write path.json. `guard`, `mode` and `digest` are as in serve.json when the probe began.

    Raises WizardError, OSError.
    """
    state: PathState = {
        "guard": guard,
        "mode": mode,
        "digest": digest,
        "whole": whole,
        "begun": begun,
        "ended": runtime_state.boottime(),
        "found": [each.as_json() for each in found],
        "findings": [each.as_json() for each in findings],
    }
    runtime_state.write_json(PATH, state)


def read(serve: GuardState) -> PathReport | None:
    """The report of this guard in its present mode and configuration, or None."""
    state = runtime_state.read_json(PATH)
    if state is None or any(state.get(key) != serve.get(of) for key, of in _SAME):
        return None
    try:
        found, findings = (tuple(map(from_record, state[key])) for key in ("found", "findings"))
        return PathReport(float(state["begun"]), float(state["ended"]), found, findings, bool(state["whole"]))
    except (KeyError, TypeError, ValueError):
        return None


_SAME: Sequence[tuple[str, str]] = (("guard", "process"), ("mode", "mode"), ("digest", "digest"))


def request() -> None:
    """Request a probe now. Does nothing without root or without a guard."""
    with contextlib.suppress(OSError):
        fd = os.open(REQUEST_PIPE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fd, b"w")
        finally:
            os.close(fd)


def wait_for_report(patience: float, since: float | None = None) -> PathReport | None:
    """The latest report that is still fresh; waits up to `patience` s for one.

    With `since` (boottime in s): a whole report of a probe that began after that.

    None where none comes, and at once where no guard runs or it has tripped.
    """
    deadline = time.monotonic() + patience
    while True:
        serve = runtime_state.running_guard()
        if serve is None or serve.get("mode") == "tripped":
            return None
        report = read(serve)
        fresh = report is not None and report.age <= FRESH_S
        if report is not None and fresh and (since is None or (report.begun >= since and report.whole)):
            return report
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL_S)
