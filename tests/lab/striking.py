"""Striking a run of the wizard dead at a chosen moment, and looking at what comes of the machine.

The moments are those of wizard.deploy.failpoints: the run itself says which there are, so that a step which is new is
struck too.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.support import EXAMPLE, differences, whole
from wizard.deploy import failpoints
from wizard.lab.control import Laboratory

FAST = {"CIAO_LAB_PROBE_WAIT": "0.1"}
BESIDE_MARKER = "run/ciao-lab"
OURS = ("wizard engine", "wizard serve", "wizard apply", "wizard reset", "wizard rollback", "/run/ciao-wizard/")
APPLY = ("apply", "-c", str(EXAMPLE), "--yes")


@dataclass(frozen=True, slots=True)
class Seen:
    """One process of the laboratory. `pid` and `parent` are numbers in there."""

    pid: int
    parent: int
    line: str


class Machine:
    """A laboratory for many tests: each leaves the laptop as it found it, or its successor gets a new one."""

    def __init__(self) -> None:
        self._lab: Laboratory | None = None
        self.before: dict[str, Any] = {}

    @property
    def lab(self) -> Laboratory:
        if self._lab is None:
            self._lab = Laboratory()
            self._lab.__enter__()
            prepare(self._lab)
            self.before = whole(self._lab)
        return self._lab

    def left(self) -> list[str]:
        """What is not as it was before the first test, once nothing moves any more."""
        return what_is_left(self.lab, self.before)

    def drop(self) -> None:
        if self._lab is not None:
            self._lab.stop()
        self._lab = None


def prepare(lab: Laboratory) -> None:
    """Have everything quick: short probes, and IPv6 addresses that need no proof."""
    lab.env.update(FAST)
    lab.run(["sysctl", "-qw", "net.ipv6.conf.eth1.accept_dad=0", "net.ipv6.conf.eth1.dad_transmits=0"])


def ciao(lab: Laboratory, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command of ciao-wizard with the environment of `prepare`, whatever its exit status."""
    done = lab.run(["ciao-wizard", *argv], check=False, input=stdin, timeout=90)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def status(lab: Laboratory) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(ciao(lab, "status", "--json").stdout)
    return said


def beside_marker(lab: Laboratory, name: str) -> Path:
    return Path(f"/proc/{lab.init}/root") / BESIDE_MARKER / name


def processes(lab: Laboratory, *words: str) -> list[Seen]:
    """Processes with one of these in their command line; zombies are none."""
    found = []
    for line in lab.run(["ps", "-e", "-w", "-w", "-o", "pid=,ppid=,stat=,args="]).stdout.splitlines():
        pid, parent, state, rest = line.split(None, 3)
        if state[0] != "Z" and any(word in rest for word in words):
            found.append(Seen(int(pid), int(parent), rest))
    return found


def engines(lab: Laboratory) -> list[Seen]:
    return processes(lab, "wizard engine")


def watchman(lab: Laboratory) -> Seen:
    """The engine's first process."""
    all_of_it = engines(lab)
    pids = {e.pid for e in all_of_it}
    (first,) = [e for e in all_of_it if e.parent not in pids and " apply " in e.line]
    return first


def worker(lab: Laboratory) -> Seen:
    """The engine's second process."""
    first = watchman(lab)
    (second,) = [e for e in engines(lab) if e.parent == first.pid]
    return second


def kill(lab: Laboratory, *pids: int, signal: str = "KILL") -> None:
    if pids:
        lab.run(["kill", f"-{signal}", *map(str, pids)], check=False)


def kill_watchman(lab: Laboratory) -> None:
    kill(lab, watchman(lab).pid)


def kill_worker(lab: Laboratory) -> None:
    kill(lab, worker(lab).pid)


def kill_engine(lab: Laboratory) -> None:
    """Both processes of it, and the front. The guard lives."""
    kill(lab, *(p.pid for p in processes(lab, "wizard engine", "wizard apply")))


def kill_tree(lab: Laboratory) -> None:
    """Everything that came of the run, the guard, dnsmasq and the front too."""
    kill(lab, *(p.pid for p in processes(lab, *OURS)))


@contextmanager
def running(
    lab: Laboratory, *argv: str, env: Mapping[str, str] | None = None, stdin: Any = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """`ciao-wizard ARGV…` in the background. What it says is read at the end."""
    front = lab.popen(["ciao-wizard", *argv], env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield front
    finally:
        front.kill()
        front.wait()
        if front.stdout is not None:
            front.stdout.close()


@contextmanager
def paused(lab: Laboratory, moment: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """`ciao-wizard ARGV…`, stopped at a moment."""
    told = beside_marker(lab, "paused")
    told.unlink(missing_ok=True)
    with running(lab, *argv, env={failpoints.VARIABLE: moment}) as front:

        def there() -> bool:
            if front.poll() is not None:
                said = front.stdout.read() if front.stdout is not None else ""
                raise AssertionError(f"it ended before {moment}: {said}")
            return told.exists()

        lab.wait_for(there, 30, moment)
        yield front


def wake(lab: Laboratory) -> None:
    """Let those who stopped themselves go on."""
    lines = beside_marker(lab, "paused").read_text().splitlines()
    kill(lab, *(int(line.split()[1]) for line in lines), signal="CONT")


@contextmanager
def replaced(lab: Laboratory, program: str, script: str) -> Iterator[None]:
    """Another program in a program's place, none at all for ""; the true one is /run/ciao-lab/true/PROGRAM."""
    place = lab.run(["sh", "-c", f"readlink -f $(command -v {program})"]).stdout.strip()
    keep = f"mkdir -p /run/ciao-lab/true; cp {place} /run/ciao-lab/true/{program}; cat >/run/ciao-lab/other-{program}"
    mode = "755" if script else "644"
    lab.run(["sh", "-c", f"{keep}; chmod {mode} /run/ciao-lab/other-{program}"], input=script)
    lab.run(["mount", "-n", "--bind", f"/run/ciao-lab/other-{program}", place])
    try:
        yield
    finally:
        lab.run(["umount", "-n", "--lazy", place])


def moments(lab: Laboratory, *argv: str) -> list[str]:
    """The moments of a run that succeeds, in order."""
    file = beside_marker(lab, "moments")
    file.unlink(missing_ok=True)
    done = lab.run(["ciao-wizard", *argv], env={failpoints.VARIABLE: "list"}, check=False)
    assert done.returncode == 0, done.stderr
    return list(dict.fromkeys(line.split()[0] for line in file.read_text().splitlines()))


def at_rest(lab: Laboratory, deadline: float = 30) -> None:
    """Wait until no engine is at work."""
    lab.wait_for(lambda: not engines(lab), deadline, "the end of every engine")


def what_is_left(lab: Laboratory, before: dict[str, Any]) -> list[str]:
    """What differs from the machine as it was, once nothing moves any more."""
    at_rest(lab)
    return differences(before, whole(lab))


def interrupted(lab: Laboratory) -> bool:
    """Whether `status` says that something waits to be taken back, and how. Fails where it says so halfway."""
    done = ciao(lab, "status", "--json")
    said = json.loads(done.stdout)
    if said["state"] != "interrupted":
        return False
    assert done.returncode == 1
    assert "rollback" in said["reason"], said
    return True


def taken_back(lab: Laboratory, deadline: float = 30) -> None:
    """Wait until what was struck is taken back, and by nobody's order."""
    # Both at once: a process that is just becoming an engine is not yet seen as one.
    lab.wait_for(lambda: not engines(lab) and not interrupted(lab), deadline, "that it is taken back")


def strike_all(
    lab: Laboratory, before: dict[str, Any], places: Sequence[str], strike: Any, argv: Sequence[str] = APPLY
) -> dict[str, list[str]]:
    """Strike one run after the other, each at another place; per place what is not as it was, where anything is."""
    wrong: dict[str, list[str]] = {}
    for place in places:
        with paused(lab, place, *argv) as front:
            strike(lab)
            wake(lab)
            front.wait(20)
            at_rest(lab)
        if interrupted(lab):
            done = ciao(lab, "rollback")
            # 3: the guard has taken it back by now.
            if done.returncode not in (0, 3):
                wrong[f"{place}: rollback"] = done.stderr.splitlines()
        left = what_is_left(lab, before)
        if left:
            wrong[place] = [line[:300] for line in left[:20]]
            ciao(lab, "reset", "--yes", "--forget-leases")
    return wrong
