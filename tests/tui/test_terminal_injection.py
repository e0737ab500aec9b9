"""Text from the network: shown, harmless, and nothing breaks."""

from __future__ import annotations

from dataclasses import replace

from textual.events import Paste

from tests.tui.driver import Driver, Start
from tests.tui.fakes import APPLIED, FACTS, NOW, FakeServices, event, row
from tests.tui.fakes_watch import instance
from tests.tui.hostile import ALL, HOSTILE, assert_harmless
from tests.tui.walks import opened as instances_opened
from tests.tui.walks import walk_to_review
from wizard.deploy.file_changes import FileChange
from wizard.host.dhcp.discovery import DiscoveredMachine
from wizard.monitor.forward_checks import ForwardCheck
from wizard.monitor.instances import CnciReading
from wizard.monitor.machine_events import MachineEvent
from wizard.plan.checks import FAILED, Check
from wizard.plan.machine import Listener, Nic
from wizard.services.protocols import CablingReport


async def test_on_the_pages_of_the_set_up(start: Start) -> None:
    bad = [
        Nic(f"{evil}", 10 + n, "ethernet", mac=evil, vendor=evil, driver=evil, up=True, master=evil, usable_name=False)
        for n, evil in enumerate(HOSTILE.values())
    ]
    first = replace(FACTS.nics[1], vendor=ALL, driver=ALL)
    machine = replace(FACTS, nics=(FACTS.nics[0], first, *FACTS.nics[2:], *bad), host_name=ALL)
    services = FakeServices(
        machine=machine,
        wires=CablingReport(False, ALL, ALL, ALL),
        differing=(FileChange(f"/etc/{ALL}", None, ALL, f"--- /dev/null\n+++ x\n+{ALL}\n"),),
    )
    services.vendors = lambda macs: dict.fromkeys(macs, ALL)  # type: ignore[method-assign]
    async with start(services) as driver:
        await driver.page("Interfaces")
        for _ in bad:
            await driver.press("down")
            assert_harmless(driver)
        await driver.press("ctrl+n")
        await driver.until(lambda: "See what the probe found" in driver.toasts())
        await walk_to_review(driver)
        await driver.says("1/1")
        assert_harmless(driver)
        await driver.press("ctrl+a")
        await driver.page("Apply")
        for evil in HOSTILE.values():
            services.change.fed += [
                event(0, step=evil, state="running", detail=evil),
                event(1, step=evil, state=evil, detail=evil),
            ]
        services.change.fed.append(event(2, result="failed", reason=ALL))
        await driver.says("Failed; details below.")
        assert_harmless(driver)


async def test_on_the_pages_of_what_is_in_force(start: Start) -> None:
    checks = tuple(Check(evil, FAILED, evil, evil) for evil in HOSTILE.values())
    state = replace(APPLIED, plan=ALL, since=ALL, checks=checks, drift=(ALL,), reason=ALL)
    board = [row(1, "controller", "controller", hostname=ALL, vendor=ALL, reason=ALL)]
    for number, evil in enumerate(HOSTILE.values()):
        board.append(row(number, "", "", kind="vm", hostname=evil, mac=f"02:16:3e:00:00:{number:02x}", vendor=evil))
        board.append(row(number, evil, evil, mac=f"52:54:00:00:00:{number:02x}", hostname=evil, reason=evil))
    services = FakeServices(state=state, board=tuple(board), in_force="")
    async with start(services) as driver:
        await driver.page("Dashboard")
        await driver.until(lambda: driver.app.state.status is not None)
        for _ in range(6):
            assert_harmless(driver)
            await driver.press("pagedown")
        await driver.press("l")
        await driver.page("Leases")
        await driver.says("controller")
        for _ in board:
            await driver.press("down")
            assert_harmless(driver)


async def test_what_is_pasted_is_only_text(start: Start) -> None:
    pasted = "\n".join(HOSTILE.values())
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        await driver.page("Network")
        for text in HOSTILE.values():
            driver.app.post_message(Paste(text))
            await driver.pilot.pause()
            assert_harmless(driver)
            await driver.press("end", "ctrl+u")
        await driver.press("ctrl+n", "escape")
        await driver.page("Interfaces")
    async with start() as driver:
        await driver.page("Interfaces")
        for title in ("Network", "Nodes"):
            await driver.press("ctrl+n")
            await driver.page(title)
        await driver.press("f4")
        await driver.says("Many nodes at once")
        driver.app.post_message(Paste(pasted))
        # A carriage return ends a line too.
        await driver.says("0 understood", "13 skipped")
        assert_harmless(driver)


async def in_both_sizes(driver: Driver) -> None:
    for size in ((120, 40), (80, 24)):
        await driver.pilot.resize_terminal(*size)
        await driver.pilot.pause()
        assert_harmless(driver)


async def test_on_the_welcome(start: Start) -> None:
    evil = tuple(HOSTILE.values())
    machine = replace(
        FACTS,
        system=ALL,
        host_name=ALL,
        network_managers=evil,
        firewalls=evil,
        missing_tools=evil,
        listeners=tuple(Listener("udp", text, port, text, 7, text) for text in evil for port in (53, 67)),
        nics=(*FACTS.nics, *(Nic(text, 20 + n, "tunnel", up=True) for n, text in enumerate(evil))),
    )
    async with start(FakeServices(machine=machine)) as driver:
        await driver.until(driver.welcomed)
        await in_both_sizes(driver)
        for _ in range(20):
            await driver.press("down")
            assert_harmless(driver)
        await driver.press("f1")
        assert_harmless(driver)


async def test_of_machines_that_boot(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await driver.press("f5")
        await driver.until(lambda: not driver.services.until.is_set() and "istening" in driver.text(), "listening")
        machines = [
            DiscoveredMachine(f"c0:3f:d5:67:a2:{n:02x}", text, text, text) for n, text in enumerate(HOSTILE.values())
        ]
        driver.services.ask((*machines, DiscoveredMachine("c0:3f:d5:67:a2:ff", ALL, ALL, ALL)))
        await driver.says("c0:3f:d5:67:a2:00")
        await in_both_sizes(driver)
        await driver.press("a")
        await in_both_sizes(driver)


async def test_of_instances_and_their_hosts(start: Start, sample: str) -> None:
    evil = tuple(HOSTILE.values())
    read = CnciReading(
        "192.168.0.65",
        ALL,
        "read",
        ALL,
        ALL,
        evil,
        tuple(instance(f"172.16.0.{n + 2}", "192.168.0.65", hostname=text) for n, text in enumerate(evil)),
    )
    refused = CnciReading("192.168.0.66", ALL, "changed-host-key", ALL, ALL)
    board = tuple(
        row(
            65 + n, "", "", kind="vm", hostname=ALL, mac=f"02:16:3e:00:00:{n:02x}", ip=f"192.168.0.{65 + n}", vendor=ALL
        )
        for n in range(2)
    )
    services = FakeServices(
        state=APPLIED, in_force=sample, board=board, cncis={"192.168.0.65": read, "192.168.0.66": refused}
    )
    async with start(services) as driver:
        await instances_opened(driver)
        await driver.press("enter")
        await driver.says("172.16.0.2")
        await in_both_sizes(driver)
        for _ in evil:
            await driver.press("down")
            assert_harmless(driver)


async def test_of_what_happened_and_is_forwarded(start: Start, sample: str) -> None:
    evil = tuple(HOSTILE.values())
    services = FakeServices(
        state=APPLIED,
        in_force=sample,
        board=tuple(row(n, "", "", kind="stranger", mac=f"52:54:00:00:00:{n:02x}", hostname=t, reason=t, ip="",
                        state="ignored", expires=None) for n, t in enumerate((*evil, ALL))),
        happenings=[MachineEvent(NOW, "came", t, t, t, t) for t in (*evil, ALL)],
        health=tuple(ForwardCheck(8000 + n, "tcp", t, 80, False, False, t) for n, t in enumerate((*evil, ALL))),
        trouble=ALL,
    )  # fmt: skip
    async with start(services) as driver:
        await driver.page("Dashboard")
        driver.app.state = replace(driver.app.state, happened=tuple(services.happenings))
        await in_both_sizes(driver)
        await driver.press("l")
        await driver.page("Leases")
        await driver.says("52:54:00:00:00:00")
        await driver.press("e")
        await in_both_sizes(driver)
        await driver.press("escape")
        for _ in range(len(evil)):
            await driver.press("down")
            assert_harmless(driver)
        await driver.press("a")
        await in_both_sizes(driver)
