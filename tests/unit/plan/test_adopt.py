"""A stranger becomes a node: one table more in the plan, everything else as it was."""

from dataclasses import replace
from pathlib import Path

import pytest
from netaddr import EUI, IPAddress

from wizard.plan.addresses import assign
from wizard.plan.draft.adopt import adopt
from wizard.plan.file.read import PlanUnreadable, load_plan
from wizard.plan.findings import WizardError
from wizard.plan.model import Node, Role

SAMPLE = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text()
STRANGER = "C0:3F:D5:67:A2:01"


def test_the_node_is_added_and_every_line_stays() -> None:
    text = adopt(SAMPLE, STRANGER, "compute3", "compute")

    before, after = load_plan(SAMPLE, "x"), load_plan(text, "x")
    added = Node("compute3", (Role.COMPUTE,), EUI(STRANGER), IPAddress("192.168.0.127"))
    assert after == replace(before, nodes=(*before.nodes, added))
    lines = iter(text.splitlines())
    assert all(line in lines for line in SAMPLE.splitlines())


def test_the_address_that_was_asked_for() -> None:
    text = adopt(SAMPLE, STRANGER, "compute3", "network, compute", "192.168.0.105")

    node = load_plan(text, "x").nodes[-1]
    assert (str(node.ip), node.roles) == ("192.168.0.105", (Role.NETWORK, Role.COMPUTE))


def test_nodes_without_an_address_of_their_own_keep_theirs() -> None:
    loose = SAMPLE.replace('ip   = "192.168.0.104"\n', "")
    before, after = assign(load_plan(loose, "x")), assign(load_plan(adopt(loose, STRANGER, "compute3", "compute"), "x"))

    assert after.nodes[:-1] == before.nodes
    assert after.nodes[-1].ip not in {node.ip for node in before.nodes}


@pytest.mark.parametrize(
    ("mac", "name", "role", "ip", "word"),
    [
        ("B8:AE:ED:7B:51:50", "new", "compute", None, "controller"),
        (STRANGER, "compute1", "compute", None, "compute1"),
        (STRANGER, "Bad Name", "compute", None, "machine's name"),
        (STRANGER, "new", "king", None, "role"),
        (STRANGER, "new", "compute", "192.168.0.101", "192.168.0.101"),
        (STRANGER, "new", "compute", "192.168.0.200", "192.168.0.200"),
        (STRANGER, "new", "compute", "10.0.0.7", "10.0.0.7"),
        ("01:00:5e:00:00:01", "new", "compute", None, "01:00:5e:00:00:01"),
    ],
)
def test_what_cannot_be_is_refused_in_words(mac: str, name: str, role: str, ip: str | None, word: str) -> None:
    with pytest.raises(WizardError) as refused:
        adopt(SAMPLE, mac, name, role, ip)
    assert word in refused.value.message
    assert refused.value.remedy


def test_a_full_network_is_said() -> None:
    full = SAMPLE.replace('"192.168.0.0/24"', '"192.168.0.96/28"').replace('"192.168.0.200"', '"192.168.0.110"')
    full = full.replace("192.168.0.64/26", "192.168.0.96/29")
    # 14 hosts: 6 are dynamic, one is the gateway, two more are nodes: five are left.
    for number in range(5):
        full = adopt(full, f"c0:3f:d5:67:aa:{number:02x}", f"more{number}", "compute")
    with pytest.raises(WizardError) as refused:
        adopt(full, STRANGER, "last", "compute")
    assert "no address is left" in refused.value.message


def test_no_plan_is_no_plan() -> None:
    with pytest.raises(PlanUnreadable):
        adopt("nonsense", STRANGER, "x", "compute")
