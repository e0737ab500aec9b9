"""Things that hinder the guard at its work, each for as long as its context lasts; and what comes of a cable that is
moved to the office meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import which

import psutil

from tests.lab.guarding import (
    RUN,
    armed,
    asking,
    await_mode,
    from_us,
    hearing,
    is_running,
    kill,
    macs,
    muter,
    sh,
    start_serve,
    told,
)
from tests.lab.support import LEASES, apply, plan_with
from tests.needs import need, unavailable
from wizard.lab.control import Laboratory

LEASED = macs(40, "02:00:00:07")
"""VMs that have a lease: they are answered at once, each time."""
SLOW_S = 4
OFFICE_S = 4.0
"""How long the cable stays in the office's switch: longer than what has ever been heard of us there."""
FOREIGN_RULES = 20_000

Hindrance = Callable[[Laboratory], "contextlib.AbstractContextManager[object]"]


def make_ready(lab: Laboratory) -> None:
    """The example, applied, with VMs that have leases; the same VMs sit in the office and ask there."""
    lines = "".join(f"2000000000 {mac} 192.168.0.{130 + n} * *\n" for n, mac in enumerate(LEASED))
    lab.run(["sh", "-c", f"cat >{LEASES}"], input=lines)
    apply(lab, plan_with(('"192.168.0.64/26"', '"192.168.0.128/26"')))
    lab.machine("add", "rogue", "--mac", "00:1b:21:00:00:66", "--no-dhcp")
    lab.machine("add", "guest", "--mac", "00:1b:21:00:00:67", "--no-dhcp", "--switch", "corporate")
    # Others' iptables has rules here, so ours has a jump there and has to look after it.
    sh(lab, "for i in legacy nft; do iptables-$i -A FORWARD -i nobody -j ACCEPT; done")


def serve_again(lab: Laboratory) -> None:
    """Armed, and somebody is answered, whatever was done to cables and to the guard."""
    sh(lab, "machine part; machine move eth1 cluster; machine plug eth1", check=False)
    state = told(lab)
    if state.get("mode") != "armed" or not is_running(lab, state["process"]):
        for process in (state.get("process"), state.get("dnsmasq")):
            if process is not None and is_running(lab, process):
                kill(lab, process, "KILL")
                lab.wait_for(partial(lambda p: not is_running(lab, p), process), 10, "the end of a guard")
        sh(lab, f"rm -f /var/lib/ciao-wizard/tripped.json {RUN}/serve.json")
        start_serve(lab)
    await_mode(lab, "armed", deadline=60)
    lab.wait_for(lambda: armed(lab), 20, "armed")
    with asking(lab, "rogue", macs=LEASED[:5], take=True, seconds=30) as asked:
        assert all(seen["leased"] for seen in asked.wait().values()), "nobody is served"


@dataclass(frozen=True)
class Office:
    """What the office heard of us: offers and the like, and when the last came (s after the cable was plugged in)."""

    ours: int
    last: float
    others: int


def moved_to_the_office(lab: Laboratory, after: float, hindrance: Hindrance, stays: float = OFFICE_S) -> Office:
    """The cluster cable is moved to the office's switch so many seconds after something began to hinder the guard."""
    with asking(lab, "guest", macs=LEASED, every=0.1), hearing(lab, "corporate") as ears:
        with hindrance(lab):
            time.sleep(after)
            moved = time.monotonic()
            lab.machine("move", "eth1", "corporate")
            time.sleep(stays)
            lab.machine("unplug", "eth1")
        heard = ears.end()
    # Each is seen at every port of the switch; this is that of the guest.
    heard = [frame for frame in heard if frame["nic"] == "guest"]
    ours = from_us(heard)
    others = [frame for frame in heard if frame not in ours]
    assert others, "nothing was heard in the office at all"
    return Office(len(ours), max((frame["at"] - moved for frame in ours), default=0.0), len(others))


# What hinders


@contextmanager
def nothing(lab: Laboratory) -> Iterator[None]:
    yield


@contextmanager
def running(lab: Laboratory, script: str) -> Iterator[None]:
    """A shell script that says "ready", in a session of its own, until the context ends: then all of it is killed."""
    argv = ["setsid", "sh", "-c", f"echo $$; {script}"]
    process = lab.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    session = process.stdout.readline().strip()
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        lab.run(["kill", "-KILL", "--", f"-{int(session)}"])
        process.wait()
        process.stdout.close()


def change_some_rule(lab: Laboratory) -> None:
    """Somebody's, which is none of ours: the guard looks at the rules because of it."""
    sh(lab, "nft add table ip elsewhere; nft delete table ip elsewhere")


@contextmanager
def xtables_lock_held(lab: Laboratory) -> Iterator[None]:
    """As Docker holds it for moments; and some rule changes."""
    with running(lab, "exec flock --no-fork /run/xtables.lock sh -c 'echo ready; exec sleep 60'"):
        change_some_rule(lab)
        yield


@contextmanager
def slow(lab: Laboratory, *programs: str) -> Iterator[None]:
    """These programs take seconds where the guard, or what it starts, runs them."""
    found = [path for path in (which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in programs) if path]
    assert found
    for path in found:
        real = f"/run/slow-{Path(path).name}"
        # Its environment has what a start by these tests has put there; nat.sh keeps that.
        script = f'#!/bin/sh\n[ -z "$CIAO_LAB_PROBE_WAIT" ] || sleep {SLOW_S}\nexec {real} "$@"\n'
        sh(lab, f"cp -L {path} {real}; cat >{real}.sh <<'END'\n{script}END\nchmod +x {real}.sh")
        sh(lab, f"mount --bind {real}.sh {os.path.realpath(path)}")
    try:
        yield
    finally:
        for path in reversed(found):
            sh(lab, f"umount --lazy {os.path.realpath(path)}")


@contextmanager
def nft_slow(lab: Laboratory) -> Iterator[None]:
    with slow(lab, "nft"):
        change_some_rule(lab)
        yield


@contextmanager
def ip_and_ss_slow(lab: Laboratory) -> Iterator[None]:
    with slow(lab, "ip", "ss"):
        change_some_rule(lab)
        sh(lab, "ip link add some0 type bridge; ip link delete some0")
        yield


@contextmanager
def large_transactions(lab: Laboratory) -> Iterator[None]:
    """Somebody loads a large ruleset again and again: no other transaction of nftables gets through meanwhile."""
    elements = "".join(f"{10 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.1,\n" for n in range(200_000))
    table = f"table ip large {{\nset s {{\ntype ipv4_addr\nelements = {{ {elements} }}\n}}\n}}\n"
    text = f"table ip large\ndelete table ip large\n{table}"
    lab.run(["sh", "-c", "cat >/run/large.nft"], input=text)
    try:
        with running(lab, "echo ready; while nft -f /run/large.nft; do :; done"):
            time.sleep(1)
            yield
    finally:
        lab.wait_for(lambda: "table ip large" not in sh(lab, "nft delete table ip large; nft list tables", check=False))


@contextmanager
def foreign_rules(lab: Laboratory, count: int = FOREIGN_RULES) -> Iterator[None]:
    """Another's iptables is large, and rules come and go."""
    rules = "".join(f"-A LARGE -s 10.{n >> 8 & 255}.{n & 255}.7/32 -j ACCEPT\n" for n in range(count))
    restore = ["iptables-nft-restore", "--noflush"]
    lab.run(restore, input=f"*filter\n:LARGE - [0:0]\n{rules}COMMIT\n", timeout=120)
    churn = "while :; do iptables-nft -A LARGE -s 10.9.9.9 -j DROP; iptables-nft -D LARGE -s 10.9.9.9 -j DROP; done"
    try:
        with running(lab, f"echo ready; {churn}"):
            yield
    finally:
        lab.run(restore, input="*filter\n-F LARGE\n-X LARGE\nCOMMIT\n", timeout=120)


@contextmanager
def processor_busy(lab: Laboratory) -> Iterator[None]:
    loops = "for n in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; echo ready; wait"
    with running(lab, loops):
        change_some_rule(lab)
        yield


@contextmanager
def disk_slow(lab: Laboratory) -> Iterator[None]:
    """Whatever the guard writes, opens or renames takes seconds."""
    need("strace")
    calls = "openat,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
    pid = told(lab)["process"]["pid"]
    trace = f"strace -f -qq -o /dev/null -p {pid} -e trace={calls} -e inject={calls}:delay_enter={SLOW_S}s"
    with running(lab, f"{trace} & sleep 0.5; echo ready; wait"):
        change_some_rule(lab)
        yield


@contextmanager
def memory_short(lab: Laboratory) -> Iterator[None]:
    """The guard and all that it starts may have hardly more memory than they use already."""
    top = Path("/sys/fs/cgroup/memory")
    place = next(
        (line.split(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line), None
    )
    if place is None or not os.access(top, os.W_OK):
        unavailable("there are no memory control groups of the first kind here")
    group = top / place.lstrip("/") / f"mute-{os.getpid()}"
    group.mkdir()
    former = Path(top / place.lstrip("/") / "cgroup.procs")
    try:
        for pid in guards_processes(lab):
            (group / "cgroup.procs").write_text(str(pid))
        used = int((group / "memory.usage_in_bytes").read_text())
        (group / "memory.limit_in_bytes").write_text(str(used + (1 << 20)))
        change_some_rule(lab)
        yield
    finally:
        (group / "memory.limit_in_bytes").write_text("-1")
        for left in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                former.write_text(left)
        lab.wait_for(lambda: not (group / "cgroup.procs").read_text(), 5, "an empty control group")
        group.rmdir()


def guards_processes(lab: Laboratory) -> list[int]:
    """The guard and what it has started, by their numbers on this side."""
    inner = told(lab)["process"]["pid"]
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.readlink(f"/proc/{process.pid}/ns/pid") == lab.namespace("pid"):
                status = Path(f"/proc/{process.pid}/status").read_text()
                if next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1] == str(inner):
                    return [process.pid, *(child.pid for child in process.children(recursive=True))]
    raise AssertionError("the guard is not found")


@contextmanager
def stopped(lab: Laboratory, *processes: int) -> Iterator[None]:
    pids = " ".join(map(str, processes))
    sh(lab, f"kill -STOP {pids}")
    try:
        yield
    finally:
        # The guard kills a muter that hangs.
        sh(lab, f"for p in {pids}; do kill -CONT $p; done", check=False)


def guard_stopped(lab: Laboratory) -> contextlib.AbstractContextManager[None]:
    return stopped(lab, told(lab)["process"]["pid"])


def muter_stopped(lab: Laboratory) -> contextlib.AbstractContextManager[None]:
    return stopped(lab, hand(lab))


def both_stopped(lab: Laboratory) -> contextlib.AbstractContextManager[None]:
    return stopped(lab, told(lab)["process"]["pid"], hand(lab))


def hand(lab: Laboratory) -> int:
    found = muter(lab)
    assert found is not None, "there is no muter"
    return found
