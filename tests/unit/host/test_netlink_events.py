"""What the kernel tells of by itself, asked in a network namespace of its own."""

import os
import subprocess
import sys

from tests.needs import unavailable

SCRIPT = """
import subprocess
from pathlib import Path
from wizard.host.net.netlink_events import NetlinkEvents
news = NetlinkEvents()
switches = Path("/proc/sys/net/ipv4")
for path, value in (("ip_forward", "1"), ("conf/lo/forwarding", "0"), ("conf/lo/rp_filter", "1"), ("ip_forward", "0")):
    (switches / path).write_text(value)
    print(path, value, news.drain().name)
subprocess.run(["ip", "rule", "add", "fwmark", "7", "table", "7"], check=True)
print("rule", news.drain().name)
"""


def test_forwarding_that_is_switched_off_is_news() -> None:
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        unavailable("no namespaces here")
    done = subprocess.run([*unshare, sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "ip_forward 1 NOTHING",
        "conf/lo/forwarding 0 RULES",
        "conf/lo/rp_filter 1 NOTHING",
        "ip_forward 0 RULES",
        # A VPN may need no more than that to take over.
        "rule ADDRESSES",
    ], done.stderr
