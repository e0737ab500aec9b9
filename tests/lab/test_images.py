"""Images on the laptop: killed at every moment, seen by somebody else, and what an apply and a reset make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guarding import await_mode
from tests.lab.striking import Machine, beside_marker, kill, kill_tree, moments, paused, processes, strike_all
from tests.lab.support import EXAMPLE, apply, ciao, ciao_json, reset
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


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxRkm0q8u2uLGyIpVSWhVYpVtV4b0pZ1vS8o0Q8mJwG me@laptop\n"
FORGET = ("reset", "--yes", "--forget-leases", "--forget-images")
GONE = f"{Path(paths.IMAGES).parent}/.{Path(paths.IMAGES).name}.gone"


def serve_image(lab: Laboratory, deb: str) -> None:
    """An image, a boot loader, and a node that is armed with it."""
    assert ciao(lab, "image", "add", "debian", deb).returncode == 0
    make = f"mkdir {paths.BOOT_LOADERS}; echo >{paths.BOOT_LOADERS}/snponly.efi; cat >/run/ciao-lab/key"
    lab.run(["sh", "-ec", make], input=KEY)
    apply(lab, EXAMPLE.read_text() + '\n[[images]]\nname = "debian"\nkind = "debian"\n')
    await_mode(lab, "armed")
    armed = ciao(lab, "boot", "arm", "compute1", "--image", "debian", "--ssh-key", "/run/ciao-lab/key")
    assert armed.returncode == 0, armed.stderr


def there(lab: Laboratory, path: str) -> bool:
    return lab.run(["test", "-e", path], check=False).returncode == 0


def test_a_reset_takes_all_away_and_the_images_where_it_is_told_to(machines: Machine, deb: str) -> None:
    lab = machines.lab
    serve_image(lab, deb)
    assert ciao(lab, "reset", "--yes", "--forget-leases").returncode == 0
    assert [line for line in machines.left() if not line.startswith(f"/files/{paths.IMAGES}")] == []
    assert ciao(lab, "image", "check", "debian").returncode == 0
    assert ciao(lab, "boot", "status").returncode == 3
    # With nothing applied there may be images too.
    done = ciao(lab, *FORGET)
    assert done.returncode == 0, done.stderr
    assert not there(lab, paths.IMAGES)
    serve_image(lab, deb)
    assert ciao(lab, "reset", "--only", "rules", "--forget-images").returncode == 2
    assert ciao(lab, *FORGET).returncode == 0
    assert not there(lab, paths.IMAGES)
    assert machines.left() == []
    assert ciao(lab, *FORGET).returncode == 3


def test_killed_while_it_forgets_them_it_is_gone_on_with(machines: Machine, deb: str) -> None:
    lab = machines.lab
    for moment in ("images:forgetting", "images:gone", "images:forgotten"):
        serve_image(lab, deb)
        assert strike_all(lab, machines.before, [moment], kill_tree, FORGET) == {}, moment
        assert not there(lab, paths.IMAGES), moment
        assert not there(lab, GONE), moment
