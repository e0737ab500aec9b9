"""A path that takes no packet above 1400 bytes, and says so to nobody. For tests and script/bench."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import transfers
from wizard.lab.control import Laboratory
from wizard.lab.world import COLLEAGUE_ADDRESS

NARROW = """
table netdev narrow {
    chain in { type filter hook ingress device eth0 priority 0; meta protocol ip meta length > 1400 counter drop; }
}
table inet narrow {
    chain in { type filter hook input priority 0; icmp type destination-unreachable counter drop; }
    chain out { type filter hook postrouting priority 300; meta length > 1400 counter drop; }
}
"""
DEAF = "table inet deaf { chain in { type filter hook input priority 0; icmp type destination-unreachable drop; }; }"


@contextmanager
def narrow_path(lab: Laboratory) -> Iterator[None]:
    """The way to the colleague, as a VPN would lead there: the laptop's route knows, its NIC does not."""
    # Else both ends send what no real cable carries: a veth takes it whole.
    for netns in ("colleague", "node"):
        lab.run(["ip", "-n", netns, "link", "set", "eth0", "gso_max_segs", "1"])
    lab.run(["ip", "link", "set", "eth0", "gso_max_segs", "1"])
    lab.run(["nft", "-f", "-"], netns="colleague", input=NARROW)
    lab.run(["nft", DEAF], netns="node")
    lab.run(["ip", "route", "add", f"{COLLEAGUE_ADDRESS}/32", "dev", "eth0", "mtu", "1400"])
    yield


def take(lab: Laboratory, netns: str | None, address: str, port: int) -> tuple[int, float]:
    """How many bytes came of what `transfers.py give` gives there, and in how many seconds."""
    argv = [sys.executable, transfers.__file__, "take", address, str(port)]
    size, seconds = lab.run(argv, netns=netns, timeout=120).stdout.split()
    return int(size), float(seconds)
