"""Who gets the address back and when: the watch against a made-up machine and a clock that is moved by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from netaddr import IPAddress, IPNetwork

from wizard.deploy.guard.address_owner import Taker
from wizard.deploy.guard.address_watch import (
    CONTESTED,
    FIGHT_S,
    LONGEST_PAUSE_S,
    PATIENCE_S,
    AddressWatch,
    ClusterNicAccess,
    lost_words,
)
from wizard.deploy.guard.preconditions import GuardVerdict, check_nic
from wizard.deploy.shapes import AddressLoss
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.machine import Address, Nic
from wizard.plan.model import Plan

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
GATEWAY = "192.168.0.200"
OURS = Address(IPNetwork(f"{GATEWAY}/24"))
MAC = "00:1b:21:00:00:02"
ETH0 = Nic("eth0", 2, "ethernet", "00:1b:21:00:00:01", up=True, carrier=True)
ETH1 = Nic("eth1", 3, "ethernet", MAC, MAC, up=True, carrier=True, addresses=(OURS,))
NOON = datetime.fromisoformat("2026-11-30T12:00:00+00:00")
SOMEBODY = Taker(remedy="Look for it.")
MANAGER = Taker("NetworkManager", "it has eth1 by its profile 'Wired'", "Run this.", "NetworkManager")


class Probe:
    def __init__(self, world: World) -> None:
        self.world, self.open = world, True

    def ask(self) -> str:
        return self.world.rival

    def close(self) -> None:
        self.open = False


class World(ClusterNicAccess):
    """A cluster NIC, and whoever else is at it. `seconds` is the clock."""

    def __init__(self) -> None:
        self.eth0, self.eth1 = ETH0, ETH1
        self.routed = {"eth0"}
        self.seconds = 1000.0
        self.engine = False
        self.managed = True
        self.owner = SOMEBODY
        self.rival = ""
        self.failure = ""
        self.tries = 0
        self.given: list[float] = []
        self.raised: list[float] = []
        self.notices: list[str] = []
        self.probes: list[Probe] = []
        self.watch = AddressWatch(self, lambda: self.seconds, lambda: NOON + timedelta(seconds=self.seconds - 1000))

    def engine_runs(self) -> bool:
        return self.engine

    def taker(self, _plan: Plan, _nic: Nic) -> Taker:
        return self.owner

    def probe(self, _nic: str, _address: IPAddress) -> Probe:
        self.probes.append(Probe(self))
        return self.probes[-1]

    def others_raise_it(self) -> bool:
        return self.managed

    def set_up(self, _nic: str) -> None:
        self.raised.append(self.seconds)
        self.eth1 = replace(self.eth1, up=True, carrier=True)

    def give_back(self, _nic: Nic, cidr: str) -> None:
        self.tries += 1
        if self.failure:
            raise WizardError(self.failure)
        assert cidr == f"{GATEWAY}/24"
        self.given.append(self.seconds)
        self.eth1 = replace(self.eth1, up=True, carrier=True, addresses=(OURS,))

    def notify(self, text: str) -> None:
        self.notices.append(text)

    def look(self) -> GuardVerdict:
        nics = {nic.name: nic for nic in (self.eth0, self.eth1)}
        return self.watch.watch(PLAN, nics, check_nic(PLAN, nics, self.routed))

    def take(self) -> GuardVerdict:
        self.eth1 = replace(self.eth1, addresses=())
        return self.look()

    def spend(self, seconds: float) -> GuardVerdict:
        """Let time pass, and look every second."""
        verdict = self.look()
        end = self.seconds + seconds
        while self.seconds < end:
            self.seconds += min(1.0, end - self.seconds)
            verdict = self.look()
        return verdict


@pytest.fixture
def world() -> World:
    """Served for a while."""
    made = World()
    assert made.spend(5).ok
    return made


def test_what_was_taken_away_once_is_given_back_once_after_a_few_seconds(world: World) -> None:
    verdict = world.take()
    assert (verdict.ok, verdict.code, verdict.tripped) == (False, "address", False)
    assert "no NIC: taken away at 12:00:05 by somebody; it is given back in a moment" in verdict.reason
    world.spend(PATIENCE_S - 1)
    assert world.given == []
    assert world.spend(2).ok
    assert len(world.given) == 1
    last = world.watch.last
    assert last is not None
    assert (last["by"], last["given_back"], last["times"]) == ("somebody", True, 1)
    assert last["back"] == "2026-11-30T12:00:08+00:00"
    assert not [probe for probe in world.probes if probe.open]
    assert world.spend(600).ok
    assert len(world.given) == 1


def test_who_shows_only_later_is_named_too(world: World) -> None:
    world.take()
    world.owner = MANAGER
    assert world.spend(PATIENCE_S + 1).ok
    assert world.watch.last is not None
    assert "NetworkManager" in world.watch.last["by"]


def test_who_sets_it_again_in_time_is_not_interfered_with(world: World) -> None:
    """A manager that restarts, and a person between ifdown and ifup."""
    world.take()
    world.spend(PATIENCE_S - 1)
    world.eth1 = ETH1
    assert world.spend(10).ok
    assert world.given == []
    assert world.watch.last is not None
    assert (world.watch.last["given_back"], bool(world.watch.last["back"])) == (False, True)


def test_twice_within_a_minute_is_a_fight_that_is_said_and_ends(world: World) -> None:
    world.take()
    world.spend(PATIENCE_S)
    world.owner = MANAGER
    world.spend(FIGHT_S - 10)
    fought_at = world.seconds
    verdict = world.take()
    assert (verdict.ok, verdict.code, verdict.tripped) == (False, CONTESTED, False)
    by = "NetworkManager (it has eth1 by its profile 'Wired')"
    for words in (f"{GATEWAY} was given back to eth1, and taken away again at 12:00:58", by, "12:01:58"):
        assert words in verdict.reason
    assert world.watch.last is not None
    assert (world.watch.last["contested"], world.watch.last["remedy"]) == (True, "Run this.")
    assert len(world.notices) == 1
    verdict = world.spend(FIGHT_S - 1)
    assert (verdict.code, len(world.given)) == (CONTESTED, 1)
    assert world.spend(5).ok
    assert world.given[1] >= fought_at + FIGHT_S
    assert world.watch.last["contested"] is False
    world.spend(FIGHT_S + 1)
    assert world.take().code == "address", "a minute of peace ends the fight"
    world.spend(PATIENCE_S + 1)
    assert world.take().code == CONTESTED
    count = len(world.given)
    world.spend(FIGHT_S + PATIENCE_S)
    assert len(world.given) == count + 1, "the next one begins with a pause of a minute"


def test_the_pauses_of_a_fight_grow_to_an_end_and_one_notice_is_enough(world: World) -> None:
    world.take()
    world.spend(PATIENCE_S)
    pauses = []
    for _ in range(6):
        world.spend(5)
        lost_at = world.seconds
        world.take()
        count = len(world.given)
        while len(world.given) == count:
            world.spend(1)
        pauses.append(round(world.given[-1] - lost_at))
    assert pauses == [60, 120, 240, 480, 600, 600]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert len(world.notices) == 1


def test_a_minute_apart_is_no_fight(world: World) -> None:
    for _ in range(3):
        assert world.take().code == "address"
        assert world.spend(PATIENCE_S + 1).ok
        world.spend(FIGHT_S)
    assert len(world.given) == 3
    assert world.watch.last is not None
    assert "3 times" in lost_words(world.watch.last)


def fight(world: World, owner: Taker) -> None:
    world.take()
    world.spend(PATIENCE_S + 1)
    world.owner = owner
    assert world.take().code == CONTESTED


def test_another_owner_ends_the_pause(world: World) -> None:
    """The remedy was followed: a profile was taken away, a client was stopped."""
    fight(world, MANAGER)
    world.spend(15)
    world.owner = SOMEBODY
    assert world.spend(20).ok
    assert len(world.given) == 2


def test_a_name_that_is_found_late_is_told_and_ends_no_pause(world: World) -> None:
    fight(world, SOMEBODY)
    world.owner = MANAGER
    verdict = world.spend(20)
    assert (verdict.code, len(world.given)) == (CONTESTED, 1)
    assert "NetworkManager" in verdict.reason


def test_an_address_that_comes_back_by_itself_ends_a_fight_at_once(world: World) -> None:
    fight(world, MANAGER)
    world.eth1 = ETH1
    assert world.look().ok
    assert world.watch.last is not None
    assert (world.watch.last["contested"], world.watch.last["given_back"]) == (False, False)


def test_an_apply_of_a_person_starts_afresh(world: World) -> None:
    fight(world, MANAGER)
    world.watch.reset()
    assert world.watch.last is None
    assert world.look().code == "address"
    assert world.spend(PATIENCE_S + 1).ok


def test_never_while_an_engine_runs(world: World) -> None:
    world.engine = True
    world.take()
    world.spend(100)
    assert (world.given, world.probes, world.watch.last) == ([], [], None)
    world.engine = False
    assert world.spend(PATIENCE_S + 1).ok


@pytest.mark.parametrize("moment", [0, PATIENCE_S - 1])
def test_an_engine_that_starts_meanwhile_ends_it(world: World, moment: float) -> None:
    world.take()
    world.spend(moment)
    world.engine = True
    world.spend(100)
    assert world.given == []
    assert not [probe for probe in world.probes if probe.open]


# What is dangerous comes first


def test_not_where_another_machine_uses_it(world: World) -> None:
    world.take()
    world.rival = "00:1b:21:00:00:77"
    verdict = world.spend(100)
    assert (verdict.code, verdict.tripped) == ("address-conflict", False)
    assert "00:1b:21:00:00:77" in verdict.reason
    assert world.given == []
    world.rival = ""
    world.spend(9)
    assert world.given == []
    assert world.spend(5).ok


def test_the_wire_is_asked_for_three_seconds_before_it_is_given_back(world: World) -> None:
    fight(world, SOMEBODY)
    world.spend(FIGHT_S - PATIENCE_S - 1)
    asked = len(world.probes)
    world.spend(2)
    assert len(world.probes) == asked + 1


def test_not_into_a_bridge_and_not_beside_itself(world: World) -> None:
    world.eth1 = replace(ETH1, addresses=(), master="br0")
    assert world.spend(30).code == "enslaved"
    world.eth1, world.eth0 = replace(ETH1, addresses=()), replace(ETH0, addresses=(OURS,))
    assert "it is on eth0" in world.spend(30).reason
    assert world.given == []
    world.eth0 = ETH0
    assert world.spend(PATIENCE_S + 1).ok


def test_not_where_a_default_route_leads(world: World) -> None:
    world.routed = {"eth0", "eth1"}
    world.take()
    assert world.spend(30).tripped
    assert world.given == []


def test_it_waits_for_the_cable(world: World) -> None:
    """Some managers take the address off with the cable, and set it again with it."""
    world.eth1 = replace(ETH1, carrier=False, addresses=())
    verdict = world.spend(100)
    assert (verdict.code, world.given, world.watch.last) == ("no-carrier", [], None)
    world.eth1 = ETH1
    assert world.spend(1).ok
    assert world.watch.last is None


def test_a_wire_that_comes_back_is_asked_before_the_address_is_set(world: World) -> None:
    world.take()
    world.eth1 = replace(ETH1, carrier=False, addresses=())
    world.spend(30)
    world.eth1 = replace(ETH1, addresses=())
    world.spend(PATIENCE_S - 1)
    assert world.given == []
    assert world.spend(2).ok


# A NIC that was set down


def test_a_link_that_was_set_down_is_set_up_again_with_its_address(world: World) -> None:
    world.eth1 = replace(ETH1, up=False, carrier=None)
    verdict = world.look()
    assert (verdict.code, verdict.reason) == (
        "address",
        "eth1 is set down: set down at 12:00:05 by somebody; it is given back in a moment",
    )
    assert world.spend(PATIENCE_S + 1).ok
    assert (len(world.given), world.raised) == (1, [])
    world.eth1 = replace(ETH1, up=False, carrier=None)
    assert world.look().code == CONTESTED


def test_without_its_address_the_link_is_set_up_first_and_the_wire_asked(world: World) -> None:
    world.eth1 = replace(ETH1, up=False, carrier=None, addresses=())
    world.spend(PATIENCE_S)
    assert (len(world.raised), world.given, world.probes) == (1, [], [])
    world.rival = "00:1b:21:00:00:77"
    assert world.spend(20).code == "address-conflict"
    world.rival = ""
    assert world.spend(15).ok


def test_set_down_again_before_its_address_is_back_is_a_fight(world: World) -> None:
    world.eth1 = replace(ETH1, up=False, carrier=None, addresses=())
    world.spend(PATIENCE_S)
    world.eth1 = replace(ETH1, up=False, carrier=None, addresses=())
    assert world.look().code == CONTESTED
    assert world.spend(FIGHT_S - 1).code == CONTESTED
    assert len(world.raised) == 1


# A backend that fails


def test_a_backend_that_fails_is_said_and_tried_again_with_growing_pauses(world: World) -> None:
    world.failure = "nmcli: NetworkManager is not running"
    world.take()
    verdict = world.spend(PATIENCE_S)
    assert (verdict.code, verdict.tripped) == ("address", False)
    assert "that could not be mended: nmcli: NetworkManager is not running" in verdict.reason
    assert not [probe for probe in world.probes if probe.open]
    world.spend(200)
    assert world.tries < 8
    world.failure = ""
    assert world.spend(LONGEST_PAUSE_S).ok
    assert len(world.given) == 1


def test_a_wire_that_cannot_be_asked_gets_no_address(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(_nic: str, _address: IPAddress) -> Probe:
        raise OSError("no buffer space")

    monkeypatch.setattr(world, "probe", deaf)
    world.take()
    assert "no buffer space" in world.spend(100).reason
    assert world.given == []


# A NIC that comes, or comes back


def test_a_nic_that_was_away_and_is_back_is_raised_again_and_again() -> None:
    world = World()
    world.eth1 = replace(ETH1, up=False, carrier=None, addresses=())
    world.failure = "no such device"
    verdict = world.spend(PATIENCE_S)
    assert "that could not be mended: no such device" in verdict.reason
    world.failure = ""
    world.spend(30)
    assert len(world.given) == 1
    assert world.watch.last is None
    world.eth1 = replace(ETH1, index=9, up=False, carrier=None, addresses=())
    assert world.spend(PATIENCE_S + 1).ok
    assert len(world.given) == 2


def test_a_nic_that_is_back_gets_its_address_only_where_nobody_else_uses_it() -> None:
    """A guard that was started again has not seen the NIC with it either."""
    world = World()
    world.eth1, world.rival = replace(ETH1, addresses=()), "00:1b:21:00:00:77"
    assert world.spend(60).code == "address-conflict"
    assert world.given == []
    world.rival = ""
    assert world.spend(15).ok
    assert world.watch.last is None


def test_a_nic_that_nobody_manages_is_raised_as_soon_as_it_appears() -> None:
    world = World()
    world.managed = False
    world.eth1 = replace(ETH1, up=False, carrier=None, addresses=())
    world.look()
    assert world.given == [world.seconds]


def test_without_a_cable_a_nic_that_is_back_is_raised_too() -> None:
    world = World()
    world.eth1 = replace(ETH1, carrier=False, addresses=())
    world.spend(PATIENCE_S)
    assert (len(world.given), world.probes) == (1, [])


def test_unplugged_while_its_address_was_away_it_is_another_nic(world: World) -> None:
    world.take()
    world.eth1 = replace(ETH1, index=9, addresses=())
    assert "taken away" not in world.look().reason
    assert world.spend(PATIENCE_S + 1).ok


def test_what_takes_it_at_once_from_a_raised_nic_meets_a_pause_too() -> None:
    world = World()
    world.eth1 = replace(ETH1, up=False, carrier=None, addresses=())
    world.spend(PATIENCE_S)
    assert len(world.given) == 1
    for _ in range(100):
        world.take()
        world.spend(1)
    assert len(world.given) <= 3


# When to look


def test_it_asks_to_be_called_only_while_there_is_something_to_do(world: World) -> None:
    world.seconds += 100
    assert not world.watch.due()
    world.take()
    assert not world.watch.due()
    world.seconds += 1
    assert world.watch.due()


def test_yesterdays_loss_has_its_date_and_a_strange_record_does_no_harm(world: World) -> None:
    world.take()
    last = world.watch.last
    assert last is not None
    assert lost_words(last, NOON.date()) == "taken away at 12:00:05 by somebody"
    assert lost_words(last, NOON.date() + timedelta(days=1)) == "taken away at 2026-11-30 12:00:05 by somebody"
    assert lost_words(AddressLoss(at="soon")) == "taken away at ? by somebody"
