"""The leases as the command line tells them."""

from dataclasses import replace

import pytest

from tests.unit.monitor.rows import row
from wizard.cli.inspect import lease_lines
from wizard.host.net.node_traffic import NodeTraffic
from wizard.host.net.traffic import Counters

BOARD = (
    row("b8:ae:ed:7b:51:01", "192.168.0.101", name="controller", role="controller"),
    row(
        "b8:ae:ed:7b:51:03",
        "192.168.0.77",
        name="compute1",
        role="compute",
        state="wrong-address",
        reason="192.168.0.103 is reserved for it, but was leased to another machine that asked before it did",
    ),
    row(
        "c0:3f:d5:67:a2:01",
        "",
        kind="stranger",
        state="ignored",
        reachable=None,
        hostname="a-very-long-name-of-a-machine",
    ),
)


@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_the_terminal_and_says_all(width: int) -> None:
    lines = lease_lines(BOARD, width)
    assert max(map(len, lines)) <= width
    assert BOARD[1].reason in " ".join(line.strip() for line in lines)
    assert any("stranger" in line and "ignored" in line for line in lines)


def test_where_it_is_read_by_programs_a_row_and_a_reason_are_a_line_each() -> None:
    lines = lease_lines(BOARD)
    assert len(lines) == 1 + 3 + 1
    assert lines[3] == f"    {BOARD[1].reason}"
    assert "a-very-long-name-of-a-machine" in lines[4]
    assert lines[0].startswith("NAME")


def test_a_reason_from_the_network_steers_no_terminal() -> None:
    lines = lease_lines([replace(BOARD[0], reason="\x1b]0;x\x07" * 100, name="\x1b[2J")], 80)
    assert all(line.isprintable() for line in lines)


TRAFFIC = NodeTraffic(known=True, bytes={"192.168.0.101": Counters(received=1_230_000, sent=512)})


def test_what_each_received_and_sent_is_there_where_there_is_room() -> None:
    lines = lease_lines(BOARD, 120, TRAFFIC)
    assert lines[0].split()[-2:] == ["RECEIVED", "SENT"]
    assert lines[1].endswith("1.2 MB    512 B")
    assert lines[2].endswith("0 B       0 B")
    assert max(map(len, lines)) <= 120
    assert lease_lines(BOARD, 80, TRAFFIC) == lease_lines(BOARD, 80)
    assert lease_lines(BOARD, None, NodeTraffic()) == lease_lines(BOARD)
