"""Booting over the network in the set-up: images and the person's key on Nodes, and what Review says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import OptionList

from tests.tui.conftest import Shoot
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FACTS, FakeServices
from tests.tui.layout import faults
from wizard.plan.image_manifest import BootHere, Manifest, StoredFile
from wizard.plan.images import Architecture, Image, ImageKind, SeedAnswers
from wizard.plan.model import Plan
from wizard.screens.nodes.boot_dialog import BootDialog
from wizard.widgets.table import KeyedTable

SIZES = pytest.mark.parametrize("size", [(80, 23), (120, 40)], ids=["80x23", "120x40"])


def stored(name: str, kind: ImageKind, source: str) -> Manifest:
    return Manifest(name, kind, Architecture.AMD64, (StoredFile("linux", 1, "0" * 64),), "linux", source=source)


DEBIAN = stored("debian12", ImageKind.DEBIAN, "debian-installer-12-netboot-amd64_20230607.deb")
MEMTEST = stored("memtest", ImageKind.MEMTEST, "memtest86+_6.10-4_amd64.deb")
HERE = BootHere((DEBIAN, MEMTEST), keys=("~/.ssh/id_ed25519.pub",))


def laptop(here: BootHere = HERE) -> FakeServices:
    return FakeServices(machine=replace(FACTS, boot=here))


def plan(driver: Driver) -> Plan:
    made = driver.app.draft.to_plan()
    assert isinstance(made, Plan), made
    return made


async def to_dialog(driver: Driver) -> None:
    await driver.jump("Nodes")
    await driver.press("f6")
    await driver.says("Boot over the network")


@SIZES
async def test_an_image_is_taken_into_the_plan_with_the_key_that_is_shown(
    start: Start, shoot: Shoot, size: tuple[int, int]
) -> None:
    async with start(laptop(), size=size) as driver:
        await to_dialog(driver)
        await driver.says("[ ] debian12 debian", "[ ] memtest memtest", "~/.ssh/id_ed25519.pub")
        assert faults(driver) == []
        await shoot(driver, f"boot-setup-{size[0]}x{size[1]}")
        await driver.press("space")
        await driver.says("[x] debian12")
        await driver.press("tab", "tab")
        await driver.type("root")
        await driver.press("ctrl+n")
        await driver.says('✗ User "root" is a user or group that every system has')
        await driver.press("ctrl+u")
        await driver.type("ops")
        await driver.press("ctrl+n")
        await driver.page("Nodes")
        assert plan(driver).images == (Image("debian12", ImageKind.DEBIAN),)
        assert plan(driver).seeds == SeedAnswers("ops", ("~/.ssh/id_ed25519.pub",))


@SIZES
async def test_a_node_gets_an_image_by_keys_alone(start: Start, shoot: Shoot, size: tuple[int, int]) -> None:
    """The plan gains what is on this machine with the first node that boots it."""
    async with start(laptop(), size=size) as driver:
        await driver.jump("Nodes")
        await driver.press("enter", "tab", "tab", "tab")
        await driver.type("deb")
        await driver.until(lambda: "debian12" in driver.text())
        assert faults(driver) == []
        await shoot(driver, f"boot-node-{size[0]}x{size[1]}")
        await driver.press("right", "ctrl+n")
        await driver.says("controller ⇠ debian12" if size[0] > 80 else "controller ⇠ …")
        assert plan(driver).nodes[0].image == "debian12"
        assert [image.name for image in plan(driver).images] == ["debian12"]
        await driver.press("enter", "tab", "tab", "tab", "ctrl+u")
        await driver.type("debain")
        await driver.press("ctrl+n")
        await driver.says('✗ Image "debain" is no image of this plan.', "Write one of debian12,")


async def test_one_that_leaves_the_plan_leaves_its_nodes(start: Start, sample: str) -> None:
    text = sample + '\n[[images]]\nname = "debian12"\nkind = "debian"\n'
    text += '[[devices]]\nname = "sw"\nmac = "00:0c:42:00:00:01"\n'
    text = text.replace('name = "controller"', 'name = "controller"\nimage = "debian12"', 1)
    async with start(laptop(BootHere(incomplete=("debian12",))), plan=text) as driver:
        await to_dialog(driver)
        await driver.says("[x] debian12 debian ! incomplete", "none found")
        await driver.press("space", "ctrl+n")
        await driver.page("Nodes")
        assert plan(driver).images == ()
        assert {node.image for node in plan(driver).nodes} == {""}
        assert [device.name for device in plan(driver).devices] == ["sw"]


async def test_without_any_image_it_says_how_one_comes(start: Start) -> None:
    async with start(laptop(BootHere())) as driver:
        await to_dialog(driver)
        await driver.says("No image is on this machine yet. sudo ciao-wizard image add NAME FILE adds one")
        assert isinstance(driver.app.screen, BootDialog)
        assert not driver.app.screen.query_one("#images", KeyedTable).display
        await driver.press("escape")
        await driver.press("enter")
        await driver.says("This node")
        assert "Image" not in driver.text()


@SIZES
async def test_review_says_what_is_served_to_whom(
    start: Start, shoot: Shoot, sample: str, size: tuple[int, int]
) -> None:
    text = sample + '\n[[images]]\nname = "debian12"\nkind = "debian"\n[seeds]\nssh_key = "~/.ssh/id_ed25519.pub"\n'
    text = text.replace('name = "compute1"', 'name = "compute1"\nimage = "debian12"', 1)
    async with start(laptop(), plan=text, size=size) as driver:
        await driver.jump("Review")
        await driver.says("f8 shows what nodes can boot.")
        if size[0] > 80:
            await driver.says("Nodes can boot over the network once they are armed:", 'compute1 "debian12"')
        await driver.press("f8")
        await driver.says(
            "Network boot: what nodes can boot once they are armed",
            "compute1 debian12 debian preseed all of one disk",
            "3 other nodes: from the disk",
            "An apply arms nobody",
            "UDP port 69 (TFTP) and TCP port 8069 (HTTP) at 192.168.0.200 on eth1",
        )
        assert faults(driver) == []
        await shoot(driver, f"boot-review-{size[0]}x{size[1]}")
        await driver.press("escape")
        await driver.until(lambda: "overwritten as it boots" not in driver.text())


async def test_review_leads_to_where_the_key_is_asked(start: Start, sample: str) -> None:
    text = sample + '\n[[images]]\nname = "debian12"\nkind = "debian"\n'
    async with start(laptop(replace(HERE, keys=())), plan=text, size=(120, 40)) as driver:
        await driver.jump("Review")
        await driver.says("! ssh key", "Nobody could log in")
        said = driver.app.screen.query_one("#said", OptionList)
        said.focus()
        await driver.press("home", "down", "enter")
        await driver.says("Boot over the network", "none found")
        key = driver.app.screen.query_one("#field-seeds-ssh-key Input")
        assert key.has_focus


async def test_a_plan_without_images_has_nothing_of_it_in_review(start: Start) -> None:
    async with start(laptop()) as driver:
        await driver.jump("Review")
        await driver.press("f8")
        assert "Network boot" not in driver.text()
