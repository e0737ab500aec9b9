"""The lease monitor: what it shows, how it is asked, what it does about a machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from rich.text import Text

from tests.tui.conftest import Shoot
from tests.tui.driver import Driver, Start
from tests.tui.fakes import NOW, event
from tests.tui.fakes_watch import happening
from tests.tui.lease_rows import CNCI, EVERY_KIND, adopt_dialog, opened, shown
from tests.tui.lease_rows import leases as leases
from wizard.monitor.lease_rows import LeaseRow
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.widgets.page import Page

HAPPENED = [
    happening(1, "came", "compute1", "came and has 192.168.0.103", NOW),
    happening(2, "refused", "compute1", "192.168.0.103 is reserved for it, but it was leased to another", NOW),
    happening(3, "moved", "compute1", "moved from 192.168.0.103 to 192.168.0.77", NOW),
    happening(4, "left", "compute2", "its lease of 192.168.0.104 is over", NOW),
]


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_pictures(leases: Start, shoot: Shoot, size: tuple[int, int]) -> None:
    shape = f"{size[0]}x{size[1]}"
    async with leases(size=size, happenings=HAPPENED) as driver:
        await opened(driver)
        await driver.press("down", "down")
        await driver.says("wrong address 192.168.0.77 because", "192.168.0.103 is reserved")
        await driver.until(lambda: shown(driver).health, "the forwards")
        await shoot(driver, f"leases-{shape}")
        if shape == "80x24":
            await driver.press("end", "a")
            await driver.says("Adopt as a node")
            await shoot(driver, "leases-adopt-80x24")
            await driver.press("escape", "home", "x")
            await driver.says("Release 192.168.0.101?")
            await shoot(driver, "leases-release-80x24")
            await driver.press("escape", "e", "slash", *"compute")
            await driver.says("2 of 6")
            await shoot(driver, "leases-find-80x24")


def named(driver: Driver) -> list[str]:
    """The first column, from top to bottom."""
    page = shown(driver)
    assert page.snapshot is not None
    return [row.name or row.hostname for row in page.snapshot.rows]


async def test_sorted_by_each_column_and_turned_round(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        in_plan = ["controller", "network", "compute1", "compute2", "cnci-7", "nuc-05"]
        assert named(driver) == in_plan
        await driver.press("s")
        await driver.until(lambda: named(driver) == sorted(in_plan), "by name")
        await driver.says("name▲")
        await driver.press("S")
        await driver.until(lambda: named(driver) == sorted(in_plan, reverse=True), "by name, turned")
        await driver.says("name▼")
        await driver.press("S", *["s"] * 5)
        await driver.says("state▲", "Sorted by state")
        # What needs a person is on top.
        await driver.until(lambda: named(driver)[:3] == ["network", "compute1", "compute2"], "by state")
        await driver.press("s")
        await driver.until(lambda: named(driver) == in_plan, "the plan's order")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("compute missing", ["compute2"]),
        ("C0:3F", ["nuc-05"]),
        ("stranger", ["nuc-05"]),
        ("clone", ["network"]),
        ("wrong", ["compute1"]),
        ("192.168.0.6", ["cnci-7"]),
        ("elite here", ["controller", "network", "compute1"]),
        ("nobody at all", []),
    ],
)
async def test_found_while_typing(leases: Start, typed: str, found: list[str]) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.press("slash")
        await driver.type(typed)
        await driver.until(lambda: named(driver) == found, f"{found}")
        await driver.says(f"{len(found)} of 6")
        # Letters are keys again; what was found stays.
        await driver.press("enter", "c")
        assert named(driver) == found
        await driver.press("escape")
        await driver.until(lambda: len(named(driver)) == 6, "all again")
        await driver.page("Leases")


async def test_the_cursor_stays_with_its_machine(leases: Start) -> None:
    async with leases() as driver:
        page = await opened(driver)
        await driver.press("end", "up")
        assert page.row is not None
        assert page.row.hostname == "cnci-7"
        more = [
            replace(CNCI, mac=f"02:16:3e:00:01:{n:02x}", ip=f"192.168.0.{n}", hostname=f"new-{n}") for n in range(30)
        ]
        driver.services.board = (*EVERY_KIND, *more)
        await driver.until(lambda: len(named(driver)) == 36, "thirty more")
        assert page.row.hostname == "cnci-7"
        await driver.says('"cnci-7"')
        driver.services.board = tuple(row for row in EVERY_KIND if row is not CNCI)
        await driver.until(lambda: len(named(driver)) == 5, "fewer")
        await driver.press("up", "down", "c")


async def test_what_is_copied_is_said(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.press("c")
        assert driver.app.clipboard == "ssh 192.168.0.101"
        assert "Copied: ssh 192.168.0.101" in driver.toasts()
        await driver.press("C")
        assert driver.app.clipboard == "192.168.0.101"
        # Where nothing is leased no ssh line leads anywhere.
        await driver.press("end", "c")
        assert driver.app.clipboard == "c0:3f:d5:67:a2:01"
        assert "it has no address" in driver.toasts()


async def test_time_runs_out_before_our_eyes(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.says("11:41:37")
        later = NOW + timedelta(hours=11, minutes=41, seconds=55)
        driver.services.at = later
        await driver.says("0:00:05")


async def test_a_stranger_is_adopted(leases: Start) -> None:
    async with leases() as driver:
        await adopt_dialog(driver)
        draft = driver.app.draft
        await driver.press("ctrl+u", *"compute3", "tab", "ctrl+u", *"192.168.0.105", "ctrl+n")
        await driver.until(lambda: driver.services.did == ["adopt"], "the apply")
        (node,) = [node for node in load_plan(driver.services.applied_text, "x").nodes if node.name == "compute3"]
        assert (str(node.ip), [str(role) for role in node.roles]) == ("192.168.0.105", ["compute"])
        # The plan keeps all else as it was, comments too.
        assert driver.services.in_force is not None
        assert all(line in driver.services.applied_text.splitlines() for line in driver.services.in_force.splitlines())
        driver.services.change.fed += [
            event(0, step="check", state="done", steps=[{"name": "nodes", "title": "the reserved nodes"}]),
            event(1, step="nodes", state="running", detail="…"),
        ]
        await driver.says("compute3 becomes a node… the reserved nodes")
        driver.services.change.fed += [event(2, result="kept", reason="applied and kept")]
        await driver.says("compute3 is a node now. It gets 192.168.0.105 at its next DHCP request")
        assert driver.app.draft == draft


async def test_an_adoption_that_fails_says_so_on_the_page(leases: Start) -> None:
    async with leases() as driver:
        await adopt_dialog(driver)
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.services.did == ["adopt"], "the apply")
        driver.services.change.fed += [event(2, result="failed", reason="dnsmasq did not take it")]
        await driver.says("✗ nuc-05 was not adopted. dnsmasq did not take it")
        await driver.page("Leases")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["ctrl+u", *"compute1"], "there is already a node compute1"),
        (["ctrl+u", *"not a name"], "not a name"),
        (["tab", "ctrl+u", *"192.168.0.101"], "192.168.0.101"),
        (["tab", "ctrl+u", *"10.1.2.3"], "10.1.2.3"),
        (["shift+tab", "space"], "role"),
    ],
)
async def test_what_cannot_be_adopted_is_refused_in_the_dialog(leases: Start, keys: list[str], said: str) -> None:
    async with leases() as driver:
        await adopt_dialog(driver)
        await driver.press(*keys, "ctrl+n")
        await driver.says("✗", said, "Adopt as a node")
        assert driver.services.did == []
        await driver.press("escape")
        await driver.says("Leases")


async def test_a_plan_that_was_edited_meanwhile_is_not_applied_along(leases: Start) -> None:
    async with leases(unapplied=True) as driver:
        await opened(driver)
        await driver.press("end", "a")
        await driver.says("edited and not applied since")
        assert driver.services.did == []


async def test_a_node_is_not_adopted_twice(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        await driver.press("a")
        await driver.says("controller is already a node")


async def test_without_the_password_nothing_is_adopted(leases: Start) -> None:
    async with leases(privileged=False) as driver:
        await adopt_dialog(driver)
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.toasts().startswith("✗"), "the refusal")
        assert driver.services.did == []


@pytest.mark.parametrize("heeds", [True, False])
async def test_a_lease_is_released_once_that_was_asked(leases: Start, heeds: bool) -> None:
    async with leases(heeds=heeds) as driver:
        await opened(driver)
        await driver.press("x")
        await driver.says("keeps using 192.168.0.101", "! It answers at 192.168.0.101")
        await driver.press("n")
        await driver.press("x", "y")
        await driver.says("has released the lease of 192.168.0.101" if heeds else "did not release 192.168.0.101")
        assert driver.services.did == ["release b8:ae:ed:7b:51:01 192.168.0.101"]
        await driver.press("end", "x")
        await driver.says("No lease to release")


async def test_what_happened_and_the_forwards_are_a_key_away(leases: Start) -> None:
    async with leases(happenings=list(HAPPENED)) as driver:
        await opened(driver)
        await driver.press("e")
        await driver.says("events, newest first", "moved from 192.168.0.103")
        driver.services.happenings.append(happening(5, "came", "compute9", "came and has 192.168.0.109", NOW))
        await driver.says("came and has 192.168.0.109")
        await driver.press("e")
        await driver.says("✓ ✓ 8889", "✗ ✗ 35357", "? ? 5000/udp")
        await driver.press("e")
        await driver.says("It has its lease and answers.")


async def test_trouble_with_the_lease_file_is_said_and_the_rows_stay(leases: Start) -> None:
    async with leases() as driver:
        await opened(driver)
        driver.services.trouble = "the lease file ends within a line"
        await driver.says("The last rows that could be read; now the lease file ends within a line.", "compute1")
        driver.services.trouble = ""
        await driver.says("Who has which address. Live.")
        driver.services.board, driver.services.applied = (), False
        await driver.says("No longer applied.")


async def test_a_monitor_that_cannot_look_says_why_and_goes_on_trying(leases: Start) -> None:
    async with leases(blind=WizardError("the plan cannot be read", "Mend it.")) as driver:
        await driver.page("Dashboard")
        driver.app.post_message(Page.PageRequested("leases"))
        await driver.says("the plan cannot be read Mend it.")
        assert "Cannot read the leases:" in driver.text()
        driver.services.blind = None
        await driver.says("controller")
        assert "annot look" not in driver.text()


async def test_one_monitor_for_as_long_as_the_gateway_is_looked_at(leases: Start) -> None:
    """It goes on beside the dashboard, so that what takes its time to be seen is known on coming back."""
    async with leases() as driver:
        await opened(driver)
        (watch,) = driver.services.watches
        await driver.until(lambda: watch.looks > 5, "some looks")
        for key, title in (("escape", "Dashboard"), ("r", "Reset"), ("escape", "Dashboard"), ("x", "Export")):
            await driver.press(key)
            await driver.page(title)
            seen = watch.looks
            await driver.until(partial(lambda seen: watch.looks > seen, seen), "a look")
        await driver.press("escape", "l")
        await driver.page("Leases")
        await driver.says("controller")
        assert driver.services.watches == [watch]
        await driver.press("escape")
        await driver.page("Dashboard")
        await driver.press("e")
        await driver.page("Interfaces")
        await driver.until(lambda: watch.closed, "the monitor to be closed")


async def test_of_many_rows_only_those_in_sight_are_looked_at(leases: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(
        replace(
            CNCI, mac=f"02:16:3e:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}", ip=f"192.168.{n >> 8 & 255}.{n & 255}"
        )
        for n in range(20_000)
    )
    async with leases(*many) as driver:
        page = await opened(driver)
        made = 0
        cells = page.table.cells

        def counted(row: LeaseRow) -> Sequence[Text]:
            nonlocal made
            made += 1
            return cells(row)

        page.table.cells = counted
        await driver.press("end")
        await driver.says("192.168.78.31")
        for _ in range(3):
            await driver.press("pageup")
        assert 0 < made < 40 * 24
