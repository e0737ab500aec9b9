"""Who dropped a packet, by what nft tells of its way (nftables 1.0.6's words)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.needs import need, unavailable
from tests.waiting import wait_for
from wizard.host.path.trace import dropped_in, monitor_command

TRACE = """\
trace id 1 inet ciao_trace comes packet: iif "eth1" tcp sport 44754 tcp dport 53 tcp flags == syn\x20
trace id 1 inet ciao_trace comes rule ether saddr 0e:c1:a0:0f:26:ca meta nftrace set 1 (verdict continue)
trace id 1 inet ciao_trace comes policy accept\x20
trace id 1 inet theirs judge packet: iif "eth1" oif "eth0" tcp sport 44754 tcp dport 53\x20
trace id 1 inet theirs judge rule jump more (verdict jump more)
trace id 1 inet theirs more rule reject with icmpx admin-prohibited (verdict drop)
trace id 2 inet ciao_trace comes packet: iif "eth1" udp sport 68 udp dport 67 udp length 308\x20
trace id 2 ip filter INPUT policy drop\x20
trace id 3 inet ciao_gateway input packet: iif "eth1" udp sport 5 udp dport 53\x20
trace id 3 inet ciao_gateway input rule udp dport 53 accept (verdict accept)
trace id 4 inet ciao_trace comes packet: iif "eth1" tcp sport 7 tcp dport 53 tcp flags == rst tcp window 1\x20
trace id 4 inet ciao_gateway forward rule ct state invalid drop (verdict drop)
a line that nobody knows
"""


def test_the_chain_that_dropped_it_is_named_and_how() -> None:
    by_rule, by_policy = dropped_in(TRACE.split("\n"))
    assert by_rule.words() == (
        "the nftables chain inet theirs more drops it by its rule 'reject with icmpx admin-prohibited'"
    )
    assert "tcp sport 44754 tcp dport 53 " in by_rule.packet
    assert by_rule.remedy("eth1").endswith('inet theirs more iifname "eth1" accept')
    assert by_policy.words() == "the nftables chain ip filter INPUT drops it by its policy"
    assert "udp sport 68 udp dport 67" in by_policy.packet


def test_a_rule_of_somebody_elses_does_not_steer_the_terminal() -> None:
    (dropped,) = dropped_in(["trace id 1 ip x y rule comment \x1b[2J drop (verdict drop)"])
    assert "\x1b" not in dropped.words()


def command_line(pid: int) -> list[str]:
    """Empty where the process has ended, and for a moment while it starts another program."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def test_the_kernel_s_trace_is_read_no_longer_than_its_reader_lives() -> None:
    """A guard that is killed leaves no process behind."""
    need("nft")
    if os.geteuid():
        unavailable("the trace is read as root")
    nft = str(shutil.which("nft"))
    words = repr(monitor_command(nft))
    script = f"import subprocess, time; p = subprocess.Popen({words}); print(p.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        pid = int(reader.stdout.readline())
        try:
            wait_for(lambda: command_line(pid) == [nft, "monitor", "trace"], "nft reads the trace")
        finally:
            reader.kill()
    wait_for(lambda: not command_line(pid), "nft ended with its reader")


def test_nat_that_does_not_work_is_called_so() -> None:
    (dropped,) = dropped_in(["trace id 1 inet ciao_gateway traces rule ip saddr 192.168.0.0/24 drop (verdict drop)"])
    assert "NAT does not work" in dropped.words()
    assert "postrouting" in dropped.remedy("eth1")
