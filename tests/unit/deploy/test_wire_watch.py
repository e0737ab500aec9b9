"""Proofs that come late, come broken, or come to nothing; and trips that outlive the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netaddr import IPAddress

from wizard.deploy import runtime_state
from wizard.deploy.guard import proof, wire_watch
from wizard.deploy.guard.address_defence import QUIET_S, AddressDefence
from wizard.deploy.guard.link_listener import nodes_by_mac
from wizard.deploy.guard.preconditions import GuardVerdict
from wizard.deploy.guard.wire_watch import PROBE_EVERY_S, PROOF_VALID_S, WireWatch
from wizard.host.dhcp.cabling import CablingPattern, CablingProbe
from wizard.host.dhcp.probe import Cause, DhcpServerSeen, ProbeOutcome, ProbeResult
from wizard.host.net import rtnetlink
from wizard.host.net.link import LinkState
from wizard.plan import paths
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.model import Interfaces

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
SERVER = DhcpServerSeen("10.77.0.1", "10.77.0.1", "00:aa:00:00:00:01", "10.77.0.50", 0.1)
HEARD = ProbeResult("eth0", ProbeOutcome.ANSWER, 0.1, (SERVER,))
SILENT = ProbeResult("eth1", ProbeOutcome.SILENCE, 12.0)
AS_IT_SHOULD_BE = CablingProbe(HEARD, SILENT, False, CablingPattern.AS_IT_SHOULD_BE)
SWAPPED = CablingProbe(
    ProbeResult("eth0", ProbeOutcome.SILENCE, 12.0),
    ProbeResult("eth1", ProbeOutcome.ANSWER, 0.1, (SERVER,)),
    False,
    CablingPattern.SWAPPED,
)
COULD_NOT = CablingProbe(HEARD, ProbeResult("eth1", ProbeOutcome.UNKNOWN, 1.0), None, CablingPattern.COULD_NOT_TELL)


class FakeListener:
    """A link listener whose `poll` returns what a test puts into `heard`."""

    def __init__(self, *args: Any) -> None:
        self.nodes = args[3] if args else {}
        self.gateway = args[4].packed if args else b""
        self.heard = ("", "")
        self.others: list[LinkState] = list(args[1]) if args else []
        self.node_heard = self.may_defend = self.same_gateway_heard = False
        self.address = AddressDefence()

    def is_behind(self, *_: LinkState) -> bool:
        return True

    def follow(self, others: list[LinkState]) -> None:
        self.others = others

    def send_mark(self) -> None:
        return

    def probe_nodes(self, _sender: bytes) -> None:
        return

    def probe_addresses(self) -> None:
        return

    def address_conflict_is_over(self) -> bool:
        return self.address.is_over(time.monotonic())

    def address_conflicts(self) -> list[tuple[bytes, bytes, bytes]]:
        return []

    def poll(self) -> tuple[str, str]:
        return self.heard

    def close(self) -> None:
        return


class World:
    """Two NICs with cables, a clock, and the reports that the probes return."""

    def __init__(self) -> None:
        self.links = {
            name: LinkState(index, name, bytes((2, 0, 0, 0, 0, index)), True, True, True, False, 3, 0, 0)
            for index, name in ((2, "eth0"), (3, "eth1"))
        }
        self.now = 1000.0
        self.both: Callable[[threading.Event], CablingProbe] = lambda _stop: AS_IT_SHOULD_BE
        self.again: Callable[[threading.Event], ProbeResult] = lambda _stop: SILENT
        self.probes = 0
        self.woken = threading.Event()
        self.watch = WireWatch(self.woken.set)

    @property
    def listener(self) -> FakeListener:
        """The listener that the watch uses now."""
        listener: object = self.watch.listener
        assert isinstance(listener, FakeListener)
        return listener

    def flap(self, nic: str) -> None:
        self.links[nic] = replace(self.links[nic], carrier_changes=self.links[nic].carrier_changes + 2)

    def evaluate(self) -> GuardVerdict:
        return self.watch.evaluate(corporate_has_lease=True)

    def settled(self) -> GuardVerdict:
        """The verdict once the probe under way has ended."""
        self.evaluate()
        if self.watch.probe_thread is not None:
            self.watch.probe_thread.join(5)
        return self.evaluate()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    monkeypatch.setattr(paths, "RUN", str(tmp_path))
    monkeypatch.setattr(paths, "LIVE", str(tmp_path / "live"))
    there = World()
    for module in (proof, wire_watch):
        monkeypatch.setattr(module, "read_link", there.links.get)
    monkeypatch.setattr(
        wire_watch,
        "ethernet_links",
        lambda names: [link for name, link in there.links.items() if name in names and link.ethernet],
    )
    monkeypatch.setattr(wire_watch, "LinkListener", FakeListener)
    monkeypatch.setattr(wire_watch, "desktop_notice", lambda *_: 0)
    monkeypatch.setattr(runtime_state, "boottime", lambda: there.now)
    monkeypatch.setattr(time, "monotonic", lambda: there.now)

    def look(*_: object, stop: threading.Event, **__: Any) -> CablingProbe:
        there.probes += 1
        return there.both(stop)

    def probe(*_: object, stop: threading.Event, **__: Any) -> ProbeResult:
        there.probes += 1
        return there.again(stop)

    there.watch.servers_here.find_other = lambda *_: ""  # type: ignore[method-assign]
    monkeypatch.setattr(proof, "probe_both_wires", look)
    monkeypatch.setattr(wire_watch, "probe", probe)
    there.watch.reload(PLAN)
    yield there
    there.watch.end()


def test_nothing_is_served_before_the_wire_has_been_asked(world: World) -> None:
    first = world.evaluate()
    assert (first.ok, first.code) == (False, "unproven")
    assert world.settled().ok
    assert world.woken.is_set()


def test_a_server_on_the_cluster_wire_trips_in_its_own_words(world: World) -> None:
    world.both = lambda _stop: SWAPPED
    verdict = world.settled()
    assert verdict.tripped
    assert "10.77.0.1" in verdict.reason


NOTHING = ProbeResult("eth0", ProbeOutcome.SILENCE, 12.0)
WITHOUT_DHCP = CablingProbe(NOTHING, SILENT, False, CablingPattern.CORPORATE_WITHOUT_DHCP)
UNPLUGGED = CablingProbe(
    ProbeResult("eth0", ProbeOutcome.UNKNOWN, 0.0, cause=Cause.NO_CARRIER), SILENT, None, CablingPattern.NO_CARRIER
)


@pytest.fixture
def kept(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(paths, "STATE", str(tmp_path / "state"))


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("later", [WITHOUT_DHCP, UNPLUGGED], ids=["silent", "unplugged"])
def test_a_corporate_wire_that_once_answered_has_to_answer_again_or_a_node_to_be_heard(
    world: World, later: CablingProbe
) -> None:
    """Its silence may be that of the cluster's switch, where its cable is by now."""
    assert world.settled().ok
    world.flap("eth0")
    world.flap("eth1")
    world.both = lambda _stop: later
    verdict = world.settled()
    assert (verdict.ok, verdict.tripped, verdict.code) == (False, False, "unproven")
    assert "nodes" in world.evaluate().reason
    world.listener.node_heard = True
    world.now += 10
    assert world.settled().ok


@pytest.mark.usefixtures("kept")
def test_a_node_that_was_heard_over_another_cable_is_no_proof_for_this_one(world: World) -> None:
    world.both = lambda _stop: UNPLUGGED
    world.evaluate()
    world.listener.node_heard = True
    world.flap("eth1")
    assert not world.settled().ok


@pytest.mark.usefixtures("kept")
def test_a_corporate_wire_that_never_had_a_server_needs_none(world: World) -> None:
    world.both = lambda _stop: WITHOUT_DHCP
    assert world.settled().ok


def test_could_not_tell_is_not_silence_and_is_asked_again_after_a_while(world: World) -> None:
    world.both = lambda _stop: COULD_NOT
    verdict = world.settled()
    assert (verdict.ok, verdict.tripped, verdict.code) == (False, False, "unproven")
    assert "Could not tell" in verdict.reason
    world.settled()
    assert world.probes == 1
    world.now += 6
    world.both = lambda _stop: AS_IT_SHOULD_BE
    assert world.settled().ok


@pytest.mark.parametrize("nic", ["eth0", "eth1"])
def test_after_a_failure_a_cable_that_is_touched_is_asked_at_once(world: World, nic: str) -> None:
    world.both = lambda _stop: COULD_NOT
    assert not world.settled().ok
    world.both = lambda _stop: AS_IT_SHOULD_BE
    world.flap(nic)
    assert world.settled().ok
    assert world.probes == 2


def test_a_silence_from_before_the_cable_was_moved_proves_nothing(world: World) -> None:
    def moved(_stop: threading.Event) -> CablingProbe:
        world.flap("eth1")
        return AS_IT_SHOULD_BE

    world.both = moved
    verdict = world.settled()
    assert not verdict.ok
    assert not proof.holds("eth1")


def test_an_asking_that_was_overtaken_is_ended_and_asked_anew(world: World) -> None:
    begun = threading.Event()

    def patient(stop: threading.Event) -> CablingProbe:
        begun.set()
        assert stop.wait(5)
        return COULD_NOT

    world.both = patient
    world.evaluate()
    assert begun.wait(5)
    world.flap("eth1")
    world.evaluate()
    world.both = lambda _stop: AS_IT_SHOULD_BE
    assert world.watch.probe_thread is not None
    world.watch.probe_thread.join(5)
    assert not world.evaluate().ok
    assert world.settled().ok


@pytest.mark.parametrize("error", [OSError("no buffers"), WizardError("not allowed"), RuntimeError("a bug")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_asking_that_breaks_off_is_no_silence(world: World, error: Exception) -> None:
    def broken(_stop: threading.Event) -> CablingProbe:
        raise error

    world.both = broken
    verdict = world.settled()
    assert (verdict.ok, verdict.code) == (False, "unproven")
    assert "could not be asked" in verdict.reason
    world.both = lambda _stop: AS_IT_SHOULD_BE
    world.now += 6
    assert world.settled().ok


def test_it_is_asked_again_every_so_often_and_goes_on_meanwhile(world: World) -> None:
    assert world.settled().ok
    world.now += PROBE_EVERY_S + 1
    assert world.settled().ok
    assert world.probes == 2
    assert world.settled().ok
    assert world.probes == 2
    world.now += PROBE_EVERY_S + 1
    world.again = lambda _stop: ProbeResult("eth1", ProbeOutcome.ANSWER, 0.1, (SERVER,))
    verdict = world.settled()
    assert verdict.tripped
    assert "10.77.0.1" in verdict.reason


def test_a_wire_that_cannot_be_asked_any_longer_is_not_served_for_ever(world: World) -> None:
    assert world.settled().ok
    world.again = lambda _stop: ProbeResult(
        "eth1", ProbeOutcome.UNKNOWN, 12.0, cause=Cause.NOT_HEARD, reason="frames were lost"
    )
    world.both = lambda _stop: COULD_NOT
    begun = world.now
    while world.settled().ok:
        assert world.now - begun < PROOF_VALID_S + 10
        world.now += 30
    assert world.now - begun > PROBE_EVERY_S * 2


def test_what_is_heard_trips_at_once(world: World) -> None:
    assert world.settled().ok
    world.listener.heard = ("foreign-dhcp", "10.9.0.1 (02:aa:bb:cc:dd:01) answered a client there")
    verdict = world.evaluate()
    assert (verdict.tripped, verdict.code) == (True, "foreign-dhcp")
    assert "eth1" in verdict.reason


def test_while_another_machine_has_the_gateways_address_nothing_is_served(world: World) -> None:
    assert world.settled().ok
    listener = world.listener
    listener.address.note_claim("00:1b:21:00:00:66", world.now, may_defend=True)
    assert world.evaluate().ok
    listener.address.note_claim("00:1b:21:00:00:66", world.now + 2, may_defend=True)
    verdict = world.evaluate()
    assert (verdict.ok, verdict.code, verdict.tripped) == (False, "address-conflict", False)
    assert "00:1b:21:00:00:66, Intel Corporate" in verdict.reason
    assert world.watch.conflicts() == [{"ip": "192.168.0.200", "mac": "00:1b:21:00:00:66", "name": "gateway"}]
    world.now += QUIET_S + 3
    assert world.settled().ok
    assert world.watch.conflicts() == []


def test_another_machine_with_the_address_is_no_danger_and_may_go_by_itself(world: World) -> None:
    taken = replace(SILENT, verdict=ProbeOutcome.UNKNOWN, cause=Cause.ADDRESS_TAKEN, reason="it is another machine's")
    world.both = lambda _stop: CablingProbe(HEARD, taken, False, CablingPattern.ADDRESS_TAKEN)
    verdict = world.settled()
    assert (verdict.ok, verdict.tripped) == (False, False)
    assert "the gateway's address is taken" in verdict.reason
    world.both = lambda _stop: AS_IT_SHOULD_BE
    world.now += 6
    assert world.settled().ok


def test_a_gateway_that_was_there_first_is_left_the_address_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[tuple[str, ...]] = []
    monkeypatch.setattr(rtnetlink, "delete_address", lambda *what: left.append(what))
    other = replace(SILENT, verdict=ProbeOutcome.UNKNOWN, cause=Cause.ANOTHER_GATEWAY, holder="00:1b:21:00:00:66")
    world.both = lambda _stop: CablingProbe(HEARD, other, False, CablingPattern.ANOTHER_GATEWAY)
    verdict = world.settled()
    assert (verdict.code, verdict.tripped) == ("another-gateway", True)
    world.watch.trip(verdict)
    assert left == [("eth1", "192.168.0.200/24")]
    later = WireWatch(lambda: None)
    later.reload(PLAN)
    assert later.tripped() == verdict
    assert len(left) == 2, "a boot has raised it again"
    monkeypatch.setattr(runtime_state, "running_engine", lambda: {"kind": "apply"})
    assert later.tripped() == verdict
    assert len(left) == 2, "an apply raises it by right"


@pytest.mark.parametrize(("proven", "code"), [(False, "another-gateway"), (True, "foreign-dhcp")])
def test_a_twin_that_was_there_first_is_told_from_one_that_comes(world: World, proven: bool, code: str) -> None:
    if proven:
        assert world.settled().ok
    else:
        world.evaluate()
    listener = world.listener
    listener.heard, listener.same_gateway_heard = (
        ("foreign-dhcp", "192.168.0.200 (00:1b:21:00:00:66) answered a client there"),
        True,
    )
    assert world.evaluate().code == code


def test_a_router_trips_when_it_is_met_and_when_it_is_met_later(world: World) -> None:
    router = replace(
        SILENT, verdict=ProbeOutcome.UNKNOWN, cause=Cause.ROUTER, reason="the IPv6 router fe80::1 is there"
    )
    world.both = lambda _stop: CablingProbe(HEARD, router, False, CablingPattern.ROUTER_ON_CLUSTER_WIRE)
    verdict = world.settled()
    assert (verdict.tripped, verdict.code) == (True, "foreign-router")
    world.both = lambda _stop: AS_IT_SHOULD_BE
    world.now += 6
    assert world.settled().ok
    world.now += PROBE_EVERY_S + 1
    world.again = lambda _stop: router
    verdict = world.settled()
    assert (verdict.tripped, verdict.code) == (True, "foreign-router")
    assert "fe80::1" in verdict.reason


def test_another_server_on_this_machine_mutes_with_its_name(world: World) -> None:
    assert world.settled().ok
    world.watch.servers_here.find_other = lambda *_: "dhcpd (process 77)"  # type: ignore[method-assign]
    verdict = world.evaluate()
    assert (verdict.ok, verdict.code, verdict.tripped) == (False, "second-server", False)
    assert "dhcpd (process 77)" in verdict.reason


def test_without_a_listener_nothing_is_served(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.settled().ok
    monkeypatch.setattr(FakeListener, "poll", lambda _self: (_ for _ in ()).throw(OSError("the NIC is gone")))
    assert world.evaluate().code == "deaf"
    monkeypatch.undo()


def trip(world: World) -> None:
    world.watch.trip(GuardVerdict(False, "foreign-dhcp", "somebody else answers", tripped=True))


def test_a_trip_outlives_the_process_and_no_old_proof_ends_it(world: World) -> None:
    assert world.settled().ok
    world.now += 1
    trip(world)
    world.now += 1
    later = WireWatch(lambda: None)
    later.reload(PLAN)
    assert later.tripped() == GuardVerdict(False, "foreign-dhcp", "somebody else answers", tripped=True)


def test_an_answer_that_was_under_way_when_it_tripped_does_not_end_the_trip(world: World) -> None:
    assert world.settled().ok
    go = threading.Event()

    def late(_stop: threading.Event) -> ProbeResult:
        assert go.wait(5)
        return SILENT

    world.again = late
    world.now += PROBE_EVERY_S + 1
    world.evaluate()
    asking = world.watch.probe_thread
    assert asking is not None
    trip(world)
    world.now += 1
    go.set()
    asking.join(5)
    world.watch.reload(PLAN)
    assert world.watch.tripped() is not None
    assert not proof.holds("eth1")


def test_only_a_proof_that_is_newer_and_still_holds_ends_it(world: World) -> None:
    trip(world)
    world.now += 1
    seen = proof.read_stamp("eth1")
    assert seen is not None
    proof.write(seen)
    world.flap("eth1")
    world.watch.reload(PLAN)
    assert world.watch.tripped() is not None
    seen = proof.read_stamp("eth1")
    assert seen is not None
    proof.write(seen)
    world.watch.reload(PLAN)
    assert world.watch.tripped() is None
    assert world.settled().ok


def test_a_trip_outlives_a_reboot_until_a_fresh_proof(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "state"
    kept.mkdir()
    monkeypatch.setattr(paths, "STATE", str(kept))
    trip(world)
    monkeypatch.setattr(paths, "RUN", str(tmp_path / "the next run"))
    monkeypatch.setattr(paths, "LIVE", str(tmp_path / "the next run" / "live"))
    monkeypatch.setattr("wizard.deploy.guard.trip_record.boot_id", lambda: "the next boot")
    later = WireWatch(lambda: None)
    later.reload(PLAN)
    assert later.tripped() == GuardVerdict(False, "foreign-dhcp", "somebody else answers", tripped=True)
    seen = proof.read_stamp("eth1")
    assert seen is not None
    proof.write(seen)
    later.reload(PLAN)
    assert later.tripped() is None
    assert not list(kept.iterdir())


def test_a_trip_that_cannot_be_written_down_is_one_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise WizardError("no space left")

    monkeypatch.setattr("wizard.deploy.guard.trip_record.write_atomic", full)
    with pytest.raises(WizardError):
        trip(world)
    assert world.watch.tripped() is not None


def test_what_was_asked_for_other_nics_is_forgotten(world: World) -> None:
    def answers(stop: threading.Event) -> CablingProbe:
        assert stop.wait(5)
        return SWAPPED

    world.both = answers
    world.evaluate()
    old = world.watch.probe_thread
    assert old is not None
    world.both = lambda _stop: AS_IT_SHOULD_BE
    world.watch.reload(replace(PLAN, interfaces=Interfaces(corporate="eth1", cluster="eth0")))
    old.join(5)
    assert world.settled().ok


def test_the_listener_knows_the_nodes_of_the_plan_that_was_loaded_last(world: World) -> None:
    world.both = lambda _stop: UNPLUGGED
    world.watch.evaluate(corporate_has_lease=False)
    first = world.watch.listener
    assert first is not None
    assert first.nodes == nodes_by_mac(PLAN)
    first.node_heard = True
    other = replace(PLAN, nodes=PLAN.nodes[:1])
    world.watch.reload(other)
    world.watch.evaluate(corporate_has_lease=False)
    assert world.watch.listener is not None
    assert world.watch.listener.nodes == nodes_by_mac(other)
    assert not world.watch.listener.node_heard
    world.watch.reload(other)
    same = world.watch.listener
    world.watch.evaluate(corporate_has_lease=False)
    assert world.watch.listener is same


def test_the_address_of_a_trial_is_ours_before_its_plan_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = wire_watch.OwnGateways()
    ours.add(IPAddress("192.168.0.200"))
    monkeypatch.setattr(paths, "LIVE_INTERFACES", str(tmp_path / "interfaces"))
    assert IPAddress("192.168.0.200") in ours
    assert IPAddress("192.168.0.201") not in ours
    (tmp_path / "interfaces").write_text("iface eth1 inet static\n    address 192.168.0.201/24\n")
    assert IPAddress("192.168.0.201") in ours


AUTO = replace(PLAN, interfaces=Interfaces("auto", "eth1"))
WITHOUT_WIRE = CablingProbe(
    ProbeResult("ppp0", ProbeOutcome.UNKNOWN, 0.0, cause=Cause.NOT_ETHERNET),
    SILENT,
    None,
    CablingPattern.COULD_NOT_TELL,
)


def test_the_corporate_wire_moves_and_the_cluster_wire_is_the_same_one(world: World) -> None:
    world.watch.reload(AUTO)
    world.watch.follow("eth0", ())
    assert world.settled().ok
    listener, probes = world.listener, world.probes
    assert listener.others == [world.links["eth0"]]
    world.links["wlan0"] = replace(world.links["eth0"], index=5, name="wlan0")
    for nic in ("wlan0", "", "eth0"):
        world.watch.follow(nic, ())
        assert world.settled().ok
        assert world.listener is listener
        assert listener.others == [link for name, link in world.links.items() if name == nic]
    assert world.probes == probes


def test_a_tunnel_is_not_listened_to(world: World) -> None:
    world.links["ppp0"] = replace(world.links["eth0"], index=6, name="ppp0", mac=b"", ethernet=False)
    world.watch.reload(AUTO)
    world.watch.follow("ppp0", ())
    world.settled()
    assert world.listener.others == []


def test_whichever_way_packets_leave_the_other_wires_are_listened_to(world: World) -> None:
    """The way out is a VPN or Wi-Fi now; the office's cable is in, and may be the cluster's switch's too."""
    world.links["ppp0"] = replace(world.links["eth0"], index=6, name="ppp0", mac=b"", ethernet=False)
    world.watch.reload(AUTO)
    world.watch.follow("ppp0", ("eth0",))
    world.settled()
    assert world.listener.others == [world.links["eth0"]]


def test_beside_a_tunnel_a_node_has_to_be_heard(world: World) -> None:
    world.both = lambda _stop: WITHOUT_WIRE
    world.links["ppp0"] = replace(world.links["eth0"], index=6, name="ppp0", mac=b"", ethernet=False)
    world.watch.reload(AUTO)
    world.watch.follow("ppp0", ())
    assert world.settled().code == "unproven"
    world.listener.node_heard = True
    world.now += 60
    assert world.settled().ok
