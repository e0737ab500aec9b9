"""The engine: brings a plan about, waits for the answer, keeps it or takes it back. Needs no terminal.

Two processes stand for one change. The watchman holds the lock, waits, persists and reverts; the worker takes
the steps. Where the worker dies the watchman reverts; where the watchman dies the worker takes its place.
Where both die, the guard has it taken back, and failing that the next start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wizard.deploy import failpoints, installed_files, runtime_state, verify
from wizard.deploy.apply import preflight, steps
from wizard.deploy.apply.context import ApplyContext, Step
from wizard.deploy.apply.reverter import Reverter
from wizard.deploy.apply.session import EngineSession, full_message
from wizard.deploy.apply.steps.trial import ProveWires
from wizard.deploy.apply.worker import TrialOutcome, TrialResult, Worker
from wizard.deploy.events import EventWriter, timestamp
from wizard.deploy.file_changes import render_for_this_machine
from wizard.deploy.guard import control, proof
from wizard.deploy.installed_files import read_journal
from wizard.deploy.journal import Journal
from wizard.deploy.shapes import StepTitle
from wizard.host.dhcp import dnsmasq
from wizard.host.facts.reader import read_facts
from wizard.host.facts.resolver import nameservers
from wizard.host.plan_in_force import Unreadable, running_plan
from wizard.plan.checks import Check
from wizard.plan.file.read import load_plan
from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules.check import check

TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """What the engine is asked for. `keep`: keep it once every verification holds, without asking."""

    plan_text: str
    source: str
    events: tuple[str, ...] = ()
    confirm_within: float = 120.0
    keep: bool = False
    ssh_connection: str = ""


def check_plan(plan: Plan, environ: dict[str, str] | None = None) -> tuple[Facts, tuple[Finding, ...]]:
    """This machine, and what the rules say of a plan on it. What is already ours is not in the plan's way."""
    facts = read_facts(environ, applied_cluster=applied_cluster(), our_pids=runtime_state.own_pids())
    return facts, check(plan, facts)


def applied_cluster() -> str:
    """The cluster NIC of the plan that runs here, "" where none runs."""
    plan = running_plan(Unreadable.SKIP)
    return plan.interfaces.cluster if plan else ""


def make_context(plan: Plan, text: str, facts: Facts, journal: Journal) -> ApplyContext:
    """All that an apply of this plan is to bring about on this machine."""
    corporate = facts.nic(plan.interfaces.corporate)
    leased = corporate is not None and corporate.leased
    return ApplyContext(
        plan, render_for_this_machine(plan, text), dnsmasq.user_id(), journal, running_plan(Unreadable.SKIP), leased
    )


class Engine:
    """One change, from order to end."""

    def __init__(self, order: ApplyRequest) -> None:
        self.order = order
        self.teller = EventWriter(*order.events)
        self.journal = Journal()
        self.worker: Worker | None = None
        self.begun = False

    def run(self) -> int:
        """Bring the order about. 0 kept, 1 anything else; the last event says which, and why."""
        return EngineSession("apply", self.teller, self.order.events, source=self.order.source).run(self._attempt)

    def _attempt(self, run: EngineSession) -> None:
        try:
            self._locked(run)
        except (WizardError, OSError) as error:
            if not self.begun:
                raise
            self._revert(run, full_message(error), "failed")
        # Not where a mistake of ours ends this: then it is the worker who takes everything back.
        if self.worker is not None:
            self.worker.release()

    def _locked(self, run: EngineSession) -> None:
        if not self._settle_earlier(run):
            return
        preflight.check()
        plan = load_plan(self.order.plan_text, self.order.source)
        facts, found = check_plan(plan, {"SSH_CONNECTION": self.order.ssh_connection})
        told = [f.as_json() for f in found]
        errors = [f for f in found if f.severity is Severity.ERROR]
        if errors:
            self.teller.step("check", "failed", f"{len(errors)} errors", findings=told)
            run.end("refused", "; ".join(f"{f.message} {f.remedy}" for f in errors), findings=told)
            return
        job = make_context(plan, self.order.plan_text, facts, self.journal)
        trial, persist = steps.trial_steps(job), steps.persist_steps(job)
        self.teller.step("check", "done", _counted(len(found)), steps=_coming(trial, persist), findings=told)
        if not any(s.needed() for s in (*trial, *persist)):
            self._nothing_to_do(run, job)
            return
        routes = verify.default_route_texts(facts.routes)
        before = {"default_routes": routes, "nameservers": nameservers()}
        self.journal.begin(kind="apply", at=timestamp(), source=self.order.source, **before)
        self.begun = True
        failpoints.hit("begun")
        if self._try(run, job, trial):
            self._keep(run, job)

    def _settle_earlier(self, run: EngineSession) -> bool:
        """Take back what a killed run left unfinished, before anything new."""
        reading = read_journal(self.journal)
        if reading.settled or not (reading.damage or reading.last):
            return True
        if reading.damage:
            run.end(
                "refused",
                f"{'; '.join(reading.damage)}: what was there before us is no longer known for certain. "
                "Take everything back first: 'ciao-wizard reset' removes what bears our names, and says what it "
                "cannot prove.",
            )
            return False
        self.teller.step("recover", "running", "an earlier run was cut off; taking it back first")
        problems = Reverter(self.journal, self.teller).recover()
        if problems:
            self.teller.step("recover", "failed", "; ".join(problems))
            run.end("failed", "an earlier run could not be taken back: " + "; ".join(problems))
            return False
        self.teller.step("recover", "done", "the earlier run is undone")
        return True

    def _nothing_to_do(self, run: EngineSession, job: ApplyContext) -> None:
        checks = verify.run_checks(job.plan, since=runtime_state.boottime())
        bad = [c for c in checks if c.ok is False]
        if bad:
            run.end("failed", "; ".join(f"{c.name}: {c.detail}. {c.remedy}" for c in bad))
            return
        self.teller.step("verify", "done", _held(checks), checks=[c.as_json() for c in checks])
        run.end("kept", "nothing to do: this machine is as the plan says")

    # The trial

    def _try(self, run: EngineSession, job: ApplyContext, trial: Sequence[Step]) -> bool:
        """Take the trial's steps in a worker; False when they were taken back."""
        self.worker = Worker(run.lock, lambda gone: self._take_trial(job, trial, gone), self.order.events)
        result = self.worker.wait_for_outcome(lambda: runtime_state.read_decision(run.me) == "revert")
        if result is not None and result.outcome is TrialOutcome.HOLDS:
            return True
        if runtime_state.read_decision(run.me) == "revert":
            self._revert(run, "taken back on request", "rolled-back")
        else:
            why = result.reason if result is not None else ""
            refused = result is not None and result.outcome is TrialOutcome.REFUSED
            self._revert(run, why or "the engine ended unexpectedly", "refused" if refused else "failed")
        return False

    def _take_trial(self, job: ApplyContext, trial: Sequence[Step], gone: Callable[[], bool]) -> TrialResult:
        """Take the steps and verify them."""
        try:
            for step in trial:
                if gone():
                    return TrialResult(TrialOutcome.FAILED, "the engine was killed")
                take_step(step, self.journal, self.teller)
            self._verify(job)
        except proof.WireRefused as error:
            return TrialResult(TrialOutcome.REFUSED, full_message(error))
        except (WizardError, OSError) as error:
            return TrialResult(TrialOutcome.FAILED, full_message(error))
        return TrialResult(TrialOutcome.HOLDS)

    def _verify(self, job: ApplyContext) -> None:
        self.teller.step("verify", "running", "is it as it should be?")
        checks = verify.run_checks(job.plan, since=runtime_state.boottime())
        bad = [c for c in checks if c.ok is False]
        told = [c.as_json() for c in checks]
        if bad:
            why = "; ".join(f"{c.name}: {c.detail}" for c in bad)
            self.teller.step("verify", "failed", why, checks=told)
            raise WizardError(f"verification failed: {why}", control.with_log_excerpts(bad[0].remedy))
        self.teller.step("verify", "done", _held(checks), checks=told)
        failpoints.hit("verified")

    # The answer

    def _keep(self, run: EngineSession, job: ApplyContext) -> None:
        why = self.await_answer(run)
        why = self._gone_bad(job) if why is None else why
        if why is not None:
            self._revert(run, why, "rolled-back")
            return
        self.journal.append({"t": "kept", "at": timestamp()})
        failpoints.hit("kept")
        self.teller.step("keep", "done", "kept")
        # Looked at again: somebody may have changed a file during the trial.
        for step in steps.persist_steps(job):
            take_step(step, self.journal, self.teller)
        self.journal.append({"t": "applied", "at": timestamp(), "files": installed_files.digests()})
        # From here on there is nothing to go back to.
        self.begun = False
        failpoints.hit("applied")
        self.journal.prune()
        run.end("kept", "applied and kept")

    def await_answer(self, run: EngineSession) -> str | None:
        """Wait for the answer: None to keep, else why it goes back."""
        self.journal.append({"t": "trial", "at": timestamp()})
        if self.order.keep:
            agreed = runtime_state.record_decision("keep", run.me) or runtime_state.read_decision(run.me) == "keep"
            return None if agreed else "taken back on request"
        seconds = self.order.confirm_within
        deadline = runtime_state.boottime() + seconds
        run.publish(deadline=deadline, seconds=seconds)
        self.teller.step("keep", "running", f"going back by itself in {seconds:g} s", remaining_s=seconds)
        failpoints.hit("waiting")
        while (answer := runtime_state.read_decision(run.me)) is None:
            why = f"no answer within {seconds:g} s" if runtime_state.boottime() >= deadline else trial_health()
            if why and runtime_state.record_decision("revert", run.me):
                return why
            self._have_a_second(run)
            time.sleep(TICK_S)
        return None if answer == "keep" else "taken back on request"

    def _gone_bad(self, job: ApplyContext) -> str | None:
        """What no longer holds by the time that it is to be kept, or None."""
        checks = verify.run_checks(job.plan, since=runtime_state.boottime())
        bad = [c for c in checks if c.ok is False]
        if not bad:
            return None
        why = "; ".join(f"{c.name}: {c.detail}" for c in bad)
        self.teller.step("verify", "failed", why, checks=[c.as_json() for c in checks])
        return f"not kept, as it no longer holds: {why}"

    def _have_a_second(self, run: EngineSession) -> None:
        """There is always a second process that would take everything back."""
        if self.worker is not None and not self.worker.alive():
            self.worker.release()
            self.worker = Worker(run.lock, lambda _gone: TrialResult(TrialOutcome.HOLDS), self.order.events)

    def _revert(self, run: EngineSession, why: str, result: str) -> None:
        if self.worker is not None:
            self.worker.kill()
        problems = Reverter(self.journal, self.teller).revert(why)
        if problems:
            run.end("failed", f"{why}; and not all could be taken back: {'; '.join(problems)}")
        else:
            run.end(result, why)


def trial_health() -> str:
    """Why a trial must not go on, or ""."""
    told = runtime_state.running_guard()
    if told is None:
        return "the gateway ended by itself during the trial"
    if told.get("mode") == "tripped" or told.get("code") == "nic-gone":
        return f"the guard stopped serving during the trial: {told.get('reason')}"
    return ""


def _coming(trial: Sequence[Step], persist: Sequence[Step]) -> list[StepTitle]:
    """All that is to come, for whoever draws it beforehand."""
    named = [("check", "check"), *((s.name, s.title) for s in trial), ("verify", "verify"), ("keep", "keep")]
    return [{"name": name, "title": title} for name, title in (*named, *((s.name, s.title) for s in persist))]


def take_step(step: Step, journal: Journal, teller: EventWriter) -> None:
    """Take one step: what was there goes to the journal first."""
    if not step.needed():
        teller.step(step.name, "skipped", "as it should be already")
        return
    teller.step(step.name, "running", step.title)
    begun = time.monotonic()
    if isinstance(step, ProveWires):
        step.tell = lambda gone: teller.step(step.name, "running", step.title, seconds=round(gone, 1))
    failpoints.hit(f"before:{step.name}")
    try:
        journal.append({"t": "before", "step": step.name, "image": step.capture()})
        failpoints.hit(f"noted:{step.name}")
        detail = step.do()
        failpoints.hit(f"did:{step.name}")
        journal.append({"t": "done", "step": step.name})
    except (WizardError, OSError) as error:
        teller.step(step.name, "failed", full_message(error))
        raise
    teller.step(step.name, "done", detail, seconds=round(time.monotonic() - begun, 3))
    failpoints.hit(f"after:{step.name}")


def _held(checks: Sequence[Check]) -> str:
    """How many hold, where none fails."""
    held = sum(c.ok is True for c in checks)
    untried = f", {len(checks) - held} not tried" if held < len(checks) else ""
    return f"{held} hold{untried}"


def _counted(found: int) -> str:
    return f"{found} finding{'' if found == 1 else 's'}, no error"
