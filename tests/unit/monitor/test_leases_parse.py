"""The lease file: dnsmasq's own lines, and whatever else may stand there one day."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wizard.plan.lease_parser import MOST_LINES_SHOWN, Lease, parse_leases

# As dnsmasq 2.90 wrote it.
GOOD = """\
1795394071 c0:3f:d5:63:ea:dd 192.168.0.104 compute1 *
1795394070 02:00:ac:10:00:02 192.168.0.65 * *
1795394071 02:11:22:33:44:55 192.168.0.80 cnci 01:02:11:22:33:44:55
0 b8:ae:ed:7b:51:50 192.168.0.101 controller *
duid 00:01:00:01:2f:aa:bb:cc:02:fc:00:00:00:01
1795394070 14387265 fd00::1c2 node 00:01:00:01:2f:aa:bb:cc:02:fc:00:00:00:01
"""


def test_reads_what_dnsmasq_writes() -> None:
    leases, strange = parse_leases(GOOD)

    at = datetime.fromtimestamp(1795394071, UTC)
    assert leases == (
        Lease(at, "c0:3f:d5:63:ea:dd", "192.168.0.104", "compute1", ""),
        Lease(datetime.fromtimestamp(1795394070, UTC), "02:00:ac:10:00:02", "192.168.0.65", "", ""),
        Lease(at, "02:11:22:33:44:55", "192.168.0.80", "cnci", "01:02:11:22:33:44:55"),
        Lease(None, "b8:ae:ed:7b:51:50", "192.168.0.101", "controller", ""),
    )
    assert strange == ()


def test_newer_dnsmasq_keeps_vendor_classes_there() -> None:
    text = GOOD + "vendorclass 192.168.0.104 75:64:68:63:70\nagent-info 192.168.0.104 01:04\n"

    assert parse_leases(text) == parse_leases(GOOD)


def test_carriage_returns_do_not_matter() -> None:
    assert parse_leases(GOOD.replace("\n", "\r\n")) == parse_leases(GOOD)


@pytest.mark.parametrize(
    "line",
    [
        "1795394071 c0:3f:d5:63:ea:dd 192.168.0.104 compute1",
        "1795394071 c0:3f:d5:63:ea:dd 192.168.0.104 compute1 * *",
        "1795394071 c0:3f:d5:63:ea:dd 192.168.0.1O4 compute1 *",
        "1795394071 c0:3f:d5:63:ea:dd 192.168.0 compute1 *",
        "1795394071 c0:3f:d5:63:ea:dd 192.168.0.256 compute1 *",
        "1795394071 c0:3f:d5:63:ea:dg 192.168.0.104 compute1 *",
        "-1 c0:3f:d5:63:ea:dd 192.168.0.104 compute1 *",
        "²³ c0:3f:d5:63:ea:dd 192.168.0.104 compute1 *",
        "1795394071000000 c0:3f:d5:63:ea:dd 192.168.0.104 compute1 *",
        "1795394071 c0:3f:d5:63:ea:dd 192.168.0.1\x0004 compute1 *",
        "\x00\x00\x00\x0094071 c0:3f:d5:63:ea:dd 192.168.0.104 compute1 *",
        "1795394071 c0:3f:d5:63:ea:dd 192.168.0.104 com\x00pute1 *",
        "1795394071 <null> 192.168.0.104 compute1 *",
        "1795394071 c0:3f:d5:63:ea:dd 192.168.0.104  *",
        "garbage",
        "\x00",
        " ",
    ],
)
def test_a_line_that_makes_no_sense_is_told_and_hides_no_other(line: str) -> None:
    first, rest = GOOD.split("\n", 1)

    leases, strange = parse_leases(f"{first}\n{line}\n{rest}")

    assert leases == parse_leases(GOOD)[0]
    assert len(strange) == 1


def test_strange_lines_are_made_fit_to_be_shown_and_limited() -> None:
    text = "\x1b[2J\x9b31m\u202eoops [/x]\x07" + "x" * 9000 + "\n" + "junk\n" * 500

    _, strange = parse_leases(text)

    assert all(line.isprintable() for line in strange)
    assert strange[0].startswith("?[2J?31m?oops [/x]?x")
    assert max(map(len, strange)) <= 80
    assert len(strange) == MOST_LINES_SHOWN + 1
    assert strange[-1] == f"… and {501 - MOST_LINES_SHOWN} lines more"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a" * 10_000, "a" * 63 + "…"),
        ("\x1b]0;owned\x07", "?]0;owned?"),
        ("\u202eexe.txt", "?exe.txt"),
        ("a\u2028b\x85c\x0bd\u200be\ufefff", "a?b?c?d?e?f"),
        ("[red]x[/x]", "[red]x[/x]"),
        ("\ud800", "?"),
    ],
)
def test_host_names_cannot_steer_a_terminal(name: str, shown: str) -> None:
    leases, strange = parse_leases(f"0 02:11:22:33:44:55 192.168.0.80 {name} *\n")

    assert [lease.hostname for lease in leases] == [shown]
    assert strange == ()


# A byte stream of "never a lie": every lease that is returned stands in the file, whole.
def _lines(text: str) -> set[tuple[str, str]]:
    found = set()
    for line in text.split("\n"):
        fields = line.removesuffix("\r").split(" ")
        if len(fields) == 5:
            found.add((fields[1].lower(), fields[2]))
    return found


_FIELD = st.one_of(
    st.sampled_from(["0", "1795394071", "*", "c0:3f:d5:63:ea:dd", "192.168.0.104", "fd00::1", "duid", "node", ""]),
    st.text(max_size=12),
)
_ANY_LINE = st.lists(_FIELD, max_size=7).map(" ".join)


@given(st.lists(_ANY_LINE, max_size=8).map("\n".join))
@example("\x00" * 4096 + GOOD)
@example(GOOD.replace("\n", "\r"))
@example("0 c0:3f:d5:63:ea:dd 192.168.0.104 \ud800 *\n")
@settings(max_examples=400, deadline=None)
def test_no_text_makes_it_stumble_or_lie(text: str) -> None:
    leases, strange = parse_leases(text)

    assert {(lease.mac, lease.ip) for lease in leases} <= _lines(text)
    for value in (*strange, *(lease.hostname for lease in leases), *(lease.client_id for lease in leases)):
        assert value.isprintable()
        assert len(value) <= 80


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_it_stumble(data: bytes) -> None:
    parse_leases(data.decode("utf-8", "replace"))


@given(st.integers(0, len(GOOD)))
@settings(max_examples=len(GOOD) + 1, deadline=None)
def test_a_file_cut_anywhere_tells_only_whole_leases(at: int) -> None:
    whole = {(le.expires, le.mac, le.ip, le.hostname) for le in parse_leases(GOOD)[0]}

    leases, _ = parse_leases(GOOD[:at])

    assert {(le.expires, le.mac, le.ip, le.hostname) for le in leases} <= whole
    # No line that is there with its end is lost to the cut.
    assert len(leases) >= min(GOOD[:at].count("\n"), 4)


def test_a_cut_client_id_is_not_shown() -> None:
    leases, _ = parse_leases("0 02:11:22:33:44:55 192.168.0.80 cnci 01:02:1")

    assert leases == (Lease(None, "02:11:22:33:44:55", "192.168.0.80", "cnci", ""),)


def test_65000_leases_take_well_under_a_second_and_a_second_reading_less() -> None:
    lines = [
        f"1795394071 02:11:22:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x} 10.0.{i >> 8}.{i & 255} host{i} *"
        for i in range(65_000)
    ]
    cache: dict[str, Lease] = {}
    began = time.process_time()
    leases, strange = parse_leases("\n".join(lines) + "\n", cache)
    first = time.process_time() - began

    lines[7] = lines[7].replace("host7 ", "moved ")
    began = time.process_time()
    again, _ = parse_leases("\n".join(lines) + "\n", cache)
    second = time.process_time() - began

    assert (len(leases), len(again), strange) == (65_000, 65_000, ())
    assert again[7].hostname == "moved"
    assert first < 1.5
    assert second < first / 2
