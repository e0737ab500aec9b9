"""Who asks for an address, byte by byte; and the ear that runs as a program of its own."""

from __future__ import annotations

import json
import sys
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wizard.host.dhcp.discovery import DiscoveredMachine, machines_from_json, parse_machine
from wizard.host.dhcp.packet import build_discover, parse_request
from wizard.host.net.frames import arp_request
from wizard.plan.findings import WizardError
from wizard.services.host_listening import listen_by

MAC = bytes.fromhex("c03fd567a201")
DISCOVER = build_discover(MAC, 7, 0, "nuc-05")
OPTIONS_AT = 14 + 20 + 8 + 240


def with_options(options: bytes) -> bytes:
    return DISCOVER[:OPTIONS_AT] + options.ljust(len(DISCOVER) - OPTIONS_AT, b"\0")


def test_a_discover_says_who_asks() -> None:
    assert parse_machine(DISCOVER) == DiscoveredMachine("c0:3f:d5:67:a2:01", "nuc-05")


def test_a_request_says_what_it_would_like_and_which_firmware_asks() -> None:
    options = b"\x35\x01\x03" + b"\x32\x04\xc0\xa8\x00\x68" + b"\x3c\x09PXEClient" + b"\xff"
    asked = parse_request(with_options(options))
    assert asked is not None
    assert (asked.kind, asked.wanted_ip, asked.vendor_class) == ("request", "192.168.0.104", "PXEClient")


@pytest.mark.parametrize(
    "options",
    [b"\x35\x01\x02\xff", b"\x35\x01\x07\xff", b"\x35\x02\x01\x01\xff", b"\xff", b"\x0c\xff"],
    ids=["an offer", "a release", "a type of two bytes", "nothing", "cut short"],
)
def test_what_asks_for_nothing_is_passed_over(options: bytes) -> None:
    assert parse_machine(with_options(options)) is None


def test_a_tagged_frame_and_a_group_of_machines_are_passed_over() -> None:
    tagged = DISCOVER[:12] + bytes.fromhex("81000064") + DISCOVER[12:]
    assert parse_machine(tagged) is None
    assert parse_machine(build_discover(b"\x01\0\x5e\0\0\1", 7, 0)) is None
    assert parse_machine(build_discover(bytes(6), 7, 0)) is None


def test_a_probe_that_asks_for_a_machine_is_not_that_machine() -> None:
    assert parse_machine(build_discover(b"\x02\0\0\0\0\1", 7, 0, client=MAC)) is None


@pytest.mark.parametrize("operation", [1, 2], ids=["who looks for a neighbour", "who answers one"])
def test_a_machine_that_has_an_address_says_which(operation: int) -> None:
    asked = arp_request(MAC, bytes((192, 168, 0, 7)), bytes((192, 168, 0, 200)))
    frame = asked[:20] + operation.to_bytes(2, "big") + asked[22:]
    assert parse_machine(frame) == DiscoveredMachine("c0:3f:d5:67:a2:01", ip="192.168.0.7")


@pytest.mark.parametrize(
    "frame",
    [
        arp_request(MAC, bytes(4), bytes((192, 168, 0, 7))),
        arp_request(b"\x01\0\x5e\0\0\1", bytes((192, 168, 0, 7)), bytes(4)),
        arp_request(bytes(6), bytes((192, 168, 0, 7)), bytes(4)),
        arp_request(MAC, bytes((192, 168, 0, 7)), bytes(4))[:41],
        b"\xff" * 6 + MAC + bytes.fromhex("81000064") + arp_request(MAC, bytes((192, 168, 0, 7)), bytes(4))[12:],
    ],
    ids=["a probe, whose sender has none", "a group", "nobody", "cut short", "tagged"],
)
def test_arp_that_tells_of_no_machine_here_is_passed_over(frame: bytes) -> None:
    assert parse_machine(frame) is None


def test_a_name_once_told_stays_and_the_latest_address_counts() -> None:
    named = DiscoveredMachine("c0:3f:d5:67:a2:01", "nuc-05", "udhcp", "192.168.0.9")
    there = DiscoveredMachine("c0:3f:d5:67:a2:01", ip="192.168.0.7")
    assert there.after(named) == DiscoveredMachine("c0:3f:d5:67:a2:01", "nuc-05", "udhcp", "192.168.0.9", "192.168.0.7")
    # It starts anew, from its boot loader.
    assert DiscoveredMachine("c0:3f:d5:67:a2:01", "", "PXEClient").after(there.after(named)) == DiscoveredMachine(
        "c0:3f:d5:67:a2:01", "nuc-05", "PXEClient"
    )
    assert named.after(None) == named


def test_what_its_mainboard_said_stays() -> None:
    asked = DiscoveredMachine("c0:3f:d5:67:a2:01", vendor_class="PXEClient", ip="")
    told = DiscoveredMachine("c0:3f:d5:67:a2:01", serial="S1", product="NUC")
    both = DiscoveredMachine("c0:3f:d5:67:a2:01", vendor_class="PXEClient", serial="S1", product="NUC")
    assert told.after(asked) == both
    assert asked.after(both) == both
    assert DiscoveredMachine(both.mac, ip="192.168.0.7").after(both).serial == "S1"


def test_a_hostile_name_is_fit_to_be_shown() -> None:
    evil = b"\x1b]0;pwned\x07[red]\xe2\x80\xae\xff\n"
    machine = parse_machine(with_options(b"\x35\x01\x01" + bytes((12, len(evil))) + evil + b"\xff"))
    assert machine is not None
    assert machine.host_name.isprintable()
    assert "\x1b" not in machine.host_name


@given(st.binary(max_size=700), st.integers(0, 600))
@example(b"", 0)
def test_no_frame_raises(noise: bytes, at: int) -> None:
    parse_machine(noise)
    parse_machine(DISCOVER[:at] + noise)


def test_what_the_program_says_is_read_back() -> None:
    line = '{"heard": [{"mac": "c0:3f:d5:67:a2:01", "host_name": "x", "vendor_class": "", "wanted_ip": ""}]}'
    assert machines_from_json(line) == (DiscoveredMachine("c0:3f:d5:67:a2:01", "x"),)
    with pytest.raises(WizardError, match="eth1 is down"):
        machines_from_json('{"error": "eth1 is down", "remedy": "Raise it."}')


@pytest.mark.parametrize("line", ["", "sudo: a password is required", "[]", '{"heard": [{}]}', '{"heard": 7}', "7"])
def test_what_the_program_does_not_say_ends_the_listening(line: str) -> None:
    with pytest.raises(WizardError, match="listening ended"):
        machines_from_json(line)


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_another_process_is_heard_until_it_is_told_to_end() -> None:
    line = json.dumps({"heard": [{"mac": "c0:3f:d5:67:a2:01"}]})
    stop = threading.Event()
    reported: list[DiscoveredMachine] = []

    def report(machines: tuple[DiscoveredMachine, ...]) -> None:
        reported.extend(machines)
        if len(reported) == 3:
            stop.set()

    # Ends by itself only with its standard input, as the real one does.
    listen_by(program(f"import sys; print('''{line}\n{line}\n{line}''', flush=True); sys.stdin.read()"), stop, report)
    assert reported == [DiscoveredMachine("c0:3f:d5:67:a2:01")] * 3


def test_a_process_that_ends_by_itself_says_why() -> None:
    with pytest.raises(WizardError, match="sudo: no"):
        listen_by(program("import sys; print('sudo: no', file=sys.stderr)"), threading.Event(), lambda _: None)
