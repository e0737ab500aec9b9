"""What a walk takes from the plan and the machine."""

from __future__ import annotations

from dataclasses import replace

from netaddr import EUI, IPAddress, IPNetwork

from wizard.deploy.guard import path_plan
from wizard.plan.machine import Route
from wizard.plan.model import Interfaces, Network, Node, Plan

NET = Network(IPNetwork("192.168.0.0/28"), IPAddress("192.168.0.14"), dhcp_slice=IPNetwork("192.168.0.4/30"))
PLAN = Plan(Interfaces("eth0", "eth1"), NET)


def test_the_made_up_node_has_an_address_that_nobody_has() -> None:
    taken = {f"192.168.0.{n}" for n in range(1, 14)} - {"192.168.0.11"}
    assert str(path_plan.free_address(PLAN, taken)) == "192.168.0.11"
    # Those of the dynamic range are free for others, and the gateway has one.
    assert path_plan.free_address(PLAN, {f"192.168.0.{n}" for n in range(1, 14) if n not in (5, 6)}) is None
    before = IPAddress("192.168.0.3")
    assert all(path_plan.free_address(PLAN, [], before) == before for _ in range(9))
    assert path_plan.free_address(PLAN, [str(before)], before) != before


def test_the_made_up_node_is_no_bmc() -> None:
    node = Node("a", ("compute",), EUI("b8:ae:ed:7b:51:50"), IPAddress("192.168.0.1"), bmc=IPAddress("192.168.0.2"))
    taken = {f"192.168.0.{n}" for n in range(3, 14)}
    assert path_plan.free_address(replace(PLAN, nodes=(node,)), taken) is None


def test_the_longest_route_leads() -> None:
    routes = [
        Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1"),
        Route(IPNetwork("10.9.0.0/16"), "tun0"),
        Route(IPNetwork("10.9.0.0/24"), "eth7", table="100"),
    ]
    for address, nic in (("10.9.0.5", "tun0"), ("8.8.8.8", "eth0")):
        found = path_plan.route_to(address, routes)
        assert found is not None
        assert found.nic == nic
    assert path_plan.route_to("fd00::1", routes) is None
    assert path_plan.route_to("not an address", routes) is None
