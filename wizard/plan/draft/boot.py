"""What a draft says of booting over the network: its images are tables in the text of `Draft.sections`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from wizard.plan.draft.model import Draft
from wizard.plan.file.read import load_sections
from wizard.plan.file.rows import dump_sections
from wizard.plan.image_manifest import Manifest
from wizard.plan.images import Image
from wizard.plan.model import Sections


def images_of(draft: Draft) -> tuple[Image, ...] | None:
    """The draft's images; None while the text of its sections cannot be read."""
    sections, problems = load_sections(draft.sections)
    return None if problems else sections.images


def with_images(draft: Draft, stored: Sequence[Manifest], names: Collection[str]) -> Draft:
    """The draft with an image for each of `names`, and no other; a new one is as it is stored.

    A node that boots one that goes boots from its disk. Unchanged while the text of its sections cannot be read.
    """
    images = images_of(draft)
    if images is None:
        return draft
    known = {image.name for image in images}
    gone = known - set(names)
    new = tuple(_image(each) for each in stored if each.name in names and each.name not in known)
    if gone:
        # The text is written again; what is only added to keeps its comments.
        sections, _ = load_sections(draft.sections)
        kept = tuple(image for image in images if image.name not in gone)
        text = dump_sections(replace(sections, images=(*kept, *new)))
    else:
        text = "\n".join(filter(None, (draft.sections.rstrip("\n") + "\n" * bool(draft.sections), _text(new))))
    if not new and not gone:
        text = draft.sections
    nodes = tuple(replace(node, image="") if node.image.strip() in gone else node for node in draft.nodes)
    return replace(draft, sections=text, nodes=nodes if nodes != draft.nodes else draft.nodes)


def _text(images: tuple[Image, ...]) -> str:
    return dump_sections(Sections(images=images))


def _image(stored: Manifest) -> Image:
    return Image(stored.name, stored.kind, architecture=stored.architecture)
