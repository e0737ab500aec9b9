"""Ports, lines and words; the laboratory's tests have the sshd."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wizard.host import commands, ssh
from wizard.host.ssh import SshFailed, Target, parse_target
from wizard.monitor import instances as module
from wizard.monitor.instances import (
    GATEWAY_BLANK,
    MOST_FILES,
    MOST_LINES,
    GatewayContext,
    read_cnci,
    read_cncis,
    reading_json,
    resolve,
    ssh_commands,
    ssh_port,
)
from wizard.plan.findings import WizardError
from wizard.plan.lease_parser import Lease

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
Host key for 192.168.0.65 has changed and you have requested strict checking.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("ip", "port"),
    [
        ("172.16.0.2", 33002),
        ("172.16.1.2", 33258),
        ("172.31.126.255", 65511),
        ("172.16.127.0", None),
        ("172.16.200.1", None),
    ],
)
def test_the_cncis_port(ip: str, port: int | None) -> None:
    assert ssh_port(ip) == port


@given(st.integers(0, 126), st.integers(0, 255))
def test_every_instance_has_a_port_of_its_own_that_exists(third: int, fourth: int) -> None:
    port = ssh_port(f"172.16.{third}.{fourth}")
    assert port is not None
    assert 33000 <= port <= 65535
    assert ((port - 33000) >> 8, (port - 33000) & 255) == (third, fourth)


def test_the_lines() -> None:
    ways = ssh_commands("172.16.0.2", "192.168.0.65", "cloud-admin@", "demouser", "me@10.77.0.98")
    assert ways.direct == "ssh demouser@172.16.0.2"
    assert ways.gateway == "ssh -p 33002 demouser@192.168.0.65"
    assert ways.corporate == "ssh -J me@10.77.0.98 -p 33002 demouser@192.168.0.65"
    far = ssh_commands("172.16.127.2", "192.168.0.65", "cloud-admin@", "demouser", GATEWAY_BLANK)
    assert far.gateway == "ssh -J cloud-admin@192.168.0.65 demouser@172.16.127.2"
    assert far.corporate == "ssh -J GATEWAY,cloud-admin@192.168.0.65 demouser@172.16.127.2"
    assert "127" in far.why_no_port


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("cnci", Target("cnci")),
        ("cloud-admin@192.168.0.65", Target("192.168.0.65", "cloud-admin")),
        ("02:11:22:33:44:55", Target("02:11:22:33:44:55")),
        ("root@[fe80::1%eth0]", Target("fe80::1%eth0", "root")),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert parse_target(text) == target


def test_a_target_that_is_none_is_bad_usage() -> None:
    with pytest.raises(WizardError) as refused:
        parse_target("-oProxyCommand=x")
    assert refused.value.status == 2
    assert refused.value.remedy


@given(st.text())
def test_no_target_is_an_option_or_code(text: str) -> None:
    try:
        target = parse_target(text)
    except WizardError:
        return
    assert not str(target).startswith("-")
    assert not target.host.startswith("-")
    assert not set(str(target)) & set(" \t\n;&|$`'\"\\<>(){}*?!#~/")


@pytest.mark.parametrize(
    ("stderr", "code", "kind"),
    [
        (CHANGED, 255, "changed-host-key"),
        ("Host key verification failed.", 255, "unknown-host-key"),
        ("No ED25519 host key is known for x and you have requested strict checking.", 255, "unknown-host-key"),
        ("root@x: Permission denied (publickey).", 255, "permission-denied"),
        ("Received disconnect from x: Too many authentication failures", 255, "permission-denied"),
        ("ssh: Could not resolve hostname x: Name or service not known", 255, "no-such-name"),
        ("ssh: connect to host x port 22: Connection timed out", 255, "down"),
        ("ssh: connect to host x port 22: No route to host", 255, "down"),
        ("ssh: connect to host x port 22: Connection refused", 255, "down"),
        ("kex_exchange_identification: Connection closed by remote host", 255, "down"),
        ("", None, "down"),
        ("Bad owner or permissions on /home/me/.ssh/config", 255, "failed"),
        # A program there said so, not ssh.
        ("cat: Permission denied", 1, "failed"),
        ("", 255, "failed"),
    ],
)
def test_what_ssh_says_in_our_words(monkeypatch: pytest.MonkeyPatch, stderr: str, code: int | None, kind: str) -> None:
    def run(*argv: str, **_: object) -> str:
        raise commands.CommandFailed(argv, code, stderr, "no end after 30 s" if code is None else "")

    monkeypatch.setattr(commands, "run", run)
    with pytest.raises(SshFailed) as failed:
        ssh.run_script(Target("x", "root"), "true", 30)
    assert failed.value.kind == kind
    assert "x" in failed.value.message
    assert failed.value.remedy


def test_hostile_words_of_a_server_are_made_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*argv: str, **_: object) -> str:
        raise commands.CommandFailed(argv, 255, "banner \x1b[2J\u202e")

    monkeypatch.setattr(commands, "run", run)
    with pytest.raises(SshFailed) as failed:
        ssh.run_script(Target("x"), "true", 30)
    assert failed.value.message.isprintable()


VMS = (
    Lease(None, "02:11:22:33:44:55", "192.168.0.65", "cnci"),
    Lease(None, "02:11:22:33:44:66", "192.168.0.66", "clone"),
    Lease(None, "02:11:22:33:44:77", "192.168.0.67", "clone"),
)


def test_leases_as_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ssh, "settings", lambda target: {"hostname": "10.1.1.1" if target.host == "alias" else target.host}
    )
    known = GatewayContext((*VMS, Lease(None, "02:00:00:00:00:01", "192.168.0.99", "alias")), "ciao.lan")

    assert resolve(Target("cnci", "u"), known) == (Target("cnci", "u", "192.168.0.65"), "192.168.0.65")
    assert resolve(Target("CNCI.ciao.lan"), known)[1] == "192.168.0.65"
    assert resolve(Target("02:11:22:33:44:66"), known)[1] == "192.168.0.66"
    assert resolve(Target("192.168.0.7"), known) == (Target("192.168.0.7"), "192.168.0.7")
    # A VM may call itself what it likes: the user's own configuration goes first.
    assert resolve(Target("alias"), known) == (Target("alias"), "10.1.1.1")
    with pytest.raises(SshFailed) as failed:
        resolve(Target("clone"), known)
    assert "192.168.0.66" in failed.value.message
    assert "192.168.0.67" in failed.value.message


def script_says(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have every machine answer with `text`, MARK replaced by what the script was to mark its lines with."""

    def run(*argv: str, stdin: str = "", **_: object) -> str:
        mark = stdin.split("mark=", 1)[1].split("\n", 1)[0] if stdin else "none"
        return text.replace("MARK", mark)

    monkeypatch.setattr(commands, "run", run)


def test_a_shell_that_greets_and_files_that_pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    script_says(
        monkeypatch,
        "Welcome!\nMARK now 1000\nMARK file /tmp/dnsmasq_net.leases\n"
        "2000 02:00:ac:10:00:02 172.16.0.2 vm *\n"
        "ciao-0 file /tmp/dnsmasq_fake.leases\nciao-0 end\nMARK-up 172.16.0.2\n"
        "2000 02:00:ac:10:00:03 172.16.0.3 vm2 *\n\nMARK end\nMARK quiet 172.16.0.2\nMARK up 172.16.0.3\n",
    )
    ((_, reading),) = read_cncis([Target("cnci", "u")], GatewayContext())
    record = reading_json(reading)
    assert record["subnets"] == ["net"]
    assert [(one["ip"], one["reachable"], one["state"]) for one in record["instances"]] == [
        ("172.16.0.2", False, "leased"),
        ("172.16.0.3", True, "leased"),
    ]


def test_a_machine_without_ping_says_nothing_of_reachability(monkeypatch: pytest.MonkeyPatch) -> None:
    script_says(
        monkeypatch,
        "MARK now 1000\nMARK file /tmp/dnsmasq_n.leases\n0 02:00:ac:10:00:02 172.16.0.2 * *\n\nMARK end\nMARK noping\n",
    )
    ((_, reading),) = read_cncis([Target("cnci")], GatewayContext())
    assert [(i.reachable, i.expires) for i in reading.instances] == [(None, None)]


@given(st.text(max_size=300))
def test_whatever_comes_back_is_no_traceback(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        script_says(patch, f"MARK now 1\nMARK file /tmp/dnsmasq_{text}\n{text}\nMARK end\nMARK up {text}")
        ((_, reading),) = read_cncis([Target("cnci")], GatewayContext())
        assert all(subnet.isprintable() for subnet in reading.subnets)
        assert all(one.hostname.isprintable() for one in reading.instances)


@pytest.mark.parametrize("now", ["9" * 5000, "9" * 17, "9" * 12, ""], ids=["5000", "17", "12", "none"])
def test_a_clock_out_of_its_mind_is_not_believed(monkeypatch: pytest.MonkeyPatch, now: str) -> None:
    lines = "7 02:00:ac:10:00:02 172.16.0.2 old *\n99999999999 02:00:ac:10:00:03 172.16.0.3 new *\n"
    script_says(monkeypatch, f"MARK now {now}\nMARK file /tmp/dnsmasq_n.leases\n{lines}\nMARK end\n")
    ((_, reading),) = read_cncis([Target("cnci")], GatewayContext())
    assert [one.state for one in reading.instances] == ["expired", "leased"]


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), ValueError("x"), OverflowError("x"), WizardError("x", "y")]
)
def test_what_nobody_foresaw_is_that_targets_alone(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run_script(target: Target, *_: object) -> str:
        if target.host == "bad":
            raise error
        return ""

    monkeypatch.setattr(ssh, "settings", lambda target: {"hostname": target.host})
    monkeypatch.setattr(ssh, "run_script", run_script)
    readings = dict(read_cncis([Target("bad"), Target("good")], GatewayContext()))
    assert (readings[0].state, readings[0].cnci) == ("failed", "bad")
    assert readings[0].reason
    assert readings[0].remedy
    assert readings[1].state == "no-lease-files"


def test_an_answer_without_ends_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    script_says(monkeypatch, "MARK now 1\n" + "MARK file /tmp/dnsmasq_n.leases\n" * 20_000)
    begun = time.monotonic()
    ((_, reading),) = read_cncis([Target("cnci")], GatewayContext())
    assert time.monotonic() - begun < 5
    assert not reading.instances


def test_more_than_any_cnci_has_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    file = "MARK file /tmp/dnsmasq_n{}.leases\n0 02:00:ac:10:00:02 172.16.0.2 * *\n\nMARK end\n"
    script_says(monkeypatch, "".join(file.format(number) for number in range(MOST_FILES + 5)))
    ((_, reading),) = read_cncis([Target("cnci")], GatewayContext())
    assert (reading.state, len(reading.subnets), len(reading.instances)) == ("read", MOST_FILES, MOST_FILES)
    assert "left out" in reading.reason

    lines = "".join(f"0 02:00:ac:10:00:02 172.{n >> 16}.{n >> 8 & 255}.{n & 255} * *\n" for n in range(MOST_LINES + 5))
    script_says(monkeypatch, f"MARK file /tmp/dnsmasq_n.leases\n{lines}\nMARK end\n")
    ((_, reading),) = read_cncis([Target("cnci")], GatewayContext())
    assert len(reading.instances) == MOST_LINES
    assert "left out" in reading.reason

    # Cut off within a file: what is there of it is shown.
    line = "0 02:00:ac:10:00:02 172.16.0.2 * *\n"
    script_says(
        monkeypatch, f"MARK file /tmp/dnsmasq_n.leases\n{line}0 02:00:ac:10:00:03 172.16.0.30\nMARK up 172.16.0.2"
    )
    ((_, reading),) = read_cncis([Target("cnci")], GatewayContext())
    assert [(one.ip, one.reachable) for one in reading.instances] == [("172.16.0.2", True)]
    assert "left out" in reading.reason


def test_the_script_reads_nothing_but_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SCRIPT", module.SCRIPT.replace("/tmp/", f"{tmp_path}/"))
    monkeypatch.setattr(module, "PATIENCE_S", 10)
    (tmp_path / "dnsmasq_net.leases").write_text("0 02:00:7f:00:00:01 127.0.0.1 vm *\n")
    (tmp_path / "elsewhere").write_text("0 02:00:7f:00:00:02 127.0.0.2 vm *\n")
    (tmp_path / "dnsmasq_link.leases").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "dnsmasq_endless.leases").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "dnsmasq_pipe.leases")
    (tmp_path / "dnsmasq_directory.leases").mkdir()
    reading = read_cnci(Target("localhost"), GatewayContext())
    assert (reading.state, reading.reason, reading.subnets) == ("read", "", ("net",))
    assert [one.ip for one in reading.instances] == ["127.0.0.1"]
    if commands.find("ping"):
        assert reading.instances[0].reachable


def test_the_script_says_no_more_than_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SCRIPT", module.SCRIPT.replace("/tmp/", f"{tmp_path}/"))
    monkeypatch.setattr(module, "MOST_BYTES", 400)
    for number in range(10):
        (tmp_path / f"dnsmasq_{number}.leases").write_text("0 02:00:7f:00:00:01 127.0.0.1 vm *\n" * 2)
    reading = read_cnci(Target("localhost"), GatewayContext())
    assert 0 < len(reading.subnets) < 10
    assert "left out" in reading.reason
    if commands.find("ping"):
        assert reading.instances[0].reachable
