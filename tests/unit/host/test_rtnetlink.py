"""What a NIC has, told and given back by netlink alone, against `ip`; in a network namespace of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.needs import unavailable

SCRIPT = """
import json, subprocess, sys
from wizard.host.net import rtnetlink
from wizard.host.net import link_image

def ip(*words):
    subprocess.run(["ip", *words], check=True)

ip("link", "add", "e1", "type", "veth", "peer", "name", "e2")
ip("link", "set", "e1", "addrgenmode", "none")
ip("link", "set", "e1", "up")
ip("addr", "add", "10.9.9.9/24", "broadcast", "10.9.9.255", "dev", "e1", "label", "e1:7")
ip("addr", "add", "10.44.0.1", "peer", "10.44.0.2/32", "dev", "e1", "scope", "link")
ip("addr", "add", "10.45.0.1/24", "dev", "e1", "noprefixroute")
ip("addr", "add", "fd00:1::1/64", "dev", "e1", "nodad")
wanted = link_image.link_state("e1")
states = [rtnetlink.link_state("e1")]
for address in wanted["addresses"]:
    rtnetlink.delete_address("e1", address["cidr"])
    rtnetlink.delete_address("e1", address["cidr"])
rtnetlink.set_link("e1", False)
bare = link_image.link_state("e1")
rtnetlink.set_link("e1", True)
for address in wanted["addresses"]:
    rtnetlink.add_address("e1", address)
    rtnetlink.add_address("e1", address)
states.append(link_image.link_state("e1"))
print(json.dumps([wanted, states, bare, rtnetlink.link_state("gone")]))
"""


def test_a_nic_is_told_and_given_back_as_by_ip() -> None:
    if os.geteuid():
        unavailable("a network namespace of its own needs root")
    command = ["unshare", "--net", sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    wanted, states, bare, gone = json.loads(done.stdout)
    assert len(wanted["addresses"]) == 4
    assert states == [wanted, wanted]
    assert (bare["up"], bare["addresses"]) == (False, [])
    assert gone == {"nic": "gone", "present": False}
