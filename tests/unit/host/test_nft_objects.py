"""Tables and chains of ours go without nft and iptables, and nobody else's do."""

import os
import subprocess
import sys
from pathlib import Path

from tests.needs import need, unavailable

RULES = """
table inet ciao_gateway { set armed { type iface_index; flags timeout; }
 chain guard { type filter hook output priority 0; oif != @armed drop; }
}
table arp ciao_gateway { chain input { type filter hook input priority 0; } ; }
table ip filter {
 chain CIAO-INPUT { }
 chain MY-CIAO-INPUT { }
 chain INPUT { type filter hook input priority 0; counter jump CIAO-INPUT; tcp dport 22 jump MY-CIAO-INPUT; }
}
"""
SCRIPT = """
import os, subprocess
os.environ["PATH"], path = "/nonexistent", os.environ["PATH"]
from wizard.host import commands
from wizard.host.net import gateway_rules
from wizard.host.net import nft_objects
commands.TOOL_PATH = "/nonexistent"
assert commands.find("nft") is None
assert gateway_rules.table_loaded()
print(gateway_rules.remove_everything(), flush=True)
assert not gateway_rules.table_loaded()
print(gateway_rules.remove_everything(), flush=True)
subprocess.run(["nft", "list", "ruleset"], check=True, env={"PATH": path})
"""
LEFT = """table ip filter {
	chain MY-CIAO-INPUT {
	}

	chain INPUT {
		type filter hook input priority filter; policy accept;
		tcp dport 22 jump MY-CIAO-INPUT
	}
}"""


def test_ours_goes_without_any_program() -> None:
    need("nft")
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        unavailable("no namespaces here")
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    run = [*unshare, "sh", "-c", 'nft -f - && exec "$0" -c "$1"', sys.executable, SCRIPT]
    done = subprocess.run(
        run, input=RULES, capture_output=True, text=True, check=False, env={"PATH": path, "PYTHONPATH": str(Path.cwd())}
    )
    assert done.returncode == 0, done.stderr
    first, second, left = done.stdout.split("\n", 2)
    assert first == "(['the chain CIAO-INPUT', 'the table inet ciao_gateway', 'the table arp ciao_gateway'], [])"
    assert second == "([], [])"
    assert left.strip() == LEFT
