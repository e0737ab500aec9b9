"""Who may boot an image over the network: arming nodes, and disarming them.

The record of the armed is this machine's; the guard serves by it. Nothing is sent to a node.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from wizard.deploy.armed import change_armed, read_armed
from wizard.deploy.images.loaders import check_signed_loaders, refuse_links
from wizard.deploy.images.store import ImageState, ImageStore
from wizard.deploy.images.templates import read_template
from wizard.deploy.seed_answers import read_answers
from wizard.host.ntp.applied import applied_time
from wizard.monitor.boot_board import refuse_without_server
from wizard.plan.fields import shown
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.image_manifest import check_stored
from wizard.plan.images import DISK_IMAGE, FROM_DISK, Image, ImageKind, SeedForm
from wizard.plan.model import Node, Plan
from wizard.plan.netboot import ArmedNode, Times, ToDisk, arm_node, rearmed, without
from wizard.plan.seed_fields import parse_disk
from wizard.plan.text import clean


@dataclass(frozen=True, slots=True)
class ArmOrder:
    """What nodes are armed with. `image`: "" for the one that the plan gives each, which may be its disk.

    `to_disk` counts where the image is the disk. `ssh_key_files`: paths of public keys; `user`: who logs in with them;
    `proxy`: a URL. () and "" for what the plan's [seeds] say. `secure_boot`: their firmware boots only what is signed.
    `disk`: what is installed on, "" for the installer's choice.
    """

    image: str = ""
    times: Times = Times.ONCE
    to_disk: ToDisk = ToDisk.EXIT
    ssh_key_files: tuple[str, ...] = ()
    user: str = ""
    proxy: str = ""
    secure_boot: bool = False
    disk: str = ""


def arm(plan: Plan, nodes: Iterable[Node], order: ArmOrder) -> tuple[ArmedNode, ...]:
    """Arm all of these nodes of the plan in force, or none. Raises NeedsRoot and WizardError: what is refused, and what
    to do about it."""
    _need_root("arming a node")
    refuse_without_server()
    refuse_links()
    if order.secure_boot:
        check_signed_loaders()
    answers = read_answers(plan.seeds, order.ssh_key_files, order.user, order.proxy)
    answers = replace(answers, time_servers=applied_time().servers, disk=parse_disk(order.disk))
    store = ImageStore()
    stored, incomplete = store.manifests(), store.named(ImageState.INCOMPLETE)
    damaged = store.named(ImageState.DAMAGED)
    since = datetime.now().astimezone().isoformat(timespec="milliseconds")
    made = []
    for node in nodes:
        image = _image_of(plan, node, order.image)
        for finding in check_stored([image], stored, incomplete, damaged):
            raise WizardError(finding.message, finding.remedy)
        if image.seed_form is not SeedForm.NONE and not answers.ssh_keys:
            raise WizardError(
                "nobody could log in to what is installed",
                "Give the file of your public key (--ssh-key FILE, or [seeds]), or make one with 'ssh-keygen'.",
            )
        own = read_template(image.template) if image.template else None
        manifest = None if image.kind is ImageKind.DISK else stored[image.name]
        made.append(
            arm_node(plan, node, image, manifest, answers, since, order.times, order.to_disk, own, order.secure_boot)
        )
    change_armed(lambda before: rearmed(before, made))
    return tuple(made)


def disarm(names: Sequence[str] = (), everyone: bool = False) -> tuple[str, ...]:
    """Disarm nodes, also those that the plan no longer has; their names, sorted.

    Raises NeedsRoot, and WizardError where one of them is not armed.
    """
    _need_root("disarming a node")
    before = {node.name for node in read_armed()}
    wanted = before if everyone else set(names)
    if unknown := [name for name in names if name not in before]:
        armed = ", ".join(sorted(before)) or "no nodes"
        raise WizardError(f"{clean(unknown[0], 63)} is not armed", f"Armed are: {armed}.")
    change_armed(lambda armed: without(armed, wanted))
    return tuple(sorted(wanted))


def _image_of(plan: Plan, node: Node, asked: str) -> Image:
    if not plan.images:
        raise WizardError("the plan in force has no images", "Add [[images]] to it and apply it.")
    name = asked or node.image
    if not name:
        known = ", ".join([*(image.name for image in plan.images), FROM_DISK])
        raise WizardError(f"the plan gives {node.name} no image", f"Choose one of {known}: --image NAME.")
    if name == FROM_DISK:
        return DISK_IMAGE
    for image in plan.images:
        if image.name == name:
            return image
    known = ", ".join(image.name for image in plan.images)
    raise WizardError(
        f"{shown(name)} is no image of the plan in force",
        f"It has: {known}, {FROM_DISK}. Others come in on the page Nodes (f6), or as [[images]]; then apply.",
    )


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise NeedsRoot(f"{what} needs root", "Run it with sudo.")
