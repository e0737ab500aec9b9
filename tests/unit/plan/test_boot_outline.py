"""What a plan says that it will serve to whom, and the images of a draft: taken into it, and out of it."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from wizard.plan.boot_outline import boots, outline
from wizard.plan.draft.boot import images_of, with_images
from wizard.plan.draft.model import Draft
from wizard.plan.image_manifest import Manifest, StoredFile
from wizard.plan.images import Architecture, Image, ImageKind, SeedAnswers, SeedForm
from wizard.plan.model import Plan

KEY = f"ssh-ed25519 {base64.b64encode(bytes([0, 0, 0, 11]) + b'ssh-ed25519' + bytes(36)).decode()}"
STORED = Manifest("arm", ImageKind.DEBIAN, Architecture.ARM64, (StoredFile("linux", 1, "0" * 64),), "linux")


@pytest.mark.parametrize(
    ("image", "seed", "loses"),
    [
        (Image("x", ImageKind.DEBIAN), "preseed", "all of one disk"),
        (Image("x", ImageKind.UBUNTU), "autoinstall", "all of one disk"),
        (Image("x", ImageKind.DEBIAN, template="/etc/a.cfg"), "preseed", "what its seed says"),
        (Image("x", ImageKind.DEBIAN, seed=SeedForm.NONE), "", "what is chosen at its console"),
        (Image("x", ImageKind.TALOS), "talos", "nothing until talosctl applies a configuration"),
        (Image("x", ImageKind.TALOS, template="/etc/a"), "talos", "what its seed says"),
        (Image("x", ImageKind.CUSTOM, seed=SeedForm.IGNITION), "ignition", "what its seed says"),
        (Image("x", ImageKind.RESCUE), "", "what is chosen at its console"),
        (Image("x", ImageKind.MEMTEST), "", "nothing"),
    ],
)
def test_what_is_overwritten_is_said_of_each_node(plan: Plan, image: Image, seed: str, loses: str) -> None:
    nodes = (replace(plan.nodes[0], image="x"), *plan.nodes[1:])
    first, second, *_ = boots(replace(plan, images=(image,), nodes=nodes))
    assert (first.node, first.image, first.kind, first.seed, first.loses) == (
        "controller",
        "x",
        image.kind,
        seed,
        loses,
    )
    assert (second.image, second.loses) == ("disk", "nothing")


def test_the_outline_names_ports_user_and_keys(plan: Plan) -> None:
    booting = replace(plan, images=(Image("x", ImageKind.DEBIAN),))
    text = "\n".join(outline(booting))
    assert "UDP port 69 (TFTP) and TCP port 8069 (HTTP) at 192.168.0.200 on eth1" in text
    assert "user ciao, no password, and these ssh keys: those in the ~/.ssh of who arms it." in text
    seeds = SeedAnswers("ops", ("~/a.pub", f"{KEY} me@laptop", KEY), "http://proxy:1/")
    text = "\n".join(outline(replace(booting, seeds=seeds)))
    assert (
        f"user ops, no password, and these ssh keys: ~/a.pub, ssh-ed25519 … me@laptop, ssh-ed25519 … {KEY[-8:]}."
        in text
    )
    assert "Proxy: http://proxy:1/." in text
    assert (boots(plan), outline(plan)) == ((), ())


OWN = '# mine\n[[devices]]\nname = "sw"\nmac = "00:0c:42:00:00:01"\n\n[[images]]\nname = "old"\nkind = "memtest"\n'


def test_an_image_comes_as_it_is_stored_and_comments_stay() -> None:
    draft = with_images(Draft(sections=OWN), [STORED], ["old", "arm"])
    assert draft.sections.startswith(OWN)
    new = Image("arm", ImageKind.DEBIAN, architecture=Architecture.ARM64)
    assert images_of(draft) == (Image("old", ImageKind.MEMTEST), new)
    assert images_of(with_images(Draft(), [STORED], ["arm", "nowhere"])) == (new,)


def test_nothing_is_written_where_nothing_changes() -> None:
    for text in ("", OWN, "name = ["):
        draft = Draft(sections=text)
        assert with_images(draft, [STORED], ["old"] if text == OWN else []) == draft


def test_one_that_goes_leaves_the_rest() -> None:
    draft = with_images(Draft(sections=OWN), [STORED], ["arm"])
    assert [image.name for image in images_of(draft) or ()] == ["arm"]
    assert '[[devices]]\nname = "sw"' in draft.sections


def test_a_text_that_cannot_be_read_is_left_alone() -> None:
    draft = Draft(sections="[[images]]\nname = 3")
    assert images_of(draft) is None
    assert with_images(draft, [STORED], ["arm"]) == draft
