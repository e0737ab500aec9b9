"""Who else configures the cluster NIC in the files that ifupdown reads: put out of force, or refused with its place."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.needs import need
from wizard.host.net.managers.ifupdown import interfaces_change, interfaces_file, interfaces_tree
from wizard.host.net.managers.ifupdown.interfaces_change import interfaces_texts, interfaces_wanted
from wizard.host.net.managers.ifupdown.interfaces_tree import read_lines, read_tree
from wizard.host.net.managers.ifupdown.main_file import write_main_file
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.ifupdown import claims

pytestmark = pytest.mark.usefixtures("ifupdown")


@pytest.fixture(scope="module")
def ifupdown() -> None:
    need("ifup")


LO = "auto lo\niface lo inet loopback\n"
ALL = f"source interfaces.d/*\n{LO}"
OURS = "allow-hotplug eth1\niface eth1 inet static\n    address 192.168.0.200/24\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An /etc/network and a /run/ciao-wizard of our own."""
    (tmp_path / "interfaces.d").mkdir()
    monkeypatch.setattr(paths, "INTERFACES_MAIN", str(tmp_path / "interfaces"))
    monkeypatch.setattr(paths, "INTERFACES_FILE", str(tmp_path / "interfaces.d" / "ciao-cluster"))
    monkeypatch.setattr(interfaces_file, "SOURCE_LINE", f"source {paths.INTERFACES_FILE}")
    monkeypatch.setattr(paths, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(
        interfaces_change, "link_state", lambda nic: {"nic": nic, "present": True, "macs": ["02:00:00:00:00:01"]}
    )
    yield tmp_path
    assert not (tmp_path / "run").exists(), "a temporary file stayed"


def write(machine: Path, files: Mapping[str, str]) -> None:
    for name, text in {"interfaces": ALL, **files}.items():
        (machine / name).parent.mkdir(exist_ok=True)
        (machine / name).write_text(text)


def ifquery(*words: str) -> str:
    command = ["/sbin/ifquery", "-i", paths.INTERFACES_MAIN, *words]
    return subprocess.run(command, capture_output=True, timeout=20, check=False, text=True).stdout


def claimed(name: str = "eth1", mac: str = "02:00:00:00:00:01") -> list[str]:
    """Each claim as "file:line what"."""
    at = f"{Path(paths.INTERFACES_MAIN).parent}/"
    lines = read_lines(paths.INTERFACES_MAIN, paths.INTERFACES_FILE)
    return [f"{c.line.place.removeprefix(at)} {c.what}" for c in claims(lines, name, mac)]


OUT_OF_FORCE = {
    "cloud-init's": {"interfaces.d/50-cloud-init": "auto lo\nauto eth1\niface eth1 inet dhcp\n"},
    "static, with a gateway": {
        "interfaces.d/lan": "allow-hotplug eth1\niface eth1 inet static\n address 10.9.8.7/24\n gateway 10.9.8.1\n"
    },
    "under another stanza": {"interfaces": f"{ALL}auto eth1=lan eth0\niface lan inet dhcp\niface eth0 inet dhcp\n"},
    "an alias": {"interfaces.d/alias": "auto eth1:0\niface eth1:0 inet static\n address 10.0.0.1/8\n"},
    "its own mapping": {"interfaces": f"mapping eth1\n script /bin/false\n map x lan\niface lan inet dhcp\n{ALL}"},
    "sourced by what is sourced": {
        "interfaces": f"{LO}source more/one\n",
        "more/one": "source two\n",
        "more/two": "auto eth1\niface eth1 inet dhcp\n",
    },
    "a directory that is read": {
        "interfaces": f"{LO}source-directory interfaces.d\n",
        "interfaces.d/lan": "auto eth1\niface eth1 inet dhcp\n",
        "interfaces.d/lan.bak": "auto eth1\niface eth1 inet manual\n",
    },
    "our file is read by another": {
        "interfaces": f"{LO}source more/one\n",
        "more/one": "source ../interfaces.d/*\nauto eth1\niface eth1 inet dhcp\n",
    },
    "everything is read twice": {
        "interfaces": f"{LO}source interfaces.d/*\nsource-directory interfaces.d\n",
        "interfaces.d/lan": "auto eth1\niface eth1 inet dhcp\n",
    },
    "a pattern without a stanza of its own": {
        "interfaces": f"{ALL}allow-hotplug /e*\n",
        "interfaces.d/lan": "iface eth1 inet dhcp\n",
    },
}


@pytest.mark.parametrize("case", OUT_OF_FORCE)
def test_what_speaks_of_the_nic_alone_is_put_out_of_force_and_comes_back_to_the_byte(machine: Path, case: str) -> None:
    write(machine, OUT_OF_FORCE[case])
    before = {file: file.read_bytes() for file in machine.rglob("*") if file.is_file()}
    assert claimed()
    for text in interfaces_wanted("eth1"):
        write_main_file(text.wanted, text.real)
    Path(paths.INTERFACES_FILE).write_text(OURS)
    assert claimed() == []
    given = dict(line.split(": ") for line in ifquery("eth1").splitlines())
    assert given == {"address": "192.168.0.200", "netmask": "255.255.255.0", "broadcast": "192.168.0.255"}
    assert all(text.now == text.wanted for text in interfaces_wanted("eth1"))
    for text in interfaces_texts("eth1"):
        write_main_file(interfaces_file.restored(text.now), text.real)
    Path(paths.INTERFACES_FILE).unlink()
    assert {file: file.read_bytes() for file in machine.rglob("*") if file.is_file()} == before


ELSEWHERE = {
    "a bridge": (
        {"interfaces.d/br0": "auto br0\niface br0 inet dhcp\n  bridge_ports eth0 eth1\n"},
        "interfaces.d/br0:3 makes it a part of br0 (bridge_ports eth0 eth1)",
    ),
    "a bridge, by a regular expression": (
        {"interfaces": f"auto br0\niface br0 inet manual\n bridge-ports regex eth[0-9]\n{ALL}"},
        "interfaces:3 makes it a part of br0 (bridge-ports regex eth[0-9])",
    ),
    "a bridge of everything": (
        {"interfaces": f"auto br0\niface br0 inet manual\n bridge-ports all\n{ALL}"},
        "interfaces:3 makes it a part of br0 (bridge-ports all)",
    ),
    "a bridge that inherits": (
        {"interfaces": f"iface b inet manual\n bridge_ports eth1\nauto br0\niface br0 inet dhcp inherits b\n{ALL}"},
        "interfaces:2 makes it a part of b (bridge_ports eth1)",
    ),
    "a bond": (
        {"interfaces.d/bond0": "auto bond0\niface bond0 inet dhcp\n  bond-slaves eth1 \\\n  eth2\n  bond-mode 1\n"},
        "interfaces.d/bond0:3 makes it a part of bond0 (bond-slaves eth1 eth2)",
    ),
    "a pattern for another stanza": (
        {"interfaces": f"{ALL}auto /eth*=lan\niface lan inet dhcp\n"},
        "interfaces:4 brings it up as lan",
    ),
    "a MAC for another stanza": (
        {"interfaces": f"{ALL}allow-hotplug mac/02:00:*=lan\niface lan inet dhcp\n"},
        "interfaces:4 brings it up as lan",
    ),
    "a mapping of many": (
        {"interfaces": f"{ALL}mapping eth*\n script /bin/false\n"},
        "interfaces:4 has a script choose its configuration",
    ),
    "a mapping of two": (
        {"interfaces": f"{ALL}mapping eth1 eth2\n script /bin/false\n"},
        "interfaces:4 has a script choose its configuration",
    ),
    "a VLAN with a default route": (
        {"interfaces.d/v": "auto eth1.20\niface eth1.20 inet static\n address 10.9.8.7/24\n gateway 10.9.8.1\n"},
        "interfaces.d/v:2 has a default route through it, by the VLAN eth1.20",
    ),
    "a VLAN with a lease": (
        {"interfaces.d/v": "auto office\niface office inet dhcp\n vlan-raw-device eth1\n"},
        "interfaces.d/v:3 has a default route through it, by the VLAN office",
    ),
    "a route of another stanza": (
        {"interfaces": f"{ALL}auto eth0\niface eth0 inet dhcp\n post-up ip route add default via 10.1.1.1 dev eth1\n"},
        "interfaces:6 has eth0 change it (post-up ip route add default via 10.1.1.1 dev eth1)",
    ),
    "raised by another stanza": (
        {"interfaces": f"{ALL}auto eth0\niface eth0 inet dhcp\n up /sbin/ifup eth1=lan\niface lan inet dhcp\n"},
        "interfaces:6 has eth0 change it (up /sbin/ifup eth1=lan)",
    ),
    "an address by another stanza": (
        {"interfaces": f"{ALL}auto eth0\niface eth0 inet dhcp\n up true && sudo ip a add 10.1.1.1/8 dev eth1 || :\n"},
        "interfaces:6 has eth0 change it (up true && sudo ip a add 10.1.1.1/8 dev eth1 || :)",
    ),
    "a member by its own stanza": (
        {"interfaces": f"{ALL}auto eth1\niface eth1 inet manual\n bond-master bond0\n"},
        "interfaces:6 makes it a part of bond0 (bond-master bond0)",
    ),
    "another name": (
        {"interfaces": f"{ALL}rename eth1=lan0\n"},
        "interfaces:4 gives it the name lan0",
    ),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_what_speaks_of_others_too_is_refused_with_its_place_and_a_remedy(machine: Path, case: str) -> None:
    files, what = ELSEWHERE[case]
    write(machine, files)
    assert what in claimed()
    before = {file: file.read_bytes() for file in machine.rglob("*") if file.is_file()}
    with pytest.raises(WizardError) as caught:
        interfaces_wanted("eth1")
    assert what in caught.value.message.replace(f"{machine}/", "")
    assert caught.value.remedy
    assert {file: file.read_bytes() for file in machine.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    "text",
    [
        "iface br0 inet dhcp\n bridge_ports eth1\n",
        "auto br0\niface br0 inet dhcp\n bridge_ports eth10 eth0\n description eth1\n",
        "auto eth0\niface eth0 inet dhcp\n up ip link set eth1 up\n up iptables -A FORWARD -i eth1 -j ACCEPT\n",
        "auto eth0\niface eth0 inet dhcp\n down ip addr flush dev eth1\n up ip route add 10.0.0.0/8 dev eth11\n",
        "mapping eth0\n script /bin/false\niface eth1.20 inet dhcp\nrename eth0=eth2\nauto /wl*=wifi /eth1\n",
        "auto mac/06:*=lan\niface lan inet dhcp\n",
        "no-auto-down eth1\nno-scripts eth1\n",
        "# auto eth1 \\\n",
    ],
)
def test_what_leaves_the_nic_alone_is_left_alone(machine: Path, text: str) -> None:
    write(machine, {"interfaces.d/other": text})
    assert claimed() == []
    assert all(text.now == text.wanted for text in interfaces_wanted("eth1"))


def test_the_files_are_those_that_ifupdown_reads(machine: Path) -> None:
    (machine / "interfaces.d" / "a directory").mkdir()
    (machine / "interfaces.d" / "nowhere").symlink_to("gone")
    write(
        machine,
        {
            "interfaces": "source interfaces.d/[ab]* two/quo\\ ted\nsource-directory t?o\nsource $(touch pwn) `x`\n"
            "source $HOME/x ~/y {a,b}\n"
            "source none*\nsource more/*.cfg\n",
            "interfaces.d/a": LO,
            "interfaces.d/b.dpkg-old": "source ../more/x\n",
            "interfaces.d/.a": "",
            "more/x": "",
            "more/y.cfg": "source more/y.cfg\n",
            "two/one": "",
            "two/no.cfg": "",
        },
    )
    command = ["/sbin/ifquery", "-v", "--list", "-i", paths.INTERFACES_MAIN]
    stderr = subprocess.run(command, capture_output=True, timeout=20, check=False, text=True).stderr
    read = [line.partition(": parsing file ")[2] for line in stderr.splitlines() if ": parsing file " in line]
    ours = [file.path for file in read_tree(paths.INTERFACES_MAIN).files() if file.text is not None][1:]
    assert ours == [path for path in read if Path(path).is_file()]


def test_a_file_that_only_ifupdown_finds_is_refused(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(machine, {"interfaces": f"{LO}source more/lan\n", "more/lan": "auto eth1\niface eth1 inet dhcp\n"})
    monkeypatch.setattr(interfaces_tree, "named_by", lambda *_: [])
    with pytest.raises(WizardError, match="more/lan too, by a line that ciao-wizard cannot follow"):
        interfaces_wanted("eth1")


def test_a_mapping_s_script_is_never_run(machine: Path) -> None:
    script = machine / "script"
    script.write_text(f"#!/bin/sh\ntouch {machine}/ran\necho eth0\n")
    script.chmod(0o755)
    write(machine, {"interfaces": f"{ALL}auto eth0\niface eth0 inet dhcp\nmapping eth[02]\n script {script}\n"})
    interfaces_wanted("eth1")
    assert not (machine / "ran").exists()


@pytest.mark.parametrize("way", ["a dangling link", "a file"])
def test_a_directory_that_is_none_is_found_before(machine: Path, way: str) -> None:
    write(machine, {})
    (machine / "interfaces.d").rmdir()
    if way == "a file":
        (machine / "interfaces.d").write_text("")
    else:
        (machine / "interfaces.d").symlink_to(machine / "gone")
    with pytest.raises(WizardError, match="where no directory is" if way != "a file" else "is no directory"):
        interfaces_wanted("eth1")


def test_a_file_of_ours_that_would_be_read_under_two_paths_is_refused(machine: Path) -> None:
    write(machine, {"interfaces": f"source interfaces.d/*\nsource {machine}/more/../interfaces.d/*\n", "more/x": ""})
    with pytest.raises(WizardError, match="read twice"):
        interfaces_wanted("eth1")


def test_a_circle_has_an_end(machine: Path) -> None:
    write(machine, {"interfaces": f"{LO}source more/a\n", "more/a": "source a\n"})
    assert len(list(read_tree(paths.INTERFACES_MAIN).files())) < 20


def test_more_files_than_a_process_may_usually_open_are_tried_too(machine: Path) -> None:
    write(machine, {f"interfaces.d/{number}": f"# {number}\n" for number in range(400)})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        interfaces_wanted("eth1")
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (256, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_somebody_who_may_not_look_is_told_and_nothing_fails() -> None:
    """Without root `check` reads what it may."""
    script = """
import sys
from wizard.host.files import blocked
from wizard.host.net.managers.ifupdown.interfaces_tree import read_lines, unreadable
main, file = sys.argv[1] + "/interfaces", sys.argv[1] + "/interfaces.d/ciao-cluster"
print(len(read_lines(main, file)), unreadable(main), repr(blocked(file)))
"""
    # Not under pytest's own directory, which is root's alone.
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        directory.chmod(0o755)
        write(directory, {"interfaces": f"source interfaces.d/*\nsource more/a\n{LO}", "more/a": LO})
        (directory / "interfaces.d").mkdir(mode=0o700)
        (directory / "more/a").chmod(0o600)
        command = ["setpriv", "--reuid=65534", "--clear-groups", "--", sys.executable, "-c", script, made]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout == f"4 ('{made}/interfaces.d', '{made}/more/a') ''\n"
