"""The commands for those who work on the cluster: the plan as other tools read it, and the ways onto instances."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.cli_show import read_plan
from wizard.console import complain, finding_lines, has_error, out, out_json, say, table
from wizard.plan.findings import WizardError
from wizard.plan.text import clean

if TYPE_CHECKING:
    from wizard.monitor.instances import Reading


def export(args: argparse.Namespace) -> int:
    """Refuses a plan with errors: what other tools build on it would be wrong as well."""
    from wizard.host.facts import read_facts
    from wizard.plan.export import export as exported
    from wizard.plan.export import surroundings
    from wizard.plan.rules import check_plan

    plan, _, _ = read_plan(args.config)
    found = check_plan(plan)
    if has_error(found):
        for line in finding_lines(found, sys.stderr):
            say(line)
        return 1
    text = exported(plan, args.format, surroundings(plan, read_facts()))
    if args.output == "-":
        out(text.removesuffix("\n"))
        return 0
    try:
        Path(args.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise WizardError(
            f"{clean(args.output, 300)}: {error.strerror}", "Give a file that you may write, or - for stdout."
        ) from None
    say(f"{args.output} written.")
    return 0


def instances(args: argparse.Namespace) -> int:
    """Reads every CNCI that answers, and says what is the matter with the others."""
    from wizard.host.ssh import Target, parse_target
    from wizard.monitor.board import known_here
    from wizard.monitor.instances import HERE, parse_user, read_each, reading_json

    user = parse_user(args.instance_user)
    targets = [Target(text) if text in HERE else parse_target(text) for text in args.cnci]
    failed = False
    readings: dict[int, Reading] = {}
    for place, reading in read_each(targets, known_here(), user):
        readings[place] = reading
        failed |= reading.failed
        if not args.json:
            # As they come: one that does not answer holds nobody up.
            _tell(reading)
            sys.stdout.flush()
    if args.json:
        out_json([reading_json(readings[place]) for place in range(len(targets))])
    return 1 if failed else 0


def _tell(reading: Reading) -> None:
    head = clean(reading.cnci, 120)
    if reading.address not in (reading.cnci.rpartition("@")[2], ""):
        head += f" ({clean(reading.address, 80)})"
    if reading.failed:
        complain(WizardError(reading.reason, reading.remedy))
        return
    count = len(reading.instances)
    out(f"{head}: {count} instance{'' if count == 1 else 's'} on {len(reading.subnets)} "
        f"subnet{'' if len(reading.subnets) == 1 else 's'}")  # fmt: skip
    body = []
    for one in reading.instances:
        here = {True: "yes", False: "no", None: "-"}[one.reachable]
        state = one.state + (f": {one.reason}" if one.reason else "")
        body.append([one.ip, one.mac, clean(one.subnet, 36), one.hostname or "-", state, here])
    if not body:
        return
    for line in table(["ADDRESS", "MAC", "SUBNET", "NAME", "STATE", "HERE"], body):
        out(f"  {line}")
    for one in reading.instances:
        out(f"  {one.ip}{f' ({clean(one.ways.why_no_port, 120)})' if one.ways.why_no_port else ''}")
        out(f"      on the CNCI            {clean(one.ways.direct, 300)}")
        out(f"      on the gateway         {clean(one.ways.gateway, 300)}")
        out(f"      from the corporate side  {clean(one.ways.corporate, 300)}")
