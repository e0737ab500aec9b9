"""The list of nodes: pasted, opened, heard on the wire, and thousands long."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from textual.widgets import TextArea

from tests.tui.conftest import Shoot
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FakeServices
from wizard.host.listening import Heard
from wizard.plan.draft import NodeText
from wizard.plan.findings import WizardError
from wizard.widgets.hearing import HearingPanel
from wizard.widgets.longtable import LongTable

NUC = Heard("c0:3f:d5:67:a2:01", "nuc-05")
KNOWN = Heard("b8:ae:ed:7b:51:50", "whatever")


async def listening(driver: Driver) -> None:
    await driver.jump("Nodes")
    await driver.press("f5")
    await driver.says("Listening on eth1: nobody has asked yet", "Switch the machines on")


def names(driver: Driver) -> list[str]:
    return [node.name for node in driver.app.draft.nodes]


async def test_a_machine_that_is_heard_is_adopted_with_a_role(start: Start) -> None:
    async with start() as driver:
        await listening(driver)
        driver.services.ask((KNOWN, NUC))
        await driver.says("2 machines have asked", "nuc-05", "a takes it as compute")
        await driver.press("r", "r")
        await driver.says("a takes it as network")
        await driver.press("a")
        await driver.says("nuc-05 is in the plan as network")
        assert driver.app.draft.nodes[-1] == NodeText("network", "nuc-05", "c0:3f:d5:67:a2:01")
        # Nobody new is left, and the next one would again be what is needed most.
        await driver.says("a takes it as compute")
        await driver.press("a")
        await driver.says("which is in the plan already")
        assert len(driver.app.draft.nodes) == 5
        await driver.press("ctrl+z")
        assert len(driver.app.draft.nodes) == 4


async def test_a_host_name_is_a_name_only_where_it_may_be_one(start: Start) -> None:
    async with start() as driver:
        await listening(driver)
        driver.services.ask((Heard("c0:3f:d5:67:a2:01", "controller"), Heard("c0:3f:d5:67:a2:02", "[red]x; reboot")))
        await driver.says("[red]x; reboot")
        await driver.press("a")
        await driver.until(lambda: len(names(driver)) == 5)
        await driver.press("a")
        await driver.until(lambda: len(names(driver)) == 6)
        assert names(driver)[4:] == ["compute3", "compute4"]


async def test_an_empty_cluster_is_adopted_one_after_the_other(start: Start) -> None:
    async with start(plan=None) as driver:
        await listening(driver)
        driver.services.ask(tuple(Heard(f"c0:3f:d5:67:a2:{n:02x}", "") for n in range(4)))
        await driver.says("4 machines have asked")
        for count in range(1, 5):
            await driver.press("a")
            await driver.until(lambda count=count: len(names(driver)) == count)
        assert names(driver) == ["controller", "network", "compute1", "compute2"]
        assert [node.role for node in driver.app.draft.nodes] == ["controller", "network", "compute", "compute"]


async def test_a_machine_is_taken_for_what_its_host_name_says(start: Start) -> None:
    async with start(plan=None) as driver:
        await listening(driver)
        hosts = ("compute-a", "network", "controller")
        driver.services.ask(tuple(Heard(f"c0:3f:d5:67:a2:{n:02x}", host) for n, host in enumerate(hosts)))
        await driver.says("3 machines have asked")
        for count in range(1, 4):
            await driver.press("a")
            await driver.until(lambda count=count: len(names(driver)) == count)
        assert sorted((node.name, node.role) for node in driver.app.draft.nodes) == [
            ("compute-a", "compute"), ("controller", "controller"), ("network", "network"),
        ]  # fmt: skip


async def test_listening_ends_with_the_key_and_with_the_page(start: Start) -> None:
    async with start() as driver:
        await listening(driver)
        first = driver.services.until
        await driver.press("f5")
        await driver.until(lambda: "Listening on" not in driver.text())
        assert first.is_set()
        driver.services.ask((NUC,))
        await driver.pilot.pause()
        assert "nuc-05" not in driver.text()
        await driver.press("f5")
        await driver.says("Listening on eth1")
        assert not driver.services.until.is_set()
        await driver.press("escape")
        await driver.page("Network")
        await driver.until(driver.services.until.is_set, "the end of listening")


async def test_an_ear_that_is_deaf_says_why(start: Start) -> None:
    deaf = WizardError("eth1 is down, and hears nothing", "Raise it: sudo ip link set eth1 up")
    async with start(FakeServices(deaf=deaf)) as driver:
        await driver.jump("Nodes")
        await driver.press("f5")
        await driver.says("eth1 is down, and hears nothing Raise it: sudo ip link set eth1 up")
        assert "Listening on" not in driver.text()
        await driver.press("a", "r")
        assert len(names(driver)) == 4


async def test_without_root_the_password_is_asked_for_and_its_refusal_told(start: Start) -> None:
    async with start(FakeServices(privileged=False)) as driver:
        await driver.jump("Nodes")
        await driver.press("f5")
        await driver.until(lambda: driver.toasts())
        assert "Listening on" not in driver.text()


async def test_seconds_go_by_while_listening(start: Start) -> None:
    async with start() as driver:
        await listening(driver)
        now = [100.0]
        driver.app.screen.query_one(HearingPanel)._clock = lambda: now[0]
        driver.services.ask((NUC,))
        await driver.says("0 s ago")
        now[0] += 42
        await driver.says("42 s ago")
        now[0] += 600
        await driver.says("10 min ago")


async def paste(driver: Driver, text: str) -> None:
    await driver.press("f4")
    await driver.says("Many nodes at once")
    driver.app.screen.query_one(TextArea).text = text


async def test_what_was_not_understood_comes_back_line_by_line_under_its_heading(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await paste(driver, "name,role,mac\nrack7,compute,b8:ae:ed:7b:00:07\nx,gpu,b8:ae:ed:7b:00:08\ny,,nothing\n")
        await driver.says("1 understood, 2 not", 'line 3: role: "gpu" is not a value of role', 'line 4: MAC: "nothing"')
        await driver.press("ctrl+n")
        await driver.says("1 node taken. 2 lines were not understood:")
        left = driver.app.screen.query_one(TextArea).text
        assert left == "name,role,mac\nx,gpu,b8:ae:ed:7b:00:08\ny,,nothing"
        driver.app.screen.query_one(TextArea).text = left.replace("gpu", "compute").replace("nothing", "b8aeed7b0009")
        await driver.says("2 understood")
        await driver.press("ctrl+n")
        await driver.page("Nodes")
        assert names(driver)[4:] == ["rack7", "x", "y"]


async def test_a_file_is_opened_by_its_path(start: Start) -> None:
    lists = {"/tmp/nodes.csv": "name,role,mac,ip\nrack7,compute,b8:ae:ed:7b:00:07,192.168.0.17\n"}
    async with start(FakeServices(lists=lists)) as driver:
        await driver.jump("Nodes")
        await paste(driver, "b8:ae:ed:7b:00:08 first")
        await driver.press("f3")
        await driver.type("/tmp/other.csv")
        await driver.press("enter")
        await driver.says("✗ /tmp/other.csv cannot be read")
        await driver.press("end", "ctrl+u")
        await driver.type("/tmp/nodes.csv")
        await driver.press("enter")
        await driver.says("2 understood")
        await driver.press("ctrl+n")
        await driver.page("Nodes")
        assert names(driver)[4:] == ["first", "rack7"]
        assert driver.app.draft.nodes[5].ip == "192.168.0.17"


async def test_the_same_list_twice_changes_nothing_and_a_newer_one_what_it_says(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await paste(driver, "b8:ae:ed:7b:51:50 controller\nc0:3f:d5:67:a1:fb compute2 192.168.0.44\n")
        await driver.press("ctrl+n")
        await driver.says("1 changed, 1 there already.")
        assert names(driver) == ["controller", "network", "compute1", "compute2"]
        assert driver.app.draft.nodes[3] == NodeText("compute", "compute2", "c0:3f:d5:67:a1:fb", "192.168.0.44")
        await driver.press("ctrl+z")
        assert driver.app.draft.nodes[3].ip == "192.168.0.104"


def many(count: int) -> tuple[NodeText, ...]:
    head = (NodeText("controller", "ctl", "b8:ae:ed:00:00:01"), NodeText("network", "net", "b8:ae:ed:00:00:02"))
    rest = (
        NodeText("compute", f"n-{i}", f"c0:3f:d5:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}") for i in range(count)
    )
    return (*head, *rest)


async def at_thousands(driver: Driver) -> None:
    await driver.until(lambda: driver.app.facts is not None)
    wide = {"cidr": "10.64.0.0/16", "gateway": "10.64.0.200", "pool": "10.64.192.0/18"}
    driver.app.draft = replace(driver.app.draft, nodes=many(9998), forwards=(), **wide)
    await driver.jump("Nodes")
    await driver.says("(10.64.0.1)")


async def test_thousands_of_nodes_are_shown_judged_and_changed(start: Start) -> None:
    async with start() as driver:
        await at_thousands(driver)
        await driver.press("end")
        await driver.says("n-9997", "(10.64.39.17)")
        await driver.press("enter", "tab")
        await driver.press("end", "ctrl+u")
        await driver.type("n-5")
        await driver.press("ctrl+n")
        await driver.says('There is a node "n-5" already.')
        await driver.press("end", "ctrl+u")
        await driver.type("last")
        await driver.press("ctrl+n")
        await driver.until(lambda: names(driver)[-1] == "last")
        await driver.press("home", "delete")
        # What the rules say of the list comes by itself, a moment later.
        await driver.says("No node has the role controller")
        await driver.press("ctrl+z")
        await driver.until(lambda: "No node has the role" not in driver.text())
        await driver.press("ctrl+n")
        await driver.page("Forwards")


async def test_no_key_waits_for_thousands_of_nodes(start: Start) -> None:
    """A generous bound for a busy machine: before, a key took seconds."""
    async with start() as driver:
        await at_thousands(driver)
        took = []
        for key in ("down", "pagedown", "end", "delete", "up", "ctrl+z", "home", "delete", "down", "ctrl+z"):
            begun, number = time.perf_counter(), driver.app._key_number
            driver.app.simulate_key(key)
            while driver.app._key_number == number or driver.app._key_under_way:
                await driver.pilot.pause(0.001)
            took.append(time.perf_counter() - begun)
        assert sorted(took)[len(took) // 2] < 0.3, took


async def test_only_rows_in_sight_are_made(start: Start) -> None:
    async with start() as driver:
        await at_thousands(driver)
        made: list[int] = []
        table = driver.app.screen.query_one("#nodes", LongTable)
        cells = table._cells
        table._cells = lambda number: (made.append(number), cells(number))[1]
        await driver.press("end", "home")
        assert 0 < len(made) < 200


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_pictures(start: Start, shoot: Shoot, size: tuple[int, int]) -> None:
    """Listening, adopting, importing; and thousands of rows."""
    shape = f"{size[0]}x{size[1]}"
    async with start(size=size) as driver:
        await listening(driver)
        driver.app.screen.query_one(HearingPanel)._clock = lambda: 0.0
        driver.services.ask((NUC, KNOWN, Heard("52:54:00:00:00:07", "")))
        await driver.says("3 machines have asked", "nuc-05", "Elitegroup")
        await shoot(driver, f"nodes-listening-{shape}")
        await driver.press("f5")
        await paste(
            driver, "name,role,mac,ip\nrack7,compute,B8AE.ED7B.0007,192.168.0.107\nwhat is this\n,gpu,b8aeed7b0009\n"
        )
        await driver.says("1 understood, 2 not")
        await shoot(driver, f"nodes-import-{shape}")
        await driver.press("escape")
        await at_thousands(driver)
        await driver.press("end", "up")
        await driver.says("n-9990")
        await shoot(driver, f"nodes-thousands-{shape}")
