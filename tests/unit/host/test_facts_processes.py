"""DHCP clients, network managers and the SSH session, from a /proc of files."""

from pathlib import Path

import pytest
from netaddr import IPNetwork

from wizard.host.facts.processes import (
    RunningProcess,
    SshSession,
    carries_session,
    dhcp_client_nics,
    read_processes,
    ssh_session,
)
from wizard.plan.machine import Address, Nic

NAMES = ("eth0", "eth1", "wlp2s0")


def process(
    root: Path, pid: int, argv: str, name: str = "", parent: int = 1, environ: str = "", namespace: str = ""
) -> None:
    at = root / "proc" / str(pid)
    (at / "ns").mkdir(parents=True)
    name = name or argv.split()[0][:15]
    (at / "comm").write_text(name + "\n")
    (at / "cmdline").write_bytes("\0".join([*argv.split(), ""]).encode() if argv.strip() else b"")
    (at / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 -1")
    (at / "environ").write_text(environ)
    if namespace:
        (at / "ns/net").symlink_to(namespace)


@pytest.mark.parametrize(
    ("argv", "nics"),
    [
        (
            ("dhclient", "-4", "-v", "-i", "-pf", "/run/dhclient.eth0.pid", "-lf", "/x/dhclient.eth0.leases", "eth0"),
            "eth0",
        ),
        (("/sbin/dhclient", "eth0", "eth1"), "eth0 eth1"),
        (("dhclient", "-6", "eth0"), ""),
        (("dhclient",), ""),
        (("udhcpc", "-i", "eth1", "-n"), "eth1"),
        (("udhcpc", "-ieth1"), "eth1"),
        (("udhcpc", "--interface=wlp2s0"), "wlp2s0"),
        (("busybox", "udhcpc", "-i", "eth1"), "eth1"),
        (("dhcpcd: eth0 [ip4]",), "eth0"),
        (("dhcpcd: [manager] [ip4] [ip6]",), ""),
        (("/usr/sbin/dhcpcd", "-b", "eth0"), "eth0"),
        (("tcpdump", "-i", "eth0"), ""),
        (("vi", "dhclient", "eth0"), ""),
        ((), ""),
    ],
)
def test_nics_that_a_dhcp_client_was_started_for(argv: tuple[str, ...], nics: str) -> None:
    assert dhcp_client_nics([RunningProcess(1, "x", argv)], NAMES) == frozenset(nics.split())


def test_processes_of_other_network_namespaces_are_not_ours(tmp_path: Path) -> None:
    process(tmp_path, 10, "dhclient eth0", namespace="net:[1]")
    process(tmp_path, 11, "dhclient eth1", namespace="net:[2]")
    process(tmp_path, 12, "udhcpc -i wlp2s0")
    process(tmp_path, 13, "", name="kworker/0:1")
    (tmp_path / "proc/self").symlink_to("10")

    found = read_processes(tmp_path)

    assert sorted(p.pid for p in found) == [10, 12]
    assert dhcp_client_nics(found, NAMES) == {"eth0", "wlp2s0"}


def test_no_proc_no_processes(tmp_path: Path) -> None:
    assert read_processes(tmp_path) == ()


VARIABLE = "203.0.113.9 51234 10.77.0.98 2222"
SESSION = SshSession("203.0.113.9", "10.77.0.98", 2222)


def test_the_session_of_our_own_environment(tmp_path: Path) -> None:
    assert ssh_session({"SSH_CONNECTION": VARIABLE}, tmp_path, 500) == SESSION


def test_the_session_that_sudo_dropped(tmp_path: Path) -> None:
    process(tmp_path, 500, "ciao-wizard", parent=400)
    process(tmp_path, 400, "sudo ciao-wizard", name="sudo) S 7 (", parent=300, environ="HOME=/root\0SHELL=x\0")
    process(tmp_path, 300, "bash", parent=200, environ=f"A=b\0SSH_CONNECTION={VARIABLE}\0C=d")
    process(tmp_path, 200, "sshd", parent=1)

    assert ssh_session({}, tmp_path, 500) == SESSION


def test_no_session_at_the_machine_itself(tmp_path: Path) -> None:
    process(tmp_path, 500, "ciao-wizard", parent=300)
    process(tmp_path, 300, "bash", parent=1, environ="XSSH_CONNECTION=1 2 3 4\0")

    assert ssh_session({}, tmp_path, 500) is None
    assert ssh_session({}, tmp_path, 999) is None


def test_a_loop_of_parents_ends(tmp_path: Path) -> None:
    process(tmp_path, 500, "a", parent=600)
    process(tmp_path, 600, "b", parent=500)

    assert ssh_session({}, tmp_path, 500) is None


@pytest.mark.parametrize(
    "variable", ["", "x", "1 2 3", "a b c d", "203.0.113.9 1 10.77.0.98 x", "1 2 3 4 5", "\x1b[m 1 2 3"]
)
def test_an_odd_variable_is_no_session(tmp_path: Path, variable: str) -> None:
    assert ssh_session({"SSH_CONNECTION": variable}, tmp_path, 500) is None


@pytest.mark.parametrize(
    ("variable", "server"),
    [
        ("::ffff:203.0.113.9 1 ::ffff:10.77.0.98 22", "10.77.0.98"),
        ("fe80::9%eth0 1 fe80::1%eth0 22", "fe80::1"),
        ("2001:db8::9 1 2001:DB8:0::1 22", "2001:db8::1"),
    ],
)
def test_addresses_are_written_as_the_nics_have_them(tmp_path: Path, variable: str, server: str) -> None:
    session = ssh_session({"SSH_CONNECTION": variable}, tmp_path, 500)

    assert session is not None
    assert session.server == server


def test_the_nic_with_the_address_and_the_nic_that_leads_back_carry_it() -> None:
    nic = Nic("eth0", 2, "ethernet", addresses=(Address(IPNetwork("10.77.0.98/24")),))
    other = Nic("eth1", 3, "ethernet")

    assert carries_session(SESSION, nic, "")
    assert not carries_session(SESSION, other, "")
    assert carries_session(SESSION, other, "eth1")
    assert not carries_session(None, nic, "eth0")
