"""A server on port 53 that is in the way: asked about on the review, and where an apply was refused for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.tui.conftest import Shoot
from tests.tui.driver import Start
from tests.tui.fakes import FACTS, FakeServices, event
from wizard.plan.machine import Facts, Listener, PortService
from wizard.screens.apply.screen import ApplyPage
from wizard.screens.review.screen import ReviewPage

ANY = "0.0.0.0"  # noqa: S104
NAMED, KEA = "named.service", "kea-dhcp4-server.service"
BUSY = replace(
    FACTS,
    listeners=(Listener("udp", ANY, 53, "named", 812, unit=NAMED),),
    services=(PortService(NAMED, 812, triggers=("named.socket",)),),
    resolvers=("10.77.0.1",),
)


def with_dhcp(facts: Facts) -> Facts:
    return replace(
        facts,
        listeners=(*facts.listeners, Listener("udp", ANY, 67, "kea-dhcp4", 813, unit=KEA)),
        services=(*facts.services, PortService(KEA, 813)),
    )


async def test_the_review_asks_what_the_apply_may_stop(start: Start) -> None:
    async with start(FakeServices(machine=BUSY)) as driver:
        await driver.jump("Review")
        await driver.says("A server is in the way. Enter on its ✗ finding", "1 error")
        await driver.until(lambda: driver.services.foretold)
        await driver.press("ctrl+a", "enter")
        await driver.says("Stop named.service until a reset?", "named.service and named.socket, and disables them")
        # Enter by habit, or escape, agrees to nothing.
        await driver.press("enter")
        await driver.says("1 error")
        await driver.press("enter", "y")
        await driver.says("2 warnings, 1 note", "1/3")
        await driver.until(lambda: driver.services.foretold[-1:] == [(NAMED,)])
        assert {*driver.services.foretold[:-1]} == {()}, "before the yes"
        await driver.press("shift+tab", "down")
        await driver.says("an apply stops and disables named.service")
        # It holds for this run, whatever is looked at meanwhile.
        await driver.press("ctrl+r")
        await driver.page("Review")
        await driver.until(lambda: isinstance(driver.shown, ReviewPage) and driver.shown.coming)
        await driver.press("ctrl+a")
        await driver.page("Apply")
        await driver.until(lambda: driver.services.did == [f"apply and stop {NAMED}"])


async def test_what_is_not_in_the_way_any_more_is_not_stopped(start: Start) -> None:
    async with start(FakeServices(machine=BUSY)) as driver:
        await driver.jump("Review")
        await driver.press("enter", "y")
        await driver.says("2 warnings, 1 note")
        driver.services.machine = FACTS
        await driver.press("ctrl+r")
        await driver.says("1 warning, 1 note")
        await driver.until(lambda: isinstance(driver.shown, ReviewPage) and driver.shown.coming)
        await driver.press("ctrl+a")
        await driver.page("Apply")
        await driver.until(lambda: driver.services.did == ["apply"])


def refused(*stops: list[str], severity: str = "error") -> list[str]:
    about = {"code": "dns-takes-every-address", "field": "interfaces.cluster", "message": "It serves.", "remedy": "…"}
    findings: list[dict[str, Any]] = [{**about, "severity": severity, "stops": units} for units in stops if units]
    findings += [{**about, "severity": severity} for units in stops if not units]
    why = '"named" (process 812) serves DNS on every address of this machine, port 53.'
    return [
        event(1, step="check", state="failed", detail=f"{len(stops)} errors", findings=findings),
        event(1, result="refused", reason=why, findings=findings),
    ]


async def test_a_refused_apply_asks_too_and_applies_again(start: Start) -> None:
    """Without root, who has a port is seen by the apply alone."""
    async with start() as driver:
        await driver.begin_apply()
        driver.services.change.fed += refused([NAMED], [KEA], [NAMED])
        await driver.says("Refused: nothing was changed.", f"· s applies again, and stops {NAMED} and {KEA} for it.")
        await driver.press("s", "y")
        await driver.says(f"Stop {KEA} until a reset?")
        await driver.press("n")
        assert driver.services.did == ["apply"]
        await driver.press("s", "y")
        await driver.says(f"Stop {KEA} until a reset?")
        await driver.press("y")
        await driver.until(lambda: len(driver.services.did) == 2)
        assert driver.services.did == ["apply", f"apply and stop {NAMED} and stop {KEA}"]
        await driver.until(lambda: isinstance(driver.shown, ApplyPage) and not driver.shown.progress.result)


@pytest.mark.parametrize("stops", [((NAMED,), ()), ((), ())], ids=["another error", "no server"])
async def test_nothing_is_asked_where_a_yes_would_not_be_enough(
    start: Start, stops: tuple[tuple[str, ...], ...]
) -> None:
    async with start() as driver:
        await driver.begin_apply()
        driver.services.change.fed += refused(*map(list, stops))
        await driver.says("Refused: nothing was changed.")
        assert "applies again" not in driver.flat()
        await driver.press("s")
        assert "until a reset?" not in driver.flat()


async def test_names_of_units_are_shown_and_never_obeyed(start: Start) -> None:
    async with start() as driver:
        await driver.begin_apply()
        driver.services.change.fed += refused(["[red]a\x1b[2J.service"])
        await driver.says("[red]a?[2J.service for it.")
        await driver.press("s")
        await driver.says("Stop [red]a?[2J.service until a reset?")


@pytest.mark.parametrize("shape", ["80x24", "120x40"])
async def test_how_it_looks(start: Start, shoot: Shoot, shape: str) -> None:
    width, height = map(int, shape.split("x"))
    async with start(FakeServices(machine=with_dhcp(BUSY)), size=(width, height)) as driver:
        await driver.jump("Review")
        await driver.says("2 errors")
        await shoot(driver, f"review-server-{shape}")
        await driver.press("enter")
        await driver.says("[ Stop it ]")
        await shoot(driver, f"review-stop-{shape}")
        await driver.press("y")
        await driver.says("1 error,")
        await driver.press("home", "enter", "y")
        await driver.says("3 warnings, 1 note")
        await shoot(driver, f"review-agreed-{shape}")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        await driver.until(lambda: driver.app.changing)
        driver.services.change.fed += refused([NAMED, "named.socket"])
        await driver.says("applies again")
        await shoot(driver, f"apply-server-{shape}")
