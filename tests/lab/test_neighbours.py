"""Docker, ufw and libvirt next to the gateway: all of it works through their rules, and none of these is changed.

What they set up in iptables is in rules/; a container and a guest stand behind them. Both kinds of iptables.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.asking_again import await_answer
from tests.lab.guarding import exchange_names
from tests.lab.support import (
    EXAMPLE,
    HERE,
    OFFICE,
    TRAFFIC,
    Question,
    apply,
    await_nodes,
    await_status,
    ciao,
    differences,
    laptop_services,
    page,
    peer,
    plan_with,
    reset,
    route_to_the_nodes,
    usable,
    whole,
    wrong,
)
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab

PROGRAMS = ("iptables-nft", "iptables-legacy")


@dataclass(frozen=True)
class Behind:
    """A machine of a neighbour's own: a namespace behind a bridge of this laptop."""

    netns: str
    bridge: str
    address: str
    router: str


BEHIND = {
    "docker": Behind("container", "docker0", "172.17.0.2", "172.17.0.1"),
    "libvirt": Behind("guest", "virbr0", "192.168.122.2", "192.168.122.1"),
}

THEIRS = {
    "docker": {
        "its published port is reached from the office": Question(
            "colleague", "fetch", f"http://{OFFICE}:8080/", page("container", 80, "172.17.0.2", "10.77.0.50")
        ),
        "its published port is reached from the laptop": Question(
            None, "fetch", f"http://{OFFICE}:8080/", page("container", 80, "172.17.0.2", OFFICE)
        ),
        "a container reaches the office": Question(
            "container", "fetch", "http://10.77.0.1/", page("corporate", 80, "10.77.0.1", OFFICE)
        ),
        "a container's connection to somebody's port 5000 goes there": Question(
            "container", "fetch", "http://198.51.100.10:5000/", page("corporate", 5000, "198.51.100.10", OFFICE)
        ),
    },
    "libvirt": {
        "a guest reaches the office": Question(
            "guest", "fetch", "http://10.77.0.1/", page("corporate", 80, "10.77.0.1", OFFICE)
        ),
    },
    "ufw": {
        "SSH is open to the office": Question(
            "colleague", "fetch", f"http://{OFFICE}:22/", page("laptop", 22, OFFICE, "10.77.0.50")
        ),
        "nothing else is": Question("colleague", "fetch", f"http://{OFFICE}:3000/"),
    },
}


def load(lab: Laboratory, program: str, name: str) -> None:
    """Have a neighbour load its rules as it does when it starts: its own chains, and jumps into everybody's."""
    if name in BEHIND:
        lab.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
    lab.run([f"{program}-restore", "--noflush", str(HERE / "rules" / f"{name}.rules")])


@contextmanager
def started(lab: Laboratory, program: str, names: Sequence[str]) -> Iterator[None]:
    """Neighbours that are there: bridges, machines behind them, and rules."""
    with ExitStack() as stack:
        for name in names:
            behind = BEHIND.get(name)
            if behind is not None:
                build(lab, behind)
                stack.enter_context(peer(lab, "serve", behind.netns, "80", netns=behind.netns))
            load(lab, program, name)
        yield


def build(lab: Laboratory, behind: Behind) -> None:
    for line in (
        f"link add {behind.bridge} type bridge forward_delay 0",
        f"address add {behind.router}/24 dev {behind.bridge}",
        f"link set {behind.bridge} up",
        f"netns add {behind.netns}",
        f"link add {behind.netns} master {behind.bridge} type veth peer name eth0 netns {behind.netns}",
        f"link set {behind.netns} up",
        f"-n {behind.netns} link set lo up",
        f"-n {behind.netns} link set eth0 up",
        f"-n {behind.netns} address add {behind.address}/24 dev eth0",
        f"-n {behind.netns} route add default via {behind.router}",
    ):
        lab.run(["ip", *line.split()])


def questions(names: Sequence[str]) -> dict[str, Question]:
    """The gateway's traffic and the neighbours' own."""
    return TRAFFIC | theirs(names)


def theirs(names: Sequence[str]) -> dict[str, Question]:
    """What the neighbours' own machines do, gateway or not."""
    return {f"{name}: {text}": question for name in names for text, question in THEIRS[name].items()}


def their_rules(machine: dict[str, Any]) -> dict[str, list[str]]:
    """Everybody's iptables rules but ours, in order."""
    saved = machine["network"]["iptables"]
    return {program: [line for line in lines if "CIAO-" not in line] for program, lines in saved.items()}


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("iptables-nft", ["docker"]),
        ("iptables-nft", ["libvirt"]),
        ("iptables-nft", ["docker", "ufw", "libvirt"]),
        ("iptables-legacy", ["ufw"]),
        ("iptables-legacy", ["docker", "ufw", "libvirt"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_everything_works_and_nothing_of_theirs_is_changed(lab: Laboratory, program: str, names: list[str]) -> None:
    usable(lab, program)
    with laptop_services(lab), started(lab, program, names):
        assert wrong(lab, theirs(names)) == {}, "the neighbours work before we come"
        before = whole(lab)

        apply(lab)
        await_nodes(lab)
        route_to_the_nodes(lab)
        assert wrong(lab, questions(names)) == {}
        applied = whole(lab)
        assert differences(their_rules(before), their_rules(applied)) == []

        apply(lab)
        if len(names) > 1:
            # Rules that differ are loaded anew; both ways.
            apply(lab, plan_with(("port = 8889", "port = 8890")))
            apply(lab)
        again = whole(lab)
        assert differences(applied["network"], again["network"]) == []
        assert wrong(lab, questions(names)) == {}

        reset(lab)
        assert differences(before, whole(lab)) == []
        assert wrong(lab, theirs(names)) == {}


@pytest.mark.parametrize(
    ("program", "name", "cut"),
    [
        ("iptables-nft", "docker", "a node sees the corporate page by its address"),
        ("iptables-legacy", "ufw", "a node asks the gateway's DNS"),
    ],
)
def test_a_neighbour_that_starts_later_cuts_nobody_off_for_long(
    lab: Laboratory, program: str, name: str, cut: str
) -> None:
    usable(lab, program)
    with laptop_services(lab):
        apply(lab)
        await_nodes(lab)
        route_to_the_nodes(lab)
        with started(lab, program, [name]):
            loaded = their_rules(whole(lab))
            await_answer(lab, cut)
            assert wrong(lab, questions([name])) == {}
            assert differences(loaded, their_rules(whole(lab))) == []
            assert await_status(lab, "applied")["drift"] == []
            if program == "iptables-nft":
                # What `systemctl restart nftables` does; then Docker is restarted too.
                lab.run(["nft", "flush", "ruleset"])
                load(lab, program, name)
                await_answer(lab, cut)
                assert wrong(lab, questions([name])) == {}
            reset(lab)
            assert differences(loaded, their_rules(whole(lab))) == []
            assert wrong(lab, theirs([name])) == {}


# nat.sh by hand


@pytest.fixture(scope="module")
def laptop(lab_possible: None) -> Iterator[Laboratory]:
    """A laptop with ufw's rules, where nobody else looks after ours and nobody else forwards."""
    with Laboratory() as lab, started(lab, "iptables-nft", ["ufw"]):
        yield lab


@pytest.fixture
def script(laptop: Laboratory) -> Iterator[str]:
    """nat.sh as rendered, in a directory that only the laboratory sees; nothing is loaded, before and after."""
    directory = "/run/ciao-lab/rendered"
    done = ciao(laptop, "render", "-c", str(EXAMPLE), "-o", directory)
    assert done.returncode == 0, done.stderr
    path = f"{directory}/etc/ciao-wizard/nat.sh"
    yield path
    laptop.run([path, "down"])


def nat(lab: Laboratory, script: str, verb: str) -> subprocess.CompletedProcess[str]:
    return lab.run([script, verb], check=False)


def rules(lab: Laboratory) -> dict[str, Any]:
    """Rules and switches, and what the script remembers of those."""
    seen = whole(lab)
    kept = {path: entry for path, entry in seen["files"].items() if path.startswith("/run/ciao-wizard/forwarding.")}
    return {"network": seen["network"], "kept": kept}


def test_nat_sh_may_be_run_by_hand_in_any_order(laptop: Laboratory, script: str) -> None:
    down = rules(laptop)
    assert nat(laptop, script, "status").returncode == 1
    assert nat(laptop, script, "down").returncode == 0
    assert differences(down, rules(laptop)) == []
    assert nat(laptop, script, "up").returncode == 0
    up = rules(laptop)
    assert differences(down, up) != []
    assert differences(their_rules(down), their_rules(up)) == []
    for verb in ("up", "up", "status", "down", "down", "up", "down", "up", "status", "up"):
        done = nat(laptop, script, verb)
        assert (done.returncode, done.stderr) == (0, ""), verb
        if verb != "status":
            now = rules(laptop)
            there = down["network"] if verb == "down" else up["network"]
            assert differences(there, now["network"]) == [], verb
    assert nat(laptop, script, "down").returncode == 0
    assert differences(down, rules(laptop)) == []
    for argv in ([], ["sideways"]):
        done = laptop.run([script, *argv], check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: nat.sh up | down")


def test_nat_sh_status_says_what_is_missing(laptop: Laboratory, script: str) -> None:
    assert nat(laptop, script, "up").returncode == 0
    for breaks, word in {
        "iptables-nft -D FORWARD -j CIAO-FORWARD": "iptables-nft FORWARD: ours is missing",
        "iptables-nft -F CIAO-INPUT": "iptables-nft INPUT: ours is missing",
        "iptables-nft -I FORWARD 1 -s 192.0.2.1 -j DROP": "iptables-nft FORWARD: ours is behind others",
        "echo 0 >/proc/sys/net/ipv4/conf/eth1/forwarding": "eth1: off",
        "nft delete table inet ciao_gateway": "not loaded",
    }.items():
        laptop.run(["sh", "-c", breaks])
        done = nat(laptop, script, "status")
        assert done.returncode == 1, breaks
        assert word in done.stdout
        assert nat(laptop, script, "up").returncode == 0
        assert nat(laptop, script, "status").returncode == 0


@pytest.mark.parametrize(("before", "since"), [("1", "0"), ("0", "1")])
def test_forwarding_goes_by_the_global_switch_where_somebody_threw_it_since(
    laptop: Laboratory, script: str, before: str, since: str
) -> None:
    """The kernel has every NIC follow that switch, so theirs is what the NICs are left with."""
    nat(laptop, script, "down")
    laptop.run(["sh", "-c", f"echo {before} >/proc/sys/net/ipv4/ip_forward"])
    assert nat(laptop, script, "up").returncode == 0
    laptop.run(["sh", "-c", f"echo {since} >/proc/sys/net/ipv4/ip_forward"])
    assert nat(laptop, script, "up").returncode == 0
    assert nat(laptop, script, "down").returncode == 0
    left = laptop.run(["sh", "-c", "cat /proc/sys/net/ipv4/conf/eth[01]/forwarding; ls /run/ciao-wizard"]).stdout
    assert left.split()[:2] == [since, since]
    assert "forward" not in left


def test_a_native_chain_with_a_name_of_iptables_is_left_alone(lab: Laboratory) -> None:
    """One that iptables takes for its own has our jump; beside one that it does not take nothing is made."""
    directory = "/run/ciao-lab/rendered"
    assert ciao(lab, "render", "-c", str(EXAMPLE), "-o", directory).returncode == 0
    script = f"{directory}/etc/ciao-wizard/nat.sh"
    for priority in ("filter", "filter - 5"):
        chain = f"chain INPUT {{ type filter hook input priority {priority}; policy drop; tcp dport 22 accept; }}"
        lab.run(["nft", f"table ip filter {{ {chain}; }}"])
        before = lab.run(["nft", "list", "ruleset"]).stdout
        done = lab.run([script, "up"], check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert lab.run([script, "status"], check=False).returncode == 0
        lab.run([script, "down"])
        assert lab.run(["nft", "list", "ruleset"]).stdout == before
        lab.run(["nft", "delete", "table", "ip", "filter"])


def test_forwarding_of_one_nic_is_given_back_where_it_is_on_for_all(laptop: Laboratory, script: str) -> None:
    """Also to NICs that exchanged their names meanwhile."""
    nat(laptop, script, "down")
    sysctl = "/proc/sys/net/ipv4"
    try:
        laptop.run(["sh", "-c", f"echo 1 >{sysctl}/ip_forward; echo 0 >{sysctl}/conf/eth0/forwarding"])
        assert nat(laptop, script, "up").returncode == 0
        exchange_names(laptop)
        assert nat(laptop, script, "up").returncode == 0
        assert nat(laptop, script, "down").returncode == 0
        left = laptop.run(["sh", "-c", f"cat {sysctl}/conf/eth[01]/forwarding"]).stdout.split()
        assert left == ["1", "0"]
    finally:
        exchange_names(laptop)
        laptop.run(["sh", "-c", f"echo 0 >{sysctl}/ip_forward"])


@pytest.mark.parametrize("verbs", [["up"] * 6, ["down"] * 6, ["up", "down"] * 3], ids=lambda v: "+".join(v[:2]))
def test_several_nat_sh_at_once_end_as_one_does(laptop: Laboratory, script: str, verbs: list[str]) -> None:
    down = rules(laptop)
    nat(laptop, script, "up")
    up = rules(laptop)
    for _ in range(3):
        if verbs[0] != "down":
            nat(laptop, script, "down")
        running = [laptop.popen([script, verb], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for verb in verbs]
        said = [process.communicate(timeout=60)[0] for process in running]
        assert [process.returncode for process in running] == [0] * len(verbs), said
        seen = rules(laptop)["network"]
        if len(set(verbs)) == 1:
            wanted = [up["network"] if verbs[0] == "up" else down["network"]]
        else:
            wanted = [up["network"], down["network"]]
        assert seen in wanted, differences(wanted[0], seen)
        nat(laptop, script, "up")
        assert differences(up["network"], rules(laptop)["network"]) == []


def test_a_table_of_others_that_drops_everything_is_not_called_healthy(lab: Laboratory) -> None:
    table = "table inet filter { chain forward { type filter hook forward priority filter; policy drop; }; }"
    lab.run(["nft", table])
    done = ciao(lab, "apply", "-c", str(EXAMPLE), "--yes")
    assert done.returncode == 1
    assert "inet filter forward drops it by its policy" in done.stderr
    for direction in ("iifname", "oifname"):
        lab.run(["nft", "insert", "rule", "inet", "filter", "forward", direction, "eth1", "accept"])
    apply(lab)
    assert ciao(lab, "status").returncode == 0
