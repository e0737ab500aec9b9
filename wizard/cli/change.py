"""The commands that change the machine."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from typing import TYPE_CHECKING

from wizard.cli.console import (
    OutputLost,
    ask,
    coloured,
    complain,
    drop_typed_ahead,
    finding_lines,
    flush_out,
    out,
    say,
)
from wizard.cli.plans import nothing_applied, read_plan
from wizard.deploy import runtime_state
from wizard.deploy.apply import client
from wizard.deploy.shapes import ApplyEvent as Event
from wizard.deploy.shapes import EngineRequest
from wizard.host.facts.processes import ssh_connection
from wizard.plan import paths
from wizard.plan.findings import Finding, FindingRecord, Severity, WizardError
from wizard.plan.text import clean
from wizard.services.progress import step_words

if TYPE_CHECKING:
    from wizard.plan.model import Plan

_SIGNS = {"running": "▸", "done": "✓", "skipped": "·", "failed": "✗", "undone": "↩"}


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        error = WizardError(f"{what} needs root", f"Run it again with sudo: sudo {' '.join(sys.argv)}")
        error.status = 4
        raise error


def apply(args: argparse.Namespace) -> int:
    plan, text, source = read_plan(args.config)
    _need_root("apply")
    _settle_pending(args.yes)
    stop = list(dict.fromkeys(map(_unit, args.stop)))
    if not args.yes and sys.stdin.isatty():
        stop += _agreed_stops(plan, stop)
    request: EngineRequest = {
        "plan_text": text,
        "source": source,
        "confirm_within": args.confirm_within,
        "keep": args.yes,
        # The engine is detached: it could not find the SSH session that must not be cut.
        "ssh_connection": ssh_connection(),
        "stop": stop,
    }
    return _begin("apply", request, args.events, ask=not args.yes)


def _unit(name: str) -> str:
    return name if "." in name else f"{name}.service"


def _agreed_stops(plan: Plan, stop: list[str]) -> list[str]:
    """The services, besides `stop`, that the person agrees to have stopped; asks only where that is all it takes."""
    from wizard.deploy.apply.engine import check_against_this_machine

    _, found = check_against_this_machine(plan, stop=stop)
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if not errors or not all(finding.stops for finding in errors):
        return []
    agreed = []
    for unit in dict.fromkeys(finding.stops[0] for finding in errors):
        of_it = [finding for finding in errors if finding.stops[0] == unit]
        for finding in of_it:
            say(clean(finding.message, 500))
        units = clean(" and ".join(of_it[0].stops), 300)
        if not ask(f"Stop and disable {units} until a reset? [y/N] "):
            return []
        agreed.append(unit)
    return agreed


def _begin(verb: str, request: EngineRequest, events: str | None, *, ask: bool = False, wanted: str = "kept") -> int:
    """Start the engine and follow it. `events` is a file to write its events to, "-" stdout."""
    to_stdout = events == "-"
    stream = client.start_engine(verb, request, None if to_stdout else events)
    return _follow(stream, ask=ask, wanted=wanted, to_stdout=to_stdout)


def confirm(_args: argparse.Namespace) -> int:
    return _answer("keep")


def rollback(_args: argparse.Namespace) -> int:
    _need_root("rollback")
    from wizard.deploy.installed_files import installed_state

    engine = runtime_state.running_engine()
    cut_off = engine is None and (installed_state() == "interrupted" or client.engine_was_killed())
    if cut_off or (engine is not None and engine.get("kind") == "rollback"):
        # Another engine may be undoing it already: ours waits for its lock, then looks again.
        say("An earlier run was interrupted; undoing it.")
        return _begin("recover", {}, None, wanted="rolled-back")
    return _answer("revert")


def _answer(word: str) -> int:
    _need_root("confirm" if word == "keep" else "rollback")
    stream = client.answer_pending(word)
    if stream is None:
        error = WizardError("no apply waits for an answer", "'ciao-wizard status' shows what is applied.")
        error.status = 3
        raise error
    return _follow(stream, ask=False, wanted="kept" if word == "keep" else "rolled-back", from_now=True)


def reset(args: argparse.Namespace) -> int:
    _need_root("reset")
    from wizard.deploy.installed_files import KEPT_BY_RESET, installed_state
    from wizard.deploy.status import read_status

    if args.only is not None:
        if args.forget_leases or args.forget_images:
            wrong = WizardError("--only resets one part, and forgets nothing besides", "Give one of them: see --help.")
            wrong.status = 2
            raise wrong
        return _renew(args)
    from wizard.deploy.images.store import forgotten

    _settle_pending(args.yes)
    # A reset that was cut off has left them under another name.
    forgets_images = args.forget_images and any(map(os.path.lexists, (paths.IMAGES, forgotten())))
    if installed_state() == "absent" and not client.engine_was_killed() and not forgets_images:
        raise nothing_applied()
    try:
        drift = read_status().drift
    except WizardError as error:
        # A missing program must not prevent a reset.
        drift = ()
        say(f"Manual changes since the apply are not known: {clean(error.message, 300)}")
    for line in drift:
        fate = "" if line.endswith(KEPT_BY_RESET) else ", and lost by a reset"
        say(f"Changed since it was applied{fate}: {clean(line, 300)}")
    if not args.yes:
        leases = "; the leases are forgotten too" if args.forget_leases else "; the leases are kept"
        images = "; the images for network boot are REMOVED" if args.forget_images else ""
        if not ask(f"Undo everything the wizard did here{leases}{images}? [y/N] "):
            raise WizardError("nothing was changed", "Answer y, or run it with --yes.")
    request: EngineRequest = {"forget_leases": args.forget_leases, "forget_images": args.forget_images}
    return _begin("reset", request, args.events, wanted="rolled-back")


def _renew(args: argparse.Namespace) -> int:
    """Re-apply one part."""
    from wizard.deploy.apply.partial_reset import edits_lost_by
    from wizard.deploy.installed_files import installed_state

    if installed_state() == "absent":
        raise nothing_applied()
    if client.pending_apply() is not None:
        raise WizardError(
            "an earlier apply waits for its answer",
            "Answer it with 'ciao-wizard confirm' or 'ciao-wizard rollback', then run this again.",
        )
    lost = edits_lost_by(args.only)
    for line in lost:
        say(f"Changed since it was applied, and lost by this: {clean(line, 300)}")
    if args.only == "leases":
        for line in _leases_to_forget():
            say(line)
    question = "Forget them? [y/N] " if args.only == "leases" else "Continue? [y/N] "
    if (lost or args.only == "leases") and not args.yes and not ask(question):
        raise WizardError("nothing was changed", "Answer y, or run it with --yes.")
    return _begin("renew", {"part": args.only}, args.events)


def _leases_to_forget() -> list[str]:
    """The leases that would be forgotten, and what that means."""
    from wizard.host.files import read_text
    from wizard.plan.lease_parser import parse_leases

    leases, _ = parse_leases(read_text(paths.LEASES) or "")
    lines = [clean(f"  {lease.ip:15}  {lease.mac}  {lease.hostname}", 200) for lease in leases]
    return [
        f"{len(leases)} leases will be forgotten{':' if leases else '.'}",
        *lines,
        "A machine uses its address until half of the lease time, then asks again. Reserved addresses are kept; "
        "another machine may get a dynamic one before that: dnsmasq does not check whether it is in use.",
    ]


def _settle_pending(unasked: bool) -> None:
    """An apply that waits for its answer never blocks the next run: it is undone, if the person agrees."""
    engine = runtime_state.running_engine()
    if engine is None:
        return
    if engine.get("kind") == "rollback":
        # Our engine waits for the lock of the one that undoes a killed run.
        return
    if engine.get("deadline") is None:
        raise WizardError(
            f"another change is under way since {engine.get('since')}", "Wait until it ends: see 'ciao-wizard status'."
        )
    if not unasked and not ask("An earlier apply waits for its answer. Undo it and continue? [y/N] "):
        raise WizardError(
            "an earlier apply waits for its answer",
            "Answer it with 'ciao-wizard confirm' or 'ciao-wizard rollback', then run this again.",
        )
    say("Undoing the apply that waits for its answer.")
    stream = client.answer_pending("revert")
    if stream is not None:
        _follow(stream, ask=False, wanted="rolled-back", from_now=True)
    deadline = time.monotonic() + 30
    while runtime_state.running_engine() is not None and time.monotonic() < deadline:
        time.sleep(0.05)


def _follow(
    stream: client.EventStream, *, ask: bool, wanted: str = "kept", from_now: bool = False, to_stdout: bool = False
) -> int:
    """Follow the engine and print its events; 0 if it ends as wanted."""
    waiting_until: float | None = None
    skipping = from_now
    try:
        for event in stream:
            if event is None:
                skipping = False
                if waiting_until is not None and ask:
                    _read_answer()
                continue
            if to_stdout:
                try:
                    out(json.dumps(event))
                    flush_out()
                except (OutputLost, BrokenPipeError) as error:
                    # What was begun goes on, and whoever waits for its end is to hear the truth of it.
                    to_stdout = False
                    complain(error if isinstance(error, OutputLost) else OutputLost("stdout: its reader is gone"))
            if skipping and "result" not in event:
                continue
            if "result" in event:
                return _print_result(event, wanted)
            if event.get("step") != "keep":
                _print_event(event)
            elif event.get("state") == "running":
                seconds = float(event.get("remaining_s", 0))
                waiting_until = time.monotonic() + seconds
                _print_waiting(seconds, ask)
            else:
                waiting_until = None
    except KeyboardInterrupt:
        say("Left. The change continues without this terminal: 'ciao-wizard status' shows its progress.")
        raise
    raise WizardError(
        "the engine was killed before it was done",
        "'ciao-wizard status' shows how far it got; 'ciao-wizard rollback' undoes it.",
    )


_CHECK_SIGNS = {True: "done", False: "failed", None: "skipped"}


def _print_event(event: Event) -> None:
    for finding in event.get("findings") or []:
        if event.get("state") != "failed" and finding.get("severity") != "note":
            for line in finding_lines([_finding(finding)], sys.stderr):
                say(line)
    sign = _SIGNS.get(str(event.get("state")), " ")
    colour = {"done": "good", "failed": "error", "undone": "warning"}.get(str(event.get("state")), "faint")
    if event.get("state") == "running":
        return
    seconds = f"  {event['seconds']:.2f} s" if isinstance(event.get("seconds"), int | float) else ""
    text = f"{clean(step_words(str(event.get('step', ''))), 80):18} {clean(str(event.get('detail', '')), 500)}{seconds}"
    say(f"{coloured(sign, colour, sys.stderr)} {text}")
    if event.get("step") == "verify":
        for check in event.get("checks") or []:
            mark = _SIGNS[_CHECK_SIGNS.get(check.get("ok"), "skipped")]
            say(f"    {mark} {check.get('name', ''):14} {clean(str(check.get('detail', '')), 300)}")


def _print_result(event: Event, wanted: str) -> int:
    result, reason = str(event["result"]), clean(str(event.get("reason", "")), 4000)
    if result == wanted:
        say(f"{coloured(_SIGNS['done'], 'good', sys.stderr)} {reason}")
        return 0
    found = [_finding(f) for f in event.get("findings") or []]
    if found:
        for line in finding_lines(found, sys.stderr):
            say(line)
        say("Nothing was changed.")
        return 1
    say(f"{coloured(result, 'error', sys.stderr)}: {reason}")
    return 1


def _finding(data: FindingRecord) -> Finding:
    return Finding(Severity(data["severity"]), data["code"], data["field"], data["message"], data["remedy"])


def _print_waiting(seconds: float, ask: bool) -> None:
    if ask and sys.stdin.isatty():
        drop_typed_ahead()
        say(f"Keep it? [y/N] Without an answer it is undone in {seconds:g} s.")
    else:
        say(f"Waiting for 'ciao-wizard confirm' or 'ciao-wizard rollback'; without one, undone in {seconds:g} s.")


def _read_answer() -> None:
    """One look at the keyboard while the engine waits."""
    if not sys.stdin.isatty():
        return
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    if not ready:
        return
    try:
        line = sys.stdin.readline()
    except OSError:
        # The terminal is gone; the deadline answers.
        return
    if line == "":
        return
    # As everywhere: what is no yes is a no. An Enter by habit must not keep what nobody has looked at.
    runtime_state.record_decision("keep" if line.strip().lower() in ("y", "yes") else "revert")
