"""What an armed node may try with TFTP and HTTP: it gets what is its own, and everybody else is served as before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.lab.guarding import actor, await_mode, report, told
from tests.lab.many_boots import pss_mib
from tests.lab.support import EXAMPLE, HERE, apply, await_nodes, ciao, ciao_json, dhcp_server
from wizard.lab.control import Laboratory
from wizard.plan import paths

pytestmark = pytest.mark.lab

GATEWAY = "192.168.0.200"
URL = f"http://{GATEWAY}:8069"
IMAGES = '\n[[images]]\nname = "tiny"\nkind = "custom"\n'
SIZE = 100_000
OTHERS = "must not leave"


@pytest.fixture(scope="module")
def serving(lab_possible: None) -> Iterator[Laboratory]:
    """compute1 and compute2 are armed. Beside the loaders lies what is nobody's."""
    with Laboratory() as lab:
        lab.run(["sh", "-ec", "cd /run/ciao-lab; head -c 8000000 /dev/zero >linux"])
        files = ["--kernel", "/run/ciao-lab/linux"]
        assert ciao(lab, "image", "add", "tiny", *files, "--kind", "custom").returncode == 0
        make = f"mkdir {paths.BOOT_LOADERS}; cd {paths.BOOT_LOADERS}; head -c {SIZE} /dev/zero >undionly.kpxe"
        lab.run(["sh", "-ec", f"{make}; echo {OTHERS} >../secret; echo {OTHERS} >/run/ciao-lab/secret"])
        apply(lab, EXAMPLE.read_text() + IMAGES)
        await_nodes(lab)
        await_mode(lab, "armed")
        armed = ciao(lab, "boot", "arm", "compute1", "compute2", "--image", "tiny", "--always")
        assert armed.returncode == 0, armed.stderr
        lab.wait_for(lambda: act(lab, "compute1", "http", f"{URL}/nothing")[0] == 404, 20, "the server")
        yield lab


def act(lab: Laboratory, where: str, *argv: str, told: object = None) -> Any:
    script = [sys.executable, str(HERE / "netboot_actors.py"), *argv]
    return json.loads(lab.run(script, netns=where, input=json.dumps(told) if told is not None else "").stdout)


def read(name: str, *options: str, opcode: str = "\0\1") -> str:
    return opcode + "\0".join([name, "octet", *options, ""])


NOWHERE = (
    "../secret",
    "../../../etc/passwd",
    "/../secret",
    "./../secret",
    "undionly.kpxe/../../secret",
    "/run/ciao-lab/secret",
    f"{paths.IMAGES}/secret",
    f"{paths.BOOT_LOADERS}/../secret",
    paths.ARMED,
    "/proc/self/environ",
    "/dev/zero",
    "..\\secret",
    "%2e%2e/secret",
    ".",
    "",
    "/",
    "x" * 500,
    "../" * 100 + "etc/passwd",
    "undionly.kpxe/",
    "und\x1b[2J\x07\xff",
)


def test_tftp_reads_nothing_beside_its_directory(serving: Laboratory) -> None:
    before = dhcp_server(serving)
    answers = act(serving, "compute1", "rrq", GATEWAY, told=[read(name) for name in NOWHERE])
    # Error, or no answer to what is no request.
    given = {name: answer for name, answer in zip(NOWHERE, answers, strict=True) if answer[:4] not in ("0005", "")}
    assert given == {}
    assert OTHERS.encode().hex() not in "".join(answers)
    log = serving.run(["cat", "/run/ciao-wizard/dnsmasq.log"]).stdout
    assert "\x1b" not in log
    assert "\x07" not in log
    assert dhcp_server(serving) == before


def test_tftp_writes_nothing_and_takes_no_nonsense(serving: Laboratory) -> None:
    strange = [
        read("undionly.kpxe", opcode="\0\2"),
        read("new", opcode="\0\2"),
        "",
        "\0",
        "\0\1",
        "\0\1undionly.kpxe",
        "\0\1undionly.kpxe\0mail\0",
        "\0\3\0\1data",
        "\0\4\0\1",
        "\0\5\0\0x\0",
        "\xff" * 1400,
        "\0\1" + "a\0" * 600,
    ]
    before = dhcp_server(serving)
    answers = act(serving, "compute1", "rrq", GATEWAY, told=strange)
    assert all(answer[:4] in ("0005", "") for answer in answers), answers
    assert dhcp_server(serving) == before
    left = serving.run(["ls", paths.BOOT_LOADERS]).stdout.split()
    assert left == ["undionly.kpxe"]


def test_tftp_grants_no_block_that_does_not_fit_the_wire(serving: Laboratory) -> None:
    wanted = [
        ("blksize", "65464"),
        ("blksize", "99999999999999999999"),
        ("blksize", "-5"),
        ("blksize", "0"),
        ("windowsize", "65535"),
        ("tsize", "0", "blksize", "65464", "windowsize", "64", "timeout", "255"),
    ]
    asked = [read("undionly.kpxe", *options) for options in wanted]
    for options, answer in zip(wanted, act(serving, "compute1", "rrq", GATEWAY, told=asked), strict=True):
        raw = bytes.fromhex(answer)
        assert len(raw) <= 1472, options
        if raw[:2] == b"\0\6":
            words = raw[2:].split(b"\0")
            granted = dict(zip(words[::2], words[1::2], strict=False))
            assert 1 <= int(granted.get(b"blksize", 512)) <= 1468, options
            assert int(granted.get(b"windowsize", 1)) <= 64, options
    # Transfers that were begun and left are no reason to refuse the next.
    assert act(serving, "compute2", "tftp", GATEWAY, "undionly.kpxe") == SIZE


def test_ten_thousand_files_that_are_not_there(serving: Laboratory) -> None:
    """The guard goes on turning: it renews its word, takes up what is new, and no trip or mute comes of it."""
    before = dhcp_server(serving), told(serving)["process"], told(serving)["trips"]
    script = [sys.executable, str(HERE / "netboot_actors.py"), "pester", GATEWAY, "10000"]
    with actor(serving, None, "watch", "eth1") as watch:
        with serving.popen(script, netns="compute1", stdout=subprocess.PIPE) as pest:
            assert act(serving, "compute2", "tftp", GATEWAY, "undionly.kpxe") == SIZE
            assert ciao(serving, "boot", "disarm", "compute2").returncode == 0
            gone = "! grep -q tag:node-compute2 " + paths.NETBOOT_OPTIONS
            serving.wait_for(lambda: serving.run(["sh", "-c", gone], check=False).returncode == 0, 15, "disarmed")
            assert pest.stdout is not None
            refused = int(pest.stdout.read())
        events = watch.end()
    assert ciao(serving, "boot", "arm", "compute2", "--image", "tiny", "--always").returncode == 0
    renewed = [at for at, what in events if what == "armed"]
    longest = max(later - earlier for earlier, later in pairwise(renewed))
    size = int(serving.run(["sh", "-c", "cat /run/ciao-wizard/*.log* | wc -c"]).stdout)
    report(f"{refused} of 10000 refused; the longest time between two renewals was {longest:.2f} s; logs {size} bytes")
    assert refused > 9_900
    assert "muted" not in [what for _, what in events]
    assert (dhcp_server(serving), told(serving)["process"], told(serving)["trips"]) == before
    assert size < 4_000_000
    status = ciao_json(serving, "status")
    assert (status["healthy"], status["drift"]) == (True, []), status


def test_http_holds_against_one_who_takes_all_that_it_can(serving: Laboratory) -> None:
    """Half heads, heads as long as can be, and requests whose answers nobody reads; the other node boots meanwhile."""
    serving.wait_for(lambda: act(serving, "compute2", "http", f"{URL}/nothing")[0] == 404, 20, "its being armed")
    before = pss_mib(serving, "[n]etboot-server")
    script = [sys.executable, str(HERE / "netboot_actors.py"), "hoard", f"{URL}/images/tiny/linux", "400"]
    with serving.popen(script, netns="compute1", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hoard:
        assert hoard.stdout is not None
        assert hoard.stdin is not None
        assert hoard.stdout.readline() == "400\n"
        for _ in range(5):
            assert act(serving, "compute2", "http", f"{URL}/images/tiny/linux") == [200, 8_000_000]
        held = serving.run(["ss", "-Htn", "state", "established", "sport = :8069"]).stdout.splitlines()
        memory = pss_mib(serving, "[n]etboot-server")
        hoard.stdin.close()
    log = int(serving.run(["sh", "-c", f"wc -c <{paths.NETBOOT_LOG}"]).stdout)
    report(f"{len(held)} connections held of 400; memory {before:.0f} to {memory:.0f} MiB; log {log} bytes")
    assert len(held) <= 20
    assert memory < before + 64
    assert log < 1_500_000
    assert told(serving)["mode"] == "armed"
