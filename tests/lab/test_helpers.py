"""FTP and TFTP through the gateway: both open a second connection, which NAT must know of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab import transfers
from tests.lab.bare_gateway import NODE, SCRIPT, bare_gateway, load, serving
from tests.lab.support import EXAMPLE, OFFICE, apply, await_status, reset, told_by_apply
from tests.needs import need
from wizard.lab.control import Laboratory
from wizard.lab.tools import find
from wizard.lab.world import COLLEAGUE_ADDRESS

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("helpers")]

FORWARDS = f"""
[[forwards]]
port = 21
to = "{NODE}"

[[forwards]]
port = 2121
to = "{NODE}"
to_port = 21

[[forwards]]
port = 2100
to = "{NODE}"

[[forwards]]
port = 69
to = "{NODE}"
protocol = "udp"
"""
WHOLE = str(len(transfers.CONTENT))
WAYS = {
    "extended passive": ["--no-ftp-skip-pasv-ip"],
    "passive": ["--disable-epsv", "--no-ftp-skip-pasv-ip"],
    "extended active": ["--ftp-port", "-"],
    "active": ["--ftp-port", "-", "--disable-eprt"],
}


@pytest.fixture(scope="module")
def laptop(lab_possible: None) -> Iterator[Laboratory]:
    need("curl")
    with bare_gateway(FORWARDS) as lab:
        said = lab.run([SCRIPT, "status"], check=False).stdout
        if lacking := [line for line in said.splitlines() if line.startswith("helper") and "in place" not in line]:
            pytest.skip("; ".join(lacking))
        yield lab


def download(lab: Laboratory, netns: str, url: str, *options: str) -> str:
    """How many bytes of the file came; with curl's complaint where not all of them did."""
    curl = ["curl", "-sS", "--max-time", "5", "--ftp-pasv", *options, "-o", "/dev/null", "-w", "%{size_download}", url]
    done = lab.run(curl, netns=netns, check=False)
    return done.stdout if done.returncode == 0 else f"{done.stdout}: {done.stderr}"


@pytest.mark.parametrize("way", WAYS)
def test_a_node_downloads_from_the_companys_ftp_server(laptop: Laboratory, way: str) -> None:
    with serving(laptop, "colleague", "ftp", "21"):
        assert download(laptop, "node", f"ftp://{COLLEAGUE_ADDRESS}/file", *WAYS[way]) == WHOLE


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("port", [21, 2121])
def test_a_colleague_downloads_from_a_nodes_ftp_server(laptop: Laboratory, way: str, port: int) -> None:
    with serving(laptop, "node", "ftp", "21"):
        assert download(laptop, "colleague", f"ftp://{OFFICE}:{port}/file", *WAYS[way]) == WHOLE


def test_tftp_goes_out_and_in(laptop: Laboratory) -> None:
    with serving(laptop, "colleague", "tftp", "69"), serving(laptop, "node", "tftp", "69"):
        assert download(laptop, "node", f"tftp://{COLLEAGUE_ADDRESS}/file") == WHOLE
        assert download(laptop, "colleague", f"tftp://{OFFICE}/file") == WHOLE


def test_nobody_else_is_helped(laptop: Laboratory) -> None:
    """Neither what is forwarded on other ports, nor the laptop's own server where no forward takes its port."""
    with serving(laptop, "node", "ftp", "2100"):
        assert download(laptop, "colleague", f"ftp://{OFFICE}:2100/file", *WAYS["passive"]).startswith("0: ")
    load(laptop, "")
    try:
        with serving(laptop, None, "ftp", "21"), hindered(laptop):
            assert download(laptop, "colleague", f"ftp://{OFFICE}/file").startswith("0: ")
    finally:
        load(laptop, FORWARDS)


@contextmanager
def hindered(lab: Laboratory) -> Iterator[None]:
    """A firewall of the laptop's own: port 21, and what belongs to a connection that it let by."""
    rules = """
table inet own {
    chain input {
        type filter hook input priority 5; policy accept;
        iifname "eth0" ct state established,related accept
        iifname "eth0" tcp dport 21 accept
        iifname "eth0" meta l4proto tcp drop
    }
}
"""
    lab.run(["nft", "-f", "-"], input=rules)
    try:
        yield
    finally:
        lab.run(["nft", "delete", "table", "inet", "own"])


WITHOUT = """#!/bin/sh
[ "$*" != "-c -f -" ] || exit 1
exec /run/ciao-lab/nft "$@"
"""


def test_an_apply_goes_on_where_the_kernel_has_no_helpers_and_says_so(lab: Laboratory) -> None:
    """nft finds no such module: nothing else is checked by it alone."""
    nft = find("nft") or "/usr/sbin/nft"
    make = f"cp {nft} /run/ciao-lab/nft; cat >/run/ciao-lab/without; chmod +x /run/ciao-lab/without"
    lab.run(["sh", "-c", make], input=WITHOUT)
    lab.run(["mount", "--bind", "/run/ciao-lab/without", nft])
    told = told_by_apply(lab, "-c", str(EXAMPLE), "--yes")
    assert told[-1]["result"] == "kept"
    (rules,) = [event["detail"] for event in told if event.get("step") == "rules" and event["state"] == "done"]
    for name in ("ftp", "tftp"):
        assert f"; helper {name}: the kernel had no module nf_conntrack_{name} when the rules were loaded" in rules
    status = await_status(lab, "applied")
    (check,) = [check for check in status["checks"] if check["name"] == "rules"]
    assert check["ok"]
    assert check["detail"].startswith(
        "as rendered; no helper ftp: the kernel had no module nf_conntrack_ftp when the rules were loaded; "
    )
    assert status["drift"] == []
    # The module comes, such as with the next kernel.
    lab.run(["umount", nft])
    apply(lab)
    assert "helper" not in str(await_status(lab, "applied")["checks"])
    reset(lab)
