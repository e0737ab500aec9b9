"""A change under way: what the events file says is what the screen says, whatever becomes of the process."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.tui.driver import Driver, Start
from tests.tui.fakes import ABSENT, APPLIED, STEPS, FakeRun, FakeServices, asks, event, steps_done
from wizard.app import changes
from wizard.deploy.status import Status
from wizard.plan.findings import WizardError
from wizard.services.progress import StepState
from wizard.widgets.steps import step_name

PENDING = replace(ABSENT, state="pending", reason="an apply waits for an answer", remaining_s=90)


async def begin(driver: Driver) -> FakeRun:
    await driver.begin_apply()
    return driver.services.change


async def test_a_failed_step_is_shown_with_what_was_undone(start: Start) -> None:
    async with start() as driver:
        change = await begin(driver)
        change.fed += [
            *steps_done()[:7],
            event(8, step="rules", state="running", detail="NAT and firewall"),
            event(8, step="rules", state="failed", detail="nft: Operation not supported"),
            event(9, step="address", state="undone", detail="192.168.0.200 is off eth1"),
            event(9, result="failed", reason="nft: Operation not supported. Load the module nf_tables."),
        ]
        await driver.says("Failed; details below.", "Load the module nf_tables.", "192.168.0.200 is off eth1", "undone")
        assert "Keep it?" not in driver.text()
        assert not driver.app.changing
        await driver.press("k")
        assert driver.services.did == ["apply"]
        await driver.press("escape")
        await driver.page("Review")


async def test_no_bring_it_back(start: Start) -> None:
    async with start() as driver:
        change = await begin(driver)
        change.fed += [*steps_done(), asks()]
        await driver.says("Keep it?")
        await driver.press("b")
        await driver.says("Rolled back: this machine is as it was before.", "taken back on request")
        assert driver.services.did == ["apply", "rollback"]
        assert "─ Apply ─" in driver.text()


async def test_no_answer_in_time_is_told(start: Start) -> None:
    async with start() as driver:
        change = await begin(driver)
        change.fed += [*steps_done(), asks(5)]
        await driver.says("going back in 0:00")
        change.fed += [event(130, result="rolled-back", reason="no answer within 5 s")]
        await driver.says("Rolled back", "no answer within 5 s")
        assert driver.services.did == ["apply"]


async def test_an_answer_is_given_once(start: Start) -> None:
    class Slow(FakeServices):
        def confirm(self) -> None:
            self.did.append("confirm")

    async with start(Slow()) as driver:
        change = await begin(driver)
        change.fed += [*steps_done(), asks()]
        await driver.says("Keep it?")
        await driver.press("k", "k", "b", "enter")
        await driver.says("keeping…")
        assert driver.services.did == ["apply", "confirm"]


async def test_an_answer_that_did_not_arrive_can_be_given_again(start: Start) -> None:
    class Deaf(FakeServices):
        def confirm(self) -> None:
            self.did.append("confirm")
            if self.did.count("confirm") == 1:
                raise WizardError("sudo: a password is required", "Try again.")
            super().confirm()

    async with start(Deaf()) as driver:
        change = await begin(driver)
        change.fed += [*steps_done(), asks()]
        await driver.says("Keep it?")
        await driver.press("k")
        await driver.until(lambda: "a password is required" in driver.toasts())
        await driver.press("k")
        await driver.page("Leases")


async def test_keys_before_the_question_answer_nothing(start: Start) -> None:
    async with start() as driver:
        change = await begin(driver)
        change.fed += steps_done()[:5]
        await driver.says("guard is in place")
        await driver.press("k", "b", "enter", "escape")
        assert driver.services.did == ["apply"]
        assert "─ Apply ─" in driver.text()


async def test_a_refusal_names_its_reason(start: Start) -> None:
    async with start() as driver:
        change = await begin(driver)
        change.fed += [event(0, result="refused", reason="another ciao-wizard apply runs (pid 4711)")]
        await driver.says("Refused: nothing was changed.", "pid 4711")


async def test_a_process_that_dies_at_once_is_not_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PATIENCE_TICKS", 2)
    async with start() as driver:
        change = await begin(driver)
        change.stderr = "sudo: unable to resolve host gw01"
        change.living = False
        await driver.says("It ended without a message. Now: absent.", "unable to resolve host gw01")
        assert not driver.app.changing


async def test_what_it_wrote_before_it_died_keeps_its_lines(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PATIENCE_TICKS", 2)
    async with start() as driver:
        change = await begin(driver)
        change.stderr = "first line\nsecond line"
        change.living = False
        await driver.says("first line second line")
        assert "line?" not in driver.text()


async def test_kept_unseen_goes_on_and_forgets_the_draft(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else answered, and the file went silent."""
    monkeypatch.setattr(changes, "PATIENCE_TICKS", 2)
    async with start() as driver:
        await driver.jump("Network")
        await driver.press("tab", "tab", "tab", "tab", "end", "x")
        await driver.until(lambda: driver.services.drafts, "the draft on disk")
        change = await begin(driver)
        change.fed += [*steps_done(), asks()]
        await driver.says("Keep it?")
        driver.services.state, driver.services.in_force = APPLIED, driver.services.applied_text
        change.living = False
        await driver.page("Leases")
        await driver.says("Kept, but its last messages were lost")
        assert driver.services.drafts == {}


async def test_dying_over_an_older_plan_is_not_kept(start: Start, sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PATIENCE_TICKS", 2)
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("a")
        await driver.page("Review")
        await driver.says("1/3")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        driver.services.change.living = False
        await driver.says("Failed; details below.", "It ended without a message")


async def test_the_dashboard_tells_nothing_stale_after_an_apply(start: Start) -> None:
    class Slow(FakeServices):
        held = threading.Event()

        def status(self) -> Status:
            if self.did:
                self.held.wait(20)
            return super().status()

    services = Slow()
    async with start(services) as driver:
        await driver.begin_apply()
        services.change.fed += [*steps_done(), asks()]
        await driver.says("Keep it?")
        await driver.press("k")
        await driver.page("Leases")
        await driver.press("escape")
        await driver.page("Dashboard")
        await driver.says("Reading…")
        assert "absent" not in driver.text()
        services.state = APPLIED
        services.held.set()
        await driver.says("applied, healthy")


async def test_a_change_is_followed_when_its_process_is_gone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The front dies; the detached engine goes on writing."""
    monkeypatch.setattr(changes, "PATIENCE_TICKS", 2)
    async with start() as driver:
        change = await begin(driver)
        driver.services.state = PENDING
        change.living = False
        asked = driver.services.status_asked
        await driver.until(lambda: driver.services.status_asked > asked + 1, "a look at what is true")
        change.fed += steps_done()
        await driver.says("verify is in place")
        change.fed += [asks()]
        await driver.says("Keep it?")
        await driver.press("k")
        await driver.page("Leases")


async def test_steps_that_nobody_announced_are_shown(start: Start) -> None:
    async with start() as driver:
        change = await begin(driver)
        change.fed += [
            event(0, step="recover", state="running", detail="an earlier run was cut off"),
            "not json",
            "[]",
            '{"step": 7}',
            event(1, step="recover", state="done", detail="the earlier run is undone", steps=STEPS),
        ]
        await driver.says("the earlier run is undone", "does anybody else answer")


async def test_without_the_password_nothing_starts(start: Start) -> None:
    async with start(FakeServices(privileged=False)) as driver:
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.until(lambda: driver.toasts())
        assert driver.services.did == []
        assert "─ Review ─" in driver.text()


async def test_leaving_stops_nothing_and_says_so(start: Start) -> None:
    async with start() as driver:
        await begin(driver)
        await driver.press("ctrl+q")
        await driver.says("The change continues without this screen.")
        await driver.press("n")
        await driver.until(lambda: "goes on without" not in driver.text())
        assert driver.app.is_running
        await driver.press("ctrl+q")
        await driver.says("The change continues without this screen.")
        await driver.press("y")
        assert driver.services.did == ["apply"]


async def test_coming_back_finds_the_question(start: Start) -> None:
    services = FakeServices(state=PENDING, change=FakeRun([*steps_done(), asks()], living=False))
    async with start(services) as driver:
        await driver.page("Apply")
        await driver.says("Keep it?", "verify is in place")
        await driver.press("k")
        await driver.page("Leases")
        assert services.did == ["confirm"]


async def test_a_reset_that_left_something_says_what(start: Start, sample: str) -> None:
    async with start(FakeServices(state=APPLIED, in_force=sample)) as driver:
        await driver.page("Dashboard")
        await driver.press("r")
        await driver.page("Reset")
        await driver.press("end", "ctrl+a", "y")
        await driver.until(lambda: driver.services.did)
        driver.services.change.fed += [event(2, result="failed", reason="/etc/network/interfaces was changed since")]
        await driver.says("Not everything could be undone.", "/etc/network/interfaces was changed since")


async def test_steps_are_named_in_words_and_files_in_full(start: Start) -> None:
    names = ("file:/etc/ciao-wizard/nat.sh", "address:eth1", "wires:eth1", "gateway")
    steps = [StepState(name, name, state="undone") for name in names]
    assert [step_name(step) for step in steps] == [
        "/etc/ciao-wizard/nat.sh",
        "address on eth1",
        "both networks",
        "dnsmasq and guard",
    ]
    long = step_name(StepState("file:/etc/systemd/system/multi-user.target.wants/ciao-gateway.service", ""))
    assert long.startswith("…")
    assert long.endswith("/ciao-gateway.service")
    async with start() as driver:
        change = await begin(driver)
        change.fed += [
            event(0, step="a", state="done", detail="x", steps=[{"name": "a", "title": "tenant_dns.cfg"}]),
            event(1, step="wires:eth1", state="running", detail="word " * 30 + "end"),
        ]
        await driver.says("tenant_dns.cfg", "word end")


async def test_everything_that_was_said_can_be_read(start: Start) -> None:
    async with start() as driver:
        change = await begin(driver)
        change.fed += [
            *(event(0, step=name, state="done", detail="as it should be") for name in ("checks", "address")),
            event(0, step="rules", state="done", detail="words " * 40 + "the end"),
            event(1, step="gateway", state="running", detail="starting"),
        ]
        await driver.says("starting")
        assert "the end" not in driver.text()
        await driver.press("l")
        await driver.says("rules: done", "the end", "dnsmasq and guard: running")
        await driver.press("l")
        await driver.until(lambda: "the end" not in driver.text())


async def test_the_keys_of_the_question_stand_in_the_footer(start: Start) -> None:
    async with start() as driver:
        change = await begin(driver)
        change.fed += [*steps_done(), asks()]
        await driver.says("Keep it?", "k keep b go back")


async def test_an_enter_that_was_pressed_before_the_question_stood_there_is_no_answer(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as driver:
        monkeypatch.setattr("wizard.screens.apply.screen.UNSEEN_S", 3600)
        change = await begin(driver)
        change.fed += [*steps_done(), asks()]
        await driver.says("Keep it?")
        await driver.press("enter")
        await driver.says("Check your network first")
        assert "confirm" not in driver.services.did
        # Textual's buttons take no second press while they show the first.
        await driver.until(lambda: not driver.app.screen.query("Button.-active"))
        monkeypatch.setattr("wizard.screens.apply.screen.UNSEEN_S", 0)
        await driver.press("enter")
        await driver.until(lambda: "confirm" in driver.services.did)
