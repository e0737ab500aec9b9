"""The commands on booting over the network: who is armed with which image, and how far each node has come."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.cli.console import flush_out, out, out_json, say, table, wrapped
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.text import clean

if TYPE_CHECKING:
    from wizard.monitor.boot_stages import Boot

_WATCH_EVERY_S = 1.0


def boot(args: argparse.Namespace) -> int:
    """Carry out `boot ACTION`."""
    from wizard.cli.boot_discover import discover

    actions = {"arm": _arm, "disarm": _disarm, "status": _status, "loaders": _loaders, "discover": discover}
    return actions[args.action](args)


def _loaders(args: argparse.Namespace) -> int:
    from wizard.deploy.images.loaders import copy_loaders
    from wizard.deploy.images.sources import regular_file

    _need_root("boot loaders")
    packages = [Path(name) if Path(name).is_dir() else regular_file(name) for name in args.packages]
    names = sorted({name for package in packages for name in copy_loaders(package)})
    if args.json:
        out_json(list(names))
    else:
        out(f"boot loaders: {', '.join(names)}")
    return 0


def _arm(args: argparse.Namespace) -> int:
    from wizard.actions.boot import ArmOrder, arm
    from wizard.actions.targets import choose, plan_in_force
    from wizard.monitor.boot_board import without_loaders
    from wizard.plan.netboot import Times, ToDisk

    _need_root("boot arm")
    plan = plan_in_force()
    nodes = choose(plan, args.nodes, args.role or "", args.all)
    times = Times.ALWAYS if args.always else Times.ONCE
    keys = tuple(args.ssh_key)
    order = ArmOrder(args.image, times, ToDisk(args.to_disk), keys, args.user, args.proxy, args.secure_boot, args.disk)
    made = arm(plan, nodes, order)
    if not args.json:
        for each in made:
            out(f"{each.name}: armed with {each.image}, {each.times}")
        silent = {image.name for image in plan.images if not image.reports}
        if names := [each.name for each in made if each.image in silent and each.times is Times.ONCE]:
            say(f"Their image never reports, so they stay armed: sudo ciao-wizard boot disarm {' '.join(names)}")
        if not args.secure_boot and (missing := without_loaders(plan.images)):
            say(missing)
    if args.wake:
        from wizard.actions.wake import send_to

        say(clean(send_to(plan, nodes), 300))
    if args.json:
        out_json([{"node": each.name, "image": each.image, "times": each.times.value} for each in made])
    return 0


def _disarm(args: argparse.Namespace) -> int:
    from wizard.actions.boot import disarm

    _need_root("boot disarm")
    if not args.nodes and not args.all:
        raise WizardError("no node is named", "Name those that are to boot from their disk, or give --all.")
    names = disarm(() if args.all else args.nodes, args.all)
    if args.json:
        out_json(names)
    else:
        for name in names:
            out(f"{name}: disarmed")
    return 0


def _status(args: argparse.Namespace) -> int:
    from wizard.deploy.netboot_check import netboot_trouble
    from wizard.monitor.boot_board import BootWatch

    watch = BootWatch()
    boots = watch.look().nodes
    trouble = netboot_trouble()
    if args.json:
        _print_json(_begun(boots), args.watch)
    elif not args.watch or sys.stdout.isatty():
        _print(_begun(boots))
    else:
        _print_changes((), boots)
    if not args.json:
        _print_discovery()
    _say_trouble(trouble)
    while args.watch:
        flush_out()
        time.sleep(_WATCH_EVERY_S)
        before, boots = boots, watch.look().nodes
        if not args.json:
            _print_changes(before, boots)
        elif _begun(boots) != _begun(before):
            _print_json(_begun(boots), args.watch)
        if (now := netboot_trouble()) != trouble:
            trouble = now
            _say_trouble(trouble)
    return 0


def _say_trouble(trouble: str) -> None:
    if trouble:
        say(clean(trouble, 800))


def _begun(boots: Sequence[Boot]) -> tuple[Boot, ...]:
    return tuple(boot for boot in boots if boot.begun)


def _print_json(boots: Sequence[Boot], in_one_line: bool) -> None:
    rows = [boot.as_json() for boot in boots]
    if in_one_line:
        out(json.dumps(rows))
    else:
        out_json(rows)


def _print_changes(before: Sequence[Boot], after: Sequence[Boot]) -> None:
    from wizard.monitor.boot_words import changes

    for line in changes(before, after, time.time()):
        for part in wrapped(line, sys.stdout):
            out(part)


def _print(boots: Sequence[Boot]) -> None:
    from wizard.monitor.boot_words import clock, stage_words

    if not boots:
        say("No node is armed, and none has booted over the network.")
        return
    now = time.time()
    rows = []
    for boot in boots:
        stage, at = boot.reached or ("-", None)
        when = clock(at, now) if at is not None else "-"
        rows.append([boot.node, boot.image or "-", boot.times or "disarmed", str(stage), when])
    head, *lines = table(["NODE", "IMAGE", "ARMED", "STAGE", "AT"], rows)
    out(head)
    for boot, line in zip(boots, lines, strict=True):
        out(line)
        said = [" · ".join(stage_words(each, now) for each in boot.timeline), boot.hint and f"stuck: {boot.hint}"]
        for words in filter(None, said):
            for part in wrapped(f"    {words}", sys.stdout):
                out(part)


def _print_discovery() -> None:
    from wizard.cli.boot_discover import describe
    from wizard.deploy.discovery_record import read_discovery

    if discovery := read_discovery():
        say(describe(discovery))


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise NeedsRoot(f"{what} needs root", f"Run it again with sudo: sudo {shlex.join(sys.argv)}")
