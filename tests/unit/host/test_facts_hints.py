"""Vendors and neighbours: hints, which never stop anything."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wizard.host import commands
from wizard.host.facts.vendors import vendor_of
from wizard.host.net.neighbours import Neighbour, read_neighbours


@pytest.mark.parametrize(
    ("mac", "vendor"),
    [
        ("b8:ae:ed:7b:51:50", "Elitegroup Computer Systems Co.,Ltd."),
        ("B8:AE:ED:7B:51:50", "Elitegroup Computer Systems Co.,Ltd."),
        ("02:11:22:33:44:55", ""),
        # Registered long ago, and yet as good as any made-up one.
        ("02:60:8c:33:44:55", ""),
        ("00:00:00:00:00:00", ""),
        ("ff:ff:ff:ff:ff:ff", ""),
        ("01:00:5e:00:00:01", ""),
        ("70:b3:d5:00:10:00", ""),
        ("", ""),
        ("nonsense", ""),
        ("b8:ae:ed:7b:51:50\n", ""),
        ("06-b8:ae:ed:7b:51:50", ""),
    ],
)
def test_vendors_by_prefix(mac: str, vendor: str) -> None:
    assert vendor_of(mac) == vendor


@given(st.text() | st.integers(0, (1 << 48) - 1).map(lambda n: ":".join(f"{b:02x}" for b in n.to_bytes(6, "big"))))
def test_no_text_makes_the_look_up_stumble(mac: str) -> None:
    assert vendor_of(mac).isprintable()


IP_OUTPUT = """[
{"dst":"192.168.0.101","lladdr":"B8:ae:ed:7b:51:50","state":["REACHABLE"]},
{"dst":"192.168.0.104","lladdr":"c0:3f:d5:63:ea:dd","state":["STALE"]},
{"dst":"192.168.0.9","state":["FAILED"]},
{"dst":"192.168.0.8","state":["INCOMPLETE"]},
{"dst":"fe80::1","lladdr":"02:00:00:00:00:05","router":null,"state":["DELAY"]},
{}
]"""


def test_neighbours_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: IP_OUTPUT)

    found = read_neighbours("eth1")

    assert found["192.168.0.101"] == Neighbour("b8:ae:ed:7b:51:50", "reachable")
    assert {ip: seen.reachable for ip, seen in found.items()} == {
        "192.168.0.101": True,
        "192.168.0.104": None,
        "192.168.0.9": False,
        "192.168.0.8": None,
        "fe80::1": None,
    }


@pytest.mark.parametrize("text", ["", "[]", "nonsense"])
def test_no_neighbours(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: text)

    assert read_neighbours("eth1") == {}


def test_a_hostile_name_is_never_handed_to_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*argv: str, **_: Any) -> str:
        raise AssertionError(argv)

    monkeypatch.setattr(commands, "run", run)

    assert read_neighbours("-h") == read_neighbours("a;b") == {}


def test_a_nic_that_is_not_there() -> None:
    assert read_neighbours("nosuchnic0") == {}
