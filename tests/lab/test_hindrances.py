"""What a machine can have against an apply: full and read-only disks, programs, ports, a NIC that goes, a journal
that does not hold what it held. Said clearly, with nothing left behind; or taken back whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.lab.port_holder import PLAIN, holding
from tests.lab.striking import (
    APPLY,
    BESIDE_MARKER,
    Machine,
    beside_marker,
    ciao,
    interrupted,
    kill,
    kill_tree,
    paused,
    processes,
    replaced,
    status,
    wake,
)
from tests.lab.support import EXAMPLE, LEASES
from wizard.lab.control import Laboratory

RESET = ("reset", "--yes", "--forget-leases")
TRIAL_ONLY = ("apply", *APPLY[1:3], "--confirm-within", "0.1")
JOURNAL = "/var/lib/ciao-wizard/journal"
FILL = (
    "dd if=/dev/zero of={0}/ballast bs=4096 status=none 2>/dev/null || dd if=/dev/zero of={0}/ballast2 bs=1 status=none"
)


def refused(lab: Laboratory, *words: str) -> None:
    """An apply is refused before anything is changed, and these words are in what it says."""
    done = ciao(lab, *APPLY)
    assert done.returncode == 1, done.stderr
    assert not [word for word in words if word not in done.stderr], done.stderr


# Disks


@contextmanager
def small_disk(lab: Laboratory, directory: str, kib: int) -> Iterator[None]:
    """A directory on a disk of its own, with what was in it."""
    lab.run(
        [
            "sh",
            "-c",
            f"mkdir -p /run/ciao-lab/small && mount -n -t tmpfs -o size={kib}k,mode=755 tmpfs /run/ciao-lab/small && "
            f"cp -a {directory}/. /run/ciao-lab/small/ && mount -n --move /run/ciao-lab/small {directory}",
        ]
    )
    try:
        yield
    finally:
        lab.run(["umount", "-n", "--lazy", directory])


def fill(lab: Laboratory, directory: str) -> None:
    lab.run(["sh", "-c", FILL.format(directory)], check=False)


@pytest.mark.parametrize("directory", ["/etc/network/interfaces.d", "/var/lib", "/run/ciao-wizard"])
def test_a_full_disk_is_a_refusal(machine: Machine, directory: str) -> None:
    lab = machine.lab
    if directory.startswith("/run"):
        lab.run(["mkdir", "-m", "755", directory])
    with small_disk(lab, directory, 600):
        refused(lab, directory, "full", "Make room", "Nothing was changed")
    lab.run(["rm", "-rf", "/run/ciao-wizard"])


def test_a_read_only_etc_is_a_refusal(machine: Machine) -> None:
    lab = machine.lab
    lab.run(["sh", "-c", "mount -n --bind /etc /etc && mount -n -o remount,bind,ro /etc"])
    try:
        refused(lab, "/etc", "read-only", "Mount it writable")
        assert machine.left() == []
    finally:
        lab.run(["umount", "-n", "/etc"])


def test_a_disk_that_fills_up_while_it_is_kept_undoes_everything(machine: Machine) -> None:
    lab = machine.lab
    with small_disk(lab, "/etc/network/interfaces.d", 2000):
        with paused(lab, "before:file:/etc/network/interfaces.d/ciao-cluster", *APPLY) as front:
            fill(lab, "/etc/network/interfaces.d")
            wake(lab)
            assert front.wait(20) == 1
            assert front.stdout is not None
            assert "No space left on device" in front.stdout.read()
        assert lab.run(["ls", "-A", "/etc/network/interfaces.d"]).stdout.split() in (
            ["ballast"],
            ["ballast", "ballast2"],
        )


@pytest.mark.parametrize("directory", ["/var/lib", "/run/ciao-wizard"])
def test_a_disk_that_is_full_keeps_nothing_from_going_back(machine: Machine, directory: str) -> None:
    """The journal has room kept aside, and what is put back needs none."""
    lab = machine.lab
    if directory.startswith("/run"):
        lab.run(["mkdir", "-m", "755", directory])
    with small_disk(lab, directory, 2000):
        with paused(lab, "verified", *TRIAL_ONLY) as front:
            fill(lab, directory)
            wake(lab)
            assert front.wait(20) == 1
        lab.run(["sh", "-c", f"rm -f {directory}/ballast*"])
        assert status(lab)["state"] == "absent"
    lab.run(["rm", "-rf", "/run/ciao-wizard"])


def test_a_reset_needs_no_room(machine: Machine) -> None:
    lab = machine.lab
    with small_disk(lab, "/var/lib", 2500), small_disk(lab, "/etc/network/interfaces.d", 2000):
        assert ciao(lab, *APPLY).returncode == 0
        for directory in ("/var/lib", "/etc/network/interfaces.d"):
            fill(lab, directory)
        assert ciao(lab, *RESET).returncode == 0
        assert "ciao" not in lab.run(["sh", "-c", "ls -A /var/lib /etc/network/interfaces.d"]).stdout


# Programs


@pytest.mark.parametrize(("program", "package"), [("dnsmasq", "dnsmasq-base"), ("nft", "nftables")])
def test_a_program_that_is_not_there_is_a_refusal(machine: Machine, program: str, package: str) -> None:
    with replaced(machine.lab, program, ""):
        refused(machine.lab, program, f"apt install {package}")


def test_ifupdown_is_needed_only_by_a_plan_that_wants_it(machine: Machine) -> None:
    lab = machine.lab
    plan = beside_marker(lab, "wants-ifupdown.toml")
    plan.write_text(EXAMPLE.read_text().replace("[network]", '[network]\nbackend = "ifupdown"', 1))
    with replaced(lab, "ifup", ""):
        done = ciao(lab, "apply", "-c", f"/{BESIDE_MARKER}/{plan.name}", "--yes")
        assert done.returncode == 1, done.stderr
        assert "ifupdown is not at work here" in done.stderr
        assert status(lab)["state"] == "absent"
        assert ciao(lab, *APPLY).returncode == 0
        assert ciao(lab, *RESET).returncode == 0


DYING = '#!/bin/sh\n[ "$1" = --test ] && exit 0\necho "dnsmasq: the reason why" >&2\nexit 3\n'
FAILING = "#!/bin/sh\necho 'the reason why' >&2\nexit 1\n"


@pytest.mark.parametrize(("program", "script"), [("dnsmasq", DYING), ("ifup", FAILING)])
def test_a_program_that_fails_takes_everything_back(machine: Machine, program: str, script: str) -> None:
    with replaced(machine.lab, program, script):
        done = ciao(machine.lab, *APPLY)
    assert done.returncode == 1
    assert "the reason why" in done.stderr


def test_the_event_of_a_step_that_failed_carries_the_log(machine: Machine) -> None:
    """The rollback removes the log itself."""
    lab = machine.lab
    with replaced(lab, "dnsmasq", DYING):
        done = ciao(lab, *APPLY, "--events", "-")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    (failed,) = (event for event in told if event.get("state") == "failed")
    assert failed["step"] == "gateway"
    assert "The guard last said: " in failed["detail"]
    assert "the reason why" in failed["detail"]
    named = re.findall(r"/run/\S+", failed["detail"] + told[-1]["reason"])
    assert not [path for path in named if lab.run(["test", "-e", path.rstrip(".;:'")], check=False).returncode]


# Ports

PLAIN += "s.type == socket.SOCK_STREAM and s.listen(); print('ready', flush=True); sys.stdin.read()"
TO_OFFICE = "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')"
DNSMASQ = ["dnsmasq", "-k", "-C", "/dev/null", "--user=root", "--no-resolv", "--no-hosts", "--pid-file"]


@pytest.mark.parametrize(
    ("kind", "port", "more"),
    [
        ("SOCK_DGRAM", 67, "pass"),
        ("SOCK_DGRAM", 67, TO_OFFICE),
        ("SOCK_DGRAM", 53, "pass"),
        ("SOCK_STREAM", 53, "pass"),
    ],
    ids=["DHCP", "DHCP at the office", "DNS", "DNS over TCP"],
)
def test_who_holds_a_port_is_named(machine: Machine, kind: str, port: int, more: str) -> None:
    with holding(machine.lab, kind, port, more=more):
        refused(machine.lab, "python3", str(port))


def test_another_dnsmasq_on_every_nic_is_named(machine: Machine) -> None:
    """Ours would start beside it without a word, and two servers would answer."""
    lab = machine.lab
    other = lab.popen([*DNSMASQ, "--port=0", "--dhcp-range=192.168.9.10,192.168.9.20", "--dhcp-leasefile=/dev/null"])
    try:
        lab.wait_for(lambda: ":67" in lab.run(["ss", "-Hlun"]).stdout, what="a foreign dnsmasq")
        refused(lab, "dnsmasq", "67")
    finally:
        # It has changed its user, so it does not die with what started it.
        kill(lab, *(p.pid for p in processes(lab, " ".join(DNSMASQ))))
        other.wait()


# What is there already


def test_the_plans_address_given_by_hand_is_taken_over_and_given_back(machine: Machine) -> None:
    """And where there is no /dev/net/tun: a node's path is walked all the same, and nothing of that is left."""
    lab = machine.lab
    lab.run(["sh", "-c", "ip addr add 192.168.0.200/24 dev eth1 && mount -n --bind /dev/null /dev/net/tun"])
    try:
        addresses = lab.run(["ip", "-4", "addr", "show", "dev", "eth1"]).stdout
        done = ciao(lab, *APPLY)
        assert done.returncode == 0, done.stderr
        said = {check["name"]: check["ok"] for check in status(lab)["checks"]}
        assert said["path-arp"] is said["path-dhcp"] is said["path-dns"] is said["path-out"] is True
        assert "ciao-path" in lab.run(["ip", "-d", "link", "show", "type", "veth"]).stdout
        assert "ciao-path" not in ciao(lab, "detect", "--json").stdout
        assert ciao(lab, *RESET).returncode == 0
        assert lab.run(["ip", "-4", "addr", "show", "dev", "eth1"]).stdout == addresses
        assert "ciao-path" not in lab.run(["ip", "link"]).stdout
    finally:
        lab.run(["sh", "-c", "umount -n /dev/net/tun; ip addr del 192.168.0.200/24 dev eth1"], check=False)
    assert machine.left() == []


# A NIC that goes


@pytest.mark.parametrize("moment", ["noted:address:eth1", "noted:gateway", "waiting"])
def test_a_nic_that_goes_takes_everything_back_but_itself(machine: Machine, moment: str) -> None:
    lab = machine.lab
    with paused(lab, moment, "apply", *APPLY[1:3], "--confirm-within", "60") as front:
        lab.run(["ip", "link", "del", "eth1"])
        wake(lab)
        assert front.wait(30) == 1
    assert status(lab)["state"] == "absent"
    left = [line for line in machine.left() if "eth1" not in line]
    machine.drop()
    assert left == []


# The journal


def emptied(lab: Laboratory) -> None:
    lab.run(["truncate", "-s", "0", JOURNAL])


def missing(lab: Laboratory) -> None:
    lab.run(["rm", JOURNAL])


def all_of_it_missing(lab: Laboratory) -> None:
    lab.run(["rm", "-rf", "/var/lib/ciao-wizard"])


def random(lab: Laboratory) -> None:
    lab.run(["sh", "-c", f"head -c 4000 /dev/urandom >{JOURNAL}"])


def damaged_in_the_middle(lab: Laboratory) -> None:
    lab.run(["sed", "-i", "3s/.t.:/T:/", JOURNAL])


def cut_short(lab: Laboratory) -> None:
    """Whole records are gone: no checksum tells."""
    lab.run(["sed", "-i", "6,$d", JOURNAL])


def soiled_at_the_end(lab: Laboratory) -> None:
    lab.run(["sh", "-c", f"head -c 100 /dev/urandom | tr -d '\\n' >>{JOURNAL}"])


Harm = Callable[[Laboratory], None]


def to_rest(machine: Machine) -> Sequence[str]:
    """What is left, less what cannot be known without a journal: whether the link was up before us, and whose the
    leases are."""
    machine.lab.run(["ip", "link", "set", "eth1", "up"])
    machine.lab.run(["rm", "-f", LEASES])
    machine.lab.wait_for(lambda: "state UP" in machine.lab.run(["ip", "link", "show", "dev", "eth1"]).stdout)
    return machine.left()


@pytest.mark.parametrize("harm", [all_of_it_missing, emptied, damaged_in_the_middle])
def test_a_journal_that_was_harmed_is_never_trusted_by_what_comes_next(machine: Machine, harm: Harm) -> None:
    """In force: an apply does not act on it, status says it, and a reset takes away what it can, and says the rest."""
    lab = machine.lab
    assert ciao(lab, *APPLY).returncode == 0
    harm(lab)
    said = ciao(lab, "status")
    assert said.returncode == 1, said.stdout
    done = ciao(lab, *RESET)
    assert done.returncode == 1, done.stderr
    assert "cannot be proven" in done.stderr
    left = to_rest(machine)
    assert not left, "\n".join(left)


@pytest.mark.parametrize("harm", [random, missing, cut_short])
def test_a_harmed_journal_of_a_run_that_was_cut_off(machine: Machine, harm: Harm) -> None:
    lab = machine.lab
    with paused(lab, "did:file:/etc/ciao-wizard/nat.sh", *APPLY):
        kill_tree(lab)
    harm(lab)
    assert interrupted(lab)
    if harm is not cut_short:
        refused(lab, "the journal", "reset")
        assert interrupted(lab)
    done = ciao(lab, "rollback")
    assert done.returncode == 1, done.stderr
    assert "cannot be proven" in done.stderr
    left = to_rest(machine)
    assert not left, "\n".join(left)


def test_dirt_at_the_end_of_the_journal_changes_nothing(machine: Machine) -> None:
    """That is what a power cut leaves."""
    lab = machine.lab
    assert ciao(lab, *APPLY).returncode == 0
    soiled_at_the_end(lab)
    assert ciao(lab, "status").returncode == 0
    assert ciao(lab, *RESET).returncode == 0
    assert ciao(lab, "status").stdout.startswith("absent")
    assert not to_rest(machine)
