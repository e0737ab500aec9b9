"""A dnsmasq that is told to serve the corporate wire, and proof that nobody there hears it.

It is started as the guard starts it, and the guard's word for the cluster NIC is given all the time: what keeps the
corporate wire clean is the packet filter alone. Each case then takes that away and sees the answers come.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.lab.guarding import (
    RUN,
    armed,
    asking,
    from_us,
    hearing,
    is_running,
    kill,
    macs,
    muted,
    report,
    sh,
    told,
)
from tests.lab.support import LEASES, apply
from wizard.lab.control import Laboratory

SHORT_S, LONG_S = 1.5, 60.0
ASKING = macs(10, "02:00:00:05")
RENEWING = {"00:aa:00:00:06:01": "10.77.0.150", "02:00:00:00:06:02": "192.168.0.70"}
FORCE = """
import signal, sys, threading
from wizard.host.net import nft_armed_set; from wizard.host.dhcp import dnsmasq
from wizard.host.net import gateway_rules
from wizard.host.net import link
from wizard.deploy.guard.rules_watch import SCRIPT
uid = gateway_rules.guarded_uid(open(SCRIPT).read())
dnsmasq.prepare(uid)
child = dnsmasq.spawn(uid)
# It waits for the muter to let it run.
child.send_signal(signal.SIGCONT)
index = link.read_link(sys.argv[1]).index
threading.Thread(target=lambda: (sys.stdin.read(), child.kill()), daemon=True).start()
while child.poll() is None:
    try:
        nft_armed_set.arm(index)
    except Exception:
        pass
    threading.Event().wait(0.2)
"""
SEED = """
interface=eth1
bind-interfaces
except-interface=lo
except-interface=eth0
listen-address=192.168.0.200
dhcp-range=192.168.0.65,192.168.0.126,12h
"""
OFFICE = """
interface=eth0
bind-dynamic
dhcp-range=10.77.0.201,10.77.0.220,12h
"""
IPV6 = """
interface=eth0
bind-dynamic
enable-ra
dhcp-range=fd00:bad::100,fd00:bad::1ff,64,12h
"""
EVERY = f"""
port=0
no-ping
dhcp-authoritative
pid-file={RUN}/dnsmasq/tenant_dns.pid
dhcp-leasefile={LEASES}
"""


@dataclass(frozen=True)
class Case:
    """How things went wrong: commands, and dnsmasq's configuration (None: the rendered one, and nothing else)."""

    name: str
    wrong: str
    right: str
    conf: str | None
    kinds: frozenset[str]
    cluster_nic: str = "eth1"


EXCHANGE = (
    "for n in eth0 eth1; do ip link set $n down; done; ip link set eth0 name other; ip link set eth1 name eth0;"
    "ip link set other name eth1; for n in eth0 eth1; do ip -4 address flush dev $n; ip link set $n up; done"
)
CASES = [
    Case(
        "the gateway's address on the corporate NIC",
        "ip address del 192.168.0.200/24 dev eth1; ip address add 192.168.0.200/24 dev eth0",
        "ip address del 192.168.0.200/24 dev eth0; ip address add 192.168.0.200/24 dev eth1",
        SEED,
        frozenset({"offer"}),
    ),
    Case(
        "one subnet on both NICs, and told to serve the corporate one",
        "ip address add 10.77.0.99/24 dev eth1",
        "ip address del 10.77.0.99/24 dev eth1",
        OFFICE,
        frozenset({"offer", "nak"}),
    ),
    Case(
        "the NICs' names exchanged, and the address where the name is",
        f"{EXCHANGE}; ip address add 192.168.0.200/24 dev eth1",
        f"{EXCHANGE}; ip address add 10.77.0.98/24 dev eth0; ip address add 192.168.0.200/24 dev eth1;"
        "ip route replace default via 10.77.0.1",
        None,
        frozenset({"offer"}),
        cluster_nic="eth0",
    ),
    Case(
        "router advertisements and DHCPv6",
        "ip address add fd00:bad::1/64 dev eth0 nodad",
        "ip address del fd00:bad::1/64 dev eth0",
        IPV6,
        frozenset({"ra", "dhcp6"}),
    ),
]


@pytest.fixture(scope="module")
def unguarded(lab_possible: None) -> Iterator[Laboratory]:
    """The example, applied; then the guard has ended, and its rules stand. A guest sits on the office switch."""
    with Laboratory() as lab:
        apply(lab)
        lab.machine("add", "guest", "--mac", "00:1b:21:00:00:67", "--no-dhcp", "--switch", "corporate")
        guard = told(lab)["process"]
        kill(lab, guard, "TERM")
        lab.wait_for(lambda: not is_running(lab, guard))
        yield lab


@contextmanager
def forced(lab: Laboratory, case: Case) -> Iterator[None]:
    """dnsmasq with a bad configuration, as the guard would start it, and the cluster NIC armed all the time."""
    conf = f"{RUN}/live/tenant_dns.cfg"
    kept = sh(lab, f"cat {conf}")
    lab.run(["sh", "-c", f"cat >{conf}"], input=kept + "no-ping\n" if case.conf is None else case.conf + EVERY)
    sh(lab, case.wrong)
    argv = [sys.executable, "-P", "-c", FORCE, case.cluster_nic]
    process = lab.popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        ports = "sport = :67" if case.conf != IPV6 else "sport = :547"
        lab.wait_for(lambda: "dnsmasq" in sh(lab, f"ss -H -lunp '{ports}'"), 10, "dnsmasq on its port")
        lab.wait_for(lambda: armed(lab), 5, "armed")
        yield
    finally:
        _, said = process.communicate(timeout=20)
        sh(lab, case.right)
        lab.run(["sh", "-c", f"cat >{conf}"], input=kept)
        assert "Traceback" not in said, said


def corporate_stays_clean(lab: Laboratory, case: Case, seconds: float) -> None:
    with forced(lab, case), asking(lab, "guest", macs=ASKING, renewing=RENEWING, every=0.2, ipv6=True):
        before = muted(lab)
        with hearing(lab, "corporate") as ears:
            time.sleep(seconds)
            heard = ears.end()
        held_back = muted(lab) - before
        sh(lab, "nft flush chain inet ciao_gateway guard")
        try:
            seen = await_ours(lab, case.kinds)
        finally:
            sh(lab, f"sh {RUN}/live/nat.sh up")
    report(f"{case.name}: {held_back} answers held back in {seconds:g} s, {len(from_us(heard))} seen; without: {seen}")
    assert [frame for frame in heard if frame not in from_us(heard)], "nothing was heard at all"
    assert held_back > 0
    assert from_us(heard) == []


def await_ours(lab: Laboratory, kinds: frozenset[str]) -> dict[str, int]:
    """What we say on the corporate wire once nothing holds us back: it is the packet filter that did."""
    deadline = time.monotonic() + 15
    while True:
        with hearing(lab, "corporate") as ears:
            time.sleep(0.7)
            found = [frame["kind"] for frame in from_us(ears.end())]
        if kinds <= {*found}:
            return {kind: found.count(kind) for kind in sorted({*found})}
        assert time.monotonic() < deadline, f"wanted {kinds}, saw {found}"
