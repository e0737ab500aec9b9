"""The list of nodes: pasted, opened, undone, and thousands long."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.text import Text
from textual.events import Paste
from textual.widgets import TextArea

from tests.tui.conftest import Shoot
from tests.tui.discovered import KNOWN, NUC, listening, names
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FakeServices
from tests.tui.layout import faults
from wizard.host.dhcp.discovery import DiscoveredMachine
from wizard.plan.draft.model import NodeText
from wizard.screens.nodes.discovery import DiscoveryPanel
from wizard.widgets.virtual_table import VirtualKeyedTable


async def test_undo_goes_back_step_by_step_to_where_it_was_done(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        before = driver.app.draft.nodes
        table = driver.app.screen.query_one("#nodes", VirtualKeyedTable)
        await driver.press("down", "delete", "delete", "home", "delete")
        assert names(driver) == ["compute2"]
        await driver.says("controller was removed from the plan. ctrl+z restores it.")
        await driver.press("ctrl+z")
        assert (names(driver), table.cursor) == (["controller", "compute2"], 0)
        await driver.until(lambda: "was removed from the plan" not in driver.text())
        await driver.press("ctrl+z")
        assert (names(driver), table.cursor) == (["controller", "compute1", "compute2"], 1)
        await driver.press("end", "ctrl+z")
        assert (driver.app.draft.nodes, table.cursor) == (before, 1)
        await driver.press("ctrl+z")
        await driver.says("Nothing to undo on this page.")
        assert driver.app.draft.nodes == before


async def test_hundreds_of_lines_skipped_rows_are_all_reached(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await paste(driver, "\n".join(f"bad line {number} [red]x" for number in range(1, 301)))
        await driver.says("0 understood, 300 skipped", '✗ 1 "1" is neither')
        await driver.press("ctrl+n")
        await driver.says("✗ No line describes a node yet")
        await driver.press("end", "up")
        await driver.says('✗ 299 "299" is neither a MAC nor an address, a role or a name')
        await driver.press("enter")
        lines = driver.app.screen.query_one(TextArea)
        assert driver.app.focused is lines
        assert lines.cursor_location[0] == 298
        await driver.press("home", *["delete"] * len("bad line 299 [red]x"))
        await driver.type("c0:3f:d5:67:a2:99")
        await driver.says("1 understood, 299 skipped")


@pytest.mark.parametrize(("size", "rows"), [((80, 24), 21), ((120, 40), 34)], ids=["80x24", "120x40"])
async def test_there_is_room_for_many_lines(start: Start, size: tuple[int, int], rows: int) -> None:
    async with start(size=size) as driver:
        await driver.jump("Nodes")
        await paste(driver, "what is this\n" * 40)
        await driver.says("40 skipped")
        assert driver.app.screen.query_one("#dialog").size.height >= rows - 4
        assert faults(driver) == []


async def paste(driver: Driver, text: str) -> None:
    await driver.press("f4")
    await driver.says("Many nodes at once")
    driver.app.screen.query_one(TextArea).text = text


async def test_what_was_skipped_rows_comes_back_line_by_line_under_its_heading(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await paste(driver, "name,role,mac\nrack7,compute,b8:ae:ed:7b:00:07\nx,gpu,b8:ae:ed:7b:00:08\ny,,nothing\n")
        await driver.says("1 understood, 2 skipped", '✗ 3 role: "gpu" is not a role', '✗ 4 MAC: "nothing"')
        await driver.press("ctrl+n")
        await driver.says("1 node added. 2 lines were skipped:")
        left = driver.app.screen.query_one(TextArea).text
        assert left == "name,role,mac\nx,gpu,b8:ae:ed:7b:00:08\ny,,nothing"
        driver.app.screen.query_one(TextArea).text = left.replace("gpu", "compute").replace("nothing", "b8aeed7b0009")
        await driver.says("2 understood")
        await driver.press("ctrl+n")
        await driver.page("Nodes")
        assert names(driver)[4:] == ["rack7", "x", "y"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=["LF", "CR, as terminals have it", "CRLF"])
async def test_lines_are_pasted_into_the_terminal(start: Start, end: str) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await driver.press("f4")
        await driver.says("Many nodes at once")
        lines = [f"dhcp-host=c0:3f:d5:00:01:{number:02x},rack{number}" for number in range(1, 31)]
        driver.app.post_message(Paste(end.join(lines)))
        await driver.says("30 understood")
        await driver.press("ctrl+n")
        await driver.says("30 nodes added.")
        assert names(driver)[4:] == [f"rack{number}" for number in range(1, 31)]


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
        await driver.says("1 changed, 1 unchanged.")
        assert names(driver) == ["controller", "network", "compute1", "compute2"]
        assert driver.app.draft.nodes[3] == NodeText("compute", "compute2", "c0:3f:d5:67:a1:fb", "192.168.0.44")
        await driver.press("ctrl+z")
        assert driver.app.draft.nodes[3].ip == "192.168.0.104"


async def test_a_forward_follows_the_node_that_a_list_renames_and_comes_back_with_it(start: Start) -> None:
    def targets() -> list[str]:
        return [forward.to for forward in driver.app.draft.forwards]

    async with start() as driver:
        await driver.jump("Nodes")
        before = targets()
        assert "controller" in before
        node = next(node for node in driver.app.draft.nodes if node.name == "controller")
        await paste(driver, f"head {node.mac}")
        await driver.says("1 understood")
        await driver.press("ctrl+n")
        await driver.says("1 changed")
        assert targets() == ["head" if to == "controller" else to for to in before]
        await driver.press("ctrl+z")
        await driver.until(lambda: targets() == before)


def many(count: int) -> tuple[NodeText, ...]:
    head = (NodeText("controller", "ctl", "b8:ae:ed:00:00:01"), NodeText("network", "net", "b8:ae:ed:00:00:02"))
    rest = (
        NodeText("compute", f"n-{i}", f"c0:3f:d5:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}") for i in range(count)
    )
    return (*head, *rest)


async def at_thousands(driver: Driver) -> None:
    await driver.until(lambda: driver.app.facts is not None)
    wide = {"cidr": "10.64.0.0/16", "gateway": "10.64.0.200", "pool": "10.64.192.0/18"}
    driver.app.drafts.draft = replace(driver.app.draft, nodes=many(9998), forwards=(), **wide)
    await driver.jump("Nodes")
    await driver.says("(10.64.0.1)")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_both_lists_are_in_sight_however_long_they_are(start: Start, size: tuple[int, int]) -> None:
    async with start(size=size) as driver:
        await at_thousands(driver)
        await driver.press("f5")
        await driver.says("Listening on eth1: no machine found yet")
        driver.services.ask(tuple(DiscoveredMachine(f"52:54:00:00:01:{n:02x}", f"new-{n}") for n in range(100)))
        await driver.says("100 machines found", "new-0", "n-1 ", "f5 stops")
        assert driver.app.screen.query_one("#heard").size.height == (5 if size[1] < 32 else 12)
        assert faults(driver) == []
        await driver.press("a")
        await driver.says("new-0 was added as compute", "new-1", "f5 stops")
        await driver.press("f5")
        await driver.until(lambda: "Listening" not in driver.text())
        assert driver.app.screen.query_one("#nodes").size.height > size[1] - 10


async def test_thousands_of_nodes_are_shown_judged_and_changed(start: Start) -> None:
    async with start() as driver:
        await at_thousands(driver)
        await driver.press("end")
        await driver.says("n-9997", "(10.64.39.17)")
        await driver.press("enter", "tab")
        await driver.press("end", "ctrl+u")
        await driver.type("n-5")
        await driver.press("ctrl+n")
        await driver.says('There is already a node "n-5".')
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
            begun, number = time.perf_counter(), driver.app.key_number
            driver.app.simulate_key(key)
            while driver.app.key_number == number or driver.app.key_under_way:
                await driver.pilot.pause(0.001)
            took.append(time.perf_counter() - begun)
        assert sorted(took)[len(took) // 2] < 0.3, took


async def test_only_rows_in_sight_are_made(start: Start) -> None:
    async with start() as driver:
        await at_thousands(driver)
        made: list[int] = []
        table = driver.app.screen.query_one("#nodes", VirtualKeyedTable)
        cells = table.cells

        def counted(number: int) -> Sequence[Text]:
            made.append(number)
            return cells(number)

        table.cells = counted
        await driver.press("end", "home")
        assert 0 < len(made) < 200


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_pictures(start: Start, shoot: Shoot, size: tuple[int, int]) -> None:
    """Listening, adopting, importing; and thousands of rows."""
    shape = f"{size[0]}x{size[1]}"
    async with start(size=size) as driver:
        await listening(driver)
        driver.app.screen.query_one(DiscoveryPanel).clock = lambda: 0.0
        driver.services.ask((NUC, KNOWN, DiscoveredMachine("52:54:00:00:00:07", "")))
        await driver.says("3 machines found", "nuc-05", "Elitegroup")
        await shoot(driver, f"nodes-listening-{shape}")
        await driver.press("f5")
        await paste(
            driver, "name,role,mac,ip\nrack7,compute,B8AE.ED7B.0007,192.168.0.107\nwhat is this\n,gpu,b8aeed7b0009\n"
        )
        await driver.says("1 understood, 2 skipped")
        await shoot(driver, f"nodes-import-{shape}")
        await driver.press("escape")
        await at_thousands(driver)
        await driver.press("end", "up")
        await driver.says("n-9990")
        await shoot(driver, f"nodes-thousands-{shape}")


async def test_what_the_dialog_does_not_ask_for_stays(start: Start, sample: str) -> None:
    plan = sample.replace('ip   = "192.168.0.101"', 'ip   = "192.168.0.101"\nbmc  = "192.168.0.151"')
    async with start(plan=plan) as driver:
        await driver.jump("Nodes")
        await driver.press("enter")
        await driver.says("192.168.0.101")
        await driver.press("tab", "end", "ctrl+u", *"boss", "ctrl+n")
        await driver.until(lambda: driver.app.draft.nodes[0].name == "boss", "the new name")
        assert driver.app.draft.nodes[0].bmc == "192.168.0.151"


async def test_enter_ticks_no_box(start: Start) -> None:
    """It goes on, as in a field; Space ticks."""
    async with start() as driver:
        await driver.jump("Nodes")
        await driver.press("f2")
        await driver.says("A new node")
        await driver.press("tab", "tab", "tab", "enter", "enter")
        await driver.says("The MAC is missing.")
        assert driver.text().count("[x]") == 1
        await driver.press("escape", "escape")
        await driver.jump("Network")
        await driver.press(*["tab"] * 5, "enter")
        await driver.page("Nodes")
        assert driver.app.draft.answer == "known"
