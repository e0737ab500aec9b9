"""FTP and TFTP through NAT under a release's own kernel, whose helpers are modules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel import wires
from tests.kernel.wires import COLLEAGUE, CORPORATE_ADDRESS, NODE, OFFICE, plan_with, run, script_of
from tests.lab import transfers
from tests.needs import need
from wizard.host.net import gateway_rules

FORWARDS = """
[[forwards]]
port = 21
to = "controller"

[[forwards]]
port = 2121
to = "controller"
to_port = 21

[[forwards]]
port = 69
to = "controller"
protocol = "udp"
"""
WHOLE = str(len(transfers.CONTENT))


@pytest.fixture(scope="module", autouse=True)
def rules(kernel: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need("curl")
    script = script_of(plan_with() + FORWARDS, tmp_path_factory.mktemp("plan"))
    with wires.laid(), wires.loaded(script):
        yield script


def test_the_modules_are_loaded_with_the_rules_and_seen(rules: str) -> None:
    assert gateway_rules.troubles_and_notes(rules) == ([], [])
    for module in ("nf_conntrack_ftp", "nf_nat_ftp", "nf_conntrack_tftp", "nf_nat_tftp"):
        assert Path("/sys/module", module).is_dir()


@contextmanager
def serving(end: str, kind: str, port: int) -> Iterator[None]:
    argv = ["ip", "netns", "exec", end, sys.executable, transfers.__file__, kind, str(port)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def download(end: str, url: str, *options: str) -> str:
    curl = ["curl", "-sS", "--max-time", "60", "--no-ftp-skip-pasv-ip", *options, "-o", "/dev/null"]
    return run("ip", "netns", "exec", end, *curl, "-w", "%{size_download}", url)


@pytest.mark.parametrize("options", [["--disable-epsv"], [], ["--ftp-port", "-", "--disable-eprt"]], ids=" ".join)
def test_ftp_goes_out_and_in(options: list[str]) -> None:
    with serving(OFFICE, "ftp", 21), serving(NODE, "ftp", 21):
        assert download(NODE, f"ftp://{COLLEAGUE}/file", *options) == WHOLE
        for port in (21, 2121):
            assert download(OFFICE, f"ftp://{CORPORATE_ADDRESS}:{port}/file", *options) == WHOLE


def test_tftp_goes_out_and_in() -> None:
    with serving(OFFICE, "tftp", 69), serving(NODE, "tftp", 69):
        assert download(NODE, f"tftp://{COLLEAGUE}/file") == WHOLE
        assert download(OFFICE, f"tftp://{CORPORATE_ADDRESS}/file") == WHOLE


def test_a_kernel_without_the_modules_loads_the_rest_and_says_so(rules: str) -> None:
    """Its own modules, with those four out of sight."""
    run("sh", rules, "down")
    run("modprobe", "-r", "nf_nat_ftp", "nf_nat_tftp", "nf_conntrack_ftp", "nf_conntrack_tftp")
    hidden = "/lib/modules"
    run("mount", "-t", "tmpfs", "hidden", hidden)
    try:
        said = run("sh", rules, "up")
        assert [line.split(None, 1)[1] for line in said.splitlines()] == [
            "ftp: the kernel had no module nf_conntrack_ftp when the rules were loaded",
            "tftp: the kernel had no module nf_conntrack_tftp when the rules were loaded",
        ]
        assert gateway_rules.changes(rules) == []
    finally:
        run("umount", hidden)
    # They are back, such as with the next boot: an apply would load them, and nobody changed anything.
    assert gateway_rules.changes(rules) == []
    assert any("helper" in line for line in gateway_rules.changes(rules, now=True))
    gateway_rules.load(rules)
    assert gateway_rules.changes(rules) == []
    assert gateway_rules.troubles_and_notes(rules)[1] == []
