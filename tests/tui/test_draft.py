"""What was typed: the way to a plan and back, moving along, and the next start."""

from __future__ import annotations

import json
import threading
from dataclasses import fields, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.driver import Start
from tests.tui.fakes import APPLIED, FACTS, FakeServices
from wizard.app.drafts import SAVE_AFTER_S
from wizard.deploy.file_changes import FileChange
from wizard.plan.draft.check import check_forward, check_node, draft_findings
from wizard.plan.draft.model import (
    Draft,
    ForwardText,
    NodeText,
    dump_draft,
    field_label,
    first_draft,
    load_draft,
    readdressed,
)
from wizard.plan.draft.node_list import read_nodes
from wizard.plan.file.read import load_plan
from wizard.plan.model import Plan
from wizard.screens.review.screen import ReviewPage
from wizard.widgets.page import Page

TEXTS = st.text(max_size=40)


@pytest.fixture
def draft(sample: str) -> Draft:
    return Draft.from_plan(load_plan(sample, "sample"))


def test_a_plan_survives_the_way_there_and_back(sample: str) -> None:
    text = sample.replace('to   = "controller"', 'to   = "controller"\nto_port = 80\nfrom = ["10.0.0.0/8"]', 1)
    text = text.replace('role = "network"', 'role = ["network", "compute"]')
    text = text.replace('dhcp_slice = "192.168.0.64/26"', 'dhcp_range = ["192.168.0.65", "192.168.0.90"]')
    plan = load_plan(text, "sample")
    assert Draft.from_plan(plan).to_plan() == plan


def test_every_wrong_text_is_named_at_once(draft: Draft) -> None:
    wrong = replace(
        draft,
        cluster="",
        cidr="10.0.0.0",
        nodes=(replace(draft.nodes[0], mac="nothing"), *draft.nodes[1:]),
        forwards=(ForwardText("0", "controller"), *draft.forwards),
    )
    problems = wrong.to_plan()
    assert not isinstance(problems, Plan)
    assert [p.field for p in problems] == ["interfaces.cluster", "network.cidr", "nodes[0].mac", "forwards[0].port"]
    assert all(problem.remedy for problem in problems)
    assert draft_findings(wrong, FACTS)[: len(problems)] == problems


def test_one_unreadable_text_switches_off_no_other_check(draft: Draft) -> None:
    wrong = replace(draft, lease_time="soon", cidr="10.0.0.0/8", gateway="10.0.0.1", pool="", forwards=())
    found = {finding.code for finding in draft_findings(wrong, FACTS)}
    assert {"unreadable-value", "subnet-too-large", "subnet-overlap"} <= found


@pytest.mark.parametrize("name", sorted({field.name for field in fields(Draft)} - {"cidr", "nodes", "forwards"}))
def test_whichever_text_cannot_be_read_the_subnet_is_still_judged(draft: Draft, name: str) -> None:
    wrong = replace(draft, cidr="10.77.0.0/24", gateway="", pool="")
    codes = {
        finding.code for finding in draft_findings(replace(wrong, **cast("Any", {name: "no; such {} value"})), FACTS)
    }
    assert {"unreadable-value", "subnet-overlap"} <= codes


def test_what_stands_in_for_an_unreadable_text_is_never_spoken_of(draft: Draft) -> None:
    wrong = replace(draft, cidr="soon", corporate="", nodes=(replace(draft.nodes[0], name="a b"), *draft.nodes[1:]))
    said = " ".join(
        f"{f.field} {f.message} {f.remedy}" for f in draft_findings(wrong, FACTS) if f.code != "unreadable-value"
    )
    assert "ciao-none" not in said
    assert "unnamed" not in said
    assert "network.cidr" not in said


def test_a_node_is_judged_among_the_others(draft: Draft) -> None:
    first, second = draft.nodes[:2]
    assert check_node(first, "node", draft, 0) == ()
    (found,) = check_node(replace(first, mac=second.mac), "node", draft, 0)
    assert (found.code, found.field) == ("mac-taken", "node.mac")
    assert '"network"\'s too' in found.message
    (found,) = check_node(replace(first, ip="10.1.1.1"), "node", draft, 0)
    assert found.code == "node-outside"
    (found,) = check_node(replace(first, mac=" "), "node", draft, 0)
    assert found.message == "The MAC is missing."


def test_a_forward_is_judged_among_the_others(draft: Draft) -> None:
    new = ForwardText("8080", "nobody")
    assert [f.code for f in check_forward(new, "forward", draft, 9)] == ["forward-to-nobody"]
    assert [f.code for f in check_forward(replace(new, port="8889", to="network"), "forward", draft, 9)] == [
        "forward-taken"
    ]
    assert check_forward(draft.forwards[0], "forward", draft, 0) == ()


def test_a_blank_gateway_and_slice_are_the_wizards_to_choose(draft: Draft) -> None:
    plan = replace(draft, gateway=" ", pool="").to_plan()
    assert isinstance(plan, Plan)
    assert str(plan.network.gateway) == "192.168.0.200"
    assert plan.network.dhcp_slice is None


def test_fields_are_called_by_names(draft: Draft) -> None:
    assert field_label(draft, "network.cidr") == "Subnet"
    assert field_label(draft, "nodes[2].mac") == "compute1, MAC"
    assert field_label(draft, "forwards[0].to") == "forward 8889, target"
    assert field_label(draft, "nodes[99].mac") == "nodes[99].mac"
    assert field_label(draft, "machine") == "machine"


@pytest.mark.parametrize(
    ("cidr", "gateway", "pool", "node"),
    [
        ("10.9.0.0/24", "10.9.0.200", "10.9.0.64/26", "10.9.0.101"),
        ("10.9.0.0/16", "10.9.0.200", "10.9.0.64/26", "10.9.0.101"),
        # Too small for most of it: what has no place is left to the wizard.
        ("10.9.0.0/26", "10.9.0.62", "", ""),
        ("not yet", "192.168.0.200", "192.168.0.64/26", "192.168.0.101"),
    ],
)
def test_addresses_move_along_with_the_subnet(draft: Draft, cidr: str, gateway: str, pool: str, node: str) -> None:
    moved = readdressed(replace(draft, cidr=cidr), draft.cidr)
    assert (moved.gateway, moved.pool, moved.nodes[0].ip) == (gateway, pool, node)
    assert moved.forwards == draft.forwards


def test_what_was_outside_the_subnet_stays(draft: Draft) -> None:
    outside = replace(draft, nodes=(replace(draft.nodes[0], ip="172.20.0.9"),), cidr="10.9.0.0/24")
    assert readdressed(outside, draft.cidr).nodes[0].ip == "172.20.0.9"


def test_a_plans_own_nics_are_kept_where_they_exist(sample: str) -> None:
    plan = load_plan(sample.replace('"eth0"', '"wlp2s0"', 1), "sample")
    assert first_draft(plan, FACTS).corporate == "wlp2s0"


@given(
    st.builds(
        Draft,
        cidr=TEXTS,
        pool=TEXTS,
        domain=TEXTS,
        vm_macs=TEXTS,
        nodes=st.lists(st.builds(NodeText, TEXTS, TEXTS, TEXTS, TEXTS), max_size=3).map(tuple),
        forwards=st.lists(st.builds(ForwardText, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), max_size=3).map(tuple),
    )
)
def test_any_draft_is_judged_and_survives_its_file(draft: Draft) -> None:
    assert load_draft(dump_draft(draft)) == draft
    draft_findings(draft, FACTS)
    readdressed(draft, "192.168.0.0/24")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"nodes": 1}', dump_draft(Draft()).replace('"12h"', "12")])
def test_a_file_that_is_no_draft_is_none(text: str) -> None:
    assert load_draft(text) is None


def test_a_draft_of_another_version_keeps_what_both_know(draft: Draft) -> None:
    older = json.loads(dump_draft(draft))
    del older["vm_macs"]
    older["nodes"][0]["serial"] = "7"
    older["colour"] = "blue"
    found = load_draft(json.dumps(older))
    assert found == replace(draft, vm_macs=Draft().vm_macs)


def test_a_file_nested_without_end_is_no_draft() -> None:
    assert load_draft("[" * 100_000) is None
    assert load_draft('{"nodes":' * 100_000) is None


def test_lines_are_read_in_any_order() -> None:
    reading = read_nodes(
        "role,name,mac,ip\n"
        "controller, controller, b8:ae:ed:7b:51:50, 192.168.0.101\n"
        "C03F.D567.A76F\tnetwork\n"
        '"node-7";192.168.0.9;"b8-ae-ed-7b-72-58"\n'
        "dhcp-host=C0:3F:D5:67:A1:FB,192.168.0.104\n"
        "  # a comment\n"
        "\n"
        "network+compute b8aeed000001 both\n"
    )
    assert reading.skipped_rows == ()
    assert reading.nodes == (
        NodeText("controller", "controller", "b8:ae:ed:7b:51:50", "192.168.0.101"),
        NodeText("network", "network", "c0:3f:d5:67:a7:6f", ""),
        NodeText("compute", "node-7", "b8:ae:ed:7b:72:58", "192.168.0.9"),
        NodeText("compute", "compute1", "c0:3f:d5:67:a1:fb", "192.168.0.104"),
        NodeText("network, compute", "both", "b8:ae:ed:00:00:01", ""),
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("controller 192.168.0.1", "no MAC in it"),
        ("a b b8:ae:ed:7b:51:50", 'more than one name: "a" and "b"'),
        ("b8:ae:ed:7b:51:50 b8:ae:ed:7b:51:51", "more than one MAC"),
        ("b8:ae:ed:7b:51 host", '"b8:ae:ed:7b:51" is neither'),
        ("10.0.0.0/8 b8:ae:ed:7b:51:50", '"10.0.0.0/8" is neither'),
        ("b8:ae:ed:7b:51:50 host_name", '"host_name" is neither'),
    ],
)
def test_a_line_skipped_rows_comes_back_with_its_reason(line: str, why: str) -> None:
    reading = read_nodes(f"\n{line}\n")
    assert reading.nodes == ()
    (bad,) = reading.skipped_rows
    assert (bad.number, bad.line) == (2, line)
    assert why in bad.why


def test_names_made_up_do_not_meet_those_that_are_taken() -> None:
    reading = read_nodes("b8:ae:ed:00:00:01\nb8:ae:ed:00:00:02 compute2\n", taken={"compute1"})
    assert [node.name for node in reading.nodes] == ["compute3", "compute2"]


async def test_what_was_typed_is_there_at_the_next_start(start: Start) -> None:
    services = FakeServices()
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        await driver.page("Network")
        await driver.press("end", "ctrl+u", *"10.9.0.0/2")
        await driver.until(lambda: services.drafts, "the draft on disk")
        # Nothing is done to end this run: it is gone, as with kill -9.
        left = dict(services.drafts)
    async with start(FakeServices(drafts=left)) as driver:
        await driver.says("Resume where you left off?", "10.9.0.0/2")
        await driver.press("enter")
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        await driver.says("10.9.0.0/2")


async def draft_name(start: Start) -> str:
    """Under which name a draft is kept where the sample plan was given."""
    services = FakeServices()
    async with start(services) as driver:
        await driver.page("Interfaces")
        driver.app.drafts.draft = replace(driver.app.draft, domain="other.lan")
        await driver.until(lambda: services.drafts, "the draft")
    (name,) = services.drafts
    return name


async def test_a_draft_not_wanted_is_forgotten(start: Start, draft: Draft) -> None:
    name = await draft_name(start)
    services = FakeServices(drafts={name: dump_draft(replace(draft, domain="other.lan"))})
    async with start(services) as driver:
        await driver.says("Resume where you left off?")
        await driver.press("n")
        await driver.page("Interfaces")
        assert driver.app.draft.domain == "ciao.lan"
        assert services.drafts == {}


async def test_nothing_typed_leaves_nothing_to_offer(start: Start) -> None:
    services = FakeServices()
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        await driver.page("Network")
        await driver.press("ctrl+q")
    assert services.drafts == {}


async def test_a_draft_waits_as_long_as_the_question_does(start: Start, draft: Draft) -> None:
    name = await draft_name(start)
    left = {name: dump_draft(replace(draft, domain="other.lan"))}
    services = FakeServices(drafts=dict(left))
    async with start(services) as driver:
        await driver.says("Resume where you left off?")
        await driver.pilot.pause(SAVE_AFTER_S * 3)
        assert services.drafts == left


async def test_a_last_word_says_what_is_kept_and_what_goes_on(start: Start, sample: str) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        assert driver.app.parting() == ""
        await driver.jump("Network")
        await driver.press("end", "x", "ctrl+q")
        assert driver.app.parting().startswith("Your changes are saved")
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("ctrl+q")
        assert driver.app.parting().startswith("The gateway keeps running.")


async def test_what_was_typed_and_taken_back_is_not_offered(start: Start) -> None:
    services = FakeServices()
    async with start(services) as driver:
        await driver.jump("Network")
        await driver.press("end", "x")
        await driver.until(lambda: services.drafts, "the draft on disk")
        await driver.press("backspace")
        await driver.until(lambda: not services.drafts, "no draft on disk")


async def test_an_answer_that_comes_after_its_page_was_left_hurts_nobody(start: Start, sample: str) -> None:
    asked, told = threading.Event(), threading.Event()

    class Slow(FakeServices):
        def changes(self, plan: Plan, plan_text: str) -> tuple[FileChange, ...]:
            asked.set()
            told.wait(10)
            return super().changes(plan, plan_text)

    async with start(Slow()) as driver:
        await driver.until(lambda: driver.app.facts is not None)
        driver.app.post_message(Page.PageRequested("review"))
        await driver.page("Review")
        review = driver.shown
        await driver.until(asked.is_set)
        told.set()
        # The answer is on its way while the page goes.
        await driver.press("escape")
        await driver.page("Forwards")
        await driver.app.workers.wait_for_complete()
        assert isinstance(review, ReviewPage)
        review.changes = ()
        review.coming = ()
        await driver.pilot.pause()
        await driver.page("Forwards")
