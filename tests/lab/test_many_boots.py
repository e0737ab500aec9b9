"""A rack that boots over the network at once."""

from __future__ import annotations

import time

import pytest

from tests.lab.guarding import report, told
from tests.lab.many_boots import LOADER_SIZE, boot_all, names, pss_mib, rack
from tests.lab.support import ciao_json, dhcp_server
from wizard.plan.netboot import Stage

pytestmark = pytest.mark.lab

NODES, SIZE = 32, 16 << 20


def test_32_nodes_boot_at_once(lab_possible: None) -> None:
    with rack(NODES, SIZE) as lab:
        before = dhcp_server(lab), told(lab)["process"], told(lab)["trips"]
        began = time.monotonic()
        found = boot_all(lab, NODES)
        took = time.monotonic() - began
        memory = pss_mib(lab, "[n]etboot-server")
        wanted = {"loader": LOADER_SIZE, "kernel": 9_000_000, "initrd": SIZE}
        for name in names(NODES):
            assert {stage: found[name][stage] for stage in wanted} == wanted, name
        total = sum(sum(each.values()) for each in found.values())
        report(f"{NODES} nodes, {total / 1e6:.0f} MB in {took:.1f} s; the server has {memory:.0f} MiB (PSS)")
        lab.wait_for(lambda: not any(each["armed"] for each in ciao_json(lab, "boot", "status")), 30, "disarmed")
        assert (dhcp_server(lab), told(lab)["process"], told(lab)["trips"]) == before
        boots = ciao_json(lab, "boot", "status")
        assert len(boots) == NODES
        every = {stage.value for stage in Stage} - {"answers"}
        assert all({each["stage"] for each in boot["stages"]} >= every for boot in boots)
