"""The guard's gate on default routes is as wide as the one that a plan has to pass."""

from __future__ import annotations

import pytest

from tests.lab.support import EXAMPLE, apply, ciao, ciao_json
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab

WAYS_OUT = {
    "in another table": "default via 192.168.0.101 dev eth1 table 100",
    "as a VPN has it": "128.0.0.0/1 via 192.168.0.101 dev eth1",
    "as one that is not preferred": "default via 192.168.0.101 dev eth1 metric 20100",
}


@pytest.mark.parametrize("words", WAYS_OUT.values(), ids=WAYS_OUT)
def test_a_default_route_over_the_cluster_nic_trips_the_guard(lab: Laboratory, words: str) -> None:
    apply(lab)
    lab.run(["ip", "route", "add", *words.split()])
    seen = lab.wait_for(lambda: (now := ciao_json(lab, "status"))["state"] == "tripped" and now, what="the trip")
    assert "a default route leads over eth1" in seen["reason"]
    refused = ciao(lab, "check", "-c", str(EXAMPLE))
    assert refused.returncode == 1
    assert "cluster-has-default-route" in refused.stdout + refused.stderr
