"""A second gateway on the cluster's switch is refused, whatever its plan; the first one serves on undisturbed."""

from __future__ import annotations

import json

import pytest

from tests.lab import second_laptop
from tests.lab.guarding import armed, await_mode, is_running, told
from tests.lab.support import apply, await_nodes, plan_with
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("two-laptops")]

NICS = (('corporate = "eth0"', 'corporate = "eth9"'), ('cluster   = "eth1"', 'cluster   = "eth0"'))
SAME = plan_with(*NICS)
OTHER = SAME.replace("192.168.0.", "192.168.7.").replace('mac  = "B8:AE', 'mac  = "B8:AF').replace("C0:3F", "C0:4F")


def test_the_second_is_refused_and_the_first_serves_on(lab: Laboratory) -> None:
    apply(lab)
    await_nodes(lab)
    before = await_mode(lab, "armed")
    second_laptop.bring(lab)

    probed = second_laptop.run(lab, SAME, "probe", "eth0", "-c", "-", "--json")
    assert probed.returncode == 1, probed.stderr
    seen = json.loads(probed.stdout)
    assert {server["server_id"] for server in seen["servers"]} == {"192.168.0.200"}

    refused = second_laptop.run(lab, SAME, "apply", "-c", "-", "--yes")
    assert refused.returncode == 1, refused.stdout
    assert "another gateway serves this cluster" in refused.stderr
    assert "the same plan" in refused.stderr
    assert "00:1b:21:5a:01:98, Intel Corporate" in refused.stderr, "who it is"

    refused = second_laptop.run(lab, OTHER, "apply", "-c", "-", "--yes")
    assert refused.returncode == 1, refused.stdout
    assert "another gateway serves this cluster" in refused.stderr or "DHCP server already answers" in refused.stderr
    assert "00:1b:21:5a:01:98" in refused.stderr

    after = told(lab)
    assert (after["mode"], after["since"], after["conflicts"]) == ("armed", before["since"], [])
    assert is_running(lab, before["dnsmasq"])
    assert armed(lab)
    lab.machine("reboot", "compute1")
    await_nodes(lab)
    assert told(lab)["since"] == before["since"]
