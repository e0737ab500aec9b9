"""A laptop with the address and the rules of a gateway, and nothing else of it: what nat.sh alone does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import transfers
from tests.lab.support import EXAMPLE, GATEWAY
from wizard.lab.control import Laboratory
from wizard.plan import paths
from wizard.plan.file.read import load_plan
from wizard.plan.render import render

NODE, NODE_MAC = "192.168.0.150", "00:1b:21:00:01:50"
SCRIPT = "/run/ciao-lab/nat.sh"


def load(lab: Laboratory, forwards: str) -> str:
    """Load the rules of the example with these forwards more, as an apply does; what the script said."""
    text = EXAMPLE.read_text() + forwards
    script = next(file.text for file in render(load_plan(text, "plan"), text) if file.path == paths.NAT_SCRIPT)
    lab.run(["sh", "-c", f"cat >{SCRIPT} && chmod 755 {SCRIPT}"], input=script)
    loading = f"from wizard.host.net import gateway_rules; print(gateway_rules.load({SCRIPT!r}), end='')"
    return lab.run([sys.executable, "-c", loading]).stdout


@contextmanager
def bare_gateway(forwards: str = "") -> Iterator[Laboratory]:
    """Such a laptop, and a machine "node" behind it that needs no DHCP."""
    with Laboratory() as lab:
        lab.run(["ip", "address", "add", f"{GATEWAY}/24", "dev", "eth1"])
        lab.run(["ip", "link", "set", "eth1", "up"])
        lab.machine("add", "node", "--mac", NODE_MAC, "--address", f"{NODE}/24")
        lab.run(["ip", "-n", "node", "route", "add", "default", "via", GATEWAY])
        load(lab, forwards)
        yield lab


@contextmanager
def serving(lab: Laboratory, netns: str | None, kind: str, *words: str) -> Iterator[None]:
    """A running `transfers.py KIND …`, open for business."""
    argv = [sys.executable, transfers.__file__, kind, *words]
    process = lab.popen(argv, netns=netns, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()
