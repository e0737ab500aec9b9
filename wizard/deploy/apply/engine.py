"""The engine: applies a plan, waits for the answer, then keeps it or takes it back. Needs no terminal.

`client.start_engine` starts it as a detached process of root's; `apply.main` calls it there.

Two processes carry out one apply. The watchman (this process) holds the lock, waits, persists and reverts; the worker,
its fork, takes the trial's steps. Where the worker dies the watchman reverts; where the watchman dies the worker takes
over and reverts. Where both die the guard starts a recovery, and failing that the next start of an engine does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from wizard.deploy import failpoints, installed_files, runtime_state, verify
from wizard.deploy.apply import preflight, steps
from wizard.deploy.apply.context import ApplyContext, Step
from wizard.deploy.apply.reverter import Reverter
from wizard.deploy.apply.session import EngineSession, full_message
from wizard.deploy.apply.steps.trial import ProveWires
from wizard.deploy.apply.worker import TrialOutcome, TrialResult, Worker
from wizard.deploy.events import EventWriter, timestamp
from wizard.deploy.file_changes import render_for_this_machine, render_live_address_here
from wizard.deploy.guard import control, proof
from wizard.deploy.images.here import read_boot_here
from wizard.deploy.installed_files import read_journal
from wizard.deploy.journal import Journal
from wizard.deploy.shapes import StepTitle
from wizard.host.dhcp import dnsmasq
from wizard.host.facts.reader import read_facts
from wizard.host.facts.resolver import nameservers
from wizard.host.net import managers
from wizard.host.ntp.applied import applied_time
from wizard.host.plan_in_force import Unreadable, running_plan
from wizard.plan.backends import ADDRESS_FILES, choose_backend
from wizard.plan.checks import Check
from wizard.plan.dhcp_options import described
from wizard.plan.file.read import load_plan
from wizard.plan.findings import Finding, Severity, WizardError, error
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules.check import check
from wizard.plan.targets import option_lines
from wizard.plan.time_source import choose_time
from wizard.plan.uplinks import other_wires, resolved, uplinks

TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """A requested apply. `confirm_within`: s to wait for the answer. `keep`: keep without asking, once verified.

    `source`: the plan's path, for messages. `event_files`: where events go. `ssh_connection`: of who asks, for rules.
    `stop`: services that a person agreed to have stopped.
    """

    plan_text: str
    source: str
    event_files: tuple[str, ...] = ()
    confirm_within: float = 120.0
    keep: bool = False
    ssh_connection: str = ""
    stop: tuple[str, ...] = ()


def check_against_this_machine(
    plan: Plan, environ: dict[str, str] | None = None, stop: Collection[str] = ()
) -> tuple[Facts, tuple[Finding, ...]]:
    """The machine's facts and the findings of the plan on it. What the plan in force set up causes no finding.

    `stop`: services that a person agreed to have stopped.
    """
    boot = read_boot_here(plan.seeds) if plan.images else None
    facts = read_facts(environ, applied_cluster(), runtime_state.own_pids(), time=True, boot=boot)
    facts = replace(facts, to_stop=frozenset(stop))
    return facts, (*_refused_options(plan), *check(plan, facts))


def _refused_options(plan: Plan) -> list[Finding]:
    """What this machine's dnsmasq says of the plan's options, at the option: another version may know fewer."""
    lines = option_lines(plan)
    refused = dnsmasq.refused_line([line for _, line in lines]) if lines else None
    if refused is None:
        return []
    at, words = refused
    number = lines[at][0]
    what = described(plan.options[number])
    message = f"dnsmasq here refuses {what}: {words}."
    remedy = "Give its number and its value as octets, such as 00:01, or remove it."
    return [error("option-refused", f"options[{number}].value", message, remedy)]


def applied_cluster() -> str:
    """The cluster NIC of the plan in force, or ""."""
    plan = running_plan(Unreadable.SKIP)
    return plan.interfaces.cluster if plan else ""


def make_context(plan: Plan, text: str, facts: Facts, journal: Journal, stop: Sequence[str] = ()) -> ApplyContext:
    """The context of an apply of this plan on this machine: the rendered files and the plan in force."""
    corporate = facts.nic(resolved(plan, facts).interfaces.corporate)
    leased = corporate is not None and corporate.leased
    backend, time_source = choose_backend(plan, facts).backend, choose_time(plan, facts)
    return ApplyContext(
        plan,
        render_for_this_machine(plan, text, backend, time_source),
        render_live_address_here(plan, backend),
        managers.BACKENDS[backend],
        dnsmasq.user_id(),
        journal,
        running_plan(Unreadable.SKIP),
        leased,
        tuple(stop),
        uplinks(plan, facts),
        other_wires(plan, facts),
        time_source,
        applied_time(),
    )


class Engine:
    """One apply, from the request to its end."""

    def __init__(self, request: ApplyRequest) -> None:
        self.request = request
        self.events = EventWriter(*request.event_files)
        self.journal = Journal()
        self.worker: Worker | None = None
        self.begun = False

    def run(self) -> int:
        """Carry out the request: 0 where it was kept, else 1. The last event has the result and the reason."""
        return EngineSession("apply", self.events, self.request.event_files, source=self.request.source).run(
            self._attempt
        )

    def _attempt(self, session: EngineSession) -> None:
        try:
            self._apply_locked(session)
        except (WizardError, OSError) as error:
            if not self.begun:
                raise
            self._revert(session, full_message(error), "failed")
        # Not in a `finally`: where a bug ends this process the worker must take over.
        if self.worker is not None:
            self.worker.release()

    def _apply_locked(self, session: EngineSession) -> None:
        if not self._settle_earlier(session):
            return
        plan = load_plan(self.request.plan_text, self.request.source)
        environ = {"SSH_CONNECTION": self.request.ssh_connection}
        facts, findings = check_against_this_machine(plan, environ, self.request.stop)
        preflight.check_stops(self.request.stop, facts, findings, read_journal(self.journal))
        preflight.check(ADDRESS_FILES[choose_backend(plan, facts).backend].kept)
        records = [f.as_json() for f in findings]
        errors = [f for f in findings if f.severity is Severity.ERROR]
        if errors:
            self.events.step(
                "check", "failed", f"{len(errors)} error{'' if len(errors) == 1 else 's'}", findings=records
            )
            session.end("refused", "; ".join(f"{f.message} {f.remedy}" for f in errors), findings=records)
            return
        context = make_context(plan, self.request.plan_text, facts, self.journal, self.request.stop)
        trial, persist = steps.trial_steps(context), steps.persist_steps(context)
        self.events.step(
            "check", "done", _count_text(len(findings)), steps=_step_titles(trial, persist), findings=records
        )
        if not any(s.needed() for s in (*trial, *persist)):
            self._nothing_to_do(session, context)
            return
        routes = verify.default_route_texts(facts.routes)
        before = {"default_routes": routes, "nameservers": nameservers()}
        self.journal.begin(kind="apply", at=timestamp(), source=self.request.source, **before)
        self.begun = True
        failpoints.hit("begun")
        if self._run_trial(session, context, trial):
            self._keep(session, context)

    def _settle_earlier(self, session: EngineSession) -> bool:
        """Take back what a killed run left; False where that failed or the journal is damaged."""
        reading = read_journal(self.journal)
        if reading.settled or not (reading.damage or reading.last):
            return True
        if reading.damage:
            session.end(
                "refused",
                f"{'; '.join(reading.damage)}: what was there before us is no longer known for certain. "
                "Take everything back first: 'ciao-wizard reset' removes what bears our names, and says what it "
                "cannot prove.",
            )
            return False
        self.events.step("recover", "running", "an earlier run was cut off; taking it back first")
        problems = Reverter(self.journal, self.events).recover()
        if problems:
            self.events.step("recover", "failed", "; ".join(problems))
            session.end("failed", "an earlier run could not be taken back: " + "; ".join(problems))
            return False
        self.events.step("recover", "done", "the earlier run is undone")
        return True

    def _nothing_to_do(self, session: EngineSession, context: ApplyContext) -> None:
        checks = verify.run_checks_twice(context.plan)
        failed = [c for c in checks if c.ok is False]
        if failed:
            session.end("failed", "; ".join(f"{c.name}: {c.detail}. {c.remedy}" for c in failed))
            return
        self.events.step("verify", "done", _held_text(checks), checks=[c.as_json() for c in checks])
        session.end("kept", "nothing to do: this machine is as the plan says")

    # The trial

    def _run_trial(self, session: EngineSession, context: ApplyContext, trial: Sequence[Step]) -> bool:
        """Take the trial's steps in a worker; False where they were taken back."""
        self.worker = Worker(
            session.lock,
            lambda watchman_gone: self._take_steps(context, trial, watchman_gone),
            self.request.event_files,
        )
        result = self.worker.wait_for_outcome(lambda: runtime_state.read_decision(session.me) == "revert")
        if result is not None and result.outcome is TrialOutcome.HOLDS:
            return True
        if runtime_state.read_decision(session.me) == "revert":
            self._revert(session, "taken back on request", "rolled-back")
        else:
            why = result.reason if result is not None else ""
            refused = result is not None and result.outcome is TrialOutcome.REFUSED
            self._revert(session, why or "the engine ended unexpectedly", "refused" if refused else "failed")
        return False

    def _take_steps(
        self, context: ApplyContext, trial: Sequence[Step], watchman_gone: Callable[[], bool]
    ) -> TrialResult:
        """In the worker: take the steps and verify them."""
        try:
            for step in trial:
                if watchman_gone():
                    return TrialResult(TrialOutcome.FAILED, "the engine was killed")
                take_step(step, self.journal, self.events)
            self._verify(context)
        except proof.WireRefused as error:
            return TrialResult(TrialOutcome.REFUSED, full_message(error))
        except (WizardError, OSError) as error:
            return TrialResult(TrialOutcome.FAILED, full_message(error))
        return TrialResult(TrialOutcome.HOLDS)

    def _verify(self, context: ApplyContext) -> None:
        self.events.step("verify", "running", "checking the result")
        checks = verify.run_checks_twice(context.plan)
        failed = [c for c in checks if c.ok is False]
        records = [c.as_json() for c in checks]
        if failed:
            why = failure_text(failed)
            self.events.step("verify", "failed", why, checks=records)
            raise WizardError(f"verification failed: {why}")
        self.events.step("verify", "done", _held_text(checks), checks=records)
        failpoints.hit("verified")

    # The answer

    def _keep(self, session: EngineSession, context: ApplyContext) -> None:
        why = self.await_answer(session)
        why = self._verify_again(context) if why is None else why
        if why is not None:
            self._revert(session, why, "rolled-back")
            return
        self.journal.append({"t": "kept", "at": timestamp()})
        failpoints.hit("kept")
        self.events.step("keep", "done", "kept")
        # Built again: somebody may have changed a file during the trial.
        for step in steps.persist_steps(context):
            take_step(step, self.journal, self.events)
        self.journal.append({"t": "applied", "at": timestamp(), "files": installed_files.digests()})
        # From here on nothing is reverted.
        self.begun = False
        failpoints.hit("applied")
        self.journal.prune()
        session.end("kept", "applied and kept")

    def await_answer(self, session: EngineSession) -> str | None:
        """Wait for the answer: None to keep, else the reason to revert. Raises WizardError where the journal fails."""
        self.journal.append({"t": "trial", "at": timestamp()})
        if self.request.keep:
            agreed = (
                runtime_state.record_decision("keep", session.me) or runtime_state.read_decision(session.me) == "keep"
            )
            return None if agreed else "taken back on request"
        seconds = self.request.confirm_within
        deadline = runtime_state.boottime() + seconds
        session.publish(deadline=deadline, seconds=seconds)
        self.events.step("keep", "running", f"going back by itself in {seconds:g} s", remaining_s=seconds)
        failpoints.hit("waiting")
        while (answer := runtime_state.read_decision(session.me)) is None:
            why = f"no answer within {seconds:g} s" if runtime_state.boottime() >= deadline else trial_health()
            if why and runtime_state.record_decision("revert", session.me):
                return why
            self._ensure_worker(session)
            time.sleep(TICK_S)
        return None if answer == "keep" else "taken back on request"

    def _verify_again(self, context: ApplyContext) -> str | None:
        """Verify again before keeping: the reason to revert, or None."""
        checks = verify.run_checks_twice(context.plan)
        failed = [c for c in checks if c.ok is False]
        if not failed:
            return None
        why = failure_text(failed)
        self.events.step("verify", "failed", why, checks=[c.as_json() for c in checks])
        return f"not kept, as it no longer holds: {why}"

    def _ensure_worker(self, session: EngineSession) -> None:
        """Fork another worker where the last one died, so that a second process can always revert."""
        if self.worker is not None and not self.worker.alive():
            self.worker.release()
            self.worker = Worker(session.lock, lambda _gone: TrialResult(TrialOutcome.HOLDS), self.request.event_files)

    def _revert(self, session: EngineSession, why: str, result: str) -> None:
        if self.worker is not None:
            self.worker.kill()
        problems = Reverter(self.journal, self.events).revert(why)
        if problems:
            session.end("failed", f"{why}; and not all could be taken back: {'; '.join(problems)}")
        else:
            session.end(result, why)


def failure_text(failed: Sequence[Check]) -> str:
    """What failed in a trial, the remedies, and the last lines of the logs that they name: all that outlives it."""
    why = "; ".join(f"{c.name}: {c.detail}" for c in failed)
    # To apply is what is being done.
    remedies = (c.remedy.replace(verify.REAPPLY_HINT, "") for c in failed)
    return control.with_log_excerpts(" ".join([f"{why}.", *dict.fromkeys(remedies)]))


def trial_health() -> str:
    """The reason to end a trial because of the guard's state, or ""."""
    guard = runtime_state.running_guard()
    if guard is None:
        return "the gateway ended by itself during the trial"
    if guard.get("mode") == "tripped" or guard.get("code") == "nic-gone":
        return f"the guard stopped serving during the trial: {guard.get('reason')}"
    return ""


def _step_titles(trial: Sequence[Step], persist: Sequence[Step]) -> list[StepTitle]:
    """Every step to come, for a screen that shows them beforehand."""
    named = [("check", "check"), *((s.name, s.title) for s in trial), ("verify", "verify"), ("keep", "keep")]
    return [{"name": name, "title": title} for name, title in (*named, *((s.name, s.title) for s in persist))]


def take_step(step: Step, journal: Journal, events: EventWriter) -> None:
    """Take one step; its pre-image goes to the journal first. Raises WizardError, OSError."""
    if not step.needed():
        events.step(step.name, "skipped", "no change needed")
        return
    events.step(step.name, "running", step.title)
    begun = time.monotonic()
    if isinstance(step, ProveWires):
        step.report_progress = lambda seconds: events.step(step.name, "running", step.title, seconds=round(seconds, 1))
    failpoints.hit(f"before:{step.name}")
    try:
        journal.append({"t": "before", "step": step.name, "image": step.capture()})
        failpoints.hit(f"noted:{step.name}")
        detail = step.do()
        failpoints.hit(f"did:{step.name}")
        journal.append({"t": "done", "step": step.name})
    except (WizardError, OSError) as error:
        events.step(step.name, "failed", full_message(error))
        raise
    events.step(step.name, "done", detail, seconds=round(time.monotonic() - begun, 3))
    failpoints.hit(f"after:{step.name}")


def _held_text(checks: Sequence[Check]) -> str:
    """A count of the checks that hold, where none fails."""
    held = sum(c.ok is True for c in checks)
    untried = f", {len(checks) - held} not tried" if held < len(checks) else ""
    return f"{held} hold{untried}"


def _count_text(found: int) -> str:
    return f"{found} finding{'' if found == 1 else 's'}, no error"
