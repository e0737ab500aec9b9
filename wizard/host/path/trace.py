"""Finds who drops a packet of a path test: the kernel's own trace of it (`nft monitor trace`)."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from wizard.host import commands
from wizard.host.net import firewalls
from wizard.host.path.injection import Injector
from wizard.host.path.probe import DNS_PORT, NodePath, PathTest, dotted, run_tests
from wizard.plan.text import clean

TABLE = "ciao_trace"
_OURS = "ciao_gateway"
_UNMASKED = (_OURS, "traces")
"""Our chain that keeps cluster addresses off the corporate network."""
_BREAKS_OFF = "tcp flags == rst "
"""What resets an attempt may be dropped for other reasons than the attempt, or because of it."""
_LONGEST_S = 2.5
_ATTEMPT_S = (0.3,)
_LONGEST_RULE = 160
_LINE = re.compile(r"^trace id (?P<id>\S+) (?P<family>\S+) (?P<table>\S+) (?P<chain>\S+) (?P<rest>.*)$")
_RULE = re.compile(r"^rule (?P<rule>.*) \(verdict drop\)\s*$")
_POLICY = re.compile(r"^policy drop\s*$")


@dataclass(frozen=True, slots=True)
class DroppedPacket:
    """The chain that dropped a packet; `rule` is "" if its policy did. `packet` is nft's line about the packet."""

    family: str
    table: str
    chain: str
    rule: str
    packet: str

    def words(self) -> str:
        if (self.table, self.chain) == _UNMASKED:
            return "NAT does not work: the packet would leave with the node's own address, and is held back"
        whose = f"{self.family} {self.table} {self.chain}"
        how = f"by its rule '{clean(self.rule, _LONGEST_RULE)}'" if self.rule else "by its policy"
        return f"the nftables chain {whose} drops it {how}"

    def remedy(self, nic: str) -> str:
        if (self.table, self.chain) == _UNMASKED:
            return "See who handles it before us: sudo nft list ruleset, hook postrouting."
        if self.table == _OURS:
            return "Run 'ciao-wizard apply' to load the rules again."
        if remedy := firewalls.remedy(self.table, nic):
            return remedy
        chain = f"{self.family} {self.table} {self.chain}"
        if self.family == "arp":
            return f"See its rules: sudo nft list chain {chain}"
        found = re.search(r'\b(iif|oif) "', self.packet)
        side = "oifname" if found is None or (found[1] == "oif" and "iif " not in self.packet) else "iifname"
        return f'Accept {nic} there: sudo nft insert rule {chain} {side} "{nic}" accept'


def dropped_in(lines: Sequence[str]) -> list[DroppedPacket]:
    """The packets that a trace shows dropped, in order. A packet's own line comes before its verdicts."""
    packets: dict[str, str] = {}
    found = []
    for line in lines:
        match = _LINE.match(line.strip())
        if match is None:
            continue
        rest = match["rest"]
        if match["table"] == TABLE and not rest.startswith("packet: "):
            continue
        if rest.startswith("packet: "):
            # The first: later lines show what NAT made of it.
            packets.setdefault(match["id"], f"{rest} ")
            continue
        rule = _RULE.match(rest)
        if rule is not None or _POLICY.match(rest):
            packet = packets.get(match["id"], "")
            if _BREAKS_OFF in packet:
                continue
            found.append(
                DroppedPacket(match["family"], match["table"], match["chain"], rule["rule"] if rule else "", packet)
            )
    return found


def monitor_command(nft: str) -> list[str]:
    """`nft monitor trace`, which ends with its parent, even if that is killed."""
    return ["setpriv", "--pdeathsig=KILL", "--", nft, "monitor", "trace"]


def find_drop(tests: Sequence[PathTest], path: NodePath, injector: Injector, uid: int) -> dict[str, DroppedPacket]:
    """Run these tests of a path again, traced. Result name -> who drops its packet. Raises OSError, CommandFailed.

    `uid`: the user that our dnsmasq runs as.
    """
    nft = commands.find("nft")
    if nft is None:
        return {}
    remove_stray()
    commands.run("nft", "-f", "-", stdin=_rules(path, uid))
    try:
        with subprocess.Popen(
            monitor_command(nft),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=commands.environment(),
            cwd="/",
        ) as monitor:
            try:
                return _follow(monitor, tests, path, injector)
            finally:
                monitor.kill()
    finally:
        remove_stray()


def _follow(
    monitor: subprocess.Popen[bytes], tests: Sequence[PathTest], path: NodePath, injector: Injector
) -> dict[str, DroppedPacket]:
    fd = monitor.stdout.fileno() if monitor.stdout is not None else -1
    os.set_blocking(fd, False)
    deadline = time.monotonic() + _LONGEST_S
    text, found = "", dict[str, DroppedPacket]()
    while time.monotonic() < deadline and len(found) < len(tests):
        run_tests(tests, path, injector, _ATTEMPT_S)
        while select.select([fd], [], [], 0.05)[0]:
            data = os.read(fd, 1 << 16)
            if not data:
                return found
            text += data.decode("utf-8", "replace")
        for dropped in dropped_in(text.split("\n")[:-1]):
            for test in tests:
                if any(pattern in dropped.packet for pattern in test.trace_patterns()):
                    found.setdefault(test.result().name, dropped)
    return found


def _rules(path: NodePath, uid: int) -> str:
    macs = f"{{ {path.own_mac.hex(':')}, {path.office_mac.hex(':')} }}"
    beyond = f"ip saddr {dotted(path.beyond)} tcp sport {DNS_PORT} meta nftrace set 1" if path.beyond else ""
    asks = f"meta skuid {uid} udp dport {DNS_PORT} meta nftrace set 1" if uid else ""
    return f"""
table inet {TABLE} {{
    chain comes {{
        type filter hook prerouting priority -350; policy accept;
        ether saddr {macs} meta nftrace set 1
        {beyond}
    }}
    chain leaves {{
        type filter hook output priority -350; policy accept;
        ip daddr {{ {dotted(path.own)}, 255.255.255.255 }} udp sport {{ {DNS_PORT}, 67 }} meta nftrace set 1
        {asks}
    }}
}}
table arp {TABLE} {{
    chain comes {{
        type filter hook input priority -350; policy accept;
        arp saddr ether {path.own_mac.hex(":")} meta nftrace set 1
    }}
    chain leaves {{
        type filter hook output priority -350; policy accept;
        arp daddr ether {path.own_mac.hex(":")} meta nftrace set 1
    }}
}}
"""


def remove_stray() -> None:
    """Remove the tables that switch tracing on; a process that was killed leaves them."""
    for family in ("inet", "arp"):
        commands.works("nft", "delete", "table", family, TABLE)
