"""Texts and what they stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wizard.plan.draft.model import Draft, NodeText, unreadable_fields
from wizard.plan.file.read import load_plan
from wizard.plan.model import Plan

SAMPLE = Path(__file__).parents[3] / "examples" / "ciao.toml"


@pytest.fixture
def draft() -> Draft:
    return Draft.from_plan(load_plan(SAMPLE.read_text(), "sample"))


@pytest.mark.parametrize("wrong", [{"ip": "192.168.0.999"}, {"mac": "b8:ae"}, {"name": ""}])
def test_what_cannot_be_read_is_said_every_time_that_it_is_looked_at(draft: Draft, wrong: dict[str, str]) -> None:
    nodes = (*draft.nodes, replace(NodeText("compute", "more", "02:00:00:00:00:09"), **wrong))
    broken = replace(draft, nodes=nodes)
    first, again = unreadable_fields(broken), unreadable_fields(replace(broken, domain="lab.lan"))
    assert [finding.field for finding in first] == [f"nodes[4].{next(iter(wrong))}"]
    assert again == first


def test_nodes_that_change_are_read_anew(draft: Draft) -> None:
    fewer = replace(draft, nodes=draft.nodes[:2])
    plans = [each.to_plan() for each in (draft, fewer, draft)]
    assert [len(plan.nodes) for plan in plans if isinstance(plan, Plan)] == [4, 2, 4]


def test_a_node_that_was_read_is_kept_with_its_texts_alone(draft: Draft) -> None:
    first, again = draft.to_plan(), replace(draft, domain="lab.lan").to_plan()
    assert isinstance(first, Plan)
    assert isinstance(again, Plan)
    assert all(one is other for one, other in zip(first.nodes, again.nodes, strict=True))

    text = draft.nodes[0]
    assert text == NodeText(text.role, text.name, text.mac, text.ip)
    other = replace(text, name="other").node
    assert other is not None
    assert other.name == "other"
