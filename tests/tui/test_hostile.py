"""Text from the network: shown, harmless, and nothing breaks."""

from __future__ import annotations

from dataclasses import replace

from textual.events import Paste

from tests.tui.driver import Driver, Start
from tests.tui.fakes import APPLIED, FACTS, FakeServices, event, row
from tests.tui.test_path import walk_to_review
from wizard.deploy.changes import Change
from wizard.deploy.verify import Check
from wizard.plan.machine import Nic
from wizard.services import WiresSaid

HOSTILE = {
    "closing markup": "[/foo]",
    "a link": "[@click=app.quit]x[/]",
    "open markup": "[bold red",
    "an escape sequence": "\x1b]0;pwned\x07\x1b[2J",
    "a C1 control": "\x9b2Jx",
    "right to left": "\u202egnp.exe",
    "a new line": "one\ntwo\rthree",
    "zero width": "a\u200bb\u2066c",
    "much": "A" * 10_000,
    "wide": "漢字" * 40,
    "a lone surrogate": "x\udc80y",
}
ALL = "".join(evil for evil in HOSTILE.values() if len(evil) < 1000) + HOSTILE["much"]
FORBIDDEN = "\x1b\x9b\x07\r\u202e\u200b\u2066\udc80"


def assert_harmless(driver: Driver) -> None:
    text = driver.text()
    assert not set(text) & set(FORBIDDEN)
    lines = text.splitlines()
    assert len(lines) == 24
    # Where markup was shown at all it was shown as it is, so nothing of it was obeyed.
    assert "ciao-wizard ─" in lines[0]


async def test_on_the_pages_of_the_set_up(start: Start) -> None:
    bad = [
        Nic(f"{evil}", 10 + n, "ethernet", mac=evil, vendor=evil, driver=evil, up=True, master=evil, usable_name=False)
        for n, evil in enumerate(HOSTILE.values())
    ]
    first = replace(FACTS.nics[1], vendor=ALL, driver=ALL)
    machine = replace(FACTS, nics=(FACTS.nics[0], first, *FACTS.nics[2:], *bad), host_name=ALL)
    services = FakeServices(
        machine=machine,
        wires=WiresSaid(False, ALL, ALL, ALL),
        differing=(Change(f"/etc/{ALL}", None, ALL, f"--- /dev/null\n+++ x\n+{ALL}\n"),),
    )
    services.vendors = lambda macs: dict.fromkeys(macs, ALL)  # type: ignore[method-assign]
    async with start(services) as driver:
        await driver.page("Interfaces")
        for _ in bad:
            await driver.press("down")
            assert_harmless(driver)
        await driver.press("ctrl+n")
        await driver.until(lambda: "See what the wires say" in driver.toasts())
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
        await driver.says("This did not work.")
        assert_harmless(driver)


async def test_on_the_pages_of_what_is_in_force(start: Start) -> None:
    checks = tuple(Check(evil, False, evil, evil) for evil in HOSTILE.values())
    state = replace(APPLIED, plan=ALL, since=ALL, checks=checks, drift=(ALL,), reason=ALL)
    board = [row(1, "controller", "controller", hostname=ALL, vendor=ALL, reason=ALL)]
    for number, evil in enumerate(HOSTILE.values()):
        board.append(row(number, "", "", kind="vm", hostname=evil, mac=evil, ip=evil, vendor=evil))
        board.append(row(number, evil, evil, kind=evil, hostname=evil, state=evil, reason=evil))
    services = FakeServices(state=state, board=tuple(board), in_force="")
    async with start(services) as driver:
        await driver.page("Dashboard")
        await driver.until(lambda: driver.app.status is not None)
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
        await driver.says("0 understood", "lines more not understood")
        assert_harmless(driver)
