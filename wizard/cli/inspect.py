"""The commands that only look."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.cli.console import coloured, finding_lines, flush_out, has_error, out, out_json, say, table
from wizard.cli.plans import nothing_applied, read_plan
from wizard.plan.findings import Severity, WizardError
from wizard.plan.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wizard.host.dhcp.probe_questions import ProbeQuestions
    from wizard.host.net.node_traffic import NodeTraffic
    from wizard.monitor.lease_monitor import LeaseMonitor
    from wizard.monitor.lease_rows import LeaseRow


def detect(args: argparse.Namespace) -> int:
    from wizard.host.facts.reader import detect_rows, read_facts

    rows = detect_rows(read_facts())
    if args.json:
        out_json(rows)
        return 0
    for row in rows:
        link = "up" if row["carrier"] else "no link" if row["up"] else "down"
        speed = f"{row['speed_mbps']} Mb/s" if row["speed_mbps"] else ""
        head = [row["name"], row["kind"], link, speed, row["mac"], row["vendor"], ", ".join(row["addresses"])]
        out("  ".join(clean(str(cell), 80) for cell in head if cell))
        role = row["suggestion"]
        for number, reason in enumerate(row["reasons"]):
            out(f"    {f'suggested: {role}; ' if role and number == 0 else ''}{clean(reason, 300)}")
    return 0


def probe(args: argparse.Namespace) -> int:
    from wizard.host.dhcp import probe

    if not args.json:
        say(f"Probing the network behind {clean(args.nic, 40)}; this takes up to {args.wait or 12:g} s.")
    result = probe.probe(args.nic, wait=args.wait, questions=_questions(args))
    if args.json:
        out_json(result.as_json())
    else:
        details = "; ".join(filter(None, (clean(result.reason, 300), result.asked.in_words())))
        out(f"{result.nic}: {result.verdict}{f' ({details})' if details else ''}")
        for server in result.servers:
            out("  " + clean(server.in_words(), 300))
    return {"silence": 0, "answer": 1, "unknown": 3}[str(result.verdict)]


def _questions(args: argparse.Namespace) -> ProbeQuestions:
    """A server that knows the plan's nodes alone is silent to us: where the plan is for this NIC, ask for them."""
    from wizard.host.dhcp.probe_questions import NOTHING_MORE, questions_for

    if args.config is not None:
        plan, _, _ = read_plan(args.config)
        from wizard.host.facts.uplinks import uplinks_now

        return NOTHING_MORE if args.nic in uplinks_now(plan) else questions_for(plan)
    try:
        plan, _, _ = read_plan(None)
    except WizardError:
        # Nothing is applied here, or what is cannot be read: it can be asked all the same.
        return NOTHING_MORE
    return questions_for(plan) if args.nic == plan.interfaces.cluster else NOTHING_MORE


def check(args: argparse.Namespace) -> int:
    from wizard.deploy.apply.engine import check_against_this_machine

    plan, _, _ = read_plan(args.config)
    _, found = check_against_this_machine(plan)
    if args.json:
        out_json([f.as_json() for f in found])
    else:
        for line in finding_lines(found, sys.stdout):
            out(line)
        if not found:
            say("No problems found.")
    return 1 if has_error(found) else 0


def render(args: argparse.Namespace) -> int:
    from wizard.deploy.file_changes import render_for_this_machine
    from wizard.host.files import write_below
    from wizard.host.net.managers import backend_for
    from wizard.host.ntp.applied import time_for
    from wizard.plan.rules.check import check_plan

    plan, text, _ = read_plan(args.config)
    found = check_plan(plan)
    if has_error(found):
        for line in finding_lines(found, sys.stderr):
            say(line)
        return 1
    files = render_for_this_machine(plan, text, backend_for(plan), time_for(plan))
    for number, file in enumerate(files):
        if args.output is None or args.output == "-":
            out(("" if number == 0 else "\n") + f"==> {file.path} <==")
            out(file.text.rstrip("\n"))
            continue
        write_below(Path(args.output), file.path, file.text.encode(), file.mode)
        say(f"{args.output.rstrip('/')}{file.path}")
    return 0


def diff(args: argparse.Namespace) -> int:
    from wizard.deploy.apply.engine import check_against_this_machine
    from wizard.deploy.file_changes import file_changes
    from wizard.host.net.managers import backend_for

    plan, text, _ = read_plan(args.config)
    errors = [finding for finding in check_against_this_machine(plan)[1] if finding.severity is Severity.ERROR]
    if errors:
        say("An apply would refuse this plan:")
        for line in finding_lines(errors, sys.stderr):
            say(line)
    changed = [c for c in file_changes(plan, text, backend_for(plan)) if c.diff]
    for change in changed:
        for line in change.diff.rstrip("\n").split("\n"):
            tone = {"+": "good", "-": "error", "@": "note"}.get(line[:1])
            shown = clean(line, 2000)
            out(coloured(shown, tone, sys.stdout) if tone else shown)
    return 1 if changed else 0


def status(args: argparse.Namespace) -> int:
    from wizard.deploy.status import read_status
    from wizard.plan.checks import LONGEST_DETAIL, Outcome

    seen = read_status()
    if args.json:
        out_json(seen.as_json())
    else:
        health = ", healthy" if seen.healthy else ", not healthy" if seen.state == "applied" else ""
        out(f"{seen.state}{health}{f': {clean(seen.reason, LONGEST_DETAIL)}' if seen.reason else ''}")
        if seen.plan:
            out(f"plan {seen.plan}{f', since {_local(seen.since)}' if seen.since else ''}")
        for item in seen.checks:
            untried = "not tried" if item.outcome is Outcome.UNTRIED else "not seen"
            word = {True: "ok", False: "FAILED", None: untried}[item.ok]
            out(f"  {word:9} {item.name:14}  {clean(item.detail, LONGEST_DETAIL)}")
            if item.ok is False and item.remedy:
                out(f"            {clean(item.remedy, LONGEST_DETAIL)}")
        if seen.discovering:
            out(f"discovery on until {_local(seen.discovering)}: see 'sudo ciao-wizard boot discover --list'")
        for line in seen.drift:
            out(f"  drift     {clean(line, 300)}")
    if seen.state == "absent":
        return 3
    return 0 if seen.state == "applied" and seen.healthy and not seen.drift else 1


def _local(since: str) -> str:
    try:
        return datetime.fromisoformat(since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return clean(since)


def leases(args: argparse.Namespace) -> int:
    from wizard.monitor.lease_monitor import LeaseMonitor

    monitor = LeaseMonitor()
    try:
        if not monitor.poll().applied:
            raise nothing_applied()
        _settle(monitor)
        if args.watch:
            return _watch_leases(monitor, args.json)
        _print_leases(monitor, args.json)
        return 0
    finally:
        monitor.close()


_ANSWERS_WITHIN_S = 0.4
_LOOK_EVERY_S = 0.25


def _settle(monitor: LeaseMonitor) -> None:
    """Give those who are there a moment to answer."""
    until = time.monotonic() + _ANSWERS_WITHIN_S
    while time.monotonic() < until and any(row.reachable is None and row.ip for row in monitor.rows):
        time.sleep(0.02)
        monitor.poll()


def _terminal_width() -> int | None:
    """Columns of the terminal that the data goes to; None where it goes elsewhere."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _print_leases(monitor: LeaseMonitor, as_json: bool) -> None:
    from wizard.host.net.node_traffic import read_node_traffic
    from wizard.monitor.lease_rows import row_json

    traffic = read_node_traffic()
    if as_json:
        out_json([row_json(row, traffic) for row in monitor.rows])
    else:
        for line in lease_lines(monitor.rows, _terminal_width(), traffic):
            out(line)


def _watch_leases(monitor: LeaseMonitor, as_json: bool) -> int:
    """Until interrupted, or until nothing is applied any longer (3). JSON: one object a line for each row that
    changed; people get the table, then what happens."""
    import json

    from wizard.host.net.node_traffic import read_node_traffic
    from wizard.monitor.lease_rows import row_json

    if as_json:
        traffic = read_node_traffic()
        for row in monitor.rows:
            out(json.dumps(row_json(row, traffic)))
    else:
        _print_leases(monitor, as_json)
    problem = ""
    while True:
        flush_out()
        time.sleep(_LOOK_EVERY_S)
        view = monitor.poll()
        if view.problem != problem:
            problem = view.problem
            say(clean(problem, 300) if problem else "the lease file is readable again")
        if as_json:
            traffic = read_node_traffic()
            for row in view.gone:
                out(json.dumps({**row_json(row, traffic), "gone": True}))
            for row in view.changed:
                out(json.dumps(row_json(row, traffic)))
        else:
            for event in view.events:
                who = f"{event.name or '-'} ({event.mac})"
                out(clean(f"{event.at:%H:%M:%S}  {event.kind:8}{who}: {event.words}", 400))
        if not view.applied:
            raise nothing_applied()


_WITH_TRAFFIC = 96
"""Columns of a terminal that has room for two more."""


def lease_lines(rows: Sequence[LeaseRow], width: int | None = None, traffic: NodeTraffic | None = None) -> list[str]:
    """Lease rows as a table for people, and below a row why something is the matter with it.

    Nothing is wider than `width` columns; without that nothing is cut or broken. What each has received and sent is
    there where it is known, and where there is room.
    """
    import textwrap

    from wizard.host.net.traffic import bytes_words

    body = []
    counted = traffic is not None and traffic.known and (width is None or width >= _WITH_TRAFFIC)
    for row in rows:
        here = {True: "yes", False: "no", None: "-"}[row.reachable]
        # A node has a role; of the others the kind says what they are.
        body.append([row.name or row.hostname or "-", row.role or row.kind, row.ip or "-", row.mac, row.state, here])
        if counted and traffic is not None:
            count = traffic.of(row.ip)
            body[-1] += [bytes_words(count.received), bytes_words(count.sent)] if count else ["-", "-"]
    header = ["NAME", "ROLE", "ADDRESS", "MAC", "STATE", "HERE", *(["RECEIVED", "SENT"] if counted else [])]
    if width is not None:
        others = sum(max(len(line[at]) for line in [header, *body]) + 2 for at in range(1, len(header))) - 2
        room = max(width - others - 2, 8)
        body = [[clean(line[0], room), *line[1:]] for line in body]
    lines = table(header, body)
    details = [lines[0]]
    for row, line in zip(rows, lines[1:], strict=True):
        details.append(line)
        why = clean(row.reason, 300)
        if why:
            indent = " " * 4
            wrapped = textwrap.wrap(why, width, initial_indent=indent, subsequent_indent=indent) if width else None
            details += wrapped or [f"{indent}{why}"]
    return details
