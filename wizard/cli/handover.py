"""The commands for those who work on the cluster: the plan as other tools read it, and the ways onto instances."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.cli.console import complain, finding_lines, flush_out, has_error, out, out_json, say, table
from wizard.cli.plans import read_bytes, read_plan, unreadable
from wizard.plan.findings import WizardError
from wizard.plan.text import clean

if TYPE_CHECKING:
    from wizard.monitor.instances import CnciReading


def export(args: argparse.Namespace) -> int:
    """Refuses a plan with errors: what other tools build on it would be wrong as well."""
    from wizard.host.facts.reader import read_facts
    from wizard.plan.export.formats import corporate_side
    from wizard.plan.export.formats import export as exported
    from wizard.plan.rules.check import check_plan

    plan, _, _ = read_plan(args.config)
    found = check_plan(plan)
    if has_error(found):
        for line in finding_lines(found, sys.stderr):
            say(line)
        return 1
    text = exported(plan, args.format, corporate_side(plan, read_facts()))
    if args.output == "-":
        out(text.removesuffix("\n"))
        return 0
    write_out(args.output, text)
    say(f"{clean(args.output, 300)} written.")
    return 0


def import_list(args: argparse.Namespace) -> int:
    """Changes nothing. What is no machine in the list (broadcast, nobody there) is counted, and no problem."""
    from wizard.plan.machine_lists import decode, is_text, read_list

    text = decode(read_bytes(args.file, "list of machines"))
    if not is_text(text):
        raise unreadable(f"{clean(args.file, 300)} is not text", "Save the list as CSV, one machine per line.")
    listed = read_list(text)
    machines = listed.machines
    failed = [machine for machine in machines if machine.problem]
    if args.json:
        out_json([machine.as_json() for machine in machines])
    else:
        body = []
        for machine in machines:
            roles = "+".join(machine.roles)
            macs = "+".join(machine.macs) or "-"
            body.append([str(machine.line), machine.name or "-", roles or "-", macs, machine.ip or "-"])
        lines = table(["LINE", "NAME", "ROLES", "MAC", "ADDRESS"], body)
        out(lines[0])
        for machine, line in zip(machines, lines[1:], strict=True):
            out(line)
            if machine.problem:
                out(f"      {clean(machine.problem, 300)}")
    summary = [f"{len(machines) - len(failed)} of {len(machines)} understood"]
    without = sum(1 for machine in machines if not machine.mac and not machine.problem)
    summary += [f"{without} without a MAC, which a node needs"] if without else []
    summary += [f"{listed.repeated} repeated"] if listed.repeated else []
    summary += (
        [f"{listed.passed} skipped: {'no machine' if listed.passed == 1 else 'no machines'}"] if listed.passed else []
    )
    say("; ".join(summary) + ".")
    return 1 if failed else 0


def write_out(path: str, text: str) -> None:
    """Write a file, or overwrite one, in one step. Raises WizardError for what is there and is no file.

    A link is not followed: run as root, that would be a way to any file of the machine.
    """
    from wizard.host.files import write_atomic

    target = Path(path)
    shown = clean(path, 300)
    remedy = "Give a file that you can write, or - for stdout."
    mask = os.umask(0o077)
    os.umask(mask)
    mode, owner = 0o666 & ~mask, None
    try:
        with contextlib.suppress(FileNotFoundError):
            there = target.lstat()
            if stat.S_ISLNK(there.st_mode) and target.exists():
                raise WizardError(f"{shown} is a symbolic link; it is not followed.", remedy)
            if stat.S_ISREG(there.st_mode):
                mode = stat.S_IMODE(there.st_mode)
                owner = (there.st_uid, there.st_gid) if os.geteuid() == 0 else None
            elif not stat.S_ISLNK(there.st_mode):
                raise WizardError(f"{shown} is not a file.", remedy)
    except OSError as error:
        raise WizardError(f"{shown}: {error.strerror}", remedy) from None
    try:
        write_atomic(str(target), text.encode(), mode, owner)
    except WizardError as error:
        raise WizardError(clean(error.message, 400), remedy) from None


def instances(args: argparse.Namespace) -> int:
    """Reads every CNCI that answers, and says what is the matter with the others."""
    from wizard.host.ssh import Target, parse_target
    from wizard.monitor.instances import HERE, parse_user, read_cncis, reading_json
    from wizard.monitor.lease_board import read_gateway_context

    user = parse_user(args.instance_user)
    targets = [Target(text) if text in HERE else parse_target(text) for text in args.cnci]
    failed = False
    readings: dict[int, CnciReading] = {}
    for place, reading in read_cncis(targets, read_gateway_context(), user):
        readings[place] = reading
        failed |= reading.failed
        if not args.json:
            # As they come: one that does not answer holds nobody up.
            _print_reading(reading)
            flush_out()
    if args.json:
        out_json([reading_json(readings[place]) for place in range(len(targets))])
    return 1 if failed else 0


def _print_reading(reading: CnciReading) -> None:
    head = clean(reading.cnci, 120)
    if reading.address not in (reading.cnci.rpartition("@")[2], ""):
        head += f" ({clean(reading.address, 80)})"
    if reading.failed:
        complain(WizardError(reading.reason, reading.remedy))
        return
    count = len(reading.instances)
    out(f"{head}: {count} instance{'' if count == 1 else 's'} on {len(reading.subnets)} "
        f"subnet{'' if len(reading.subnets) == 1 else 's'}")  # fmt: skip
    if reading.reason:
        complain(WizardError(reading.reason, reading.remedy))
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
        out(f"      on the CNCI             {clean(one.ways.direct, 300)}")
        out(f"      on the gateway          {clean(one.ways.gateway, 300)}")
        out(f"      from the company network {clean(one.ways.corporate, 300)}")
