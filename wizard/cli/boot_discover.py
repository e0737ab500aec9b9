"""`boot discover`: machines that are in no plan are shown a page when they boot over the network, and are listed."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from wizard.cli.console import out, out_json, say, table
from wizard.plan.findings import NeedsRoot, WizardError

if TYPE_CHECKING:
    from wizard.deploy.discovery_record import Discovery
    from wizard.plan.raw_machines import RawMachine


def discover(args: argparse.Namespace) -> int:
    """Carry out `boot discover`: with --off end it, with --list only look, else begin, or go on for so long."""
    from wizard.deploy.discovery_record import close_discovery, open_discovery, read_discovery, read_raw_machines

    if os.geteuid() != 0:
        raise NeedsRoot("boot discover needs root", f"Run it again with sudo: sudo {shlex.join(sys.argv)}")
    if args.off:
        close_discovery()
    elif not args.list:
        _refuse_where_it_cannot_work()
        open_discovery(args.seconds)
    discovery, machines = read_discovery(), read_raw_machines()
    names = _names()
    if args.json:
        out_json({"until": discovery.ends if discovery else None, "machines": [_row(m, names) for m in machines]})
    else:
        _print(discovery, machines, names)
    return 0


def _refuse_where_it_cannot_work() -> None:
    from wizard.actions.targets import plan_in_force
    from wizard.deploy.images.loaders import refuse_links
    from wizard.monitor.boot_board import refuse_without_server, without_loaders

    refuse_without_server()
    refuse_links()
    images = plan_in_force().images
    if not images:
        raise WizardError("the plan in force has no images", "Add [[images]] to it and apply it.")
    if missing := without_loaders(images):
        say(missing)


def _names() -> dict[str, str]:
    """The names of the machines of the plan in force, by MAC."""
    from wizard.host.plan_in_force import Unreadable, running_plan
    from wizard.plan.fields import format_mac

    plan = running_plan(Unreadable.SKIP)
    return {format_mac(mac): each.name for each in plan.machines for mac in each.macs} if plan is not None else {}


def _row(machine: RawMachine, names: dict[str, str]) -> dict[str, Any]:
    return {
        "mac": machine.mac,
        "serial": machine.serial or None,
        "product": machine.product or None,
        "manufacturer": machine.manufacturer or None,
        "uuid": machine.uuid or None,
        "address": machine.address or None,
        "at": datetime.fromtimestamp(machine.at).astimezone().isoformat(timespec="seconds"),
        "node": names.get(machine.mac),
    }


def _print(discovery: Discovery | None, machines: tuple[RawMachine, ...], names: dict[str, str]) -> None:
    say(describe(discovery))
    if not machines:
        say("No machine has been found yet.")
        return
    rows = [
        [each.mac, each.serial or "-", each.product or "-", _time(each.at), names.get(each.mac, "new")]
        for each in machines
    ]
    for line in table(["MAC", "SERIAL", "PRODUCT", "AT", "IN THE PLAN"], rows):
        out(line)


def describe(discovery: Discovery | None) -> str:
    """In a line, whether it is on."""
    if discovery is None:
        return "Discovery is off: machines not in the plan get nothing."
    ends = datetime.fromisoformat(discovery.ends).strftime("%H:%M")
    return f"Discovery is on until {ends}: machines not in the plan see a page when they netboot."


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")
