"""What a time server says, which one runs here, and what the company's DHCP named."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
from netaddr import IPNetwork

from wizard.host import commands, systemd
from wizard.host.commands import CommandFailed
from wizard.host.facts.processes import RunningProcess
from wizard.host.ntp import applied, own_server
from wizard.host.ntp.company import read_time_servers
from wizard.host.ntp.own_server import open_commands, read_time_server, restart_command
from wizard.host.ntp.query import AskedTooOften, NoTime, NtpAnswer, is_here, parse
from wizard.plan import paths
from wizard.plan.findings import WizardError
from wizard.plan.machine import Address, Nic
from wizard.plan.ntp import NO_TIME, TimeServer, TimeSource
from wizard.plan.time_source import TIMESYNCD

NONCE = 0x1122334455667788
_1900 = 2_208_988_800
SENT_AT = 1_796_077_000.0
"""In 2026."""


def stamp(unix: float) -> int:
    return int((unix + _1900) % (1 << 32) * (1 << 32))


def answer(
    first: int = 0x24,
    stratum: int = 2,
    delay: float = 0.0,
    dispersion: float = 0.0,
    reference: bytes = b"\x0a\x01\x01\x01",
    origin: int = NONCE,
    received: float = SENT_AT,
    sent: float = SENT_AT,
) -> bytes:
    short = [int(value * (1 << 16)) for value in (delay, dispersion)]
    return struct.pack(
        "!BBbbII4sQQQQ", first, stratum, 0, 0, *short, reference, 0, origin, stamp(received), stamp(sent)
    )


def read(data: bytes, sent_at: float = SENT_AT, waited: float = 0.0) -> NtpAnswer:
    return parse("10.1.1.1", data, NONCE, sent_at, waited)


def test_the_error_is_what_the_server_says_of_itself_and_the_way() -> None:
    found = read(answer(delay=0.02, dispersion=0.005), waited=0.004)
    assert found.error == pytest.approx(0.02 / 2 + 0.005 + 0.004 / 2, abs=1e-4)
    assert (found.server, found.stratum, found.own_clock) == ("10.1.1.1", 2, False)


def test_the_servers_own_work_is_no_part_of_the_way() -> None:
    assert read(answer(received=SENT_AT, sent=SENT_AT + 0.5), waited=0.5).error == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -86400.0 * 365 * 50, 86400.0 * 365 * 30])
def test_a_clock_that_is_wrong_by_years(ahead: float) -> None:
    """Past 2036 the seconds of NTP begin again at zero."""
    found = read(answer(received=SENT_AT + ahead, sent=SENT_AT + ahead))
    assert found.offset == pytest.approx(ahead, abs=1e-3)


@pytest.mark.parametrize("reference", [b"\x7f\x7f\x01\x01", b"\x7f\x7f\x01\x00", b"\x7f\x00\x00\x01"])
def test_a_server_that_nobody_tells_the_time(reference: bytes) -> None:
    assert read(answer(stratum=10, reference=reference)).own_clock


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "too short"),
        (answer()[:47], "too short"),
        (answer(origin=0), "another question"),
        (answer(first=0x23), "another question"),
        (answer(first=0xE4), "does not know the time yet"),
        (answer(stratum=0, reference=b"INIT", first=0xE4), "does not know the time yet"),
        (answer(stratum=16), "does not know the time yet"),
        (answer(stratum=0, reference=b"RATE"), r"refuses \(RATE\)"),
        (answer(stratum=0, reference=b"DENY"), r"refuses \(DENY\)"),
        (answer(stratum=0, reference=b"\x1b[2J"), "does not know the time yet"),
    ],
)
def test_what_is_no_time(data: bytes, why: str) -> None:
    with pytest.raises(NoTime, match=why):
        read(data)


# The server that runs here

CHRONYD, NTPD = ("/usr/sbin/chronyd", "-F", "1"), ("/usr/sbin/ntpd", "-p", "/run/ntpd.pid", "-c")


def process(name: str, *argv: str) -> RunningProcess:
    return RunningProcess(4_000_000, name, argv)


def written(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.fixture(autouse=True)
def alive(tmp_path: Path) -> None:
    """The process of every test is root's, and sees the mounts that we see."""
    written(tmp_path, "proc/4000000/status", "Name:\tx\nUid:\t0\t0\t0\t0\n")
    mounts(tmp_path, "self", "mnt:[1]")
    mounts(tmp_path, "4000000", "mnt:[1]")


def mounts(root: Path, process: str, named: str) -> None:
    at = root / "proc" / process / "ns"
    at.mkdir(parents=True, exist_ok=True)
    (at / "mnt").unlink(missing_ok=True)
    (at / "mnt").symlink_to(named)


@pytest.fixture
def ntpsec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: "ntpd ntpsec-1.2.2\n")


@pytest.mark.parametrize(
    ("path", "text", "drop_in"),
    [
        ("etc/chrony/chrony.conf", "confdir /etc/chrony/conf.d\n", "/etc/chrony/conf.d/ciao-cluster.conf"),
        ("etc/chrony/chrony.conf", "ConfDir /x /etc/chrony/conf.d/\n", "/etc/chrony/conf.d/ciao-cluster.conf"),
        ("etc/chrony.conf", "include /etc/chrony.d/*.conf\n", "/etc/chrony.d/ciao-cluster.conf"),
        ("etc/chrony.conf", "sourcedir /run/chrony-dhcp\n", ""),
        ("etc/chrony.conf", "# confdir /etc/chrony.d\n", ""),
        ("etc/chrony.conf", "confdir /etc/cron.d\n", ""),
    ],
)
def test_where_chrony_reads_a_file_of_ours(tmp_path: Path, path: str, text: str, drop_in: str) -> None:
    written(tmp_path, path, f"pool 2.debian.pool.ntp.org iburst\n{text}")
    assert read_time_server([process("chronyd", *CHRONYD)], tmp_path) == TimeServer("chrony", "", drop_in)


def test_chrony_with_a_configuration_of_its_own(tmp_path: Path) -> None:
    written(tmp_path, "etc/chrony/chrony.conf", "confdir /etc/chrony/conf.d\n")
    written(tmp_path, "opt/other.conf", "pool 2.debian.pool.ntp.org\n")
    found = read_time_server([process("chronyd", "chronyd", "-f", "/opt/other.conf")], tmp_path)
    assert found == TimeServer("chrony", "")


@pytest.mark.parametrize(
    ("configuration", "drop_in"),
    [
        ("/etc/ntpsec/ntp.conf", "/etc/ntpsec/ntp.d/ciao-cluster.conf"),
        ("/etc/ntp.conf", "/etc/ntp.d/ciao-cluster.conf"),
        # Debian's, once a DHCP server has named time servers: the directory beside it is none.
        ("/run/ntpsec/ntp.conf.dhcp", ""),
    ],
)
def test_where_ntpsec_reads_a_file_of_ours(tmp_path: Path, ntpsec: None, configuration: str, drop_in: str) -> None:
    found = read_time_server([process("ntpd", *NTPD, configuration)], tmp_path)
    assert found == TimeServer("ntpsec", "", drop_in)


def test_an_ntpd_that_is_not_ntpsecs_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: "ntpd 4.2.8p15@1.3728-o\n")
    assert read_time_server([process("ntpd", *NTPD, "/etc/ntp.conf")], tmp_path) is None
    assert read_time_server([process("timesyncd", "x")], tmp_path) is None


@pytest.mark.parametrize(("uid", "ours"), [(0, True), (4_100_000, False), (2, False)])
def test_a_users_process_is_no_server_of_this_machine(tmp_path: Path, uid: int, ours: bool) -> None:
    written(tmp_path, "proc/4000000/status", f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
    assert (read_time_server([process("chronyd", *CHRONYD)], tmp_path) is not None) is ours


@pytest.mark.parametrize(
    ("group", "same_root", "ours"),
    [
        # A unit with PrivateTmp=, Docker's container, and one that a unit starts.
        ("/system.slice/chrony.service", True, True),
        ("/system.slice/docker-0123.scope", True, False),
        ("/system.slice/podman-time.service", False, False),
    ],
)
def test_a_containers_process_is_no_server_of_this_machine(
    tmp_path: Path, group: str, same_root: bool, ours: bool
) -> None:
    mounts(tmp_path, "4000000", "mnt:[2]")
    written(tmp_path, "proc/4000000/cgroup", f"0::{group}\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "proc/self/root").symlink_to(tmp_path)
    (tmp_path / "proc/4000000/root").symlink_to(tmp_path if same_root else tmp_path / "other")
    assert (read_time_server([process("chronyd", *CHRONYD)], tmp_path) is not None) is ours


def test_an_init_script_restarts_it_where_systemd_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "etc/init.d/chrony", "#!/bin/sh\n")
    found = read_time_server([process("chronyd", *CHRONYD)], tmp_path)
    assert found is not None
    assert found.unit == "chrony.service"
    monkeypatch.setattr(systemd, "running", lambda: True)
    assert restart_command(found) == ("systemctl", "try-restart", "chrony.service")
    monkeypatch.setattr(systemd, "running", lambda: False)
    assert restart_command(TimeServer("chrony", "none-such.service")) == ()
    assert restart_command(TimeServer("chrony", "")) == ()


def test_only_chrony_can_be_told_at_once() -> None:
    assert open_commands(TimeServer("chrony", ""), "192.168.0.0/24") == [
        ("chronyc", "allow", "192.168.0.0/24"),
        ("chronyc", "local", "stratum", "10"),
    ]
    assert open_commands(TimeServer("ntpsec", ""), "192.168.0.0/24") == []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    did: list[tuple[str, ...]] = []

    def run(*argv: str, **_: Any) -> str:
        did.append(argv)
        return ""

    monkeypatch.setattr(own_server, "is_running", lambda _: True)
    monkeypatch.setattr(commands, "run", run)
    return did


def test_where_nobody_can_restart_chrony_it_is_told_what_its_file_says(
    told: list[tuple[str, ...]], tmp_path: Path
) -> None:
    server = TimeServer("chrony", "", str(tmp_path / "ciao-cluster.conf"))
    own_server.reread(server, "192.168.0.0/24")
    closed = [("chronyc", "deny", "192.168.0.0/24"), ("chronyc", "local", "off")]
    assert told == closed
    Path(server.drop_in).write_text("# written by ciao-wizard\n#\nallow 10.9.0.0/24\nlocal stratum 10\n")
    told.clear()
    own_server.reread(server, "192.168.0.0/24")
    assert told == [*closed, ("chronyc", "allow", "10.9.0.0/24"), ("chronyc", "local", "stratum", "10")]


def test_where_nobody_can_restart_ntpsec_it_is_said(told: list[tuple[str, ...]]) -> None:
    with pytest.raises(WizardError, match="nobody here can restart it"):
        own_server.reread(TimeServer("ntpsec", ""), "192.168.0.0/24")


def test_a_server_that_does_not_run_is_not_started(
    told: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_server, "is_running", lambda _: False)
    own_server.reread(TimeServer("ntpsec", "ntpsec.service"), "192.168.0.0/24")
    assert told == []


# What DHCP servers named

ETH0 = Nic("eth0", 2, "ethernet", addresses=(Address(IPNetwork("10.77.0.98/24")),))
DHCLIENT = """lease {
  interface "eth0";
  fixed-address 10.77.0.98;
  option ntp-servers 10.77.0.9;
  renew 2 2026/11/30 22:00:00;
}
lease {
  interface "eth0";
  fixed-address 10.77.0.98;
  option ntp-servers 10.77.0.1,10.77.0.2;
}
lease {
  interface "wlan0";
  fixed-address 10.8.0.2;
  option ntp-servers 10.8.0.1;
}
"""


@pytest.fixture
def nmcli(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def run(*argv: str, **_: Any) -> str:
        if argv[0] != "nmcli":
            raise CommandFailed(argv, 1, "")
        return (
            "GENERAL.DEVICE:docker0\n\n"
            "GENERAL.DEVICE:eth0\nDHCP4.OPTION[4]:ip_address = 10.77.0.98\n"
            "DHCP4.OPTION[9]:ntp_servers = 10.77.0.3 10.77.0.4\n\nGENERAL.DEVICE:lo\n"
        )

    monkeypatch.setattr(commands, "run", run)


def test_the_latest_lease_of_dhclient_counts_while_the_nic_has_its_address(tmp_path: Path) -> None:
    written(tmp_path, "var/lib/dhcp/dhclient.leases", DHCLIENT)
    assert read_time_servers([ETH0], (), tmp_path) == (("eth0", ("10.77.0.1", "10.77.0.2")),)
    moved = Nic("eth0", 2, "ethernet", addresses=(Address(IPNetwork("10.5.0.9/24")),))
    assert read_time_servers([moved], (), tmp_path) == ()
    assert read_time_servers([Nic("eth0", 2, "ethernet")], (), tmp_path) == ()


def test_networkd(tmp_path: Path) -> None:
    written(tmp_path, "run/systemd/netif/leases/2", "ADDRESS=10.77.0.98\nNTP=10.77.0.5 10.77.0.6\nDNS=10.77.0.1\n")
    written(tmp_path, "var/lib/dhcp/dhclient.leases", DHCLIENT)
    assert read_time_servers([ETH0], (), tmp_path) == (("eth0", ("10.77.0.5", "10.77.0.6")),)


def test_networkmanager(tmp_path: Path, nmcli: None) -> None:
    assert read_time_servers([ETH0], ("NetworkManager",), tmp_path) == (("eth0", ("10.77.0.3", "10.77.0.4")),)
    assert read_time_servers([ETH0], (), tmp_path) == ()


def test_networkmanager_is_asked_briefly_and_by_root_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def run(*argv: str, timeout: float, **_: Any) -> str:
        asked.append(timeout)
        raise CommandFailed(argv, None, "", "it took too long")

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert read_time_servers([ETH0], ("NetworkManager",), tmp_path) == ()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert read_time_servers([ETH0], ("NetworkManager",), tmp_path) == ()
    assert asked == [2.0]


def test_dhcpcd(tmp_path: Path) -> None:
    options = b"\x35\x01\x05\x00\x2a\x08\x0a\x4d\x00\x07\x0a\x4d\x00\x08\xff"
    head = bytearray(236)
    head[16:20] = b"\x0a\x4d\x00\x62"
    (tmp_path / "var/lib/dhcpcd").mkdir(parents=True)
    (tmp_path / "var/lib/dhcpcd/eth0.lease").write_bytes(bytes(head) + b"\x63\x82\x53\x63" + options)
    assert read_time_servers([ETH0], (), tmp_path) == (("eth0", ("10.77.0.7", "10.77.0.8")),)


def test_timesyncd(tmp_path: Path) -> None:
    written(tmp_path, "run/systemd/timesyncd.conf.d/01-dhclient.conf", "[Time]\nNTP=10.77.0.1 ntp.example\n")
    written(tmp_path, "etc/systemd/timesyncd.conf", "[Time]\n#NTP=\nFallbackNTP=10.3.3.3\n")
    assert read_time_servers([], (), tmp_path) == (("", ("10.77.0.1",)),)
    written(tmp_path, "etc/systemd/timesyncd.conf.d/mine.conf", "[Time]\nNTP=10.4.4.4\n")
    assert read_time_servers([], (), tmp_path) == (("", ("10.77.0.1",)), (TIMESYNCD, ("10.4.4.4",)))


@pytest.mark.parametrize("text", ["0.1.2.3", "127.0.0.1", "255.255.255.255", "10.0.0.1;reboot", "10.0.0.1\x1b[2J", "a"])
def test_what_no_node_could_ask_is_left_out(tmp_path: Path, text: str) -> None:
    written(tmp_path, "run/systemd/netif/leases/2", f"NTP={text}\n")
    assert read_time_servers([ETH0], (), tmp_path) == ()


@pytest.mark.parametrize("content", [b"", b"\xff" * 300, b"lease {\n", b"\0" * 236 + b"\x63\x82\x53\x63\x2a"])
def test_broken_leases_name_nobody(tmp_path: Path, content: bytes) -> None:
    for path in ("var/lib/dhcp/dhclient.leases", "var/lib/dhcpcd/eth0.lease", "run/systemd/netif/leases/2"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert read_time_servers([ETH0], (), tmp_path) == ()


# What an apply recorded

SERVED = '[time]\nservers = ["192.168.0.200"]\nkind = "chrony"\nunit = "chrony.service"\ndrop_in = "{}"\n'
DROP_IN = "/etc/chrony/conf.d/ciao-cluster.conf"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", NO_TIME),
        ("[time", NO_TIME),
        ("time = 7", NO_TIME),
        ('[time]\nservers = ["10.0.0.1", "10.0.0.2"]\n', TimeSource(("10.0.0.1", "10.0.0.2"))),
        ('[time]\nservers = ["10.0.0.1\\nevil"]\n', NO_TIME),
        (SERVED.format(DROP_IN), TimeSource(("192.168.0.200",), TimeServer("chrony", "chrony.service", DROP_IN))),
        (SERVED.format("/etc/passwd"), TimeSource(("192.168.0.200",))),
    ],
)
def test_what_an_apply_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, source: TimeSource) -> None:
    monkeypatch.setattr(paths, "LIVE_IDENTITY", str(tmp_path / "none"))
    monkeypatch.setattr(paths, "IDENTITY", str(tmp_path / "identity.toml"))
    (tmp_path / "identity.toml").write_text(text)
    assert applied.applied_time() == source


@pytest.mark.parametrize(("text", "recorded"), [("[time]\nservers = []\n", True), ("[cluster]\n", False), ("[", False)])
def test_whether_an_apply_recorded_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, recorded: bool
) -> None:
    monkeypatch.setattr(paths, "LIVE_IDENTITY", str(tmp_path / "identity.toml"))
    (tmp_path / "identity.toml").write_text(text)
    assert applied.is_recorded() is recorded


@pytest.mark.parametrize(
    ("told", "here"),
    [
        ('[{"type":"local","dst":"192.168.0.200","dev":"lo"}]', True),
        ('[{"dst":"192.168.0.200","gateway":"10.77.0.1","dev":"eth0"}]', False),
        ("[]", False),
        ("", False),
    ],
)
def test_an_address_is_here_where_its_route_is_local(monkeypatch: pytest.MonkeyPatch, told: str, here: bool) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: told)
    assert is_here("192.168.0.200") is here


def test_who_was_asked_too_often_is_told_apart() -> None:
    with pytest.raises(AskedTooOften, match="RATE"):
        read(answer(stratum=0, reference=b"RATE"))
