"""The shapes of the JSON that the processes of a gateway exchange: state files, events and requests.

Another version may have written a file, so no reader may rely on a key. The journal's lines: see `journal_schema`.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from wizard.host.processes import Process
from wizard.plan.checks import CheckRecord
from wizard.plan.findings import FindingRecord


class ProcessRecord(TypedDict):
    """Identifies a process, also after its pid was reused. `started`: clock ticks since boot. `boot`: the boot id."""

    pid: int
    started: int
    boot: str


def process_record(process: Process | None) -> ProcessRecord | None:
    if process is None:
        return None
    return {"pid": process.pid, "started": process.started, "boot": process.boot}


class EngineState(TypedDict, total=False):
    """work.json: the running engine. `deadline` (boottime in s) and `seconds` exist while it waits for an answer."""

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
    """An address of the plan's that the machine with `mac` uses too. `name`: the address's node, or "gateway"."""

    ip: str
    mac: str
    name: str


class AddressLoss(TypedDict, total=False):
    """The last time that the cluster NIC lost the gateway's address, or (`link_down`) was set down.

    `at`, `back`: ISO 8601; `back` is None while it is away, and `given_back` says whether the guard did that. `times`:
    how often since the configuration was loaded. `by`: who, for people. `contested`: it is away, and was given back
    less than a minute before. `failure`: why it could not be given back.
    """

    at: str
    link_down: bool
    times: int
    by: str
    remedy: str
    back: str | None
    given_back: bool
    contested: bool
    failure: str


class NameServerState(TypedDict, total=False):
    """The name server's part of the guard's state."""

    dns: ProcessRecord | None
    dns_reason: str
    resolver: ResolverState


class NetbootState(TypedDict, total=False):
    """The netboot server's part. `armed`: how many nodes it serves, or would; `failure`: why not, "" if it does;
    `remedy`: its remedy, where the guard knows one. `stale`: nodes that are armed as they were in another plan, and not
    served.
    """

    process: ProcessRecord | None
    armed: int
    failure: str
    remedy: str
    stale: list[str]


class GuardState(NameServerState, total=False):
    """serve.json: the guard's published state. `taken_up`: when it loaded its configuration, boottime in s.

    `digest`, `program`: see the fingerprints in `guard.control`. `since`: when mode or reason last changed, ISO 8601.
    `trips`: how often it has tripped since it was started.
    """

    mode: Literal["armed", "muted", "tripped", "failed"]
    code: str
    reason: str
    digest: str
    program: str
    taken_up: float
    trips: int
    nic: str
    dnsmasq: ProcessRecord | None
    netboot: NetbootState
    conflicts: list[AddressConflict]
    address: AddressLoss | None
    since: str | None
    process: ProcessRecord | None


class PathState(TypedDict, total=False):
    """path.json: the latest path report; `guard`, `mode` and `digest` as in serve.json when the probe began.

    `begun`, `ended`: boottime in s. `found`, `findings`, `whole`: see `path_report.PathReport`.
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
    """tripped.json: why the guard tripped. `at`: boottime in s, of the boot with the id `boot`; `since`: ISO 8601."""

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

    `findings`: see Finding.as_json. `steps`: every step to come. `seconds`: a step's duration so far.
    `remaining_s`: until the trial reverts by itself.
    """

    at: str
    step: str
    state: Literal["running", "done", "skipped", "failed", "undone"]
    detail: str
    seconds: float
    remaining_s: float
    findings: list[FindingRecord]
    checks: list[CheckRecord]
    steps: list[StepTitle]
    result: Literal["kept", "rolled-back", "refused", "failed"]
    reason: str


class EngineRequest(TypedDict, total=False):
    """order-*.json: an engine's request. `apply` has the first six keys, `reset` two, `renew` one; all `events`.

    `confirm_within`: s. `stop`: services that may be stopped. `events`: the files to write events to.
    """

    plan_text: str
    source: str
    confirm_within: float
    keep: bool
    ssh_connection: str
    stop: list[str]
    forget_leases: bool
    forget_images: bool
    part: str
    events: list[str]
