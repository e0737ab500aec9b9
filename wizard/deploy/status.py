"""The status: what is applied here, whether it works, and the drift. Called by `status` and the dashboard's service."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from wizard.deploy import runtime_state, verify
from wizard.deploy.discovery_record import read_discovery
from wizard.deploy.file_changes import render_for_this_machine
from wizard.deploy.installed_files import file_drift, foreign_settings, installed_state, read_journal, runtime_drift
from wizard.deploy.journal import Journal
from wizard.deploy.shapes import EngineState, GuardState
from wizard.host.commands import CommandFailed
from wizard.host.files import digest_of, read_text
from wizard.host.net import gateway_rules
from wizard.host.net.managers import applied_backend
from wizard.host.net.managers.ifupdown.interfaces_change import interfaces_texts
from wizard.host.plan_in_force import RUNNING, read_plan_in_force
from wizard.plan import paths
from wizard.plan.backends import Backend
from wizard.plan.checks import Check
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan


@dataclass(frozen=True, slots=True)
class Status:
    """The answer to `status`. `state`: absent, pending, applied, tripped or interrupted.

    `plan`: its path. `since`: ISO 8601. `drift`: a line each. `remaining_s`: until a pending apply reverts by itself.
    `discovering`: until when machines in no plan are shown a page as they boot, ISO 8601; None where they are not.
    """

    state: str
    healthy: bool
    plan: str | None
    since: str | None
    checks: tuple[Check, ...]
    drift: tuple[str, ...]
    reason: str = ""
    remaining_s: float | None = None
    discovering: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "healthy": self.healthy,
            "plan": self.plan,
            "since": self.since,
            "checks": [c.as_json() for c in self.checks],
            "drift": list(self.drift),
            "reason": self.reason,
            "remaining_s": self.remaining_s,
            "discovering": self.discovering,
        }


_ABSENT = Status("absent", False, None, None, (), (), "nothing is applied")


def read_status() -> Status:
    """Read the whole status. Without root some checks are UNSEEN and the drift covers files only."""
    engine = runtime_state.running_engine()
    if engine is not None:
        return _pending(engine)
    state = _state_without_engine()
    if state == "interrupted":
        kept = read_text(paths.PLAN_IN_FORCE)
        return _interrupted(paths.PLAN_IN_FORCE if kept is not None else None)
    try:
        # The running plan is checked, even if somebody has changed the file since.
        applied = read_plan_in_force(called=paths.PLAN_IN_FORCE)
    except WizardError as error:
        if state == "absent":
            return _ABSENT
        return Status("applied", False, paths.PLAN_IN_FORCE, _since(), (), (error.message,), error.message)
    if state == "absent" or applied is None:
        return _ABSENT
    checks = tuple(verify.run_checks(applied.plan, in_force=True))
    changed = drift(applied.plan, applied.text)
    guard = runtime_state.running_guard() or GuardState()
    if guard.get("mode") == "tripped":
        return Status("tripped", False, paths.PLAN_IN_FORCE, _since(), checks, changed, str(guard.get("reason")))
    healthy = all(c.ok is not False for c in checks)
    discovery = read_discovery()
    ends = discovery.ends if discovery else None
    return Status("applied", healthy, paths.PLAN_IN_FORCE, _since(), checks, changed, discovering=ends)


def _state_without_engine() -> str:
    if os.geteuid() == 0:
        return installed_state()
    # Only root may read the journal.
    if runtime_state.read_engine_state() is not None:
        return "interrupted"
    return "applied" if Path(paths.PLAN_IN_FORCE).exists() else "absent"


_UNDER_WAY = {
    "apply": "an apply is under way",
    "reset": "a reset is under way",
    "renew": "a part of the gateway is being reset",
    "rollback": "what a killed run left is being taken back",
}


def _pending(engine: EngineState) -> Status:
    deadline = engine.get("deadline")
    remaining = round(max(0.0, float(deadline) - runtime_state.boottime()), 1) if deadline is not None else None
    checks: tuple[Check, ...] = ()
    if remaining is not None:
        on_trial = read_plan_in_force(RUNNING, called=str(engine.get("source", "")))
        checks = tuple(verify.run_checks(on_trial.plan)) if on_trial is not None else ()
    reason = _UNDER_WAY.get(str(engine.get("kind")), "a change is under way")
    if remaining is not None:
        reason = f"an apply waits for an answer; it goes back by itself in {remaining:.0f} s"
    healthy = bool(checks) and all(c.ok is not False for c in checks)
    return Status("pending", healthy, str(engine.get("source")), engine.get("since"), checks, (), reason, remaining)


def _interrupted(plan: str | None) -> Status:
    damage = read_journal(Journal()).damage if os.geteuid() == 0 else ()
    reason = "a run was cut off: 'ciao-wizard rollback' takes it back, and so does the next apply or reset"
    if damage:
        reason = (
            f"{'; '.join(damage)}: 'ciao-wizard rollback' takes back what was under way, and what bears our names "
            "where nothing else is known; it says what it cannot prove"
        )
    return Status("interrupted", False, plan, None, (), (), reason)


def _since() -> str | None:
    try:
        moment = Path(paths.PLAN_IN_FORCE).stat().st_mtime
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")


def drift(plan: Plan, text: str) -> tuple[str, ...]:
    """What differs from what was kept, a line for each file, rule and setting. Without root: files only.

    The journal, which only root may read, tells what an earlier version wrote from what somebody changed.
    """
    found = []
    backend = applied_backend().backend
    reading = read_journal(Journal()) if os.geteuid() == 0 else None
    written = reading.written() if reading is not None else {}
    for file in render_for_this_machine(plan, text, backend):
        now = read_text(file.path)
        if now is not None and file.path in written and digest_of(file.path) == written[file.path]:
            continue
        if now is None and _only_root_may_read(file.path):
            continue
        if now is None:
            found.append(f"{file.path} is missing")
        elif now != file.text and reading is None and file.path != paths.PLAN_IN_FORCE:
            found.append(f"{file.path} was changed, or written by another version: root can tell")
        elif now != file.text:
            unapplied = " and not applied since" if file.path == paths.PLAN_IN_FORCE else ""
            found.append(f"{file.path} was changed{unapplied}")
    for other in interfaces_texts(plan.interfaces.cluster) if backend is Backend.IFUPDOWN else ():
        if other.now != other.wanted:
            found.append(f"{other.path} was changed: it gets in the way of {paths.INTERFACES_FILE}")
    if reading is not None:
        known = {line.split()[0] for line in found}
        found += [line for line in file_drift(written) if line.split()[0] not in known]
        found += runtime_drift(written)
        found += [f"{line}; a reset cannot prove all that it gives back" for line in reading.damage]
        found += _rules_changed()
        found += foreign_settings(plan.interfaces.cluster, reading)
    return tuple(found)


def _only_root_may_read(path: str) -> bool:
    try:
        return os.geteuid() != 0 and Path(path).exists()
    except PermissionError:
        return True


def _rules_changed() -> list[str]:
    try:
        return gateway_rules.changes(paths.LIVE_SCRIPT)
    except CommandFailed as error:
        return [str(error)]
