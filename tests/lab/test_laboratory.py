"""The laboratory itself: what it shows to those inside, and that nothing of it gets out or stays."""

from __future__ import annotations

import hashlib
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.sample_server import serve_the_sample
from wizard.lab import marker, preflight
from wizard.lab.control import Laboratory
from wizard.lab.tools import find, python

pytestmark = pytest.mark.lab


def front(*command: str) -> list[str]:
    return [*python("wizard.lab.enter"), "--", *command]


def machine_state() -> dict[str, object]:
    """What of this machine a laboratory could have touched."""
    etc = {}
    for directory, _, files in os.walk("/etc"):
        for name in files:
            path = Path(directory, name)
            status = path.lstat()
            readable = path.is_file() and os.access(path, os.R_OK)
            content = hashlib.sha256(path.read_bytes()).hexdigest() if readable else ""
            etc[f"file {path}"] = (status.st_mode, status.st_uid, status.st_mtime_ns, content)
    here = {
        "links": ["ip", "-o", "link"],
        "routes": ["ip", "route", "show", "table", "all"],
        "rules": ["nft", "list", "ruleset"],
        "namespaces": ["ip", "netns", "list"],
    }
    shown = {
        what: subprocess.run([find(argv[0]) or argv[0], *argv[1:]], capture_output=True, text=True, check=False).stdout
        for what, argv in here.items()
    }
    sysctls = {key: Path("/proc/sys/net/ipv4", key).read_text() for key in ("ip_forward", "conf/all/rp_filter")}
    return {
        **shown,
        **sysctls,
        **etc,
        "host name": socket.gethostname(),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "leases": sorted(map(str, Path("/var/lib/dhcp").glob("*"))),
        "run": sorted(path.name for path in Path("/run").iterdir()),
    }


# The front


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 37"], 37),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_status_of_the_command_is_the_status_of_the_laboratory(
    lab_possible: None, command: list[str], status: int
) -> None:
    done = subprocess.run(front(*command), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_has_the_callers_directory_input_and_descriptors(lab_possible: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the file\n")
    reader, writer = os.pipe()
    os.write(writer, b"from the descriptor\n")
    os.close(writer)
    done = subprocess.run(
        front("sh", "-c", f"cat; cat file; cat /dev/fd/{reader}; pwd"),
        cwd=tmp_path,
        input="from the input\n",
        pass_fds=[reader],
        capture_output=True,
        text=True,
        check=True,
    )
    os.close(reader)
    assert done.stdout.splitlines() == ["from the input", "from the file", "from the descriptor", str(tmp_path)]


def test_the_command_has_the_callers_terminal(lab_possible: None) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        front("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && tty"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        check=False,
    )
    said = os.read(ours, 4096).decode()
    assert done.returncode == 0, said
    assert said.strip() == os.ttyname(theirs)


def test_a_foreign_package_in_the_callers_directory_is_not_run(lab_possible: None, tmp_path: Path) -> None:
    (tmp_path / "wizard").mkdir()
    (tmp_path / "wizard" / "__init__.py").write_text("raise SystemExit('the wrong wizard')")
    done = subprocess.run(front("machine", "list"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "controller" in done.stdout


# Nothing gets out, nothing stays


def end_normally(lab: Laboratory) -> int:
    lab.stop()
    return lab.front.returncode


def end_by_interrupt(lab: Laboratory) -> int:
    lab.front.send_signal(signal.SIGINT)
    return lab.front.wait(20)


def end_by_termination(lab: Laboratory) -> int:
    lab.front.send_signal(signal.SIGTERM)
    return lab.front.wait(20)


def end_by_kill(lab: Laboratory) -> int:
    lab.kill()
    return lab.front.returncode


def end_by_kill_while_process_1_hangs(lab: Laboratory) -> int:
    os.kill(lab.init, signal.SIGSTOP)
    return end_by_kill(lab)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (end_normally, 0),
        (end_by_interrupt, 128 + signal.SIGINT),
        (end_by_termination, 128 + signal.SIGTERM),
        (end_by_kill, -signal.SIGKILL),
        (end_by_kill_while_process_1_hangs, -signal.SIGKILL),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_nothing_is_left_and_nothing_was_touched(
    lab_possible: None, end: Callable[[Laboratory], int], status: int
) -> None:
    before = machine_state()
    with Laboratory() as lab:
        serve_the_sample(lab)
        lab.run(["nft", "add", "table", "inet", "left_behind"])
        lab.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo rubbish > /etc/resolv.conf"])
        lab.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
        lab.run(["sh", "-c", "mkdir /var/lib/ciao-wizard /etc/ciao-wizard"])
        assert len(lab.survivors()) > 10
        assert end(lab) == status
        if status == -signal.SIGKILL:
            lab.wait_for_end()
        assert lab.survivors() == []
    after = machine_state()
    changed = {what for what in {*before, *after} if before.get(what) != after.get(what)}
    assert {what: (before.get(what), after.get(what)) for what in changed} == {}


def test_a_command_that_ignores_termination_is_ended_after_a_grace(lab_possible: None) -> None:
    process = subprocess.Popen(
        ["env", "--default-signal", *front("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(15) == 128 + signal.SIGTERM
    process.stdout.close()


def test_orphans_are_collected(lab: Laboratory) -> None:
    lab.run(["sh", "-c", "for i in 1 2 3 4 5; do setsid sh -c 'sleep 0.1' & done"])

    def no_zombies() -> bool:
        return "Z" not in {line[0] for line in lab.run(["ps", "-A", "-o", "stat="]).stdout.splitlines()}

    lab.wait_for(no_zombies)


def test_a_plain_user_without_any_privilege_has_it_too(
    lab_possible: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where the suite is run by a plain user every test here shows it; as root, a throwaway user tries."""
    if os.geteuid() != 0:
        pytest.skip("the suite is run by a plain user already")
    drop = ["setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups", "--no-new-privs"]
    drop += ["env", "-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8"]
    enough = "import sys; sys.exit(sys.version_info < (3, 11))"
    pythons = [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"]
    usable = [
        it
        for it in pythons
        if subprocess.run([*drop, it, "-c", enough], capture_output=True, check=False).returncode == 0
    ]
    if not usable:
        pytest.skip("no Python 3.11 here that other users may run")
    if subprocess.run([*drop, *preflight.namespaces(root=False), "true"], capture_output=True, check=False).returncode:
        pytest.skip("plain users may not make namespaces on this machine")
    # The checkout may lie where others cannot look.
    copy = Path("/tmp") / f"ciao-lab-{os.getpid()}"
    shutil.copytree(Path(marker.__file__).parents[1], copy / "wizard", ignore=shutil.ignore_patterns("__pycache__"))
    script = "id -u; cat /etc/resolv.conf; ip -4 -o address show dev eth0; machine list; exit 9"
    try:
        copy.chmod(0o755)
        boot = [usable[0], "-P", str(copy / "wizard/lab/boot.py"), "wizard.lab.enter", "--", "sh", "-c", script]
        done = subprocess.run([*drop, *boot], cwd="/tmp", capture_output=True, text=True, check=False)
    finally:
        shutil.rmtree(copy)
    assert done.returncode == 9, done.stderr
    assert done.stdout.startswith("0\n")
    assert "nameserver 10.77.0.1" in done.stdout
    assert "10.77.0.98/24" in done.stdout
    assert "b8:ae:ed:7b:51:50" in done.stdout


# Why it cannot run


@pytest.mark.parametrize(
    ("limits", "root", "container", "words"),
    [
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            False,
            False,
            "apparmor_restrict_unprivileged_userns=0",
        ),
        ({"kernel/unprivileged_userns_clone": "0"}, False, False, "kernel.unprivileged_userns_clone=1"),
        ({"user/max_user_namespaces": "0"}, False, False, "user.max_user_namespaces=10000"),
        ({"user/max_net_namespaces": "0"}, True, False, "user.max_net_namespaces=10000"),
        ({}, False, True, "seccomp=unconfined"),
        ({}, True, False, "CAP_SYS_ADMIN"),
        ({}, False, False, "sudo ciao-wizard lab"),
    ],
)
def test_the_reason_and_the_remedy_are_named(limits: dict[str, str], root: bool, container: bool, words: str) -> None:
    said = "unshare: write failed /proc/self/uid_map: Operation not permitted"
    assert words in preflight.why_no_namespaces(said, limits, root, container)


def test_missing_programs_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "find", lambda tool: None if tool in ("udhcpc", "dnsmasq") else find(tool))
    (text,) = preflight.missing()
    assert "apt-get install dnsmasq-base udhcpc" in text
