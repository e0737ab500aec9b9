"""The boot page: who is armed with what, how far each node has come, and what is done about it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from tests.tui.driver import Driver, Start
from tests.tui.fakes import APPLIED, FakeServices
from tests.tui.fakes_boot import AT, BOOTS, IMAGES, KEY_FILE, STUCK, boot
from tests.tui.hostile import ALL, HOSTILE, assert_harmless
from wizard.monitor.boot_board import ArmableImage
from wizard.monitor.boot_stages import Boot
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.netboot import Stage, Times, ToDisk
from wizard.screens.boot import controller
from wizard.screens.boot.screen import BootPage


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "EVERY_S", 0.1)
    monkeypatch.setattr(controller, "AGAIN_S", 0.1)


@pytest.fixture
def boots(start: Start, sample: str) -> Start:
    """`async with boots(services' fields…) as driver`: a gateway in force whose nodes boot."""

    def started(size: tuple[int, int] = (80, 24), **fields: Any) -> AbstractAsyncContextManager[Driver]:
        return start(FakeServices(state=APPLIED, in_force=sample, **fields), plan=None, size=size)

    return started


async def opened(driver: Driver) -> BootPage:
    await driver.page("Dashboard")
    await driver.press("b")
    await driver.page("Boot")
    page = driver.shown
    assert isinstance(page, BootPage)
    await driver.until(lambda: page.board is not None or page.failure, "the first look")
    return page


def row(driver: Driver, name: str) -> str:
    lines = [line for line in driver.text().splitlines() if line.strip().lstrip("◆").startswith(name)]
    return lines[0]


async def test_every_node_has_a_row_with_image_stages_and_time(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.says("2 armed · 1 stuck")
        assert row(driver, "controller").split()[1:5] == ["debian12", "once", "●●●●●●○○", "seed"]
        assert row(driver, "network").split()[1:5] == ["debian12", "once", "●·●●●!○○", "initrd"]
        assert row(driver, "compute1").split()[1:5] == ["(debian12)", "–", "●·●●●●●●", "answers"]
        assert row(driver, "compute2").split() == ["compute2", "–", "–", "–", "–"]


async def test_the_row_with_the_cursor_is_told_whole(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.says("● initrd", "+35 s", "needs 1024 MiB", "○ answers")
        await driver.press("down")
        await driver.says(STUCK[1:])
        await driver.press("down")
        await driver.says("not armed: it boots from its disk; the plan has the image debian12", "Done: it answers")
        await driver.press("down")
        await driver.says("compute2 · not armed: it boots from its disk")


async def test_it_follows_what_happens(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.press("end")
        first = driver.services.booting
        driver.services.booting = (*first[:3], boot("compute2", "memtest", "always"))
        await driver.says("3 armed", "compute2 · memtest, at every boot", "Nothing heard from it since.")
        driver.services.booting = (*first[:3], boot("compute2", "memtest", "always", offered=1))
        await driver.says("●○○○○○○○", "● offered")


async def test_the_command_palette_leads_there(boots: Start) -> None:
    async with boots() as driver:
        await driver.page("Dashboard")
        await driver.press("ctrl+p")
        await driver.type("Boot")
        await driver.says("Nodes that boot an image over the network")
        await driver.press("enter")
        await driver.page("Boot")
        await driver.press("escape")
        await driver.page("Dashboard")


# Arming


async def test_a_node_is_armed_once_it_was_asked(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.press("end", "enter")
        await driver.says("Arm compute2", "(x) debian12", "(x) once", KEY_FILE, "overwrites a disk without asking")
        assert "To disk" not in driver.text()
        await driver.press("enter")
        await driver.says("Arm compute2?", "without asking", "[ n Do not ]")
        for key in ("enter", "n", "escape"):
            await driver.press(key)
            await driver.says("SSH keys")
            assert driver.services.did == []
            await driver.press("enter")
            await driver.says("without asking")
        await driver.press("y")
        await driver.until(lambda: driver.services.did, "the order")
        assert driver.services.did == ["arm compute2"]
        (order,) = driver.services.orders
        assert (order.image, order.times, order.ssh_key_files, order.user) == ("debian12", Times.ONCE, (KEY_FILE,), "")
        await driver.says("3 armed", "compute2 armed,")


async def test_every_answer_of_the_dialog_counts(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.press("end", "enter")
        await driver.says("(x) debian12")
        await driver.press("tab", "space", "tab", "end")
        await driver.type(" ~/other.pub")
        await driver.press("tab")
        await driver.type("me")
        await driver.press("tab", "tab", "space", "enter")
        await driver.says("again at EVERY boot")
        await driver.press("y")
        await driver.says("Wake compute2", "✓ compute2")
        (order,) = driver.services.orders
        assert order.times is Times.ALWAYS
        assert order.ssh_key_files == (KEY_FILE, "~/other.pub")
        assert order.user == "me"
        assert driver.services.did == ["arm compute2", "wake compute2"]


async def test_what_overwrites_nothing_is_armed_unasked(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.press("end", "enter")
        await driver.says("(x) debian12")
        await driver.press("left")
        await driver.says("(x) disk", "It overwrites no disk.", "(x) exit")
        assert "SSH keys" not in driver.text()
        await driver.press("tab", "tab", "right", "enter")
        await driver.until(lambda: driver.services.orders, "the order")
        (order,) = driver.services.orders
        assert (order.image, order.to_disk, order.ssh_key_files) == ("disk", ToDisk.SANBOOT, ())


async def test_marked_nodes_are_armed_together_each_with_its_own_image(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.press("down", "down", "space", "space")
        await driver.says("◆compute1", "2 marked")
        await driver.press("enter")
        await driver.says("Arm 2 nodes", "compute1, compute2", "(x) as planned")
        await driver.press("enter")
        await driver.says("Arm 2 nodes?", "compute1, compute2", "the image that the plan has for it, if any")
        await driver.press("y")
        await driver.until(lambda: driver.services.orders, "the order")
        assert driver.services.did == ["arm compute1 compute2"]
        assert driver.services.orders[0].image == ""
        await driver.says("2 nodes armed,")
        assert "marked" not in driver.text()


async def test_a_refusal_stands_in_the_dialog(boots: Start) -> None:
    refused = WizardError("nobody could log in to what is installed", "Give the file of your public key.")
    async with boots(key_files=(), arming_refused=refused) as driver:
        await opened(driver)
        await driver.press("end", "enter")
        await driver.says("(x) debian12")
        await driver.press("enter")
        await driver.says("without asking")
        await driver.press("y")
        await driver.says("✗ nobody could log in", "Give the file of your public key.", "(x) debian12")
        await driver.press("right")
        await driver.until(lambda: "nobody could log in" not in driver.text(), "a fresh try")
        await driver.press("escape")
        await driver.page("Boot")


async def test_many_images_are_shown_one_at_a_time(boots: Start) -> None:
    many = tuple(ArmableImage(f"image-number-{n}") for n in range(40))
    async with boots(bootable=many) as driver:
        await opened(driver)
        await driver.press("end", "enter")
        await driver.says("◂ image-number-0 ▸ 1 of 40")
        await driver.press("left")
        await driver.says("◂ image-number-39 ▸ 40 of 40")


# Disarming, waking


async def test_armed_nodes_are_disarmed_and_others_left(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.press("space", "end", "space", "d")
        await driver.says("1 armed", "controller disarmed")
        assert driver.services.did == ["disarm controller"]
        await driver.press("end", "d")
        await driver.says("Not armed: there is nothing to disarm.")
        assert driver.services.did == ["disarm controller"]


async def test_nodes_are_woken_together(boots: Start) -> None:
    async with boots(stubborn={"network": "the guard is muted"}) as driver:
        await opened(driver)
        await driver.press("space", "space", "w")
        await driver.says("Wake 2 nodes", "✗ network", "the guard is muted", "✓ controller")
        assert driver.services.did == ["wake controller network"]


# What is in the way


async def test_without_images_it_says_what_to_do(boots: Start) -> None:
    idle = tuple(Boot(each.node) for each in BOOTS)
    async with boots(booting=idle, bootable=()) as driver:
        await opened(driver)
        await driver.says("The plan in force has no images", "ciao-wizard image add debian12", "f6 on Nodes")
        await driver.press("enter", "d", "w", "space")
        assert driver.services.did == []
        driver.services.bootable = IMAGES
        await driver.says("compute2")


async def test_without_root_it_says_what_to_do(boots: Start) -> None:
    refused = NeedsRoot("Only root may see who is armed.", "Start the wizard again: sudo ciao-wizard")
    async with boots(boots_refused=refused) as driver:
        await opened(driver)
        await driver.says("✗ Only root may see who is armed. Start the wizard again: sudo ciao-wizard")
        await driver.press("enter", "d", "w", "space")
        assert driver.services.did == []


async def test_without_the_extra_it_says_what_to_do(boots: Start) -> None:
    async with boots(not_bootable="aiohttp is not installed, which serves nodes: pip install …") as driver:
        await opened(driver)
        await driver.says("! aiohttp is not installed, which serves nodes: pip install", "controller")


async def test_what_holds_the_guard_back_is_said_first(boots: Start) -> None:
    async with boots(not_bootable="no loader", guard_says="The guard blocks DHCP: another server") as driver:
        await opened(driver)
        await driver.says("! The guard blocks DHCP: another server")


async def test_what_was_seen_stays_where_it_cannot_be_looked_at(boots: Start) -> None:
    async with boots() as driver:
        await opened(driver)
        await driver.says("controller")
        driver.services.boots_refused = WizardError("the record of armed nodes cannot be read", "Arm again.")
        await driver.says("cannot refresh: the record of armed nodes cannot be read", "controller")
        driver.services.boots_refused = None
        await driver.says("Who boots an image over the network")


async def test_hostile_text_is_only_text(boots: Start) -> None:
    evil = (*HOSTILE.values(), ALL)
    stages = dict.fromkeys(Stage, AT)
    nodes = tuple(Boot(text, text, text, "", stages, text, text) for text in evil)
    images = tuple(ArmableImage(text) for text in evil)
    fields = {"booting": nodes, "bootable": images, "not_bootable": ALL, "guard_says": ALL, "key_files": (ALL,)}
    async with boots(**fields, arming_refused=WizardError(ALL, ALL)) as driver:
        await opened(driver)
        for _ in evil:
            await driver.press("space")
            assert_harmless(driver)
        await driver.press("enter")
        await driver.says("SSH keys")
        for size in ((120, 40), (80, 24)):
            await driver.pilot.resize_terminal(*size)
            await driver.pilot.pause()
            assert_harmless(driver)
        await driver.press("enter")
        await driver.says("without asking")
        assert_harmless(driver)
        await driver.press("y")
        await driver.until(lambda: driver.services.did, "the order")
        await driver.says("✗")
        assert_harmless(driver)


async def test_a_node_that_is_gone_loses_its_mark_and_the_cursor_its_place(boots: Start) -> None:
    async with boots() as driver:
        page = await opened(driver)
        await driver.press("down", "space")
        assert (page.marked, page.boot and page.boot.node) == ({"network": None}, "compute1")
        driver.services.booting = (replace(BOOTS[0]), *BOOTS[2:])
        await driver.until(lambda: not page.marked, "the mark gone")
        assert page.boot is not None
        assert page.boot.node == "compute1"
