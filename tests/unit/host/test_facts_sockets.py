"""Listening sockets, as `ss -H -lntup` tells them."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wizard.host import commands
from wizard.host.facts.listeners import read_listeners
from wizard.plan.machine import Listener

ANY = "0.0.0.0"  # noqa: S104
SS_OUTPUT = """\
udp   UNCONN 0      0      0.0.0.0%eth1:67   0.0.0.0:* users:(("dnsmasq",pid=123,fd=4))
udp   UNCONN 0      0            *%eth0:547        *:*
udp   UNCONN 0      0      [fe80::1]%eth0:546    [::]:*
udp   UNCONN 0      0      127.0.0.53%lo:53  0.0.0.0:* users:(("systemd-resolve",pid=124,fd=12))
tcp   LISTEN 0      128               *:8080       *:* users:(("a",pid=1,fd=3),("b",pid=123,fd=4))
tcp   LISTEN 0      128            [::]:22      [::]:* users:(("x",pid=1,fd=1))",pid=124,fd=3))
tcp   LISTEN 0      128    0.0.0.0%a;b:99   0.0.0.0:*
tcp   ESTAB  0      0      10.0.0.1:22     10.0.0.2:5
nonsense

"""


CGROUPS = "12:pids:/system.slice/x.service\n1:name=systemd:/system.slice/dnsmasq@lan.service/sub\n"


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        ("0::/system.slice/named.service\n", "named.service"),
        ("0::/system.slice/system-dnsmasq.slice/dnsmasq@lan.service\n", "dnsmasq@lan.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/named.service\n", ""),
        ("0::/system.slice/docker-0123.scope\n", ""),
        ("0::/system.slice/a;b.service\n", ""),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_the_service_that_a_program_belongs_to(
    monkeypatch: pytest.MonkeyPatch, proc: Path, cgroups: str, unit: str
) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: SS_OUTPUT)
    (proc / "proc" / "123" / "cgroup").write_text(cgroups)
    assert read_listeners(proc)[0].unit == unit


@pytest.mark.parametrize(
    ("own", "unit"),
    [
        ("/box/payload/system.slice/named.service", "named.service"),
        ("/system.slice/named.service", ""),
        ("/box/payload/user.slice/system.slice/named.service", ""),
    ],
)
@pytest.mark.parametrize("hierarchy", ["0::", "1:name=systemd:"])
def test_in_a_container_the_service_is_one_of_its_own_systemd(
    monkeypatch: pytest.MonkeyPatch, proc: Path, hierarchy: str, own: str, unit: str
) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: SS_OUTPUT)
    (proc / "proc/1").mkdir()
    (proc / "proc/1/cgroup").write_text(f"9:cpu:/\n{hierarchy}/box/payload/init.scope\n")
    (proc / "proc/123/cgroup").write_text(f"9:cpu:/\n{hierarchy}{own}\n")
    assert read_listeners(proc)[0].unit == unit


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for pid, name in ((123, "dnsmasq"), (124, "evil\x1b[31m")):
        (tmp_path / "proc" / str(pid)).mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "comm").write_text(name + "\n")
    (tmp_path / "proc" / "123" / "cgroup").write_text(CGROUPS)
    return tmp_path


WITH_GROUPS = """\
udp   UNCONN 0      0      0.0.0.0:53       0.0.0.0:* users:(("dnsmasq",pid=123,fd=4)) cgroup:/system.slice/o.service
udp   UNCONN 0      0      0.0.0.0:52       0.0.0.0:* users:(("dnsmasq",pid=123,fd=4),("systemd",pid=1,fd=9)) cgroup:/x
udp   UNCONN 0      0      0.0.0.0:51       0.0.0.0:* users:(("systemd",pid=1,fd=9)) cgroup:unreachable:1
udp   UNCONN 0      0      127.0.0.1:53     0.0.0.0:* cgroup:/system.slice/named.service
udp   UNCONN 0      0      127.0.0.2:53     0.0.0.0:* cgroup:unreachable:7c1
tcp   LISTEN 0      128    0.0.0.0:54       0.0.0.0:* users:(("x cgroup:/system.slice/a.service",pid=9,fd=3))
tcp   LISTEN 0      128    0.0.0.0:55       0.0.0.0:* cgroup:/
"""


def test_the_unit_of_a_socket_is_known_without_its_process(monkeypatch: pytest.MonkeyPatch, proc: Path) -> None:
    def ss(*argv: str, **_: Any) -> str:
        assert "--cgroup" in argv
        return WITH_GROUPS

    monkeypatch.setattr(commands, "run", ss)
    assert read_listeners(proc) == (
        Listener("udp", ANY, 53, "dnsmasq", 123, unit="dnsmasq@lan.service"),
        Listener("udp", ANY, 52, "dnsmasq", 123, unit="dnsmasq@lan.service"),
        Listener("udp", ANY, 51, "", 1),
        Listener("udp", "127.0.0.1", 53, unit="named.service"),
        Listener("udp", "127.0.0.2", 53),
        Listener("tcp", ANY, 54, "", 9),
        Listener("tcp", ANY, 55),
    )


def test_an_older_ss_tells_the_rest(monkeypatch: pytest.MonkeyPatch, proc: Path) -> None:
    def ss(*argv: str, **_: Any) -> str:
        if "--cgroup" in argv:
            raise commands.CommandFailed(argv, 255, "ss: unrecognized option '--cgroup'")
        return SS_OUTPUT

    monkeypatch.setattr(commands, "run", ss)
    assert read_listeners(proc)[0].process == "dnsmasq"


def test_addresses_ports_nics_and_processes(monkeypatch: pytest.MonkeyPatch, proc: Path) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: SS_OUTPUT)

    assert read_listeners(proc) == (
        Listener("udp", ANY, 67, "dnsmasq", 123, "eth1", "dnsmasq@lan.service"),
        Listener("udp", "::", 547, nic="eth0"),
        Listener("udp", "fe80::1", 546, nic="eth0"),
        Listener("udp", "127.0.0.53", 53, "evil?[31m", 124, "lo"),
        Listener("tcp", "::", 8080, "dnsmasq", 123, unit="dnsmasq@lan.service"),
        Listener("tcp", "::", 22, "evil?[31m", 124),
        Listener("tcp", ANY, 99, nic="a;b"),
    )


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_real_ss_tells_a_real_socket(listening: int) -> None:
    (found,) = [one for one in read_listeners() if one.port == listening]

    assert (found.protocol, found.address, found.nic) == ("tcp", "127.0.0.1", "")
    assert found.process


def test_without_ss_psutil_tells(monkeypatch: pytest.MonkeyPatch, listening: int) -> None:
    def missing(*argv: str, **_: Any) -> str:
        raise commands.CommandFailed(argv, None, "", "ss is not installed")

    monkeypatch.setattr(commands, "run", missing)

    (found,) = [one for one in read_listeners() if one.port == listening]

    assert (found.protocol, found.address) == ("tcp", "127.0.0.1")
    assert found.process
