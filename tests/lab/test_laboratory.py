"""The laboratory itself: what it shows to those inside, and that nothing of it gets out or stays."""

from __future__ import annotations

import hashlib
import json
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

from wizard.lab import marker, preflight
from wizard.lab.control import Laboratory
from wizard.lab.tools import LabFailed, find, python

pytestmark = pytest.mark.lab

NODES = {
    "controller": "192.168.0.101",
    "network": "192.168.0.102",
    "compute1": "192.168.0.103",
    "compute2": "192.168.0.104",
}

SAMPLE_DNSMASQ = """\
strict-order
bind-interfaces
interface=eth1
except-interface=lo
except-interface=eth0
pid-file=/var/run/tenant_dns.pid
dhcp-leasefile=/var/lib/misc/tenant_dns.leases
listen-address=192.168.0.200
dhcp-range=192.168.0.65,192.168.0.126,12h
dhcp-host=*:*:*:*:*:*,id:*
dhcp-no-override
dhcp-lease-max=253
dhcp-option-force=3,192.168.0.200
dhcp-sequential-ip
dhcp-host=B8:AE:ED:7B:51:50,192.168.0.101
dhcp-host=C0:3F:D5:67:A7:6F,192.168.0.102
dhcp-host=B8:AE:ED:7B:72:58,192.168.0.103
dhcp-host=C0:3F:D5:67:A1:FB,192.168.0.104
# The namespace of a plain user has one uid, and setgroups is denied there.
user=root
group=
"""


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


def serve_the_sample(lab: Laboratory) -> None:
    lab.run(["ip", "address", "add", "192.168.0.200/24", "dev", "eth1"])
    lab.run(["sh", "-c", "cat >/run/tenant_dns.cfg && dnsmasq -C /run/tenant_dns.cfg"], input=SAMPLE_DNSMASQ)


def carrier(lab: Laboratory, nic: str, netns: str | None = None) -> bool:
    return lab.run(["cat", f"/sys/class/net/{nic}/carrier"], netns=netns).stdout.strip() == "1"


def has_an_office_address(lab: Laboratory, name: str) -> bool:
    return any(address.startswith("10.77.0.") for address in lab.addresses(name))


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


# The world


def test_the_laptop_is_a_fresh_debian_with_a_lease_from_the_corporate_network(lab: Laboratory) -> None:
    address = lab.run(["ip", "-4", "-o", "address", "show", "dev", "eth0"]).stdout
    assert "10.77.0.98/24" in address
    # udhcpc's own script does not tell the kernel that a lease runs out; the other clients do.
    assert "dynamic" in address or not find("dhclient")
    assert "default via 10.77.0.1 dev eth0" in lab.run(["ip", "route"]).stdout
    assert "nameserver 10.77.0.1" in lab.run(["cat", "/etc/resolv.conf"]).stdout
    assert lab.addresses(nic="eth1") == []
    assert carrier(lab, "eth1")
    assert lab.run(["hostname"]).stdout == "laptop\n"
    interfaces = lab.run(["cat", "/etc/network/interfaces"]).stdout
    assert "source /etc/network/interfaces.d/*" in interfaces
    assert "iface eth0 inet dhcp" in interfaces
    assert "eth1" not in interfaces
    assert lab.run(["ls", "-A", "/etc/network/interfaces.d", "/etc/network/if-up.d"]).stdout.split() == [
        "/etc/network/if-up.d:",
        "/etc/network/interfaces.d:",
    ]
    for path in ("/etc/ciao-wizard", "/var/lib/ciao-wizard"):
        assert lab.run(["test", "-e", path], check=False).returncode == 1
    assert lab.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "0\n"


def test_the_laptop_reaches_the_corporate_page_and_the_outside_by_name(lab: Laboratory) -> None:
    assert lab.fetch("http://www.corp.example/") == "corporate 80\nserved by 10.77.0.1\nasked by 10.77.0.98\n"
    outside = lab.fetch("http://registry.example:5000/")
    assert outside == "corporate 5000\nserved by 198.51.100.10\nasked by 10.77.0.98\n"
    nobody = lab.run(["getent", "hosts", "nobody.example"], check=False, timeout=10)
    assert nobody.returncode == 2


def test_a_colleague_sits_on_the_office_switch(lab: Laboratory) -> None:
    lab.wait_for(lambda: lab.addresses("colleague") == ["10.77.0.50"])
    assert lab.fetch("http://www.corp.example/", netns="colleague") is not None
    lab.wait_for(lambda: lab.fetch("http://10.77.0.50/"))


def test_the_nodes_get_the_samples_addresses_from_the_samples_dnsmasq(lab: Laboratory) -> None:
    serve_the_sample(lab)
    for name, address in NODES.items():
        lab.wait_for(lambda name=name, address=address: lab.addresses(name) == [address], what=f"the lease of {name}")
    controller = lab.run(["cat", "/etc/resolv.conf"], netns="controller").stdout
    assert "nameserver 192.168.0.200" in controller
    assert "nameserver 10.77.0.1" in lab.run(["cat", "/etc/resolv.conf"]).stdout
    assert "default via 192.168.0.200" in lab.run(["ip", "route"], netns="controller").stdout
    for port in (8889, 35357, 5000):
        page = lab.fetch(f"http://192.168.0.101:{port}/")
        assert page == f"controller {port}\nserved by 192.168.0.101\nasked by 192.168.0.200\n"
    leases = lab.run(["cat", "/var/lib/misc/tenant_dns.leases"]).stdout
    assert {line.split()[2]: line.split()[3] for line in leases.splitlines()} == {a: n for n, a in NODES.items()}


LOGGED = "--interface=eth1 --bind-interfaces --user=root --group= --no-ping --log-dhcp --log-facility=/run/dhcp.log"


def dhcp_log(lab: Laboratory) -> str:
    return lab.run(["cat", "/run/dhcp.log"]).stdout


def test_a_node_renews_and_asks_anew_after_a_reboot(lab: Laboratory) -> None:
    lab.run(["ip", "address", "add", "192.168.0.200/24", "dev", "eth1"])
    served = "--dhcp-range=192.168.0.65,192.168.0.126 --dhcp-host=B8:AE:ED:7B:51:50,192.168.0.101"
    lab.run(["sh", "-c", f"dnsmasq {LOGGED} {served}"])
    given = "DHCPACK(eth1) 192.168.0.101 b8:ae:ed:7b:51:50"
    lab.wait_for(lambda: given in dhcp_log(lab))
    lab.wait_for(lambda: lab.addresses("controller") == ["192.168.0.101"])
    asked = "DHCPDISCOVER(eth1) b8:ae:ed:7b:51:50"
    before = dhcp_log(lab).count(asked)

    lab.machine("renew", "controller")
    lab.wait_for(lambda: dhcp_log(lab).count(given) == 2)
    assert dhcp_log(lab).count(asked) == before
    assert lab.addresses("controller") == ["192.168.0.101"]

    lab.machine("reboot", "controller")
    lab.wait_for(lambda: dhcp_log(lab).count(given) == 3)
    assert dhcp_log(lab).count(asked) > before
    lab.wait_for(lambda: lab.addresses("controller") == ["192.168.0.101"])


def test_cables_are_pulled_put_back_and_moved(lab: Laboratory) -> None:
    serve_the_sample(lab)
    lab.wait_for(lambda: lab.addresses("compute1") == ["192.168.0.103"])
    for cable, nic, netns in (("eth1", "eth1", None), ("compute1", "eth0", "compute1")):
        lab.machine("unplug", cable)
        lab.wait_for(lambda nic=nic, netns=netns: not carrier(lab, nic, netns))
        lab.machine("plug", cable)
        lab.wait_for(lambda nic=nic, netns=netns: carrier(lab, nic, netns))
    lab.wait_for(lambda: lab.addresses("compute1") == ["192.168.0.103"])

    lab.machine("move", "compute1", "corporate")
    lab.wait_for(lambda: has_an_office_address(lab, "compute1"))
    lab.machine("move", "compute1", "cluster")
    lab.wait_for(lambda: lab.addresses("compute1") == ["192.168.0.103"])

    lab.machine("move", "eth1", "corporate")
    lab.wait_for(lambda: carrier(lab, "eth1"))
    found = json.loads(lab.run(["ip", "-j", "link", "show", "dev", "laptop-eth1"], netns="corporate").stdout)
    assert found[0]["master"] == "office"


def test_joined_switches_are_one_wire(lab: Laboratory) -> None:
    assert lab.addresses("compute1") == []
    lab.machine("join")
    lab.wait_for(lambda: has_an_office_address(lab, "compute1"))
    lab.machine("part")
    with pytest.raises(subprocess.CalledProcessError):
        lab.machine("part")


def test_an_added_machine_asks_with_what_it_was_told_to_say(lab: Laboratory) -> None:
    lab.run(["ip", "address", "add", "192.168.0.200/24", "dev", "eth1"])
    listens = (
        "--interface=eth1 --bind-interfaces --user=root --group= --no-ping --log-dhcp --log-facility=/run/dhcp.log"
    )
    lab.run(["sh", "-c", f"dnsmasq {listens} --dhcp-range=192.168.0.65,192.168.0.126"])
    add = ["add", "vm", "--mac", "02:00:00:00:00:07", "--client-id", "ff:00:11", "--vendor", "cnci image"]
    lab.machine(*add, "--hostname", "cnci-7", "--port", "8080")
    (address,) = lab.wait_for(lambda: lab.addresses("vm"))
    log = dhcp_log(lab)
    assert "DHCPACK(eth1) " + address + " 02:00:00:00:00:07 cnci-7" in log
    assert "vendor class: cnci image" in log
    assert "ff:00:11" in lab.run(["cat", "/var/lib/misc/dnsmasq.leases"]).stdout
    assert lab.wait_for(lambda: lab.fetch(f"http://{address}:8080/")).startswith("vm 8080\n")
    assert "vm" in lab.world()["machines"]

    lab.machine("remove", "vm")
    assert "vm" not in lab.world()["machines"]
    assert "vm" not in lab.run(["ip", "netns", "list"]).stdout.split()


def test_a_machine_may_have_static_addresses_and_no_client(lab: Laboratory) -> None:
    lab.machine("add", "still", "--mac", "00:1b:21:00:00:01", "--address", "192.168.0.9/24", "--switch", "cluster")
    lab.run(["ip", "address", "add", "192.168.0.200/24", "dev", "eth1"])
    lab.wait_for(lambda: lab.fetch("http://192.168.0.9/"))
    assert "udhcpc" not in lab.run(["sh", "-c", "ip netns pids still | xargs ps -o args= -p"]).stdout


@pytest.mark.parametrize(
    "argv",
    [
        ["add", "UPPER", "--mac", "02:00:00:00:00:01"],
        ["add", "a;>b", "--mac", "02:00:00:00:00:01"],
        ["add", "laptop", "--mac", "02:00:00:00:00:01"],
        ["add", "controller", "--mac", "02:00:00:00:00:01"],
        ["add", "fine", "--mac", "03:00:00:00:00:01"],
        ["add", "fine", "--mac", "02:00"],
        ["add", "fine", "--mac", "02:00:00:00:00:01", "--client-id", "xyz"],
        ["remove", "nobody"],
        ["unplug", "eth7"],
        ["move", "eth1", "moon"],
    ],
    ids=" ".join,
)
def test_machine_refuses_in_one_message(shared_lab: Laboratory, argv: list[str]) -> None:
    done = shared_lab.run(["machine", *argv], check=False)
    assert done.returncode in (1, 2)
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert set(shared_lab.world()["machines"]) == {*NODES, "colleague"}


@pytest.fixture(scope="module")
def shared_lab(lab_possible: None) -> Laboratory:
    """For tests that change nothing."""
    with Laboratory() as laboratory:
        yield laboratory


def test_a_program_can_tell_where_it_is(shared_lab: Laboratory) -> None:
    ask = [sys.executable, "-c", "from wizard.lab import marker; print(marker.inside())"]
    assert shared_lab.run(ask).stdout == "True\n"
    assert not marker.inside()
    with pytest.raises(LabFailed, match="not a laboratory"):
        marker.world()
    world = shared_lab.world()
    assert world["laptop"]["eth1"] == "00:1b:21:5a:01:98"
    assert set(world["netns"]) == {"switch", "corporate", "colleague", *NODES}
    assert world["machines"]["controller"]["mac"] == "b8:ae:ed:7b:51:50"


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
