"""The gateway and its crowd between two looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from netaddr import IPNetwork

from wizard.deploy.status import Status
from wizard.monitor import overview
from wizard.monitor.lease_rows import LeaseRow
from wizard.monitor.node_summary import MAX_NAMED, summarize_nodes
from wizard.monitor.overview import Overview, RowReader, address_and_router, events_between
from wizard.plan.checks import FAILED, OK, UNSEEN, Check
from wizard.plan.machine import Address, Nic, Route

AT = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
FINE = Status("applied", True, "/etc/ciao-wizard/gateway.toml", None, (Check("rules", OK, "as rendered"),), ())


def row(number: int, **more: Any) -> LeaseRow:
    values: dict[str, Any] = {
        "mac": f"b8:ae:ed:00:{number // 256:02x}:{number % 256:02x}",
        "ip": f"192.168.0.{number % 250}",
        "hostname": "",
        "name": f"node{number}",
        "role": "compute",
        "expires": None,
        "kind": "node",
        "state": "leased",
        "reachable": True,
        "vendor": "",
        "reason": "",
    }
    return LeaseRow(**{**values, **more})


def test_of_the_first_look_there_is_no_news() -> None:
    assert events_between(None, Overview(AT, FINE, rows=(row(1),))) == ()


def test_news_of_machines_and_of_the_gateway() -> None:
    broken = replace(FINE, checks=(Check("rules", FAILED, "not loaded"),), drift=("nat.sh was changed",))
    before = Overview(AT, FINE, rows=(row(1), row(2)))
    after = Overview(AT, broken, rows=(row(1, reachable=False), row(2), row(3, kind="vm", name="", hostname="cnci")))
    events = [(event.kind, event.name, event.words) for event in events_between(before, after)]
    assert ("failed", "rules", "not loaded") in events
    assert ("drift", "", "nat.sh was changed") in events
    assert ("left", "node1", "answers at 192.168.0.1 no longer") in events
    assert ("came", "cnci", "came and has 192.168.0.3") in events
    assert len(events) == 4
    assert [event.kind for event in events_between(after, replace_rows(before))] == ["mended", "came", "left"]


def replace_rows(seen: Overview) -> Overview:
    return Overview(seen.at, seen.status, seen.plan, seen.rows)


def test_a_trip_is_news() -> None:
    tripped = replace(FINE, state="tripped", reason="a foreign server answers")
    (event,) = events_between(Overview(AT, FINE), Overview(AT, tripped))
    assert (event.name, event.words) == ("gateway", "stopped: a foreign server answers")


def test_a_check_that_could_not_be_made_is_no_news() -> None:
    blind = replace(FINE, checks=(Check("rules", UNSEEN, "needs root to see"),))
    assert events_between(Overview(AT, FINE), Overview(AT, blind)) == ()
    assert events_between(Overview(AT, blind), Overview(AT, FINE)) == ()


def test_a_node_counts_once_and_its_alarm_counts() -> None:
    crowd = summarize_nodes(
        (
            row(1, role="controller"),
            row(2, reachable=None),
            row(3, reachable=False),
            row(4, state="missing", reachable=None),
            row(5),
            row(5, state="wrong-address", reason="a second lease", alarms=("one-mac",)),
            row(6, kind="vm", name="", reachable=False),
            row(7, kind="vm", name="", ip=""),
            row(8, kind="stranger", name="", state="ignored"),
        )
    )
    assert (crowd.count, crowd.here, crowd.troubled) == (5, 2, 3)
    assert crowd.roles == (("controller", 1, 1), ("compute", 1, 4))
    assert [(machine.name, machine.state, machine.note) for machine in crowd.trouble] == [
        ("node5", "wrong", "cloned"),
        ("node3", "unseen", "silent"),
        ("node4", "unseen", "missing"),
    ]
    assert (len(crowd.vms), crowd.vms_here) == (1, 0)


def test_a_node_that_answers_without_a_lease_is_there() -> None:
    crowd = summarize_nodes((row(1, state="static", reachable=True),))
    assert (crowd.here, crowd.troubled, crowd.first[0].note) == (1, 0, "no lease")


def test_no_more_are_named_than_a_screen_has_room_for() -> None:
    crowd = summarize_nodes(row(number, reachable=number % 2 == 0) for number in range(1000))
    assert (len(crowd.first), len(crowd.trouble), crowd.troubled) == (MAX_NAMED, MAX_NAMED, 500)


def test_the_corporate_side_is_that_of_the_plans_nic() -> None:
    eth0 = Nic("eth0", 2, "ethernet", addresses=(Address(IPNetwork("10.77.0.98/24")),))
    routes = (Route(IPNetwork("0.0.0.0/0"), "tun0", "10.8.0.1"), Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1"))
    assert address_and_router("eth0", [eth0], routes) == ("10.77.0.98", "10.77.0.1")
    assert address_and_router("eth7", [eth0], routes) == ("", "")
    # Nowhere to go now.
    assert address_and_router("", [eth0], routes) == ("", "")
    ppp = Nic("ppp0", 8, "tunnel", addresses=(Address(IPNetwork("100.64.0.7/32")),))
    ways = [Route(IPNetwork("0.0.0.0/0"), "ppp0")]
    assert address_and_router("ppp0", [ppp], ways) == ("100.64.0.7", "point-to-point")


def test_the_rows_are_watched_by_one_monitor_until_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        made: ClassVar[list[Counting]] = []

        def __init__(self) -> None:
            self.looks = 0
            self.closed = False
            self.made.append(self)

        @property
        def rows(self) -> tuple[LeaseRow, ...]:
            return (row(self.looks),)

        def poll(self) -> None:
            assert not self.closed
            self.looks += 1

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(overview, "LeaseMonitor", Counting)
    monkeypatch.setattr(overview, "ANSWERS_WITHIN_S", 0)
    watch = RowReader()
    assert watch.rows()[0].name == "node2"
    assert watch.rows()[0].name == "node4"
    # Answers from long ago are none from now.
    monkeypatch.setattr(overview, "RESTART_AFTER_S", -1)
    assert watch.rows()[0].name == "node2"
    assert [each.closed for each in Counting.made] == [True, False]
