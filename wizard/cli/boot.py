"""The commands on booting over the network: who is armed with which image, and how far each node has come."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wizard.cli.console import flush_out, out, out_json, say, table
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.text import clean

if TYPE_CHECKING:
    from wizard.plan.images import Image
    from wizard.plan.model import Node, Plan
    from wizard.plan.seed_fields import Answers

_WATCH_EVERY_S = 1.0


def boot(args: argparse.Namespace) -> int:
    """Carry out `boot ACTION`."""
    return {"arm": _arm, "disarm": _disarm, "status": _status, "loaders": _loaders}[args.action](args)


def _loaders(args: argparse.Namespace) -> int:
    from wizard.deploy.images.loaders import copy_loaders

    _need_root("boot loaders")
    names = sorted({name for package in args.packages for name in copy_loaders(Path(package))})
    if args.json:
        out_json(list(names))
    else:
        out(f"boot loaders: {', '.join(names)}")
    return 0


def _arm(args: argparse.Namespace) -> int:
    from wizard.actions.targets import choose, plan_in_force
    from wizard.deploy.armed import change_armed
    from wizard.deploy.images.store import ImageStore
    from wizard.deploy.images.templates import read_template
    from wizard.plan.image_manifest import check_stored
    from wizard.plan.images import ImageKind
    from wizard.plan.netboot import Times, ToDisk, arm_node, rearmed

    _need_root("boot arm")
    if find_spec("aiohttp") is None:
        raise WizardError("aiohttp is not installed, which serves nodes", "pip install 'ciao-wizard[boot]'")
    plan = plan_in_force()
    nodes = choose(plan, args.nodes, args.role or "", args.all)
    answers = _answers(args)
    stored = ImageStore().manifests()
    since = datetime.now().astimezone().isoformat(timespec="milliseconds")
    if args.secure_boot:
        from wizard.deploy.images.loaders import check_signed_loaders

        check_signed_loaders()
    times = Times.ALWAYS if args.always else Times.ONCE
    made = []
    for node in nodes:
        image = _image_of(plan, node, args.image)
        for finding in check_stored([image], stored):
            raise WizardError(finding.message, finding.remedy)
        if image.seed_form != "none" and not answers.ssh_keys:
            raise WizardError("nobody could log in to what is installed", "Give your public key: --ssh-key FILE.")
        own = read_template(image.template) if image.template else None
        manifest = None if image.kind is ImageKind.DISK else stored[image.name]
        to_disk = ToDisk(args.to_disk)
        made.append(arm_node(plan, node, image, manifest, answers, since, times, to_disk, own, args.secure_boot))
    change_armed(lambda before: rearmed(before, made))
    if not args.json:
        for each in made:
            out(f"{each.name}: armed with {each.image}, {each.times}")
        from wizard.deploy.images.loaders import missing_loaders

        if not args.secure_boot and (absent := missing_loaders()):
            say(f"No boot loader {', '.join(absent)} is here: see 'ciao-wizard boot loaders --help'.")
    if args.wake:
        from wizard.actions.wake import send_to

        say(clean(send_to(plan, nodes), 300))
    if args.json:
        out_json([{"node": each.name, "image": each.image, "times": each.times.value} for each in made])
    return 0


def _image_of(plan: Plan, node: Node, asked: str) -> Image:
    from wizard.plan.fields import shown
    from wizard.plan.images import DISK_IMAGE, FROM_DISK

    if not plan.images:
        raise WizardError("the plan in force has no images", "Add [[images]] to it and apply it.")
    name = asked or node.image or FROM_DISK
    if name == FROM_DISK:
        return DISK_IMAGE
    for image in plan.images:
        if image.name == name:
            return image
    known = ", ".join(image.name for image in plan.images)
    raise WizardError(f"{shown(name)} is no image of the plan in force", f"It has: {known}, {FROM_DISK}.")


def _answers(args: argparse.Namespace) -> Answers:
    from wizard.host.person import behind_sudo
    from wizard.plan.seed_fields import Answers, parse_ssh_keys, parse_user

    files = [Path(name) for name in args.ssh_key]
    if not files:
        person = behind_sudo()
        home = Path(person.home) if person else Path.home()
        files = [file for file in sorted((home / ".ssh").glob("id_*.pub")) if file.is_file()]
    try:
        texts = [file.read_text() for file in files]
    except (OSError, UnicodeDecodeError) as error:
        raise WizardError(
            f"--ssh-key: {error}", "Give the file of a public key, such as ~/.ssh/id_ed25519.pub."
        ) from None
    answers = Answers(parse_ssh_keys(texts) if texts else ())
    return replace(answers, user=parse_user(args.user)) if args.user else answers


def _disarm(args: argparse.Namespace) -> int:
    from wizard.deploy.armed import change_armed, read_armed
    from wizard.plan.netboot import without

    _need_root("boot disarm")
    before = {node.name for node in read_armed()}
    # A node that the plan no longer has can be disarmed too.
    names = list(before) if args.all else list(dict.fromkeys(args.nodes))
    if unknown := [name for name in names if name not in before]:
        raise WizardError(
            f"{clean(unknown[0], 63)} is not armed", f"Armed are: {', '.join(sorted(before)) or 'no nodes'}."
        )
    change_armed(lambda armed: without(armed, names))
    if args.json:
        out_json(sorted(names))
    else:
        for name in sorted(names):
            out(f"{name}: disarmed")
    return 0


def _status(args: argparse.Namespace) -> int:
    from wizard.monitor.boot_stages import read_boots

    last: Any = None
    while True:
        boots = read_boots()
        rows = [each.as_json() for each in boots]
        if rows != last:
            last = rows
            if args.json:
                out_json(rows)
            else:
                _print(boots)
            flush_out()
        if not args.watch:
            return 0
        time.sleep(_WATCH_EVERY_S)


def _print(boots: Any) -> None:
    if not boots:
        say("No node is armed, and none has booted over the network.")
        return
    rows = []
    for each in boots:
        stage, at = each.reached or ("-", None)
        when = datetime.fromtimestamp(at).strftime("%H:%M:%S") if at else "-"
        rows.append([each.node, each.image or "-", each.times or "disarmed", str(stage), when])
    for line in table(["NODE", "IMAGE", "ARMED", "STAGE", "AT"], rows):
        out(line)
    for each in boots:
        if each.hint:
            out(f"{each.node}: {each.hint}")


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise NeedsRoot(f"{what} needs root", f"Run it again with sudo: sudo {shlex.join(sys.argv)}")
