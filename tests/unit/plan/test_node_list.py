"""Lists of nodes under headings, thousands of them, and the same list twice."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from netaddr import EUI, IPAddress, IPNetwork

from wizard.plan.draft.model import Draft, ForwardText, NodeText
from wizard.plan.draft.node_list import follow_renames, merge_nodes, read_nodes
from wizard.plan.export.formats import export
from wizard.plan.fields import FieldError, format_mac, parse_node_name
from wizard.plan.model import Interfaces, Network, Node, Plan, Role

INTERFACES = Interfaces("eth0", "eth1")
NETWORK = Network(IPNetwork("192.168.0.0/24"), IPAddress("192.168.0.200"))


def is_name(text: str) -> bool:
    try:
        return parse_node_name(text) == text
    except FieldError:
        return False


NAMES = st.one_of(
    st.sampled_from([*Role, "mac", "ip", "name", "deadbeef0001", "b8aeed7b5150", "role", "ip-1"]),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True),
).filter(is_name)
ROLES = st.lists(st.sampled_from(list(Role)), min_size=1, max_size=3, unique=True)


@given(st.lists(st.tuples(NAMES, ROLES), max_size=8, unique_by=lambda node: node[0]))
def test_the_export_reads_back_whole_whatever_the_names(named: list[tuple[str, list[Role]]]) -> None:
    nodes = tuple(Node(name, tuple(roles), EUI(0xC03FD567A200 + i, 48)) for i, (name, roles) in enumerate(named))
    reading = read_nodes(export(Plan(INTERFACES, NETWORK, nodes), "csv"))
    assert reading.skipped_rows == ()
    assert [(n.name, n.mac) for n in reading.nodes] == [(n.name, format_mac(n.mac)) for n in nodes]
    assert [set(n.role.split(", ")) for n in reading.nodes] == [set(n.roles) for n in nodes]
    assert all(node.ip for node in reading.nodes)


def test_what_a_list_does_not_say_of_a_known_node_is_kept() -> None:
    before = NodeText("compute", "old", "b8:ae:ed:7b:51:50", "192.168.0.9", "192.168.0.151")
    reading = read_nodes("name,mac\nnew,b8:ae:ed:7b:51:50\n", known={before.mac: before})
    assert reading.nodes == (NodeText("compute", "new", "b8:ae:ed:7b:51:50", "192.168.0.9", "192.168.0.151"),)


def test_columns_come_in_any_order_and_strange_ones_are_passed_over() -> None:
    text = (
        "rack;IP Address;Hostname;MAC;Roles;serial\n"
        'r1;192.168.0.9;compute;b8aeed7b5150;"network + compute";X7 Y9\n'
        ";;;B8-AE-ED-7B-51-51;;\n"
        "r2;;controller;b8:ae:ed:7b:51:52\n"
    )
    assert read_nodes(text).nodes == (
        NodeText("network, compute", "compute", "b8:ae:ed:7b:51:50", "192.168.0.9"),
        NodeText("compute", "compute1", "b8:ae:ed:7b:51:51", ""),
        NodeText("controller", "controller", "b8:ae:ed:7b:51:52", ""),
    )


@pytest.mark.parametrize("heading", ["mac", "name mac", "mac\tname", "mac,role"])
def test_a_heading_of_few_columns_will_do(heading: str) -> None:
    between = "\t" if "\t" in heading else "," if "," in heading else " "
    cells = {"mac": "b8aeed7b5150", "name": "network", "role": "network"}
    line = between.join(cells[word] for word in heading.replace(between, " ").split())
    (node,) = read_nodes(f"{heading}\n{line}\n").nodes
    assert node.mac == "b8:ae:ed:7b:51:50"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a,b,c,d,e", "5 columns, but 4 headings"),
        ("a,compute,,192.168.0.1", "no MAC in its column"),
        ("a,compute,nothing,", 'MAC: "nothing" is not a MAC address'),
        ("a,gpu,b8aeed7b5150,", 'role: "gpu" is not a role'),
        ("a b,,b8aeed7b5150,", 'name: "a b" is not a machine\'s name'),
        (",,b8aeed7b5150,192.168.0.300", 'address: "192.168.0.300" is not an IPv4 address'),
    ],
)
def test_under_headings_each_column_must_hold_what_it_says(line: str, why: str) -> None:
    reading = read_nodes(f"name,role,mac,ip\n{line}\n")
    assert reading.nodes == ()
    assert why in reading.skipped_rows[0].why
    assert reading.rest == f"name,role,mac,ip\n{line}"


@example("[[nodes]]")
@example("nodes = [{}, {}]")
@given(st.text(max_size=300))
def test_no_line_is_lost(text: str) -> None:
    reading = read_nodes(text)
    again = read_nodes(reading.rest)
    assert again.nodes == ()
    assert [line.line for line in again.skipped_rows] == [line.line for line in reading.skipped_rows]


def test_what_a_line_leaves_out_stays_as_it_is_in_the_plan() -> None:
    old = NodeText("network", "edge", "b8:ae:ed:7b:51:50", "192.168.0.9")
    reading = read_nodes("B8AE.ED7B.5150 192.168.0.10\n", {"edge"}, {old.mac: old})
    assert reading.nodes == (NodeText("network", "edge", "b8:ae:ed:7b:51:50", "192.168.0.10"),)
    result = merge_nodes([old], reading)
    assert (result.nodes, result.new, result.changed, result.same) == (reading.nodes, 0, 1, 0)
    assert merge_nodes(result.nodes, reading).same == 1


def test_forwards_follow_the_nodes_that_they_name() -> None:
    forwards = (ForwardText("80", "Edge "), ForwardText("81", "other"), ForwardText("82", "192.168.0.9"))
    # Two nodes may change names with each other.
    names = {"edge": "other", "other": "edge", "": "new"}
    assert [forward.to for forward in follow_renames(forwards, names)] == ["other", "edge", "192.168.0.9"]
    assert follow_renames(forwards, {}) is forwards


def test_a_mac_twice_in_one_list_is_seen_as_two_rows() -> None:
    result = merge_nodes([], read_nodes("b8aeed7b5150 a\nb8aeed7b5150 b\n"))
    assert [node.name for node in result.nodes] == ["a", "b"]


def test_ten_thousand_nameless_machines_are_named_at_once() -> None:
    text = "".join(f"c0:3f:d5:00:{i >> 8:02x}:{i & 255:02x}\n" for i in range(10_000))
    begun = time.perf_counter()
    nodes = read_nodes(text).nodes
    # Looking for a free name from the first one on for each took minutes.
    assert time.perf_counter() - begun < 10
    assert nodes[-1].name == "compute10000"
    assert len({node.name for node in Draft(nodes=nodes).nodes}) == 10_000


@pytest.mark.parametrize("heading", ["", "name,mac\n"])
def test_a_field_longer_than_a_table_may_have_is_a_line_not_understood(heading: str) -> None:
    reading = read_nodes(f"{heading}{'x' * 140_000},02:00:00:00:00:01\nb,00:16:3e:00:00:02\n")
    assert [node.name for node in reading.nodes] == ["b"]
    (line,) = reading.skipped_rows
    assert len(line.why) < 200
