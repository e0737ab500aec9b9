"""Images in a whole plan: its file, its edits, and the draft of the screens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wizard.plan.draft.check import draft_findings
from wizard.plan.draft.model import Draft, dump_draft, load_draft
from wizard.plan.file.read import PlanUnreadable, load_plan
from wizard.plan.file.write import dump_plan
from wizard.plan.images import Image, ImageKind, SeedForm
from wizard.plan.model import Plan

IMAGES = """
# What the rack boots.
[[images]]
name = "debian12"  # from Debian's package
kind = "debian"
arguments = "console=ttyS0"

[[images]]
name = "coreos"
kind = "custom"
initrd = ["initramfs.img", "rootfs.img"]
seed = "ignition"
template = "/etc/ciao-wizard/seeds/core.ign"
memory = "4G"
"""


@pytest.fixture
def text(example: str) -> str:
    first, second = example.split("[[nodes]]\n", 1)
    return f'{first}[[nodes]]\nimage = "debian12"\n{second}{IMAGES}'


@pytest.fixture
def rack(text: str) -> Plan:
    return load_plan(text, "rack.toml")


def test_they_are_read(rack: Plan) -> None:
    assert [image.name for image in rack.images] == ["debian12", "coreos"]
    assert rack.images[1] == Image(
        "coreos",
        ImageKind.CUSTOM,
        initrd=("initramfs.img", "rootfs.img"),
        seed=SeedForm.IGNITION,
        template="/etc/ciao-wizard/seeds/core.ign",
        memory=4096,
    )
    assert [node.image for node in rack.nodes][:2] == ["debian12", ""]


def test_a_plan_without_them_means_what_it_meant(plan: Plan, example: str) -> None:
    assert plan.images == ()
    assert {node.image for node in plan.nodes} == {""}
    assert "image" not in dump_plan(plan)
    assert dump_plan(plan, example) == example


def test_they_are_written_and_their_comments_kept(rack: Plan, text: str) -> None:
    assert load_plan(dump_plan(rack), "again") == rack
    assert dump_plan(rack, text) == text
    changed = replace(
        rack,
        images=(replace(rack.images[0], arguments="quiet"), Image("memtest", ImageKind.MEMTEST)),
        nodes=(replace(rack.nodes[0], image=""), replace(rack.nodes[1], image="memtest"), *rack.nodes[2:]),
    )
    edited = dump_plan(changed, text)
    assert load_plan(edited, "edited") == changed
    for kept in ("# What the rack boots.", "# from Debian's package", 'arguments = "quiet"'):
        assert kept in edited


def test_a_draft_keeps_them(rack: Plan) -> None:
    draft = Draft.from_plan(rack)
    assert draft.to_plan() == rack
    kept = load_draft(dump_draft(draft))
    assert kept == draft
    assert kept is not None
    assert kept.to_plan() == rack
    # A draft of a version that knew no images.
    assert load_draft(dump_draft(draft).replace(', "image": "debian12"', "").replace(', "image": ""', "")) is not None


def test_what_is_wrong_is_told_at_its_line(text: str) -> None:
    bad = text.replace('"console=ttyS0"', '"a;b"').replace('image = "debian12"', 'image = "../x"')
    with pytest.raises(PlanUnreadable) as raised:
        load_plan(bad, "rack.toml")
    lines = bad.splitlines()
    told = {problem.key: lines[(problem.line or 0) - 1] for problem in raised.value.problems}
    assert told == {"nodes[0].image": 'image = "../x"', "images[0].arguments": 'arguments = "a;b"'}


def test_a_draft_tells_what_is_wrong_with_images_and_nothing_that_follows_from_it(rack: Plan) -> None:
    draft = Draft.from_plan(rack)
    assert [f for f in draft_findings(draft, None) if "image" in f.field] == []
    unknown = replace(draft, nodes=(replace(draft.nodes[0], image="debain"), *draft.nodes[1:]))
    assert [f.code for f in draft_findings(unknown, None) if "image" in f.field] == ["node-image-unknown"]
    unread = replace(draft, sections=draft.sections.replace('"debian"', '"windows"'))
    assert [f.field for f in draft_findings(unread, None) if "image" in f.field] == ["images[0].kind"]
    bad = replace(draft, nodes=(replace(draft.nodes[0], image="a b"), *draft.nodes[1:]))
    assert [f.field for f in draft_findings(bad, None) if "image" in f.field] == ["nodes[0].image"]
    # What is wrong besides is told all the same.
    twice = replace(bad, nodes=(*bad.nodes[:2], replace(bad.nodes[2], name=bad.nodes[1].name), *bad.nodes[3:]))
    assert {"nodes[0].image", "nodes[2].name"} <= {f.field for f in draft_findings(twice, None)}
