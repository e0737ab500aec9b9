"""One whole job under a release's own kernel, by the command line, in the laboratory: a plan is applied, the nodes get
their leases, go out and are reached, the plan is taken back, and the laptop is as it was."""

from __future__ import annotations

from tests.lab.support import GATEWAY, NODES, OFFICE, apply, await_nodes, await_status, differences, page, reset, whole
from wizard.lab.control import Laboratory


def test_a_plan_is_applied_serves_its_nodes_and_is_taken_back() -> None:
    with Laboratory() as lab:
        before = whole(lab)
        apply(lab)
        await_nodes(lab)
        out = lab.fetch("http://www.corp.example/", netns="compute1")
        assert out == page("corporate", 80, "10.77.0.1", OFFICE)
        inwards = lab.fetch(f"http://{OFFICE}:8889/", netns="colleague")
        assert inwards == page("controller", 8889, NODES["controller"], "10.77.0.50")
        await_status(lab, "applied")
        assert lab.addresses(nic="eth1") == [GATEWAY]
        reset(lab)
        assert differences(before, whole(lab)) == []
