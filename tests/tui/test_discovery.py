"""Machines heard on the cluster's wire, and taken into the plan one after the other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.tui.discovered import KNOWN, NUC, listening, names
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FakeServices
from tests.tui.hostile import ALL, HOSTILE, assert_harmless
from wizard.host.dhcp.discovery import DiscoveredMachine
from wizard.plan.draft.model import NodeText
from wizard.plan.fields import parse_node_name
from wizard.plan.findings import WizardError
from wizard.plan.model import Plan
from wizard.screens.nodes.discovery import DiscoveryPanel

SETTLED = DiscoveredMachine("c0:3f:d5:67:a2:07", ip="192.168.0.7")


def focused(driver: Driver) -> str | None:
    return driver.app.focused.id if driver.app.focused is not None else None


async def test_a_machine_that_is_heard_is_adopted_with_a_role(start: Start) -> None:
    async with start() as driver:
        await listening(driver)
        driver.services.ask((KNOWN, NUC))
        await driver.says("2 machines found", "nuc-05", "a adds it as compute")
        await driver.press("r", "r")
        await driver.says("a adds it as network")
        await driver.press("a")
        await driver.says("nuc-05 was added as network")
        assert driver.app.draft.nodes[-1] == NodeText("network", "nuc-05", "c0:3f:d5:67:a2:01")
        # Nobody new is left.
        await driver.says("del removes it from the plan")
        await driver.press("a")
        await driver.says("which is already in the plan")
        assert len(driver.app.draft.nodes) == 5
        # The next one would again be what is needed most.
        driver.services.ask((SETTLED,))
        await driver.press("down")
        await driver.says("a adds it as compute")
        await driver.press("ctrl+z")
        assert len(driver.app.draft.nodes) == 4


async def test_a_machine_that_booted_over_the_network_is_known_by_its_serial_number(start: Start) -> None:
    told = DiscoveredMachine("c0:3f:d5:67:a2:09", serial="G6YW1234", product="NUC7i5BNH")
    evil = DiscoveredMachine("c0:3f:d5:67:a2:0a", serial=ALL, product=ALL)
    async with start(size=(100, 40)) as driver:
        await listening(driver)
        driver.services.ask((told, evil))
        await driver.says("S/N G6YW1234", "NUC7i5BNH", "a adds it as compute")
        assert_harmless(driver)
        await driver.press("a")
        await driver.until(lambda: len(names(driver)) == 5)
        assert driver.app.draft.nodes[-1] == NodeText("compute", "compute3", told.mac)
        # It asks for an address again: what it said stays.
        driver.services.ask((DiscoveredMachine(told.mac, vendor_class="PXEClient"),))
        await driver.says("S/N G6YW1234", "compute3")


async def test_a_host_name_is_a_name_only_where_it_may_be_one(start: Start) -> None:
    async with start() as driver:
        await listening(driver)
        driver.services.ask(
            (
                DiscoveredMachine("c0:3f:d5:67:a2:01", "controller"),
                DiscoveredMachine("c0:3f:d5:67:a2:02", "[red]x; reboot"),
            )
        )
        await driver.says("[red]x; reboot")
        await driver.press("a")
        await driver.until(lambda: len(names(driver)) == 5)
        await driver.press("a")
        await driver.until(lambda: len(names(driver)) == 6)
        assert names(driver)[4:] == ["compute3", "compute4"]


async def test_whatever_a_machine_calls_itself_it_becomes_a_node_with_a_name(start: Start) -> None:
    evil = [*HOSTILE.values(), ALL, "-", "a..b", "Ünï", "x" * 64, "compute1"]
    async with start() as driver:
        await listening(driver)
        driver.services.ask(tuple(DiscoveredMachine(f"c0:3f:d5:67:a2:{n:02x}", text) for n, text in enumerate(evil)))
        await driver.says(f"{len(evil)} machines found")
        for count in range(len(evil)):
            await driver.press("a")
            await driver.until(partial(lambda count: len(names(driver)) == count + 5, count))
            assert_harmless(driver)
        assert isinstance(driver.app.draft.to_plan(), Plan)
        assert [parse_node_name(name) for name in names(driver)] == names(driver)
        assert len(set(names(driver))) == len(names(driver))


async def test_an_empty_cluster_is_adopted_one_after_the_other(start: Start) -> None:
    async with start(plan=None) as driver:
        await listening(driver)
        driver.services.ask(tuple(DiscoveredMachine(f"c0:3f:d5:67:a2:{n:02x}", "") for n in range(4)))
        await driver.says("4 machines found")
        for count in range(1, 5):
            await driver.press("a")
            await driver.until(partial(lambda count: len(names(driver)) == count, count))
        assert names(driver) == ["controller", "network", "compute1", "compute2"]
        assert [node.role for node in driver.app.draft.nodes] == ["controller", "network", "compute", "compute"]


async def test_a_machine_is_taken_for_what_its_host_name_says(start: Start) -> None:
    async with start(plan=None) as driver:
        await listening(driver)
        hosts = ("compute-a", "network", "controller")
        driver.services.ask(tuple(DiscoveredMachine(f"c0:3f:d5:67:a2:{n:02x}", host) for n, host in enumerate(hosts)))
        await driver.says("3 machines found")
        for count in range(1, 4):
            await driver.press("a")
            await driver.until(partial(lambda count: len(names(driver)) == count, count))
        assert sorted((node.name, node.role) for node in driver.app.draft.nodes) == [
            ("compute-a", "compute"), ("controller", "controller"), ("network", "network"),
        ]  # fmt: skip


async def test_taking_goes_on_with_the_next_of_those_heard(start: Start) -> None:
    async with start(plan=None) as driver:
        await listening(driver)
        machines = tuple(DiscoveredMachine(f"c0:3f:d5:67:a2:{n:02x}", f"rack{n}") for n in range(4))
        driver.services.ask(machines[:3])
        await driver.says("3 machines found")
        # Whoever waited for them is among them; each one taken leads to the next, and round to those before.
        await driver.press("down", "a")
        await driver.says("rack1 was added as controller")
        panel = driver.app.screen.query_one(DiscoveryPanel)
        assert focused(driver) == "heard"
        assert panel.chosen == machines[2]
        await driver.press("a")
        await driver.until(lambda: panel.chosen == machines[0])
        await driver.press("enter")
        await driver.says("rack0 was added as compute", "del removes it from the plan")
        # Nobody is left; the one that comes then is the next.
        driver.services.ask(machines[3:])
        await driver.until(lambda: panel.chosen == machines[3])
        await driver.press("a")
        await driver.until(lambda: names(driver) == ["rack1", "rack2", "rack0", "rack3"])
        await driver.press("up", "delete")
        await driver.says("rack2 was removed from the plan.")
        await driver.press("delete")
        await driver.says("That machine is not in the plan.")
        await driver.press("up")
        assert driver.toasts() == ""
        assert names(driver) == ["rack1", "rack0", "rack3"]
        await driver.press("f5")
        await driver.until(lambda: focused(driver) == "nodes")


async def test_whoever_works_on_the_nodes_is_not_called_away(start: Start) -> None:
    async with start() as driver:
        await listening(driver)
        await driver.press("down")
        driver.services.ask((NUC,))
        await driver.says("1 machine found")
        assert focused(driver) == "nodes"
        await driver.press("delete")
        assert names(driver) == ["controller", "compute1", "compute2"]


async def test_a_machine_that_has_an_address_is_heard_and_keeps_it(start: Start) -> None:
    elsewhere, taken = (
        DiscoveredMachine("c0:3f:d5:67:a2:08", ip="10.9.9.9"),
        DiscoveredMachine("c0:3f:d5:67:a2:09", ip="192.168.0.101"),
    )
    async with start() as driver:
        await listening(driver)
        driver.services.ask((SETTLED, elsewhere, taken))
        await driver.says("3 machines found", "192.168.0.7", "10.9.9.9")
        await driver.press("a")
        await driver.says("compute3 was added as compute and keeps 192.168.0.7")
        await driver.press("a", "a")
        await driver.until(lambda: len(names(driver)) == 7)
        # Of another network, or another node's: those are given one.
        assert [node.ip for node in driver.app.draft.nodes[4:]] == ["192.168.0.7", "", ""]
        # A name that it told once is not forgotten as it speaks of its address alone.
        driver.services.ask((NUC,))
        driver.services.ask((replace(NUC, host_name="", ip="192.168.0.9"),))
        await driver.press("a")
        await driver.says("nuc-05 was added as compute and keeps 192.168.0.9")


async def test_what_a_takes_it_as_follows_the_cursor(start: Start) -> None:
    async with start() as driver:
        await listening(driver)
        driver.services.ask(
            (DiscoveredMachine("c0:3f:d5:67:a2:01", "network-b"), DiscoveredMachine("c0:3f:d5:67:a2:02", "x"), KNOWN)
        )
        await driver.says("3 machines found", "a adds it as network")
        await driver.press("down")
        await driver.says("a adds it as compute")
        await driver.press("down")
        await driver.says("del removes it from the plan")


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
    deaf = WizardError("eth1 is down, and hears nothing", "Bring it up: sudo ip link set eth1 up")
    async with start(FakeServices(deaf=deaf)) as driver:
        await driver.jump("Nodes")
        await driver.press("f5")
        await driver.says("eth1 is down, and hears nothing Bring it up: sudo ip link set eth1 up")
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
        driver.app.screen.query_one(DiscoveryPanel).clock = lambda: now[0]
        driver.services.ask((NUC,))
        await driver.says("0 s ago")
        now[0] += 42
        await driver.says("42 s ago")
        now[0] += 600
        await driver.says("10 min ago")
