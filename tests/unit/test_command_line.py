"""The command line as a script sees it, as far as that needs no gateway: usage, help, plans that are refused.

Statuses 3 and 4, and whatever else depends on the machine, are tried in the laboratory."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wizard import VERSION
from wizard.cli import inspect
from wizard.cli.parser import HANDLERS, WIZARD, load_handler
from wizard.deploy import status
from wizard.plan.checks import FAILED, Check

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "ciao.toml"
COMMANDS = sorted(HANDLERS)


def ciao_wizard(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "wizard", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "Traceback" not in done.stderr
    return done


def test_the_contracts_commands_are_there() -> None:
    contract = "detect probe check render diff apply confirm rollback reset status leases instances export import lab"
    assert set(contract.split()) <= set(COMMANDS)


@pytest.mark.parametrize("name", [WIZARD, *HANDLERS.values()])
def test_every_handler_is_there(name: str) -> None:
    assert callable(load_handler(name))


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str) -> None:
    done = ciao_wizard(*command.split(), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: ciao-wizard {command}".rstrip())
    assert done.stderr == ""


def test_version() -> None:
    assert ciao_wizard("--version").stdout == f"ciao-wizard {VERSION}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["check"],
        ["render", "-c"],
        ["detect", "--jsonn"],
        ["apply", "--confirm-within", "soon"],
        ["apply", "--confirm-within", "-1"],
        ["apply", "--confirm-within", "nan"],
        ["probe"],
        ["export", "-c", str(SAMPLE)],
        ["export", "carrier-pigeon", "-c", str(SAMPLE)],
        ["instances"],
        ["check", "-c", "/nonexistent.toml"],
        ["render", "-c", "/"],
        ["diff", "-c", "/nonexistent.toml"],
        ["apply", "-c", "/nonexistent.toml"],
        ["-c", "/nonexistent.toml"],
    ],
)
def test_bad_usage_is_2(words: list[str]) -> None:
    done = ciao_wizard(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


@pytest.mark.parametrize("command", ["check", "render", "diff", "apply"])
@pytest.mark.parametrize("plan", ["", "version = 1\n[interfaces\n", "version = 2\n", "x\0y", "\ufeff\x1b[2J = 1"])
def test_plan_that_cannot_be_read_is_2(command: str, plan: str) -> None:
    done = ciao_wizard(command, "-c", "-", stdin=plan)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ciao-wizard: ")
    assert not set(done.stderr) & {"\0", "\x1b"}


def test_check_says_what_is_wrong_and_is_1() -> None:
    plan = SAMPLE.read_text().replace('"eth1"', '"nosuchnic0"').replace('"eth0"', '"nosuchnic1"')
    done = ciao_wizard("check", "-c", "-", "--json", stdin=plan)
    assert done.returncode == 1
    fields = {f["field"] for f in json.loads(done.stdout) if f["severity"] == "error"}
    assert {"interfaces.corporate", "interfaces.cluster"} <= fields


def test_render_refuses_an_impossible_plan_with_1() -> None:
    done = ciao_wizard("render", "-c", "-", stdin=SAMPLE.read_text().replace("192.168.0.101", "10.1.1.1"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "10.1.1.1" in done.stderr


@pytest.mark.parametrize("words", [[], ["lab"]])
def test_what_needs_a_terminal_says_what_does_not(words: list[str]) -> None:
    done = ciao_wizard(*words)
    assert done.returncode == 1
    assert "terminal" in done.stderr
    assert "ciao-wizard" in done.stderr


def test_who_stops_reading_is_no_error_of_ours() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "wizard", "render", "-c", str(SAMPLE)],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + 13, "")


def test_status_cuts_no_reason_before_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taker = "dhclient, which is process 12345 of networking.service, " * 8
    end = "the guard tries again at 20:31:07"
    contested = Check("guard", FAILED, f"192.168.0.200 was taken away by {taker}; {end}", f"Stop {taker}, then apply.")
    seen = status.Status("applied", False, None, None, (contested,), ())
    monkeypatch.setattr(status, "read_status", lambda: seen)
    assert inspect.status(argparse.Namespace(json=False)) == 1
    said = capsys.readouterr().out
    assert end in said
    assert "then apply." in said


def test_no_colour_where_nobody_looks() -> None:
    assert "\x1b" not in ciao_wizard("check", "-c", str(SAMPLE)).stdout


def test_import_reads_a_list_and_tells_the_rest() -> None:
    done = ciao_wizard("import", "-", "--json", stdin="mac;room;name\n00163e5a0001;row #4;shelf\n00163e5a0002;;a b\n")
    assert done.returncode == 1
    first, second = json.loads(done.stdout)
    row = {"line": 2, "name": "shelf", "roles": None, "mac": "00:16:3e:5a:00:01", "ip": None, "problem": ""}
    assert first == row
    assert second["line"] == 3
    assert '"a b"' in second["problem"]
    assert "1 of 2 understood" in done.stderr


def test_import_of_what_is_no_machine_is_no_problem() -> None:
    done = ciao_wizard("import", "-", stdin="  172.20.3.255   ff-ff-ff-ff-ff-ff   static\n")
    assert done.returncode == 0
    assert "1 skipped" in done.stderr
    assert "static" not in done.stdout


@pytest.mark.parametrize("name", ["nowhere", ".", "picture"])
def test_import_of_what_cannot_be_read_is_2(name: str, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\x06\0\0\0")
    done = ciao_wizard("import", str(tmp_path / name))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) > 1


@pytest.mark.parametrize("path", [None, "", ".:bin::/usr/bin"])
def test_no_program_of_the_current_directory_is_run(tmp_path: Path, path: str | None) -> None:
    """As root with an empty PATH, in a directory that somebody else has filled."""
    (tmp_path / "bin").mkdir()
    for program in ("ip", "nft", "ss", "sh", "ifup", "ifquery", "systemctl", "iptables-nft", "dnsmasq"):
        for place in (tmp_path / program, tmp_path / "bin" / program):
            place.write_text(f"#!/bin/sh\necho {program} >>{tmp_path}/ran\n")
            place.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if key != "PATH"} | ({} if path is None else {"PATH": path})
    command = [sys.executable, "-P", "-m", "wizard"]
    for words in (["detect"], ["diff", "-c", str(SAMPLE)]):
        subprocess.run(
            [*command, *words],
            capture_output=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
            env={**env, "PYTHONPATH": str(ROOT)},
        )
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_render_follows_no_link_that_somebody_planted(tmp_path: Path) -> None:
    """The directory's owner would have root write elsewhere."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "etc").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("as it was")
    (out / "etc/ciao-wizard").symlink_to(elsewhere)
    done = ciao_wizard("render", "-c", str(SAMPLE), "-o", str(out))
    assert done.returncode == 1
    assert f"{out}/etc/ciao-wizard: " in done.stderr
    assert [file.name for file in elsewhere.iterdir()] == ["precious"]
    (out / "etc/ciao-wizard").unlink()
    (out / "etc/ciao-wizard").mkdir()
    (out / "etc/ciao-wizard/nat.sh").symlink_to(elsewhere / "precious")
    os.link(elsewhere / "precious", out / "etc/ciao-wizard/tenant_dns.cfg")
    done = ciao_wizard("render", "-c", str(SAMPLE), "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "precious").read_text() == "as it was"
    assert not (out / "etc/ciao-wizard/nat.sh").is_symlink()
    assert "tenant_dns" in (out / "etc/ciao-wizard/tenant_dns.cfg").read_text()
    assert str(out / "etc/ciao-wizard/nat.sh") in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("streams", "status", "told"),
    [
        (">&-", 1, "stdout: Bad file descriptor"),
        (">/dev/full", 1, "stdout: No space left"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        (">&- 2>&- <&-", 1, ""),
        ("<&-", 0, ""),
    ],
)
@pytest.mark.parametrize("words", ["render -c", "export csv -c", "import --json"])
def test_streams_that_are_closed_or_full(words: str, streams: str, status: int, told: str) -> None:
    """Talk that nobody can hear is lost; data that cannot be written is a failure, and said where that can be."""
    line = f"trap '' CHLD; exec {sys.executable} -P -m wizard {words} {SAMPLE} {streams}"
    done = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == status
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


def test_a_file_that_is_opened_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    file = tmp_path / "nodes.csv"
    line = f"exec {sys.executable} -P -m wizard export csv -c {SAMPLE} -o {file} >&- 2>&- <&-"
    done = subprocess.run(["bash", "-c", line], timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0
    assert file.read_text().startswith("role,name,mac,ip\n")
    assert "written" not in file.read_text()


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    line = f"mkdir {gone}; cd {gone}; rmdir {gone}; exec {sys.executable} -P -m wizard check -c {SAMPLE}"
    done = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
