"""Apply, change, re-apply, reset, again and again, beside others who run a dnsmasq of their own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.lab.striking import (
    at_rest,
    ciao,
    kill,
    kill_engine,
    kill_tree,
    kill_watchman,
    kill_worker,
    paused,
    processes,
    status,
    wake,
    what_is_left,
)
from tests.lab.support import LEASES, differences, plan_with, whole
from wizard.lab.control import Laboratory

RESET = ("reset", "--yes", "--forget-leases")
OTHER = "/run/ciao-lab/other.toml"

Change = tuple[str, str]

NODE_ADDED = (
    "\n[[forwards]]\nport = 8889",
    '\n[[nodes]]\nname = "compute3"\nrole = "compute"\nmac = "02:16:3e:00:00:77"\nip = "192.168.0.105"\n'
    "\n[[forwards]]\nport = 8889",
)
FORWARD_MOVED = ("port = 5000 ", "port = 5001 ")
LEASES_SHORTER = ('lease_time = "12h"', 'lease_time = "7h"')


def apply(lab: Laboratory, *changes: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    done = ciao(lab, *other_plan(lab, *changes), "--yes")
    assert done.returncode == 0, done.stderr
    return done


def other_plan(lab: Laboratory, *changes: tuple[str, str]) -> tuple[str, ...]:
    """The words that apply the example with these changes."""
    lab.run(["sh", "-c", f"cat >{OTHER}"], input=plan_with(*changes))
    return ("apply", "-c", OTHER)


def dnsmasq_log(lab: Laboratory) -> str:
    return lab.run(["cat", "/run/ciao-wizard/dnsmasq.log"]).stdout


def starts(lab: Laboratory) -> int:
    """How often our dnsmasq was started. Fails where a start failed."""
    log = dnsmasq_log(lab)
    assert "failed" not in re.sub("failed to change owner", "", log), log
    assert "dnsmasq ended" not in lab.run(["cat", "/run/ciao-wizard/serve.log"]).stdout
    return log.count(": started, version")


def as_applied(lab: Laboratory) -> dict[str, Any]:
    """The applied machine, without what its processes tell of themselves."""
    found = whole(lab)
    found["files"] = {
        path: what
        for path, what in found["files"].items()
        if not path.startswith(("/run/ciao-wizard", "/var/lib/ciao-wizard")) or path.startswith("/run/ciao-wizard/live")
    }
    for path in ("/run/ciao-wizard/live/proof.json", LEASES):
        found["files"].pop(path, None)
    # Not what the guard is just asking.
    found["processes"] = [line for line in found["processes"] if "wizard serve" in line or "--conf-file" in line]
    found["network"]["nft"] = re.sub(r"\s*elements = \{ \"?\w+\"? timeout.*", "", found["network"]["nft"])
    # Nor who has sent or received anything since.
    counted = r"(set node_(?:sent|received) \{[^}]*?)\s*elements = \{[^}]*\}"
    found["network"]["nft"] = re.sub(counted, r"\1", found["network"]["nft"])
    return found


CHANGES = (FORWARD_MOVED, NODE_ADDED, LEASES_SHORTER)
STRIKES = (kill_watchman, kill_tree, kill_engine, kill_worker)


def strike_re_applies(
    lab: Laboratory, places: Sequence[str], changes: Sequence[Change] = CHANGES
) -> dict[str, list[str]]:
    """Strike re-applies of changes at these moments, each at another part of it; what is not as it was kept then."""
    before = as_applied(lab)
    wrong: dict[str, list[str]] = {}
    for number, place in enumerate(places):
        strike = STRIKES[number % len(STRIKES)]
        if strike is kill_worker and (place == "kept" or "file:" in place):
            # Then it is the watchman who is at work.
            strike = kill_watchman
        with paused(lab, place, *other_plan(lab, *changes), "--yes") as front:
            strike(lab)
            wake(lab)
            front.wait(20)
            at_rest(lab)
        done = ciao(lab, "rollback")
        if done.returncode not in (0, 3):
            wrong[f"{place} rollback"] = [done.stderr]
        lab.wait_for(lambda: status(lab)["healthy"], what="health")
        left = differences(before, as_applied(lab))
        if left:
            wrong[f"{place} {strike.__name__}"] = [line[:300] for line in left[:10]]
    return wrong


# Others

BRIDGE = ("virbr0", "192.168.122.1/24")
LIBVIRT = """\
strict-order
pid-file=/run/ciao-lab/libvirt.pid
except-interface=lo
bind-dynamic
interface=virbr0
dhcp-range=192.168.122.2,192.168.122.254,255.255.255.0
dhcp-no-override
dhcp-leasefile=/run/ciao-lab/libvirt.leases
dhcp-lease-max=253
"""
NETWORK_MANAGER = (
    "dnsmasq --no-resolv --keep-in-foreground --no-hosts --bind-interfaces --listen-address=127.0.1.1 --cache-size=400 "
    "--clear-on-reload --conf-file=/dev/null --proxy-dnssec --pid-file=/run/ciao-lab/nm.pid --user=root"
)
DISTRIBUTION = (
    "dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file=/run/ciao-lab/distribution.pid --user=root "
    "--local-service --listen-address=127.0.0.1 --bind-interfaces --no-resolv"
)


@contextmanager
def others(lab: Laboratory) -> Iterator[None]:
    """NetworkManager's dnsmasq, libvirt's and the distribution's, and a `sleep` that pid files will take for ours.
    Fails where one of them is not the very same process at the end."""
    name, address = BRIDGE
    lab.run(["sh", "-ec", f"ip link add {name} type bridge; ip addr add {address} dev {name}; ip link set {name} up"])
    lab.run(["sh", "-c", "cat >/run/ciao-lab/libvirt.conf"], input=LIBVIRT)
    lines = [
        NETWORK_MANAGER,
        "dnsmasq -k --conf-file=/run/ciao-lab/libvirt.conf --user=root",
        DISTRIBUTION,
        "sleep 86399",
    ]
    running = [lab.popen(line.split(), stderr=subprocess.PIPE) for line in lines]
    try:
        seen = lab.wait_for(lambda: found if len(found := identities(lab, lines)) == len(lines) else None)
        lab.wait_for(lambda: ":67" in lab.run(["ss", "-Hlun", "sport = :67"]).stdout, what="libvirt's DHCP")
        yield
        assert identities(lab, lines) == seen, "somebody else's process was touched"
    finally:
        kill(lab, *(p.pid for p in processes(lab, *lines)))
        for process in running:
            process.communicate()


def identities(lab: Laboratory, lines: Sequence[str]) -> dict[str, str]:
    """Command line -> pid and start time, of those that run."""
    found = {}
    for process in processes(lab, *lines):
        stat = lab.run(["cat", f"/proc/{process.pid}/stat"], check=False).stdout
        found[process.line] = f"{process.pid} {stat.rpartition(')')[2].split()[19]}"
    return found


def pid_files_that_lie(lab: Laboratory) -> None:
    """Every pid file of ours says that we are somebody else."""
    (sleep,) = processes(lab, "sleep 86399")
    script = "mkdir -p -m 755 /run/ciao-wizard/dnsmasq; echo {0} >/run/ciao-wizard/dnsmasq/tenant_dns.pid"
    script += "; echo {0} >/run/tenant_dns.pid"
    lab.run(["sh", "-c", script.format(sleep.pid)])


# The cycles

VARIATIONS: tuple[tuple[Change, ...], ...] = (
    (FORWARD_MOVED,),
    (NODE_ADDED,),
    (LEASES_SHORTER,),
    (FORWARD_MOVED, NODE_ADDED, LEASES_SHORTER),
)


def run_cycles(lab: Laboratory, count: int) -> int:
    """`count` times apply, change, re-apply, reset. How many starts of dnsmasq that were, all of which succeeded."""
    pid_files_that_lie(lab)
    before = whole(lab)
    started = 0
    for number in range(count):
        pid_files_that_lie(lab)
        apply(lab)
        changes = VARIATIONS[number % len(VARIATIONS)]
        apply(lab, *changes)
        apply(lab)
        expected = 3 if LEASES_SHORTER in changes else 1
        assert starts(lab) == expected, number
        started += expected
        done = ciao(lab, *RESET)
        assert done.returncode == 0, done.stderr
        left = [line for line in what_is_left(lab, before) if not line.startswith("/files//run/ciao-wizard")]
        assert left == [], number
    return started
