"""A trip while nodes boot over the network: nothing of it leaves any more, and the office hears nothing of it, ever."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.guarding import OURS, Actor, actor, asking, await_mode, hearing, macs, report, told
from tests.lab.support import EXAMPLE, HERE, apply, await_nodes, ciao
from wizard.lab.control import Laboratory
from wizard.plan import paths

pytestmark = pytest.mark.lab

GATEWAY = "192.168.0.200"
URL = f"http://{GATEWAY}:8069"
IMAGES = '\n[[images]]\nname = "tiny"\nkind = "custom"\n'
SIZE = 96 << 20
NIC = json.dumps(sorted(OURS))


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        lab.run(["sh", "-ec", f"cd /run/ciao-lab; echo kernel >linux; head -c {SIZE} /dev/zero >initrd"])
        files = ["--kernel", "/run/ciao-lab/linux", "--initrd", "/run/ciao-lab/initrd"]
        assert ciao(lab, "image", "add", "tiny", *files, "--kind", "custom").returncode == 0
        loader = f"mkdir -p {paths.BOOT_LOADERS}; head -c 30000000 /dev/zero >{paths.BOOT_LOADERS}/undionly.kpxe"
        lab.run(["sh", "-ec", loader])
        apply(lab, EXAMPLE.read_text() + IMAGES)
        await_nodes(lab)
        await_mode(lab, "armed")
        lab.machine("add", "guest", "--mac", "00:1b:21:00:00:67", "--no-dhcp", "--switch", "corporate")
        lab.run(["ip", "address", "add", "10.77.0.99/24", "dev", "eth0"], netns="guest")
        yield lab


@pytest.fixture
def serving(world: Laboratory) -> Iterator[Laboratory]:
    """One node is armed, and a person looks for machines in no plan."""
    await_mode(world, "armed")
    for argv in (("boot", "arm", "compute1", "--image", "tiny"), ("boot", "discover")):
        done = ciao(world, *argv)
        assert done.returncode == 0, done.stderr
    world.wait_for(lambda: got(world, "compute1", f"{URL}/images/tiny/linux") == [200, 7], 20, "the server")
    yield world
    ciao(world, "boot", "disarm", "--all")
    ciao(world, "boot", "discover", "--off")
    # Elsewhere than where it was proven, it is proven again.
    apply(world, EXAMPLE.read_text() + IMAGES)


def got(lab: Laboratory, where: str, url: str) -> Any:
    script = [sys.executable, str(HERE / "netboot_actors.py"), "http", url]
    return json.loads(lab.run(script, netns=where).stdout)


@contextmanager
def fetching(lab: Laboratory) -> Iterator[None]:
    """compute1 fetches its initrd, no faster than can be heard whole, and its loader by TFTP as fast as it goes."""
    slowly = ["curl", "-s", "--limit-rate", "8M", "-o", "/dev/null", f"{URL}/images/tiny/initrd"]
    tftp = [sys.executable, str(HERE / "netboot_actors.py"), "again", GATEWAY, "undionly.kpxe"]
    with (
        lab.popen(slowly, netns="compute1") as client,
        lab.popen(tftp, netns="compute1") as second,
    ):
        try:
            yield
        finally:
            client.kill()
            second.kill()


def kinds(frames: list[list[Any]]) -> dict[str, int]:
    return {kind: sum(each[1] == kind for each in frames) for kind in ("dhcp", "tftp", "http")}


def await_bytes(lab: Laboratory) -> None:
    """Until both transfers are under way."""

    def sent() -> bool:
        with actor(lab, None, "served", "eth1", NIC) as ears:
            time.sleep(0.3)
            found = kinds(ears.end()["frames"])
        return found["http"] > 3 and found["tftp"] > 3

    lab.wait_for(sent, 20, "both transfers")


WRONG = {
    "the default route over the cluster's NIC": ["ip", "route", "add", "default", "dev", "eth1", "metric", "9"],
    "the guard killed": [],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_after_a_trip_not_one_byte_of_a_transfer_leaves(serving: Laboratory, wrong: str) -> None:
    lab = serving
    with fetching(lab):
        await_bytes(lab)
        with actor(lab, None, "served", "eth1", NIC) as ears, actor(lab, None, "watch", "eth1") as watch:
            time.sleep(0.5)
            began = time.monotonic()
            if WRONG[wrong]:
                lab.run(WRONG[wrong])
                await_mode(lab, "tripped")
            else:
                # Its children end with it; the muter empties the set.
                guard = json.loads(lab.run(["cat", "/run/ciao-wizard/serve.json"]).stdout)["process"]["pid"]
                lab.run(["kill", "-KILL", str(guard)])
            time.sleep(2)
            events, heard = watch.end(), ears.end()
        muted = next(at for at, what in events if what == "muted" and at >= began)
    if WRONG[wrong]:
        lab.run([*WRONG[wrong][:2], "del", *WRONG[wrong][3:]])
    frames = heard["frames"]
    # The kernel's word for it comes a moment after the rule holds: what was already on its way does not count twice.
    late = [each for each in frames if each[0] > muted and each[1] != "dhcp"]
    last = max(each[0] for each in frames if each[1] != "dhcp")
    before = sum(each[2] for each in frames if each[0] < began)
    report(
        f"{wrong}: {before} bytes before; {sum(each[2] for each in late)} bytes in {len(late)} frames after the mute, "
        f"which came {1000 * (muted - began):.0f} ms after; the last byte left {1000 * (last - began):.0f} ms after"
    )
    assert heard["missed"] == 0
    assert before > 100_000
    assert late == []


def test_the_cable_moved_to_the_office_in_the_middle_shows_nothing_there(serving: Laboratory) -> None:
    lab = serving
    # The office's own server is heard all the time: so would ours be.
    with fetching(lab), asking(lab, "guest", macs=macs(10), every=0.2):
        await_bytes(lab)
        with actor(lab, "corporate", "served", "", NIC) as ears, hearing(lab, "corporate") as words:
            lab.machine("move", "eth1", "corporate")
            await_mode(lab, "tripped", deadline=30)
            time.sleep(2)
            heard, said = ears.end(), words.end()
    lab.machine("move", "eth1", "cluster")
    report(f"on the office's wire: {kinds(heard['frames'])} of ours, {len(said)} of others' DHCP frames")
    assert heard["missed"] == 0
    assert said
    assert kinds(heard["frames"]) == {"dhcp": 0, "tftp": 0, "http": 0}


def ask_everywhere(lab: Laboratory, ears: Actor) -> dict[str, int]:
    """A guest in the office asks for everything, at each address of the laptop's, by each way."""
    own = lab.run(["ip", "-4", "-o", "address", "show", "dev", "eth0"]).stdout.split()[3].partition("/")[0]
    lab.run(["ip", "route", "replace", "192.168.0.0/24", "via", own], netns="guest")
    actors = str(HERE / "netboot_actors.py")
    for host in (own, GATEWAY):
        for argv in (["tftp", host, "undionly.kpxe"], ["http", f"http://{host}:8069/raw"]):
            lab.run([sys.executable, actors, *argv], netns="guest")
    asked = [{"mac": mac, "arch": 0, "vendor": "PXEClient"} for mac in ("00:1b:21:00:00:67", "b8:ae:ed:7b:72:58")]
    lab.run([sys.executable, actors, "discover", "eth0"], netns="guest", input=json.dumps(asked))
    return kinds(ears.end()["frames"])


def test_the_office_hears_no_tftp_no_http_and_no_dhcp_of_ours(serving: Laboratory) -> None:
    lab = serving
    with actor(lab, "corporate", "served", "", NIC) as ears:
        clean = ask_everywhere(lab, ears)
    report(f"on the office's wire: {clean}")
    assert clean == {"dhcp": 0, "tftp": 0, "http": 0}


def test_with_the_gateways_address_there_too_the_packet_filter_alone_holds_it(serving: Laboratory) -> None:
    """The guard hangs, its word for the cluster's NIC is kept up, and the server runs on."""
    lab = serving
    guard = str(told(lab)["process"]["pid"])
    lab.run(["kill", "-STOP", guard])
    name = "inet ciao_gateway armed"
    nft = f"flush set {name}\nadd element {name} {{ eth1 timeout 60s }}\n"
    try:
        lab.run(["ip", "address", "add", f"{GATEWAY}/24", "dev", "eth0"])
        lab.run(["nft", "-f", "-"], input=nft)
        # The way in is closed too, and another chain on the way out; here the guard's alone is to hold.
        for chain in ("input", "traces"):
            lab.run(["nft", "flush", "chain", "inet", "ciao_gateway", chain])
        with actor(lab, "corporate", "served", "", NIC) as ears:
            held = ask_everywhere(lab, ears)
        lab.run(["nft", "flush", "chain", "inet", "ciao_gateway", "guard"])
        with actor(lab, "corporate", "served", "", NIC) as ears:
            without = ask_everywhere(lab, ears)
    finally:
        lab.run(["ip", "address", "del", f"{GATEWAY}/24", "dev", "eth0"], check=False)
        lab.run(["kill", "-CONT", guard])
    report(f"on the office's wire: {held}; without the rules: {without}")
    assert held == {"dhcp": 0, "tftp": 0, "http": 0}
    assert without["http"] > 0, "this test cannot hear it"
