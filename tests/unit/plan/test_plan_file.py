"""TOML <-> Plan: nothing is lost on the way there and back, nor are a person's comments."""

from __future__ import annotations

import base64
import difflib
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netaddr import EUI, IPAddress, IPNetwork

from wizard.plan import fields
from wizard.plan.file.read import PlanUnreadable, load_plan
from wizard.plan.file.write import dump_plan
from wizard.plan.images import SeedAnswers
from wizard.plan.model import AnswerPolicy, Forward, Interfaces, Network, Node, Plan, Protocol, Role

KEY = f"ssh-ed25519 {base64.b64encode(bytes([0, 0, 0, 11]) + b'ssh-ed25519' + bytes(36)).decode()} me"
SMALLEST = """
[interfaces]
corporate = "eth0"
cluster = "eth1"
[network]
cidr = "192.168.0.0/24"
"""


def test_the_example_is_the_guides_cluster(plan: Plan) -> None:
    assert plan.interfaces == Interfaces("eth0", "eth1")
    network = plan.network
    assert (network.cidr, network.gateway) == (IPNetwork("192.168.0.0/24"), IPAddress("192.168.0.200"))
    assert network.dhcp_slice == IPNetwork("192.168.0.64/26")
    assert [(node.name, str(node.ip), node.roles) for node in plan.nodes] == [
        ("controller", "192.168.0.101", (Role.CONTROLLER,)),
        ("network", "192.168.0.102", (Role.NETWORK,)),
        ("compute1", "192.168.0.103", (Role.COMPUTE,)),
        ("compute2", "192.168.0.104", (Role.COMPUTE,)),
    ]
    assert [fields.format_mac(node.mac) for node in plan.nodes] == [
        "b8:ae:ed:7b:51:50",
        "c0:3f:d5:67:a7:6f",
        "b8:ae:ed:7b:72:58",
        "c0:3f:d5:67:a1:fb",
    ]
    assert [(f.port, f.to, f.to_port, f.protocol) for f in plan.forwards] == [
        (port, "controller", port, Protocol.TCP) for port in (8889, 35357, 5000)
    ]


def test_what_is_left_out_has_the_contracts_defaults() -> None:
    network = load_plan(SMALLEST, "small.toml").network
    assert network == Network(
        IPNetwork("192.168.0.0/24"),
        IPAddress("192.168.0.200"),
        lease_time="12h",
        domain="ciao.lan",
        answer=AnswerPolicy.KNOWN,
        vm_macs=("02:*:*:*:*:*",),
    )


def test_a_forwards_defaults() -> None:
    plan = load_plan(SMALLEST + '[[forwards]]\nport = 80\nto = "a"\n', "small.toml")
    assert plan.forwards == (Forward(80, "a", 80, Protocol.TCP, None),)


def test_a_role_may_be_a_list() -> None:
    node = '[[nodes]]\nname = "a"\nrole = ["network", "compute"]\nmac = "b8aeed7b5150"\n'
    assert load_plan(SMALLEST + node, "small.toml").nodes[0].roles == (Role.NETWORK, Role.COMPUTE)


@pytest.mark.parametrize("text", ["\ufeff" + SMALLEST, SMALLEST.replace("\n", "\r\n")])
def test_other_systems_editors_are_forgiven(text: str) -> None:
    assert load_plan(text, "small.toml") == load_plan(SMALLEST, "small.toml")


def test_every_problem_is_told_at_once() -> None:
    text = SMALLEST.replace("eth1", "eth;1").replace("/24", "/33") + "[[nodes]]\nrole = 7\n"
    with pytest.raises(PlanUnreadable) as refused:
        load_plan(text, "my.toml")
    found = {(problem.key, problem.line) for problem in refused.value.problems}
    assert found == {
        ("interfaces.cluster", 4),
        ("network.cidr", 6),
        ("nodes[0].name", 7),
        ("nodes[0].role", 8),
        ("nodes[0].mac", 7),
    }
    lines = refused.value.message.splitlines()
    assert lines[0] == "my.toml: 5 things in it cannot be read."
    assert len(lines) == 6


def test_of_very_many_problems_the_first_are_told_and_the_rest_counted() -> None:
    with pytest.raises(PlanUnreadable) as refused:
        load_plan(SMALLEST + "[[nodes]]\n" * 1000, "my.toml")
    assert len(refused.value.problems) == 3000
    assert len(refused.value.message.splitlines()) < 30
    assert "more" in refused.value.message.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "interfaces"),
        ("interfaces = 1\nnetwork = 2\n", "interfaces"),
        ("[[interfaces]]\n[[network]]\n", "network"),
        (SMALLEST + "[nodes]\n", "nodes"),
        ("nodes = 7\n" + SMALLEST, "nodes"),
        ("nodes = [7]\n" + SMALLEST, "nodes[0]"),
        ("forwards = {}\n" + SMALLEST, "forwards"),
    ],
)
def test_tables_in_the_wrong_shape(text: str, key: str) -> None:
    with pytest.raises(PlanUnreadable) as refused:
        load_plan(text, "my.toml")
    assert key in [problem.key for problem in refused.value.problems]
    assert all(problem.remedy for problem in refused.value.problems)


def test_a_file_that_is_far_too_large_is_not_looked_at() -> None:
    with pytest.raises(PlanUnreadable, match="8 MB"):
        load_plan("#" * 8_000_001, "my.toml")


def test_a_hostile_file_name_is_escaped() -> None:
    with pytest.raises(PlanUnreadable) as refused:
        load_plan("x", "\x1b[31m.toml")
    assert refused.value.message.isprintable()


@given(st.text(max_size=200))
def test_any_text_at_all_is_read_or_refused(text: str) -> None:
    try:
        load_plan(text, "any.toml")
    except PlanUnreadable as refused:
        assert refused.problems  # noqa: PT017


labels = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?", fullmatch=True).filter(
    lambda text: fields.field_error(fields.parse_node_name, text) is None
)
nic_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", fullmatch=True).filter(
    lambda text: text not in ("all", "default")
)
addresses = st.integers(0, 2**32 - 1).map(lambda value: IPAddress(value, version=4))
networks = st.builds(
    lambda value, prefix: IPNetwork((value, prefix), version=4).cidr, st.integers(0, 2**32 - 1), st.integers(0, 32)
)
macs = st.integers(0, 2**48 - 1).map(lambda value: EUI(value, version=48))
octets = st.one_of(st.just("*"), st.integers(0, 255).map(lambda value: f"{value:02x}"))
patterns = st.lists(octets, min_size=6, max_size=6).map(":".join)
ports = st.integers(1, 65535)
roles = st.lists(st.sampled_from(Role), min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def network_values(draw: st.DrawFn) -> Network:
    pool = draw(st.sampled_from(["none", "slice", "range"]))
    return Network(
        draw(networks),
        draw(addresses),
        draw(networks) if pool == "slice" else None,
        (draw(addresses), draw(addresses)) if pool == "range" else None,
        draw(st.sampled_from(["12h", "infinite", "45m", "7d", "3600"])),
        draw(st.lists(labels, min_size=1, max_size=3).map(".".join)),
        draw(st.sampled_from(AnswerPolicy)),
        draw(st.one_of(st.just(("02:*:*:*:*:*",)), st.lists(patterns, max_size=3).map(tuple))),
    )


maybe_addresses = st.one_of(st.none(), addresses)
nodes = st.builds(
    lambda name, roles, macs, ip, bmc: Node(name, roles, macs[0], ip, tuple(macs[1:]), bmc),
    labels,
    roles,
    st.lists(macs, min_size=1, max_size=3, unique=True),
    maybe_addresses,
    maybe_addresses,
)
forwards = st.builds(
    Forward,
    ports,
    st.one_of(labels, addresses.map(str)),
    ports,
    st.sampled_from(Protocol),
    st.one_of(st.none(), st.lists(networks, min_size=1, max_size=3).map(tuple)),
)
plans = st.builds(
    Plan,
    st.builds(Interfaces, nic_names, nic_names),
    network_values(),
    st.lists(nodes, max_size=6).map(tuple),
    st.lists(forwards, max_size=4).map(tuple),
    bmc_credentials=st.sampled_from(["", "/etc/ciao-wizard/bmc.toml", "/root/b@c+d_e-f.9"]),
    textfile=st.sampled_from(["", "/var/lib/node_exporter/ciao.prom"]),
    seeds=st.builds(
        SeedAnswers,
        st.sampled_from(["", "ciao", "ops"]),
        st.sampled_from([(), ("~/.ssh/id_ed25519.pub",), ("/etc/keys/a.pub", KEY)]),
        st.sampled_from(["", "http://proxy.example:3128/"]),
    ),
)


@given(plans)
def test_a_plan_survives_the_file(plan: Plan) -> None:
    assert load_plan(dump_plan(plan), "dumped") == plan


@given(plans, plans)
def test_any_plan_can_be_written_into_any_other_plans_file(plan: Plan, other: Plan) -> None:
    assert load_plan(dump_plan(plan, dump_plan(other)), "edited") == plan


def test_an_unchanged_plan_leaves_its_file_as_it_is(example: str, plan: Plan) -> None:
    assert dump_plan(plan, example) == example


def changes(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


def comments(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if line.startswith("#")}


def test_a_changed_value_changes_its_line_alone(example: str, plan: Plan) -> None:
    network = replace(plan.network, lease_time="1h", gateway=IPAddress("192.168.0.1"))
    assert changes(example, dump_plan(replace(plan, network=network), example)) == [
        '- gateway    = "192.168.0.200"    # this machine, as the nodes see it',
        '+ gateway    = "192.168.0.1"    # this machine, as the nodes see it',
        '- lease_time = "12h"',
        '+ lease_time = "1h"',
    ]


def test_a_node_taken_out_takes_its_own_lines_alone(example: str, plan: Plan) -> None:
    without = replace(plan, nodes=plan.nodes[:2] + plan.nodes[3:])
    edited = dump_plan(without, example)
    assert load_plan(edited, "edited") == without
    assert not [line for line in changes(example, edited) if line.startswith("+")]
    assert comments(edited) == comments(example)


def test_a_node_added_stands_after_the_others(example: str, plan: Plan) -> None:
    node = Node("compute3", (Role.COMPUTE,), EUI("b8:ae:ed:00:00:09"), None)
    edited = dump_plan(replace(plan, nodes=(*plan.nodes, node)), example)
    assert load_plan(edited, "edited").nodes[-1] == node
    assert not [line for line in changes(example, edited) if line.startswith("-")]
    assert edited.index("compute2") < edited.index("compute3") < edited.index("# From the company's side")


def test_comments_survive_a_new_order_and_an_empty_list(example: str, plan: Plan) -> None:
    for other in (
        replace(plan, nodes=plan.nodes[::-1], forwards=plan.forwards[::-1]),
        replace(plan, nodes=()),
        replace(plan, forwards=()),
        replace(plan, nodes=(), forwards=()),
    ):
        edited = dump_plan(other, example)
        assert load_plan(edited, "edited") == other
        assert comments(example) <= comments(edited)


def test_a_comment_right_above_a_node_goes_where_the_node_goes() -> None:
    before = SMALLEST + "".join(
        f'\n# about {name}\n[[nodes]]\nname = "{name}"\nrole = "compute"\nmac = "b8aeed7b515{number}"\n'
        for number, name in enumerate(["zero", "one", "two"])
    )
    plan = load_plan(before, "before")
    edited = dump_plan(replace(plan, nodes=(plan.nodes[0], plan.nodes[2], plan.nodes[1])), before)
    assert '# about two\n[[nodes]]\nname = "two"' in edited
    assert '# about one\n[[nodes]]\nname = "one"' in edited


@pytest.mark.parametrize(
    "layout",
    [
        'nodes = [\n  # the first\n  { name = "a", role = "compute", mac = "b8aeed7b5150" },\n  '
        '{ name = "b", role = "network", mac = "b8aeed7b5151" },\n]\n'
        'interfaces = { corporate = "eth0", cluster = "eth1" }\nnetwork.cidr = "192.168.0.0/24"\n',
        SMALLEST
        + '[[nodes]]\nname = "a"\nrole = "compute"\nmac = "b8aeed7b5150"\n# the first\n[[forwards]]\nport = 1\n'
        'to = "a"\n[[nodes]]\nname = "b"\nrole = "network"\nmac = "b8aeed7b5151"\n',
    ],
    ids=["inline", "interleaved"],
)
def test_unusual_layouts_keep_the_plan_right_and_the_comments(layout: str) -> None:
    plan = load_plan(layout, "before")
    for nodes in (plan.nodes[:1], plan.nodes[::-1], (), (replace(plan.nodes[0], name="c"), *plan.nodes)):
        network = replace(plan.network, cidr=IPNetwork("10.1.0.0/24"), lease_time="1h")
        other = replace(plan, nodes=nodes, network=network)
        edited = dump_plan(other, layout)
        assert load_plan(edited, "edited") == other
        assert "# the first" in edited


@st.composite
def layouts(draw: st.DrawFn) -> str:
    """A plan file as a person might keep it: comments and blank lines anywhere, sections in any order."""
    talk = st.sampled_from(["", "", "\n", "# a\n", "# b\n", "\n# heading\n\n", "# x\n\n# y\n"])
    pool = st.sampled_from(["", 'gateway = "10.1.0.5"', 'dhcp_range = [\n "10.1.0.9", # first\n "10.1.0.20"\n]'])
    address = st.sampled_from(["", 'ip = "10.1.0.101" # kept'])
    sections = [
        ["[interfaces]", 'corporate = "eth0" # to the company', "cluster = 'eth1'"],
        ["[network]", 'cidr = "10.1.0.0/24"', draw(pool)],
    ]
    for number in range(draw(st.integers(0, 3))):
        mac = f'mac = "B8-AE-ED-00-00-0{number}"'
        sections.append(["[[nodes]]", f'name = "n{number}"', 'role = "compute"', mac, draw(address)])
    for number in range(draw(st.integers(0, 2))):
        sections.append(["[[forwards]]", f"port = {80 + number}", 'to = "n0"'])
    lines = [line for section in draw(st.permutations(sections)) for line in section]
    text = "".join(f"{draw(talk)}{line}\n" for line in lines) + draw(talk)
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@settings(deadline=None)
@given(layouts(), layouts(), st.data())
def test_whatever_the_layout_the_plan_is_right_and_no_comment_is_lost(
    original: str, other: str, data: st.DataObject
) -> None:
    before, after = load_plan(original, "before"), load_plan(other, "after")
    either = data.draw(st.permutations(before.nodes + after.nodes))
    after = replace(after, nodes=tuple(either[: data.draw(st.integers(0, 5))]))
    edited = dump_plan(after, original)
    assert load_plan(edited, "edited") == after
    kept = Counter(line.strip() for line in edited.splitlines() if line.lstrip().startswith("#"))
    assert not Counter(line.strip() for line in original.splitlines() if line.lstrip().startswith("#")) - kept


def test_default_values_are_left_out_unless_the_file_has_them(example: str, plan: Plan) -> None:
    assert "lease_time" not in dump_plan(plan)
    back = replace(plan.network, lease_time="12h")
    changed = dump_plan(replace(plan, network=replace(plan.network, lease_time="1h")), example)
    assert 'lease_time = "12h"' in dump_plan(replace(plan, network=back), changed)


def test_an_original_that_cannot_be_read_gives_its_comments_at_least(plan: Plan) -> None:
    text = dump_plan(plan, "# my own words\nversion: 1\n")
    assert text.startswith("# my own words\n")
    assert load_plan(text, "dumped") == plan


@settings(max_examples=1, deadline=None)
@given(st.just(10_000))
def test_ten_thousand_nodes_are_read_and_written(count: int) -> None:
    network = Network(IPNetwork("10.0.0.0/16"), IPAddress("10.0.0.1"))
    many = tuple(
        Node(f"n{i}", (Role.COMPUTE,), EUI(0xB8AEED000000 + i, version=48), IPAddress(0x0A000100 + i))
        for i in range(count)
    )
    plan = Plan(Interfaces("eth0", "eth1"), network, many)
    assert load_plan(dump_plan(plan), "large") == plan


def test_seeds_are_written_where_they_were(example: str, plan: Plan) -> None:
    text = f'{example}\n[seeds]  # mine\nssh_key = "~/.ssh/id_ed25519.pub"\n'
    read = load_plan(text, "text")
    assert read.seeds == SeedAnswers(ssh_keys=("~/.ssh/id_ed25519.pub",))
    assert changes(text, dump_plan(replace(read, seeds=replace(read.seeds, user="ops")), text)) == ['+ user = "ops"']
    assert "[seeds]" not in dump_plan(plan, text)
    assert "[seeds]" not in dump_plan(plan)
