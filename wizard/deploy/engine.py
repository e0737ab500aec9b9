"""The engine: brings a plan about, waits for the answer, keeps it or takes it back. Needs no terminal.

Two processes stand for one change. The watchman holds the lock, waits, persists and reverts; the worker takes
the steps. Where the worker dies the watchman reverts; where the watchman dies the worker takes its place.
Where both die, the guard has it taken back, and failing that the next start.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wizard.deploy import proof, state, steps, verify
from wizard.deploy.events import Teller, now
from wizard.deploy.journal import Journal
from wizard.deploy.lock import Lock
from wizard.deploy.revert import Reverter
from wizard.host import dnsmasq, processes
from wizard.host.facts import read_facts
from wizard.host.files import read_text
from wizard.plan import paths
from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.planfile import load
from wizard.plan.render import render, render_identity
from wizard.plan.rules import check

Record = dict[str, Any]

_TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class Order:
    """What the engine is asked for. `keep`: keep it once every verification holds, without asking."""

    plan_text: str
    source: str
    events: tuple[str, ...] = ()
    confirm_within: float = 120.0
    keep: bool = False
    ssh_connection: str = ""


def findings(plan: Plan, environ: dict[str, str] | None = None) -> tuple[Facts, tuple[Finding, ...]]:
    """This machine, and what the rules say of a plan on it. What is already ours is not in the plan's way."""
    facts = read_facts(environ, applied_cluster=applied_cluster(), our_pids=state.our_pids())
    return facts, check(plan, facts)


def plan_in_force() -> Plan | None:
    """The plan that is applied here, or None."""
    text = read_text(paths.PLAN_IN_FORCE)
    return load(text, paths.PLAN_IN_FORCE) if text is not None else None


def applied_cluster() -> str:
    try:
        plan = plan_in_force()
    except WizardError:
        return ""
    return plan.interfaces.cluster if plan else ""


def make_job(plan: Plan, text: str, facts: Facts, journal: Journal) -> steps.Job:
    """All that an apply of this plan is to bring about on this machine."""
    uid = dnsmasq.user_id()
    *files, interfaces = render(plan, text, uid)
    try:
        previous = plan_in_force()
    except WizardError:
        previous = None
    corporate = facts.nic(plan.interfaces.corporate)
    leased = corporate is not None and any(a.dynamic for a in corporate.addresses)
    return steps.Job(plan, (*files, render_identity(plan, facts), interfaces), uid, journal, previous, leased)


class Engine:
    """One change, from order to end."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.teller = Teller(*order.events)
        self.journal = Journal()
        self.deadline = 0.0

    def run(self) -> int:
        """Bring the order about. 0 kept, 1 anything else; the last event says which, and why."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        try:
            lock = Lock("ciao-wizard apply")
        except WizardError as error:
            self.teller.result("refused", _in_full(error))
            return 1
        try:
            return self._locked(lock)
        except (WizardError, OSError) as error:
            self.teller.result("refused", _in_full(error))
            return 1
        finally:
            state.remove(state.WORK)
            state.remove(state.DECISION)

    def _locked(self, lock: Lock) -> int:
        state.remove(state.DECISION)
        self._write_work({})
        if not self._settle_earlier():
            return 1
        plan = load(self.order.plan_text, self.order.source)
        facts, found = findings(plan, {"SSH_CONNECTION": self.order.ssh_connection})
        told = [f.as_json() for f in found]
        errors = [f for f in found if f.severity is Severity.ERROR]
        if errors:
            self.teller.step("check", "failed", f"{len(errors)} errors", findings=told)
            self.teller.result("refused", "; ".join(f"{f.message} {f.remedy}" for f in errors), findings=told)
            return 1
        job = make_job(plan, self.order.plan_text, facts, self.journal)
        trial, persist = steps.trial(job), steps.persist(job)
        coming = [{"name": "check", "title": "check"}]
        coming += [{"name": s.name, "title": s.title} for s in trial]
        coming += [{"name": "verify", "title": "verify"}, {"name": "keep", "title": "keep"}]
        coming += [{"name": s.name, "title": s.title} for s in persist]
        self.teller.step("check", "done", f"{len(found)} findings, no error", steps=coming, findings=told)
        needed = [s for s in (*trial, *persist) if s.needed()]
        if not needed:
            return self._nothing_to_do(job)
        self._begin(facts)
        if not self._try(lock, job, trial):
            return 1
        return self._keep(persist)

    def _settle_earlier(self) -> bool:
        """Take back what a killed run left unfinished, before anything new."""
        reading = self.journal.read()
        if not reading.damage and (reading.last is None or not reading.last.open):
            return True
        self.teller.step("recover", "running", "an earlier run was cut off; taking it back first")
        problems = Reverter(self.journal, self.teller).recover()
        if problems:
            self.teller.step("recover", "failed", "; ".join(problems))
            self.teller.result("failed", "an earlier run could not be taken back: " + "; ".join(problems))
            return False
        self.teller.step("recover", "done", "the earlier run is undone")
        return True

    def _nothing_to_do(self, job: steps.Job) -> int:
        checks = verify.checks(job.plan)
        bad = [c for c in checks if not c.ok]
        if bad:
            self.teller.result("failed", "; ".join(f"{c.name}: {c.detail}. {c.remedy}" for c in bad))
            return 1
        self.teller.step("verify", "done", f"{len(checks)} of {len(checks)}", checks=[c.as_json() for c in checks])
        self.teller.result("kept", "nothing to do: this machine is as the plan says")
        return 0

    def _begin(self, facts: Facts) -> None:
        self.journal.append(
            {
                "t": "begin",
                "kind": "apply",
                "at": now(),
                "boot": processes.boot_id(),
                "source": self.order.source,
                "default_routes": verify.default_routes(facts),
            }
        )

    # The trial

    def _try(self, lock: Lock, job: steps.Job, trial: list[steps.Step]) -> bool:
        """Take the trial's steps in a worker; False when they were taken back."""
        gone_read, gone_write = os.pipe()
        ok_read, ok_write = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(lock.fd)
            os.close(gone_write)
            os.close(ok_read)
            self._worker(job, trial, gone_read, ok_write)
        os.close(gone_read)
        os.close(ok_write)
        self._write_work({"worker": worker})
        verdict = self._await_worker(worker, ok_read)
        os.close(ok_read)
        if verdict != b"y":
            why = verdict[1:].decode("utf-8", "replace") or "the engine ended unexpectedly"
            if state.decision() == "revert":
                why = "taken back on request"
            result = "refused" if verdict[:1] == b"r" else "rolled-back" if state.decision() else "failed"
            self._revert(why, result, worker, gone_write)
            return False
        self.worker, self.gone_write = worker, gone_write
        return True

    def _await_worker(self, worker: int, ok_read: int) -> bytes:
        """What the worker said of its trial: y, or n and why. Empty where it died."""
        os.set_blocking(ok_read, False)
        while True:
            try:
                said = os.read(ok_read, 65536)
                if said or _exited(worker):
                    return said
            except BlockingIOError:
                pass
            if state.decision() == "revert":
                os.kill(worker, signal.SIGKILL)
                return b""
            time.sleep(0.02)

    def _worker(self, job: steps.Job, trial: list[steps.Step], gone_read: int, ok_write: int) -> None:
        """The worker's whole life; never returns."""
        watchman = os.getppid()
        try:
            said = self._take_trial(job, trial, watchman)
            os.write(ok_write, said.encode()[:60000])
            # Nothing is read until the watchman lets go: by a word when it is done, by its death else.
            if os.read(gone_read, 1) == b"" and os.getppid() != watchman:
                os.execv(sys.executable, state.engine_command("recover", *self.order.events))  # noqa: S606
            os._exit(0)
        finally:
            # Only a bug comes here: it is told in the log, and the watchman reverts.
            traceback.print_exc()
            os._exit(70)

    def _take_trial(self, job: steps.Job, trial: list[steps.Step], watchman: int) -> str:
        """Take the steps and verify them: "y", or why not after "n" (failed) or "r" (refused)."""
        try:
            for step in trial:
                if os.getppid() != watchman:
                    return "nthe engine was killed"
                take(step, self.journal, self.teller)
            self._verify(job)
        except proof.WireRefused as error:
            return "r" + _in_full(error)
        except (WizardError, OSError) as error:
            return "n" + _in_full(error)
        return "y"

    def _verify(self, job: steps.Job) -> None:
        self.teller.step("verify", "running", "is it as it should be?")
        checks = verify.checks(job.plan)
        bad = [c for c in checks if not c.ok]
        told = [c.as_json() for c in checks]
        if bad:
            why = "; ".join(f"{c.name}: {c.detail}" for c in bad)
            self.teller.step("verify", "failed", why, checks=told)
            raise WizardError(f"verification failed: {why}", bad[0].remedy)
        self.teller.step("verify", "done", f"{len(checks)} of {len(checks)}", checks=told)

    # The answer

    def _keep(self, persist: list[steps.Step]) -> int:
        why = self._answer()
        if why is not None:
            self._revert(why, "rolled-back", self.worker, self.gone_write)
            return 1
        self.journal.append({"t": "kept", "at": now()})
        self.teller.step("keep", "done", "kept")
        try:
            for step in persist:
                take(step, self.journal, self.teller)
        except (WizardError, OSError) as error:
            self._revert(_in_full(error), "failed", self.worker, self.gone_write)
            return 1
        self.journal.append({"t": "applied", "at": now()})
        self._let_go(self.worker, self.gone_write)
        self.teller.result("kept", "applied and kept")
        return 0

    def _answer(self) -> str | None:
        """Wait for the answer: None to keep, else why it goes back."""
        self.journal.append({"t": "trial", "at": now()})
        if self.order.keep:
            return None if state.decide("keep") or state.decision() == "keep" else "taken back on request"
        seconds = self.order.confirm_within
        self.deadline = state.boottime() + seconds
        self._write_work({"worker": self.worker, "deadline": self.deadline, "seconds": seconds})
        self.teller.step("keep", "running", f"going back by itself in {seconds:g} s", remaining_s=seconds)
        while (answer := state.decision()) is None:
            if state.boottime() >= self.deadline and state.decide("revert"):
                return f"no answer within {seconds:g} s"
            if state.serve() is None and state.decide("revert"):
                return "the gateway ended by itself during the trial"
            time.sleep(_TICK_S)
        return None if answer.strip() == "keep" else "taken back on request"

    # The way back

    def _revert(self, why: str, result: str, worker: int, gone_write: int) -> None:
        self._end_worker(worker, gone_write)
        problems = Reverter(self.journal, self.teller).revert(why)
        if problems:
            self.teller.result("failed", f"{why}; and not all could be taken back: {'; '.join(problems)}")
        else:
            self.teller.result(result, why)

    def _let_go(self, worker: int, gone_write: int) -> None:
        os.write(gone_write, b".")
        os.close(gone_write)
        os.waitpid(worker, 0)

    def _end_worker(self, worker: int, gone_write: int) -> None:
        if not _exited(worker):
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
        os.close(gone_write)

    def _write_work(self, more: Record) -> None:
        me = processes.identify(os.getpid())
        state.write_json(
            state.WORK,
            {
                "process": me.as_json() if me else None,
                "kind": "apply",
                "since": now(),
                "source": self.order.source,
                "events": list(self.order.events),
                **more,
            },
        )


def take(step: steps.Step, journal: Journal, teller: Teller) -> None:
    """Take one step: what was there goes to the journal first."""
    if not step.needed():
        teller.step(step.name, "skipped", "as it should be already")
        return
    teller.step(step.name, "running", step.title)
    begun = time.monotonic()
    if isinstance(step, steps.ProveWires):
        step.tell = lambda gone: teller.step(step.name, "running", step.title, seconds=round(gone, 1))
    try:
        journal.append({"t": "before", "step": step.name, "image": step.capture()})
        detail = step.do()
        journal.append({"t": "done", "step": step.name})
    except (WizardError, OSError) as error:
        teller.step(step.name, "failed", _in_full(error))
        raise
    teller.step(step.name, "done", detail, seconds=round(time.monotonic() - begun, 3))


def _exited(child: int) -> bool:
    """Whether a child has ended; it is left to be waited for."""
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _in_full(error: WizardError | OSError) -> str:
    if isinstance(error, WizardError):
        return f"{error.message} {error.remedy}".strip()
    return str(error)


def recover(events: tuple[str, ...]) -> int:
    """Take back whatever a killed run left; 0 when nothing is left of it."""
    return _alone("rollback", events, lambda r: r.recover(), "what a killed run had left is undone")


def reset(events: tuple[str, ...], forget_leases: bool) -> int:
    """Undo everything the wizard ever did here; 0 when nothing is left of it."""
    return _alone("reset", events, lambda r: r.reset(forget_leases), "everything is as it was before the wizard")


def _alone(what: str, events: tuple[str, ...], way_back: Callable[[Reverter], list[str]], done: str) -> int:
    """Run one way back under the lock, telling how it ends."""
    teller = Teller(*events)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        lock = Lock(f"ciao-wizard {what}")
    except WizardError as error:
        teller.result("refused", _in_full(error))
        return 1
    me = processes.identify(os.getpid())
    state.write_json(
        state.WORK, {"process": me.as_json() if me else None, "kind": what, "since": now(), "events": list(events)}
    )
    try:
        problems = way_back(Reverter(Journal(), teller))
    except (WizardError, OSError) as error:
        problems = [_in_full(error)]
    state.remove(state.WORK)
    state.remove(state.DECISION)
    if problems:
        teller.result("failed", "; ".join(problems))
    else:
        teller.result("rolled-back", done)
    lock.release()
    return 1 if problems else 0
