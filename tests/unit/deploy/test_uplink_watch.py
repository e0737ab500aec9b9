"""When the guard sets the uplinks, and what it makes of a failure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from netaddr import IPNetwork

from wizard.deploy.guard import uplink_watch
from wizard.deploy.guard.uplink_watch import LOOK_EVERY_S, UplinkWatch
from wizard.host.commands import CommandFailed
from wizard.host.net import forwarding, gateway_rules
from wizard.plan.file.read import load_plan
from wizard.plan.machine import Facts, Nic, Route
from wizard.plan.model import Interfaces

NAMED = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
AUTO = replace(NAMED, interfaces=Interfaces("auto", "eth1"))
NICS = tuple(Nic(name, index, "ethernet") for index, name in enumerate(("eth0", "eth1", "wlan0"), 2))


@dataclass
class World:
    now: float = 1000.0
    routed: tuple[str, ...] = ("eth0",)
    loaded: list[str] | None = field(default_factory=list)
    fails: bool = False
    off: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    set_to: list[list[str]] = field(default_factory=list)

    def facts(self) -> Facts:
        return Facts(NICS, tuple(Route(IPNetwork("0.0.0.0/0"), nic) for nic in self.routed))

    def follow_uplinks(self, _path: str, nics: Sequence[str]) -> str:
        if self.fails:
            raise CommandFailed(["sh"], 1, "busy")
        self.set_to.append(list(nics))
        self.loaded = sorted(nics)
        self.off -= set(nics)
        return ""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    there = World()
    monkeypatch.setattr(uplink_watch, "read_route_facts", there.facts)
    monkeypatch.setattr(forwarding, "is_on", lambda nic: None if nic in there.gone else nic not in there.off)
    monkeypatch.setattr(time, "monotonic", lambda: there.now)
    monkeypatch.setattr(gateway_rules, "loaded_uplinks", lambda: there.loaded)
    monkeypatch.setattr(gateway_rules, "follow_uplinks", there.follow_uplinks)
    return there


@pytest.fixture
def watch(world: World) -> UplinkWatch:
    made = UplinkWatch()
    made.reload(AUTO)
    assert made.follow(AUTO)
    assert world.set_to == [["eth0"]]
    assert made.corporate == "eth0"
    world.now += 1
    return made


def test_a_route_that_moves_is_followed_at_the_next_event(world: World, watch: UplinkWatch) -> None:
    world.routed = ("wlan0",)
    assert not watch.follow(AUTO)
    watch.changed()
    assert watch.follow(AUTO)
    assert world.set_to[1:] == [["wlan0"]]
    assert watch.corporate == "wlan0"


def test_a_storm_of_events_is_one_look_and_none_is_missed(world: World, watch: UplinkWatch) -> None:
    watch.changed()
    watch.follow(AUTO)
    world.routed = ("wlan0",)
    watch.changed()
    assert not watch.follow(AUTO)
    assert watch.wanted
    world.now += 0.3
    assert watch.follow(AUTO)


def test_a_set_that_somebody_changed_is_set_again_without_an_event(world: World, watch: UplinkWatch) -> None:
    world.loaded = ["docker0", "eth0"]
    watch.follow(AUTO)
    assert len(world.set_to) == 1
    world.now += LOOK_EVERY_S
    watch.follow(AUTO)
    assert world.set_to[1:] == [["eth0"]]


def test_an_uplink_that_comes_back_forwards_again(world: World, watch: UplinkWatch) -> None:
    world.off = {"eth0"}
    watch.changed()
    watch.follow(AUTO)
    assert world.set_to[1:] == [["eth0"]]


def test_an_uplink_that_is_gone_is_left_to_the_next_event(world: World, watch: UplinkWatch) -> None:
    world.gone = {"eth0"}
    watch.changed()
    watch.follow(AUTO)
    assert len(world.set_to) == 1


def test_without_a_default_route_the_set_is_emptied(world: World, watch: UplinkWatch) -> None:
    world.routed = ()
    watch.changed()
    assert watch.follow(AUTO)
    assert world.loaded == []
    assert watch.corporate == ""


def test_without_the_set_nothing_is_set(world: World, watch: UplinkWatch) -> None:
    """The rules are being loaded, or they are those of another plan."""
    world.loaded, world.routed = None, ("wlan0",)
    watch.changed()
    watch.follow(AUTO)
    assert len(world.set_to) == 1


def test_a_failure_is_tried_again(world: World, watch: UplinkWatch) -> None:
    world.fails, world.routed = True, ("wlan0",)
    watch.changed()
    assert not watch.follow(AUTO)
    assert watch.wanted
    world.fails, world.now = False, world.now + 1
    assert watch.follow(AUTO)
    assert world.loaded == ["wlan0"]


def test_a_named_nic_is_left_alone(world: World) -> None:
    watch = UplinkWatch()
    watch.reload(NAMED)
    assert not watch.follow(NAMED)
    assert watch.corporate == "eth0"
    assert world.set_to == []
