"""Rules on the images of a plan, and on what its nodes boot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netaddr import EUI

from wizard.plan.boot_outline import boots
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error, note, warning
from wizard.plan.image_manifest import check_here
from wizard.plan.images import (
    FROM_DISK,
    KINDS,
    LONGEST_COMMAND_LINE,
    SEEDS_OF,
    Architecture,
    BootUrls,
    Image,
    ImageKind,
    SeedForm,
    boot_arguments,
)
from wizard.plan.machine import Facts
from wizard.plan.model import Plan

MOST_IMAGES = 64
MOST_TOLD = 6


def of_plan(plan: Plan) -> Iterator[Finding]:
    yield from check_images(plan.images, [(node.name, node.image) for node in plan.nodes])
    nodes = [(node.name, node.image, node.mac) for node in plan.nodes if node.image]
    yield from check_command_lines(plan.images, BootUrls(plan.network.gateway), nodes, plan.network.domain)


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    if plan.images:
        yield _what_boots(plan)
    if facts.boot is not None:
        yield from check_here(plan.images, plan.seeds, facts.boot)


def _what_boots(plan: Plan) -> Finding:
    booting = [each for each in boots(plan) if each.kind != ImageKind.DISK]
    who = ", ".join(f"{each.node} {shown(each.image)}" for each in booting[:MOST_TOLD])
    more = f" and {len(booting) - MOST_TOLD} more" if len(booting) > MOST_TOLD else ""
    return note(
        "boot-over-network",
        "images",
        f"Nodes can boot over the network once they are armed: {who or 'none has an image yet'}{more}.",
        "An apply arms nobody; afterwards `sudo ciao-wizard boot arm NODE` does.",
    )


def check_images(images: Sequence[Image], wanted: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Findings on the plan's images. `wanted`: each node's name and its `image`, "" for none, in the plan's order."""
    if len(images) > MOST_IMAGES:
        yield error(
            "images-too-many",
            "images",
            f"The plan has {len(images)} images.",
            f"Keep {MOST_IMAGES} at most: one serves any number of nodes.",
        )
    first: dict[str, int] = {}
    for number, image in enumerate(images):
        at = f"images[{number}]"
        if image.name in first:
            yield error(
                "image-name-twice",
                f"{at}.name",
                f"images[{first[image.name]}] is called {shown(image.name)} too.",
                "Give one of them another name.",
            )
        first.setdefault(image.name, number)
        yield from _check_image(image, at)
    yield from _check_wanted(images, wanted)


def _check_image(image: Image, at: str) -> Iterator[Finding]:
    if image.name == FROM_DISK and image.kind is not ImageKind.DISK:
        yield error(
            "image-name-reserved",
            f"{at}.name",
            f'"{FROM_DISK}" means that a machine boots from its disk, and this image is of kind {image.kind}.',
            f"Give it another name, such as {image.kind}1.",
        )
    yield from _check_files(image, at)
    reads = SEEDS_OF.get(image.kind, (SeedForm.NONE,))
    if image.seed is not None and image.seed not in reads:
        yield error(
            "image-seed-not-read",
            f"{at}.seed",
            f"An image of kind {image.kind} does not read a seed of form {shown(image.seed)}.",
            f"Write {' or '.join(reads)}, or leave it out.",
        )
    if image.template and image.seed_form is SeedForm.NONE:
        yield error(
            "image-template-unused",
            f"{at}.template",
            f"{shown(image.template)} is a template, and this image has no seed.",
            "Say with seed what it is, such as ignition, or remove template.",
        )
    least = KINDS[image.kind].memory
    if image.memory is not None and image.memory < least:
        yield warning(
            "image-memory-low",
            f"{at}.memory",
            f"{image.memory} MiB is less than the {least} MiB that {image.kind} needs; it stops without a word.",
            f"Write {least // 1024}G or more, or leave it out.",
        )
    if image.kind is ImageKind.MEMTEST and image.architecture is not Architecture.AMD64:
        yield error(
            "image-architecture",
            f"{at}.architecture",
            f"memtest is of amd64, not {image.architecture}.",
            "Leave architecture out, or remove the image.",
        )


def _check_files(image: Image, at: str) -> Iterator[Finding]:
    given = [key for key in ("kernel", "initrd", "arguments", "script") if getattr(image, key)]
    if image.kind is ImageKind.DISK:
        for key in given:
            yield error(
                "image-disk-has-files",
                f"{at}.{key}",
                f"An image of kind disk boots from the machine's disk, and {key} is {shown(_value(image, key))}.",
                f"Remove {key}, or write another kind.",
            )
        return
    if not image.script:
        return
    if image.kind is not ImageKind.CUSTOM:
        yield error(
            "image-script-not-custom",
            f"{at}.script",
            f"{shown(image.script)} is a script of iPXE, and the image is of kind {image.kind}.",
            'Write kind = "custom", or remove script.',
        )
    for key in given:
        if key != "script":
            yield error(
                "image-script-and-kernel",
                f"{at}.{key}",
                f"The image has the script {shown(image.script)} and {key} {shown(_value(image, key))} besides.",
                f"Remove {key}: the script says what is booted. Or remove script.",
            )


def _value(image: Image, key: str) -> str:
    value: str | tuple[str, ...] = getattr(image, key)
    return value if isinstance(value, str) else ", ".join(value)


def _check_wanted(images: Sequence[Image], wanted: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    known = {FROM_DISK, *(image.name for image in images)}
    for number, (_, name) in enumerate(wanted):
        if name and name not in known:
            have = ", ".join(sorted(known))
            yield error(
                "node-image-unknown",
                f"nodes[{number}].image",
                f"{shown(name)} is no image of this plan.",
                f"Write one of {have}, or add an [[images]] with that name.",
            )


def check_command_lines(
    images: Sequence[Image], urls: BootUrls, nodes: Sequence[tuple[str, str, EUI]], domain: str
) -> Iterator[Finding]:
    """Command lines that a kernel would cut off. `nodes`: name, image ("" for none) and MAC of each."""
    by_name = {image.name: image for image in images}
    told: set[str] = set()
    for name, wanted, mac in nodes:
        image = by_name.get(wanted)
        if image is None or image.name in told:
            continue
        length = len(boot_arguments(image, urls, mac, name, domain, "x" * 32))
        if length >= LONGEST_COMMAND_LINE:
            told.add(image.name)
            number = list(images).index(image)
            yield error(
                "image-arguments-too-long",
                f"images[{number}].arguments",
                f"{name}'s command line would have {length} characters; a kernel reads {LONGEST_COMMAND_LINE - 1}.",
                "Shorten the arguments, or put them into the seed.",
            )
