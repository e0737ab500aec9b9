"""What a plan with images serves to whom, in words: for Review and `check`. An apply arms nobody."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wizard.plan.images import DISK_IMAGE, FROM_DISK, HTTP_PORT, TFTP_PORT, Image, ImageKind, SeedForm
from wizard.plan.model import Node, Plan


@dataclass(frozen=True, slots=True)
class NodeBoot:
    """What a node boots once it is armed. `loses`: what of it is overwritten then, in words."""

    node: str
    image: str
    kind: str
    seed: str
    loses: str


def boots(plan: Plan) -> tuple[NodeBoot, ...]:
    """A row for each node, in the plan's order; () for a plan without images."""
    if not plan.images:
        return ()
    by_name = {image.name: image for image in plan.images} | {FROM_DISK: DISK_IMAGE}
    return tuple(_boot(node, by_name.get(node.image or FROM_DISK, DISK_IMAGE)) for node in plan.nodes)


def _boot(node: Node, image: Image) -> NodeBoot:
    seed = "" if image.seed_form is SeedForm.NONE else image.seed_form.value
    return NodeBoot(node.name, image.name, image.kind.value, seed, overwrites(image).value)


class Overwrites(StrEnum):
    """What of a machine an image overwrites, in words."""

    NOTHING = "nothing"
    ALL = "all of one disk"
    LATER = "nothing until talosctl applies a configuration"
    SEED = "what its seed says"
    CONSOLE = "what is chosen at its console"
    UNKNOWN = "whatever it chooses"

    @property
    def unasked(self) -> bool:
        """Whether a disk may be lost without anybody at the machine."""
        return self in (Overwrites.ALL, Overwrites.SEED, Overwrites.UNKNOWN)


def overwrites(image: Image) -> Overwrites:
    seeded = image.seed_form is not SeedForm.NONE
    match image.kind:
        case ImageKind.DISK | ImageKind.MEMTEST:
            return Overwrites.NOTHING
        case ImageKind.DEBIAN | ImageKind.UBUNTU if seeded and not image.template:
            return Overwrites.ALL
        case ImageKind.TALOS if not image.template:
            return Overwrites.LATER
        case _ if seeded:
            return Overwrites.SEED
        case ImageKind.CUSTOM:
            return Overwrites.UNKNOWN
        case _:
            return Overwrites.CONSOLE


def outline(plan: Plan) -> tuple[str, ...]:
    """Whom the ports are open to, what machines get that are installed, and who arms nodes."""
    if not plan.images:
        return ()
    seeds, gateway = plan.seeds, plan.network.gateway
    keys = ", ".join(_short(key) for key in seeds.ssh_keys) or "those in the ~/.ssh of who arms it"
    return (
        "An apply arms nobody: 'ciao-wizard boot arm NODE' does, and only then is anything overwritten.",
        f"UDP port {TFTP_PORT} (TFTP) and TCP port {HTTP_PORT} (HTTP) at {gateway} on {plan.interfaces.cluster}: open "
        "to armed nodes alone, and only while DHCP is.",
        f"An installed node has the user {seeds.user or 'ciao'}, no password, and these ssh keys: {keys}.",
        f"Proxy: {seeds.proxy or 'none'}.",
    )


def _short(key: str) -> str:
    """A key's text is long: its kind and its comment tell which it is."""
    words = key.split(" ")
    return key if len(words) == 1 else " … ".join((words[0], words[-1] if len(words) > 2 else words[1][-8:]))
