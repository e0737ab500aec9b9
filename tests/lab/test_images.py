"""Images on the laptop: killed at every moment, seen by somebody else, and what an apply and a reset make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.striking import Machine, beside_marker, kill, moments, paused, processes
from tests.lab.support import apply, ciao, ciao_json, reset
from tests.needs import need
from tests.unit.deploy.image_sources import installer_files, package
from wizard.lab.control import Laboratory
from wizard.plan import paths

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> str:
    need("dpkg-deb")
    return str(package(tmp_path_factory.mktemp("images") / "d-i.deb", installer_files()))


@pytest.fixture
def laptop(machines: Machine) -> Iterator[Laboratory]:
    yield machines.lab
    machines.lab.run(["rm", "-rf", paths.IMAGES])
    if machines.left():
        machines.drop()


def struck(lab: Laboratory, moment: str, *argv: str) -> None:
    """Run a command and kill it at a moment."""
    with paused(lab, moment, *argv):
        (line,) = beside_marker(lab, "paused").read_text().splitlines()
        kill(lab, int(line.split()[1]))
        # Whoever entered the laboratory for it has stopped with it, and stays so.
        lab.wait_for(lambda: not processes(lab, f"wizard image {argv[1]}"), 30, "its end")


def test_killed_at_any_moment_it_is_whole_or_none(laptop: Laboratory, deb: str) -> None:
    adding = moments(laptop, "image", "add", "debian", deb)
    removing = moments(laptop, "image", "remove", "debian")
    assert {adding[0], adding[-1], *removing} == {"image:begun", "image:named", "image:gone", "image:removed"}

    for moment in adding:
        struck(laptop, moment, "image", "add", "debian", deb)
        (seen,) = ciao_json(laptop, "image", "list")
        assert seen["state"] == ("whole" if moment == "image:named" else "incomplete"), moment
        if seen["state"] == "incomplete":
            assert ciao(laptop, "image", "add", "debian", deb).returncode == 0
        assert ciao(laptop, "image", "check").returncode == 0
        assert ciao(laptop, "image", "remove", "debian").returncode == 0
    for moment in removing:
        assert ciao(laptop, "image", "add", "debian", deb).returncode == 0
        struck(laptop, moment, "image", "remove", "debian")
        assert ciao_json(laptop, "image", "list") == []
    assert ciao(laptop, "image", "add", "debian", deb).returncode == 0
    left = laptop.run(["find", paths.IMAGES, "-mindepth", "1", "-printf", "%m %u %P\n"]).stdout.splitlines()
    assert sorted(left) == [
        "600 root .lock",
        "644 root debian/bootnetx64.efi",
        "644 root debian/grubx64.efi",
        "644 root debian/initrd.gz",
        "644 root debian/linux",
        "644 root debian/manifest.json",
        "755 root debian",
    ]


def test_somebody_else_may_look_and_change_nothing(laptop: Laboratory, deb: str) -> None:
    somebody = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"]
    if laptop.run([*somebody, "true"], check=False).returncode:
        pytest.skip("this laboratory has only one user")
    assert ciao(laptop, "image", "add", "debian", deb).returncode == 0
    reading = "-all,+dac_read_search"
    as_somebody = [*somebody, f"--inh-caps={reading}", f"--ambient-caps={reading}", "ciao-wizard", "image"]
    for words, status in ((["add", "x", deb], 4), (["remove", "debian"], 4), (["list"], 0), (["check"], 0)):
        done = laptop.run([*as_somebody, *words], check=False)
        assert done.returncode == status, done.stderr
    # The user of a server has no capability at all.
    content = laptop.run([*somebody, "cat", f"{paths.IMAGES}/debian/manifest.json"]).stdout
    assert json.loads(content)["name"] == "debian"


def test_images_come_before_an_apply_and_outlive_a_reset(laptop: Laboratory, deb: str) -> None:
    assert ciao(laptop, "image", "add", "debian", deb).returncode == 0
    assert ciao_json(laptop, "status")["state"] == "absent"
    apply(laptop)
    assert ciao_json(laptop, "status")["state"] == "applied"
    assert reset(laptop).returncode == 0
    assert ciao_json(laptop, "status")["state"] == "absent"
    assert ciao(laptop, "image", "check", "debian").returncode == 0
    assert not Path(f"/proc/{laptop.init}/root{paths.STATE}").exists()
