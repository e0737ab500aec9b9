"""A monitor that is kept while somebody looks on, and what it can do in dnsmasq's own words."""

import socket
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.monitor.fakes import CNCI, COMPUTE, CONTROLLER, STRANGER, World
from wizard.host.dhcp.release import build_release, release
from wizard.monitor.lease_monitor import MonitorSources
from wizard.monitor.lease_view import LeaseQuery
from wizard.monitor.lease_watch import LeaseWatch
from wizard.plan.draft.adopt import adopt, propose_adoption
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.lease_parser import parse_leases

HOME = "192.168.0.101"
EXAMPLE = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def watch_of(world: World) -> LeaseWatch:
    sources: MonitorSources = world.monitor.sources
    return LeaseWatch(sources)


def test_a_look_shows_all_and_the_next_one_what_happened(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    watch = watch_of(world)
    first = watch.poll(LeaseQuery())
    assert (first.applied, len(first.rows), first.events) == (True, 2, ())
    assert (first.counts["node"], first.counts["node leased"], first.counts["vm"]) == (2, 1, 0)
    world.leases((CONTROLLER, HOME), (CNCI, "192.168.0.65"))
    second = watch.poll(LeaseQuery("plan", False, "vm"))
    assert [row.mac for row in second.rows] == [CNCI]
    assert [(event.kind, event.mac) for event in second.events] == [("came", CNCI)]
    # What was told before stays.
    assert watch.poll(LeaseQuery()).events == second.events
    watch.close()


def test_when_it_was_seen_last_moves_on_in_the_rows_too(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    world.wire.there[HOME] = [CONTROLLER]
    watch = watch_of(world)
    seen = []
    for _ in range(100):
        world.clock += 0.25
        world.now = world.now.fromtimestamp(world.now.timestamp() + 0.25, world.now.tzinfo)
        seen.append(watch.poll(LeaseQuery()).rows[0].last_seen)
    assert seen[-1] is not None
    assert (world.now - seen[-1]).total_seconds() < 8
    assert len(set(seen)) > 2


def test_nothing_applied_any_more_leaves_no_rows(world: World) -> None:
    world.leases((CONTROLLER, HOME))
    watch = watch_of(world)
    watch.poll(LeaseQuery())
    world.plan = None
    board = watch.poll(LeaseQuery())
    assert (board.applied, len(board.rows), +board.counts) == (False, 0, {})


def test_two_that_are_renewed_far_apart_are_two(world: World) -> None:
    """The leases between them are read again, and yet nothing is made of them."""
    macs = [f"02:22:00:00:{n >> 8:02x}:{n & 255:02x}" for n in range(2000)]
    ends = [2_000_000_000] * 2000

    def write() -> None:
        lines = (
            f"{end} {mac} 10.0.{n >> 8}.{n & 255} * *" for n, (end, mac) in enumerate(zip(ends, macs, strict=True))
        )
        world.leases(*lines)

    write()
    world.monitor.poll()
    world.wait(1)
    ends[3] += 7
    ends[1990] += 7
    write()
    touched: set[str] = set()
    apply_leases = world.monitor.apply_leases

    def noted(removed: Any, added: Any, now: Any) -> set[str]:
        touched.update(lease.mac for lease in (*removed, *added))
        return apply_leases(removed, added, now)

    world.monitor.apply_leases = noted  # type: ignore[method-assign]
    world.monitor.poll()
    assert touched == {macs[3], macs[1990]}
    assert world.row(macs[3]).expires == datetime.fromtimestamp(2_000_000_007, UTC)
    assert world.monitor.leases == parse_leases(world.lease_path.read_text())[0]


# Adopting


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("nuc-05", "nuc-05"),
        ("NUC-05.corp.example", "nuc-05"),
        ("compute1", "compute3"),
        ("", "compute3"),
        ("../../etc/passwd", "compute3"),
        ("a\x1b]0;b", "compute3"),
        ("x" * 300, "compute3"),
    ],
)
def test_what_is_offered_can_be_taken_as_it_is(hostname: str, name: str) -> None:
    found = propose_adoption(EXAMPLE, STRANGER, hostname)
    assert (found.name, found.role) == (name, "compute")
    plan = load_plan(adopt(EXAMPLE, found.mac, found.name, found.role, found.ip), "x")
    assert (plan.nodes[-1].name, str(plan.nodes[-1].ip)) == (name, found.ip)
    assert found.ip not in {str(node.ip) for node in load_plan(EXAMPLE, "x").nodes}


def test_a_full_subnet_offers_nothing() -> None:
    small = EXAMPLE.replace('"192.168.0.0/24"', '"192.168.0.96/28"')
    if small == EXAMPLE:
        pytest.fail("the example has another subnet by now")
    full = ""
    for number in range(40):
        try:
            found = propose_adoption(small, f"00:16:3e:00:00:{number:02x}")
        except WizardError as error:
            full = error.message
            break
        small = adopt(small, found.mac, found.name, found.role, found.ip)
    assert "no address is left" in full


# Releasing


def test_a_release_is_what_the_machine_itself_would_send() -> None:
    sent = build_release(COMPUTE, "192.168.0.104", "192.168.0.200")
    op, kind, length, hops = sent[:4]
    assert (op, kind, length, hops) == (1, 1, 6, 0)
    assert sent[12:16] == socket.inet_aton("192.168.0.104")
    assert sent[28:44] == bytes.fromhex(COMPUTE.replace(":", "")).ljust(16, b"\0")
    assert struct.unpack("!I", sent[236:240])[0] == 0x63825363
    assert sent[240:] == b"\x35\x01\x07\x36\x04" + socket.inet_aton("192.168.0.200") + b"\xff"


@pytest.mark.parametrize("mac", ["06-02:11:22:33:44:55", "02:11:22:33:44:55:66:77", "02:11", "zz:11:22:33:44:55"])
def test_a_lease_of_other_hardware_cannot_be_released(mac: str) -> None:
    with pytest.raises(WizardError, match="cannot be released") as refused:
        build_release(mac, "192.168.0.104", "192.168.0.200")
    assert mac in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize("nic", ["nonesuch0", "a b", "../eth0", ""])
def test_a_nic_that_is_none_is_said(nic: str) -> None:
    with pytest.raises(WizardError):
        release(nic, "127.0.0.1", COMPUTE, "127.0.0.2")
