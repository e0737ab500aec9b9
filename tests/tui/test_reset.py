"""Every kind of reset: what it says beforehand, what it starts, and how its end is told."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.tui.driver import Driver, Start
from tests.tui.fakes import ABSENT, APPLIED, FOUR_ROWS, FakeServices, event, row
from tests.tui.layout import faults
from wizard.app import changes
from wizard.monitor.lease_rows import LeaseRow
from wizard.screens.reset.kinds import KINDS, lease_holders

DRIFT = (
    "/etc/ciao-wizard/nat.sh was changed",
    "added in inet ciao_gateway: drop",
    "/etc/ciao-wizard/tenant_dns.cfg was changed",
)
DRIFTED = replace(APPLIED, healthy=False, drift=DRIFT)
VM = row(65, "", "", kind="vm", hostname="cnci-7", mac="02:16:3e:00:00:01", ip="192.168.0.65", vendor="")
SMALL = [kind.key for kind in KINDS if kind.small]


async def to_reset(driver: Driver, kind: str = "rules") -> None:
    await driver.page("Dashboard")
    await driver.says("company network")
    await driver.press("r")
    await driver.page("Reset")
    await driver.press(*["down"] * [each.key for each in KINDS].index(kind))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_nothing_is_cut_off(start: Start, sample: str, size: tuple[int, int]) -> None:
    services = FakeServices(state=DRIFTED, in_force=sample, board=(*FOUR_ROWS, VM))
    async with start(services, plan=None, size=size) as driver:
        await to_reset(driver)
        await driver.says("lost by this")
        for _ in KINDS:
            assert faults(driver) == []
            await driver.press("down")
        await driver.press("enter")
        await driver.says("Undo everything?")
        assert faults(driver) == []


@pytest.mark.parametrize("part", SMALL)
async def test_a_small_reset_asks_runs_and_goes_back_to_the_dashboard(start: Start, sample: str, part: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await to_reset(driver, part)
        await driver.press("enter", "n")
        assert driver.services.did == []
        await driver.press("enter", "y")
        await driver.until(lambda: driver.services.did)
        assert driver.services.did == [f"renew {part}"]
        driver.services.change.fed += [
            event(0, step=part, state="running"),
            event(1, step=part, state="done", detail="as it should be"),
            event(2, result="kept", reason=f"{part}: done"),
        ]
        await driver.says("Done.", f"✓ {part}: done")
        await driver.press("enter")
        assert driver.services.did == [f"renew {part}"]
        await driver.press("escape")
        await driver.page("Dashboard")


async def test_what_came_of_a_small_reset_is_told_in_full(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None, size=(80, 24)) as driver:
        await to_reset(driver, "dhcp")
        await driver.press("enter", "y")
        await driver.until(lambda: driver.services.did)
        words = "dnsmasq and its guard restarted, the leases kept: armed, after the wire had been silent for 12 s"
        driver.services.change.fed += [event(1, step="dhcp", state="done", detail=words), event(2, result="kept")]
        await driver.says("Done.")
        assert "…" not in driver.text()
        assert all(word in driver.text() for word in words.split())


async def test_a_small_reset_keeps_what_is_being_edited(start: Start, sample: str) -> None:
    """It ends as "kept", and is no apply of the draft."""
    services = FakeServices(state=APPLIED, in_force=sample, drafts={"draft": "{}"})
    async with start(services, plan=None) as driver:
        await to_reset(driver)
        await driver.press("enter", "y")
        await driver.until(lambda: driver.services.did)
        driver.services.change.fed += [event(2, result="kept", reason="rules: done")]
        await driver.says("Done.")
        assert services.drafts == {"draft": "{}"}


async def test_a_small_reset_that_is_refused_says_why(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await to_reset(driver, "dhcp")
        await driver.press("enter", "y")
        await driver.until(lambda: driver.services.did)
        driver.services.change.fed += [event(1, result="refused", reason="port 67 is held by dnsmasq (process 812)")]
        await driver.says("Failed. The rest of the gateway is unchanged.", "✗ port 67 is held by dnsmasq (process 812)")


async def test_a_small_reset_that_dies_unseen_is_no_success(
    start: Start, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PATIENCE_TICKS", 2)
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await to_reset(driver)
        await driver.press("enter", "y")
        await driver.until(lambda: driver.services.did)
        driver.services.change.living = False
        await driver.says("Failed. The rest of the gateway is unchanged.", "It ended without a message")


@pytest.mark.parametrize("forget", [False, True])
async def test_undoing_everything_asks_and_says_what_others_lose(start: Start, sample: str, forget: bool) -> None:
    async with start(FakeServices(state=DRIFTED, in_force=sample), plan=None) as driver:
        await to_reset(driver, "everything")
        if forget:
            await driver.press("f")
        await driver.press("ctrl+a")
        await driver.says("lost by this", *DRIFT)
        await driver.press("enter")
        assert driver.services.did == []
        await driver.press("ctrl+a", "y")
        await driver.until(lambda: driver.services.did)
        assert driver.services.did == ["reset, leases too" if forget else "reset"]
        driver.services.state, driver.services.in_force = ABSENT, None
        driver.services.change.fed += [
            event(1, step="dnsmasq", state="undone", detail="stopped"),
            event(2, result="rolled-back", reason="everything is as it was before the wizard"),
        ]
        await driver.says("Done. This machine is as it was.", "stopped")
        await driver.press("escape")
        await driver.until(lambda: "─ Reset ─" not in driver.text())


async def test_the_leases_are_a_key_away_and_enter_does_it(start: Start, sample: str) -> None:
    """On the smallest screen, with things that others changed: the tick and its key are in sight."""
    async with start(FakeServices(state=DRIFTED, in_force=sample), plan=None, size=(80, 24)) as driver:
        await to_reset(driver)
        await driver.says("Reload the rules")
        assert "forget leases" not in driver.text()
        await driver.press("f", "end")
        await driver.says("[ ] f forget the leases too", "f forget leases", "lost by this")
        await driver.press("f")
        await driver.says("[x] f forget the leases too", "the leases are deleted")
        await driver.press("tab", "enter")
        await driver.says("Undo everything?", "The leases are deleted.")
        await driver.press("escape", "f", "enter")
        await driver.says("Undo everything?", "The leases are kept.")
        assert driver.services.did == []


async def test_the_images_are_forgotten_where_that_is_ticked(start: Start, sample: str) -> None:
    async with start(FakeServices(state=DRIFTED, in_force=sample), plan=None, size=(80, 24)) as driver:
        await to_reset(driver, "everything")
        await driver.says("[ ] i forget the images too")
        await driver.press("i")
        await driver.says("[x] i forget the images too", "the images are deleted", "[ ] f forget the leases too")
        await driver.press("enter")
        await driver.says("Undo everything?", "The leases are kept. The images are deleted.")
        await driver.press("y")
        await driver.until(lambda: driver.services.did)
        assert driver.services.did == ["reset, images too"]


async def test_enter_at_the_question_changes_nothing_and_it_says_so(start: Start, sample: str) -> None:
    async with start(FakeServices(state=DRIFTED, in_force=sample), plan=None) as driver:
        for kind in KINDS:
            if not kind.question:
                continue
            await to_reset(driver, kind.key)
            await driver.press("enter")
            await driver.says(
                "y does it. Enter, n and esc change nothing.", f"[ y {kind.yes} ]", "[ n Change nothing ]"
            )
            await driver.press("enter")
            await driver.until(lambda: "change nothing." not in driver.text(), "the question to go")
            assert driver.services.did == []
            await driver.press("escape")


async def test_the_plan_once_more_goes_by_the_review(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await to_reset(driver, "again")
        await driver.press("enter")
        await driver.page("Review")
        assert driver.services.did == []


async def test_every_kind_says_what_it_changes_and_what_not(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None, size=(120, 40)) as driver:
        await to_reset(driver)
        for kind in KINDS:
            await driver.says(*kind.changes, *kind.leaves)
            await driver.press("down")


async def test_lease_holders_would_be_forgotten(start: Start, sample: str) -> None:
    services = FakeServices(state=APPLIED, in_force=sample, board=(*FOUR_ROWS, VM))
    async with start(services, plan=None, size=(120, 40)) as driver:
        await to_reset(driver, "leases")
        await driver.says("192.168.0.65 may change cnci-7", "192.168.0.101 reserved, kept controller")


def test_who_may_lose_an_address_comes_first() -> None:
    lines = lease_holders((*FOUR_ROWS, VM, row(9, "", "", kind="stranger", ip="", state="ignored")))
    assert lines[0].split() == ["192.168.0.65", "may", "change", "cnci-7"]
    assert len(lines) == 5
    assert lease_holders(()) == ("no machine",)
    assert lease_holders([VM] * 70)[-1] == "and 20 more leases"


async def test_a_changed_hosts_file_is_told_before_the_nodes_are_reloaded(start: Start, sample: str) -> None:
    changed = "/run/ciao-wizard/live/tenant_dns.hosts is not what /etc/ciao-wizard/tenant_dns.hosts says"
    services = FakeServices(state=replace(DRIFTED, drift=(*DRIFT, changed)), in_force=sample)
    async with start(services, plan=None, size=(120, 40)) as driver:
        await to_reset(driver, "nodes")
        await driver.says("Changed by hand, and lost by this", changed)
        assert DRIFT[0] not in driver.flat()


async def test_what_others_changed_is_waited_for(start: Start, sample: str) -> None:
    """Asked at once, before the machine has been looked at, it says that it does not know."""

    class Slow(FakeServices):
        held = threading.Event()

        def rows(self) -> tuple[LeaseRow, ...]:
            self.held.wait(20)
            return super().rows()

    services = Slow(state=DRIFTED, in_force=sample)
    async with start(services, plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("r")
        await driver.page("Reset")
        await driver.press("end", "enter")
        await driver.says("Manual changes are not known yet.")
        assert "Undo everything?" not in driver.text()
        services.held.set()
        await driver.says(DRIFT[0])
        # It is known by now, and the line that said otherwise is gone.
        assert "not known yet" not in driver.text()
        await driver.press("enter")
        await driver.says("Undo everything?", DRIFT[0])
