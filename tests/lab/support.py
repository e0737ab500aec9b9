"""What the tests of the main job share: running the wizard in a laboratory, asking around, comparing machines."""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wizard.lab.control import Laboratory

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "ciao.toml"
LEASES = "/var/lib/misc/tenant_dns.leases"

NODES = {
    "controller": "192.168.0.101",
    "network": "192.168.0.102",
    "compute1": "192.168.0.103",
    "compute2": "192.168.0.104",
}

NO_ANSWER_S = 1.5
"""How long to wait for what should not come: one repeated SYN."""
ANSWER_S = 10.0


# The wizard, through its command line


BRIEF = {"CIAO_LAB_PROBE_WAIT": "1"}
"""Twelve seconds of listening before every apply are for the tests of the probe."""


def ciao(
    lab: Laboratory, *argv: str, stdin: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command of ciao-wizard in the laptop's place, without a terminal, whatever its exit status."""
    return lab.run(["ciao-wizard", *argv], check=False, input=stdin, timeout=timeout, env=BRIEF)


def start_ciao(lab: Laboratory, *argv: str, **others: Any) -> subprocess.Popen[str]:
    """The same, started and left to run. `others` go to subprocess.Popen."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return lab.popen(["ciao-wizard", *argv], env=BRIEF, **{**pipes, **others})


def ciao_json(lab: Laboratory, *argv: str) -> Any:
    """What a command says with --json, whatever its exit status."""
    done = ciao(lab, *argv, "--json")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def apply(lab: Laboratory, plan: str | None = None, *options: str) -> subprocess.CompletedProcess[str]:
    """Apply the example, or the text of a plan, and keep it. Fails unless that succeeds."""
    config = ["-c", str(EXAMPLE)] if plan is None else ["-c", "-"]
    done = ciao(lab, "apply", *config, "--yes", *options, stdin=plan)
    assert done.returncode == 0, done.stderr
    return done


def told_by_apply(lab: Laboratory, *argv: str, stdin: str | None = None) -> list[dict[str, Any]]:
    """The events of an apply, whatever came of it."""
    path = "/run/ciao-lab/events.jsonl"
    lab.run(["rm", "-f", path])
    ciao(lab, "apply", *argv, "--events", path, stdin=stdin)
    return [json.loads(line) for line in lab.run(["cat", path]).stdout.splitlines()]


def reset(lab: Laboratory) -> subprocess.CompletedProcess[str]:
    """Reset, leases and all. Fails unless that succeeds."""
    done = ciao(lab, "reset", "--yes", "--forget-leases")
    assert done.returncode == 0, done.stderr
    # It has said its result a moment before it is gone.
    lab.wait_for(lambda: lab.run(["pgrep", "-f", "wizard engine"], check=False).returncode, what="the engine's end")
    return done


def plan_with(*changes: tuple[str, str]) -> str:
    """The example with texts in it replaced, each exactly once."""
    text = EXAMPLE.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the example"
        text = text.replace(old, new)
    return text


def await_nodes(lab: Laboratory, nodes: Mapping[str, str] = NODES, deadline: float = 60) -> None:
    """Wait until these machines have exactly these addresses."""
    wanted = {name: [address] for name, address in nodes.items()}
    lab.wait_for(lambda: {name: lab.addresses(name) for name in wanted} == wanted, deadline, f"the addresses {wanted}")


def await_status(lab: Laboratory, state: str, deadline: float = 60) -> Any:
    """Wait until `status --json` says a state (and that it is healthy), and return all that it says then."""

    def reached() -> Any:
        seen = ciao_json(lab, "status")
        return seen if seen["state"] == state and (seen["healthy"] or state == "absent") else None

    return lab.wait_for(reached, deadline, f"state {state}")


def dhcp_server(lab: Laboratory) -> str:
    """Who holds the laptop's DHCP port: "pid start-time"; two that are equal are one process."""
    held = lab.run(["ss", "-H", "-l", "-u", "-n", "-p", "sport = :67"]).stdout
    pids = {part.split(",")[0] for part in held.split("pid=")[1:]}
    assert len(pids) == 1, held
    (pid,) = pids
    return f"{pid} {lab.run(['cat', f'/proc/{pid}/stat']).stdout.rpartition(')')[2].split()[19]}"


# Comparing machines


def usable(lab: Laboratory, program: str) -> None:
    """Skip where this kernel has none of it, or (legacy) where only the machine's own root may list its tables."""
    if lab.run(["sh", "-c", f"{program} -S && {program}-save"], check=False).returncode:
        pytest.skip(f"{program} does not work in this laboratory")


def whole(lab: Laboratory) -> dict[str, Any]:
    """Everything of the laptop that a run of the wizard may touch. See whole.py."""
    found: dict[str, Any] = json.loads(lab.run([sys.executable, str(HERE / "whole.py")]).stdout)
    return found


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """What differs between two machines, a line each; [] where they are the same."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted({*before, *after})
            for line in differences(before.get(key), after.get(key), f"{path}/{key}")
        ]
    if isinstance(before, str) and isinstance(after, str):
        before, after = before.splitlines(), after.splitlines()
    if isinstance(before, list) and isinstance(after, list) and "/files/" not in path:
        old, new = ([json.dumps(row) for row in rows] for rows in (before, after))
        return [f"{path}: {line}" for line in difflib.ndiff(old, new) if line[0] in "+-"]
    return [f"{path}: {_shown(before)} -> {_shown(after)}"]


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[-1], str):
        value = [*value[:-1], bytes.fromhex(value[-1])[:400] if len(value[-1]) > 20 else value[-1]]
    return repr(value)


# Asking around


@dataclass(frozen=True)
class Question:
    """One thing asked from a machine (None: the laptop), and the answer it must have, None for none at all,
    within some seconds."""

    where: str | None
    kind: str
    target: str
    answer: str | None = None
    within: float = ANSWER_S

    @property
    def timeout(self) -> float:
        return NO_ANSWER_S if self.answer is None else self.within


def ask(lab: Laboratory, questions: Mapping[str, Question]) -> dict[str, str | None]:
    """Ask everything, from every machine at once; the answers by the questions' names."""
    groups: dict[str | None, list[str]] = {}
    for name, question in questions.items():
        groups.setdefault(question.where, []).append(name)

    def ask_from(where: str | None) -> dict[str, str | None]:
        names = groups[where]
        asked = [[questions[n].kind, questions[n].target, questions[n].timeout] for n in names]
        said = lab.run([sys.executable, str(HERE / "peer.py"), "ask"], netns=where, input=json.dumps(asked)).stdout
        return dict(zip(names, json.loads(said), strict=True))

    answers: dict[str, str | None] = {}
    with ThreadPoolExecutor(len(groups)) as pool:
        for found in pool.map(ask_from, groups):
            answers.update(found)
    return answers


def wrong(lab: Laboratory, questions: Mapping[str, Question]) -> dict[str, str | None]:
    """Ask everything; those answers that are not what they must be."""
    return {name: answer for name, answer in ask(lab, questions).items() if answer != questions[name].answer}


def page(name: str, port: int, by: str, to: str) -> str:
    """The page of a machine of the laboratory, as served by one address to another."""
    return f"{name} {port}\nserved by {by}\nasked by {to}\n"


@contextmanager
def peer(lab: Laboratory, *argv: str, netns: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """A running `peer.py serve …` or `echo …`, open for business."""
    process = lab.popen(
        [sys.executable, str(HERE / "peer.py"), *argv], netns=netns, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout else None


@contextmanager
def laptop_services(lab: Laboratory) -> Iterator[None]:
    """What may run on a laptop: an SSH server (a page on its port), and something that is nobody's business."""
    with peer(lab, "serve", "laptop", "22", "3000"):
        yield


def route_to_the_nodes(lab: Laboratory) -> None:
    """The colleague knows the way, as anybody in the office could."""
    lab.run(["ip", "-n", "colleague", "route", "replace", "192.168.0.0/24", "via", "10.77.0.98"])


GATEWAY, OFFICE = "192.168.0.200", "10.77.0.98"
_CONTROLLER, _COLLEAGUE = NODES["controller"], "10.77.0.50"


def _traffic() -> dict[str, Question]:
    corporate = page("corporate", 80, "10.77.0.1", OFFICE)
    outside = page("corporate", 5000, "198.51.100.10", OFFICE)
    node = page("compute1", 80, NODES["compute1"], NODES["network"])
    found = {
        "a node sees the corporate page by its name": Question(
            "compute1", "fetch", "http://www.corp.example/", corporate
        ),
        "a node sees the corporate page by its address": Question("compute2", "fetch", "http://10.77.0.1/", corporate),
        "a node's connection to somebody's port 5000 goes there": Question(
            "compute1", "fetch", "http://198.51.100.10:5000/", outside
        ),
        "the same by its name": Question("controller", "fetch", "http://registry.example:5000/", outside),
        "a node sees another by its short name": Question("network", "fetch", "http://compute1/", node),
        "a node sees another by its full name": Question("network", "fetch", "http://compute1.ciao.lan/", node),
        "a node knows the gateway's name": Question("compute1", "resolve", "gateway", GATEWAY),
        "a node asks the gateway's DNS": Question("compute2", "dns", f"compute1.ciao.lan@{GATEWAY}", NODES["compute1"]),
        "a node pings the gateway": Question("compute1", "ping", GATEWAY, "answers"),
        "a node pings the laptop's office address": Question("compute1", "ping", OFFICE, "answers"),
        "a node pings the office": Question("compute2", "ping", "10.77.0.1", "answers"),
        "the laptop pings a node": Question(None, "ping", NODES["compute2"], "answers"),
        "the laptop sees a node's page": Question(
            None, "fetch", f"http://{_CONTROLLER}/", page("controller", 80, _CONTROLLER, GATEWAY)
        ),
        "the laptop sees the corporate page": Question(None, "fetch", "http://www.corp.example/", corporate),
        "a colleague reaches no node past the forwards": Question("colleague", "fetch", f"http://{_CONTROLLER}/"),
        "nor a forwarded port at the node itself": Question("colleague", "fetch", f"http://{_CONTROLLER}:8889/"),
        "nor by ping": Question("colleague", "ping", NODES["compute1"]),
        "nor the gateway's DNS": Question("colleague", "dns", f"compute1.ciao.lan@{GATEWAY}"),
        "nor that at the office address": Question("colleague", "dns", f"compute1.ciao.lan@{OFFICE}"),
        "nor the gateway's SSH at its cluster address": Question("colleague", "fetch", f"http://{GATEWAY}:22/"),
    }
    for at in (GATEWAY, OFFICE):
        ssh = page("laptop", 22, at, NODES["compute1"])
        found[f"a node reaches the laptop's SSH at {at}"] = Question("compute1", "fetch", f"http://{at}:22/", ssh)
        found[f"a node reaches no other service at {at}"] = Question("compute1", "fetch", f"http://{at}:3000/")
        landed = page("controller", 8889, _CONTROLLER, GATEWAY)
        for name in ("compute1", "controller"):
            found[f"{name} reaches the forward at {at}"] = Question(name, "fetch", f"http://{at}:8889/", landed)
    for at in (GATEWAY, OFFICE):
        landed = page("controller", 8889, _CONTROLLER, at)
        found[f"the laptop reaches its own forward at {at}"] = Question(None, "fetch", f"http://{at}:8889/", landed)
    for port in (8889, 35357, 5000):
        landed = page("controller", port, _CONTROLLER, _COLLEAGUE)
        found[f"a colleague's {port} lands on the controller"] = Question(
            "colleague", "fetch", f"http://{OFFICE}:{port}/", landed
        )
    return found


TRAFFIC = _traffic()
"""Who reaches whom once the example is applied, and who does not. Needs laptop_services and route_to_the_nodes."""
