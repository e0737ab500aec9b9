"""The shapes of what the processes of a gateway tell each other: state files, events and requests, all JSON.

A reader may meet what another version wrote, so it may not rely on a key. The journal's lines: see journal_shape.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from wizard.host.processes import Process
from wizard.plan.checks import CheckRecord


class ProcessRecord(TypedDict):
    """A process, told apart from a later one with its number. `started`: clock ticks since boot."""

    pid: int
    started: int
    boot: str


def process_record(process: Process | None) -> ProcessRecord | None:
    if process is None:
        return None
    return {"pid": process.pid, "started": process.started, "boot": process.boot}


class EngineState(TypedDict, total=False):
    """work.json: the engine at work. `deadline` (boottime, s) and `seconds` are there while it waits for an answer."""

    process: ProcessRecord
    kind: Literal["apply", "rollback", "reset", "renew"]
    since: str
    source: str
    events: list[str]
    deadline: float
    seconds: float


class ResolverState(TypedDict):
    servers: list[str]
    reason: str


class AddressConflict(TypedDict):
    """An address of the plan's that the machine with `mac` has as well. `name`: its node's, or "gateway"."""

    ip: str
    mac: str
    name: str


class NameServerState(TypedDict, total=False):
    """What the name server adds to the guard's state."""

    dns: ProcessRecord | None
    dns_reason: str
    resolver: ResolverState


class GuardState(NameServerState, total=False):
    """serve.json: the guard as it last told of itself. `taken_up`: boottime in s; `since`: ISO 8601."""

    mode: Literal["armed", "muted", "tripped", "failed"]
    code: str
    reason: str
    digest: str
    program: str
    taken_up: float
    nic: str
    dnsmasq: ProcessRecord | None
    conflicts: list[AddressConflict]
    since: str | None
    process: ProcessRecord | None


class PathState(TypedDict, total=False):
    """path.json: the latest walk of a node's path; `guard`, `mode` and `digest` as in serve.json when it began.

    `begun`, `ended`: boottime in s.
    """

    guard: ProcessRecord | None
    mode: str
    digest: str
    whole: bool
    begun: float
    ended: float
    found: list[CheckRecord]
    findings: list[CheckRecord]


class TripState(TypedDict, total=False):
    """tripped.json: what the guard tripped on. `at`: boottime in s, of the boot with the id `boot`."""

    code: str
    reason: str
    since: str
    at: float
    boot: str


class StepTitle(TypedDict):
    name: str
    title: str


class ApplyEvent(TypedDict, total=False):
    """A line of an events file: a step's `state`, or at the end the `result`. `at`: ISO 8601.

    `findings`: see Finding.as_json. `steps`: all that is to come. `remaining_s`: until it goes back by itself.
    """

    at: str
    step: str
    state: Literal["running", "done", "skipped", "failed", "undone"]
    detail: str
    seconds: float
    remaining_s: float
    findings: list[dict[str, str]]
    checks: list[CheckRecord]
    steps: list[StepTitle]
    result: Literal["kept", "rolled-back", "refused", "failed"]
    reason: str


class EngineRequest(TypedDict, total=False):
    """What an engine process is started with: `apply` has the first five, `reset` and `renew` one each; all `events`.

    `confirm_within`: s.
    """

    plan_text: str
    source: str
    confirm_within: float
    keep: bool
    ssh_connection: str
    forget_leases: bool
    part: str
    events: list[str]
