"""The events file of an apply or a reset, folded into what a screen shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from wizard.plan.text import clean

KEEP = "keep"
"""The step in which an apply waits for a person."""
_WORDS = {
    "check": "checks",
    "wires": "both networks",
    "rules": "rules",
    "gateway": "dnsmasq and guard",
    "verify": "verification",
    KEEP: "your answer",
    "service": "start at boot",
    "recover": "earlier run",
}
SIGHT_LOST = {
    "kept": "Kept, but its last messages were lost; see the dashboard for its state.",
    "rolled-back": "Undone: nothing is applied any more. Its last messages were lost.",
}
"""The reason of a result that nobody saw come."""
LONGEST_DETAIL = 400
LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class StepState:
    """One step. `state` is "waiting", "running", "done", "skipped", "failed" or "undone"; `took_s` once ended."""

    name: str
    title: str
    state: str = "waiting"
    detail: str = ""
    began: datetime | None = None
    took_s: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """An apply so far. `asking`: it waits for a person, until `deadline`. `result` is "" until it has ended.

    `log` is the path of the full log, "" if unknown. `stops`: where it was refused, and all it takes is to stop them, a
    service each with the units that are stopped along with it.
    """

    steps: tuple[StepState, ...] = ()
    asking: bool = False
    deadline: datetime | None = None
    wait_s: float = 0
    result: str = ""
    reason: str = ""
    log: str = ""
    stops: tuple[tuple[str, ...], ...] = ()


def step_words(name: str, title: str = "") -> str:
    """What a person calls the step of that name, whichever face shows it: "both wires", "address on eth1".

    A file is called by its path. Of a step that is not known, its title, or its name.
    """
    kind, _, what = name.partition(":")
    if kind == "file" and what:
        return what
    if kind == "address" and what:
        return f"address on {what}"
    if kind in ("stop", "disable") and what:
        return f"{kind} {what}"
    # Titles are "name" or "name: what it does".
    return _WORDS.get(kind) or title.partition(": ")[0] or name


def follow(progress: Progress, line: str) -> Progress:
    """`progress` after one more line of the file. A line that is no event changes nothing."""
    try:
        event = json.loads(line)
    except ValueError:
        return progress
    if not isinstance(event, dict):
        return progress
    if isinstance(event.get("steps"), list):
        progress = _with_plan(progress, event["steps"])
    if "result" in event:
        result = _text(event["result"]) or "failed"
        ended = replace(progress, result=result, reason=_lines(event.get("reason")), asking=False, deadline=None)
        return replace(ended, stops=_stops(event.get("findings")) if result == "refused" else ())
    name, state = _text(event.get("step")), _text(event.get("state"))
    if not name or not state:
        return progress
    if name == KEEP:
        return _waiting(progress, event, state)
    return _stepped(progress, name, state, event)


def _stops(findings: object) -> tuple[tuple[str, ...], ...]:
    """What to stop, () where an error would remain."""
    found = [each for each in findings if isinstance(each, dict)] if isinstance(findings, list) else []
    errors = [each.get("stops") for each in found if each.get("severity") == "error"]
    if not all(isinstance(units, list) and units for units in errors):
        return ()
    return tuple(dict.fromkeys(tuple(_text(unit) for unit in units) for units in errors if units))


def _with_plan(progress: Progress, coming: list[Any]) -> Progress:
    steps = tuple(
        StepState(_text(step.get("name")), _text(step.get("title")))
        for step in coming
        if isinstance(step, dict) and _text(step.get("name")) != KEEP
    )
    return replace(progress, steps=steps)


def _waiting(progress: Progress, event: dict[str, Any], state: str) -> Progress:
    if state != "running":
        return replace(progress, asking=False, deadline=None)
    remaining = event.get("remaining_s")
    seconds = float(remaining) if isinstance(remaining, int | float) else 0.0
    at = _time(event.get("at"))
    deadline = at + timedelta(seconds=seconds) if at else None
    return replace(progress, asking=True, deadline=deadline, wait_s=max(progress.wait_s, seconds))


def _stepped(progress: Progress, name: str, state: str, event: dict[str, Any]) -> Progress:
    at = _time(event.get("at"))
    old = next((step for step in progress.steps if step.name == name), None)
    new = old or StepState(name, name)
    began, took = new.began, new.took_s
    if state == "running":
        # A long step says again and again that it runs.
        began, took = (began if new.state == "running" and began else at), None
    elif state in ("done", "failed"):
        took = _seconds(event.get("seconds"), began, at)
    new = replace(new, state=state, detail=_lines(event.get("detail")) or new.detail, began=began, took_s=took)
    if old is None:
        return replace(progress, steps=(*progress.steps, new))
    return replace(progress, steps=tuple(new if step is old else step for step in progress.steps))


def _seconds(seconds: object, began: datetime | None, ended: datetime | None) -> float | None:
    if isinstance(seconds, int | float):
        return float(seconds)
    return max((ended - began).total_seconds(), 0.0) if began and ended else None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(value: object) -> str:
    return clean(value, LONGEST_DETAIL) if isinstance(value, str) else ""


def _lines(value: object) -> str:
    """Text of several lines, each made fit to be shown."""
    if not isinstance(value, str):
        return ""
    lines = [clean(line, LONGEST_DETAIL) for line in value[:LONGEST_TEXT].splitlines()]
    return "\n".join(line.rstrip() for line in lines if line.strip())
