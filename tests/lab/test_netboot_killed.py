"""Killed while nodes are armed, disarmed and looked for, and in a re-apply while they are: whole or gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.cycles import CHANGES, apply, other_plan, strike_re_applies
from tests.lab.guarding import await_mode
from tests.lab.striking import Machine, beside_marker, ciao, kill, moments, paused, processes
from tests.lab.support import ciao_json
from wizard.lab.control import Laboratory
from wizard.plan import paths

pytestmark = pytest.mark.lab

PORT = "\n[[forwards]]\nport = 8889"
IMAGE = (PORT, '\n[[images]]\nname = "tiny"\nkind = "custom"\n' + PORT)
ARM = ("boot", "arm", "compute1", "--image", "tiny")
DISARM = ("boot", "disarm", "compute1")
LOOK = ("boot", "discover")


@pytest.fixture
def laptop(machines: Machine) -> Iterator[Laboratory]:
    lab = machines.lab
    lab.run(["sh", "-c", f"echo kernel >/run/ciao-lab/linux; mkdir -p {paths.BOOT_LOADERS}"])
    lab.run(["touch", f"{paths.BOOT_LOADERS}/undionly.kpxe"])
    assert ciao(lab, "image", "add", "tiny", "--kind", "custom", "--kernel", "/run/ciao-lab/linux").returncode == 0
    apply(lab, IMAGE)
    await_mode(lab, "armed")
    yield lab
    assert ciao(lab, "reset", "--yes", "--forget-leases").returncode == 0
    lab.run(["rm", "-rf", paths.IMAGES])
    left = machines.left()
    if left:
        machines.drop()
    assert left == []


def struck(lab: Laboratory, moment: str, *argv: str) -> None:
    with paused(lab, moment, *argv):
        (line,) = beside_marker(lab, "paused").read_text().splitlines()
        kill(lab, int(line.split()[1]))
        lab.wait_for(lambda: not processes(lab, f"wizard boot {argv[1]}"), 30, "its end")


def armed(lab: Laboratory) -> list[str]:
    return [each["node"] for each in ciao_json(lab, "boot", "status") if each["armed"]]


def told(lab: Laboratory) -> set[bool]:
    """Whether dnsmasq, the packet filter and the server's table have the node: in the end all or none of them."""
    options = "tag:node-compute1" in lab.run(["cat", paths.NETBOOT_OPTIONS]).stdout
    table = "192.168.0.103" in lab.run(["cat", paths.NETBOOT_SERVED]).stdout
    rules = "192.168.0.103" in lab.run(["nft", "list", "set", "inet", "ciao_gateway", "netboot"]).stdout
    return {options, table, rules}


def await_told(lab: Laboratory, wanted: bool, what: str) -> None:
    lab.wait_for(lambda: told(lab) == {wanted}, 20, what)


def await_line(lab: Laboratory, there: bool, what: str) -> None:
    lab.wait_for(lambda: ("*:*" in lab.run(["cat", paths.NETBOOT_HOSTS]).stdout) is there, 15, what)


def test_arming_disarming_and_looking_is_whole_or_none(laptop: Laboratory) -> None:
    assert moments(laptop, *ARM) == moments(laptop, *DISARM) == ["armed:writing", "armed:written"]
    assert moments(laptop, *LOOK) == ["discovery:writing", "discovery:written"]
    assert ciao(laptop, *LOOK, "--off").returncode == 0
    for moment, after in (("armed:writing", []), ("armed:written", ["compute1"])):
        struck(laptop, moment, *ARM)
        assert armed(laptop) == after, moment
        await_told(laptop, bool(after), moment)
    for moment, after in (("armed:writing", ["compute1"]), ("armed:written", [])):
        struck(laptop, moment, *DISARM)
        assert armed(laptop) == after, moment
        await_told(laptop, bool(after), moment)
    for moment, on in (("discovery:writing", False), ("discovery:written", True)):
        struck(laptop, moment, *LOOK)
        assert bool(ciao_json(laptop, *LOOK, "--list")["until"]) is on, moment
        await_line(laptop, on, moment)


def test_a_re_apply_while_armed_is_killed_anywhere_and_it_is_armed_as_before(laptop: Laboratory) -> None:
    changes = (IMAGE, *CHANGES)
    found = moments(laptop, *other_plan(laptop, *changes), "--yes")
    apply(laptop, IMAGE)
    assert ciao(laptop, *ARM).returncode == 0
    await_told(laptop, True, "its being armed")
    found = [moment for moment in found if moment.startswith(("noted:", "did:", "kept"))]
    assert strike_re_applies(laptop, found[1::3], changes) == {}
    await_mode(laptop, "armed")
    assert armed(laptop) == ["compute1"]
    await_told(laptop, True, "its being armed still")


def test_a_plan_without_images_serves_nobody_and_forgets_nobody(laptop: Laboratory) -> None:
    assert ciao(laptop, *ARM).returncode == 0
    await_told(laptop, True, "its being armed")
    apply(laptop)
    await_mode(laptop, "armed")
    assert not processes(laptop, "netboot-server")
    assert laptop.run(["nft", "list", "set", "inet", "ciao_gateway", "netboot"], check=False).returncode
    apply(laptop, IMAGE)
    await_told(laptop, True, "its being armed again")
    assert armed(laptop) == ["compute1"]
