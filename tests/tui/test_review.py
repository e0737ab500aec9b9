"""The review: what is said first, what will be run, and what is not waved through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from netaddr import IPNetwork

from tests.tui.conftest import Shoot
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FACTS, FakeServices, asks, event, new_file
from wizard.deploy.apply.preview import StepPreview
from wizard.deploy.file_changes import FileChange
from wizard.plan.findings import WizardError
from wizard.plan.machine import Address
from wizard.plan.model import Plan
from wizard.screens.review.diff import DiffView
from wizard.screens.review.screen import ReviewPage

TWICE = "auto eth1\niface eth1 inet static\n    address 192.168.0.200/24\n"


async def test_what_will_be_run_is_shown_step_by_step(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Review")
        await driver.press("f7")
        await driver.says("7 steps, in this order", "Trial: undone by a reboot", "both networks")
        await driver.says("$ ip link set dev eth1 up")
        await driver.press("end")
        await driver.says("start at boot", "$ systemctl enable --quiet ciao-gateway.service", "nothing to do")
        await driver.press("f7")
        await driver.says("1/3")
        assert "steps, in this order" not in driver.text()


async def test_what_cannot_be_foretold_is_said(start: Start) -> None:
    class Without(FakeServices):
        def preview_steps(self, plan: Plan, plan_text: str, stop: Sequence[str] = ()) -> tuple[StepPreview, ...]:
            raise WizardError("no network manager that ciao-wizard can work with", "sudo apt install ifupdown")

    async with start(Without()) as driver:
        await driver.jump("Review")
        await driver.press("f7")
        await driver.says("✗ no network manager that ciao-wizard can work with sudo apt install ifupdown")


async def review_with(driver: Driver, **changed: Any) -> None:
    await driver.until(lambda: driver.app.facts is not None)
    driver.app.drafts.draft = replace(driver.app.draft, **changed)
    await driver.jump("Review")


async def test_a_dangerous_warning_needs_a_typed_word(start: Start) -> None:
    async with start() as driver:
        await review_with(driver, answer="everyone")
        await driver.press("ctrl+a")
        await driver.says("Confirm the cluster NIC", "Every machine on the cluster network", "Type its name")
        await driver.press("enter")
        await driver.type("yes")
        await driver.press("enter")
        await driver.says("That is not eth1.")
        assert driver.services.did == []
        await driver.press("escape")
        await driver.page("Review")
        await driver.press("ctrl+a")
        await driver.type("eth1")
        await driver.press("enter")
        await driver.page("Apply")
        await driver.until(lambda: driver.services.did == ["apply"])


async def test_an_address_on_the_cluster_nic_may_mean_the_wrong_nic(start: Start) -> None:
    held = replace(FACTS.nics[2], addresses=(Address(IPNetwork("10.1.2.3/24")),))
    async with start(FakeServices(machine=replace(FACTS, nics=(*FACTS.nics[:2], held, *FACTS.nics[3:])))) as driver:
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.says("Confirm the cluster NIC", "10.1.2.3", "Type its name to continue")
        assert driver.services.did == []


async def test_other_warnings_are_no_hindrance(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Review")
        await driver.says("1 warning")
        await driver.press("ctrl+a")
        await driver.page("Apply")


async def test_enter_leads_from_a_finding_to_its_row(start: Start) -> None:
    async with start() as driver:
        await driver.until(lambda: driver.app.facts is not None)
        nodes = driver.app.draft.nodes
        await review_with(driver, nodes=(*nodes[:3], replace(nodes[3], mac=nodes[0].mac)))
        await driver.says("1 error")
        await driver.press("enter")
        await driver.page("Nodes")
        await driver.press("enter")
        await driver.says("This node", "compute2")


async def test_a_long_diff_is_there_to_its_last_line(start: Start) -> None:
    text = "".join(f"line {number}\n" for number in range(12_000)) + f"{'long ' * 60}end\n"
    async with start(FakeServices(differing=(new_file("/etc/x", text),))) as driver:
        await driver.jump("Review")
        await driver.says("+ line 0")
        await driver.press("end")
        await driver.says("+ line 11999", "long end")


async def test_lines_that_come_and_go_are_told_apart_by_sign_and_by_colour(start: Start) -> None:
    diff = "--- /etc/x\n+++ /etc/x\n@@ -1,2 +1,2 @@\n same\n-old\n+new\n"
    async with start(FakeServices(differing=(FileChange("/etc/x", "same\nold\n", "same\nnew\n", diff),))) as driver:
        await driver.jump("Review")
        await driver.says("- old", "+ new")
        view = driver.app.screen.query_one("#diff", DiffView)

        def colours() -> dict[str, object]:
            rows = [next(iter(view.render_line(y))) for y in range(4)]
            return {row.text.strip(): row.style.color for row in rows if row.style is not None}

        dark = colours()
        assert len({dark["- old"], dark["+ new"], dark["same"]}) == 3
        # Another theme is another background: what is drawn by now must be readable on it.
        driver.app.theme = "textual-light"
        await driver.until(lambda: colours() != dark)
        assert all(colours()[line] != dark[line] for line in dark)


async def test_an_apply_shows_what_it_runs_how_long_and_how_it_ended(start: Start) -> None:
    steps = [{"name": name, "title": name} for name in ("check", "wires:eth1", "rules", "address:eth1", "gateway")]
    async with start() as driver:
        await driver.jump("Review")
        await driver.until(lambda: isinstance(driver.shown, ReviewPage) and driver.shown.coming)
        await driver.press("ctrl+a")
        await driver.page("Apply")
        await driver.until(lambda: driver.app.changing)
        change = driver.services.change
        change.fed += [event(0, step="check", state="done", steps=steps), event(18, step="wires:eth1", state="running")]
        # The clock stands still five seconds later.
        await driver.says("both networks ██████░░░░░░░░░░ listening 5 s", "$ ip link set dev eth1 up")
        await driver.says("rules $ sh /run/ciao-wizard/live/nat.sh up")
        change.fed += [event(20, step="wires:eth1", state="running"), event(21, step="wires:eth1", state="done")]
        await driver.says("3.0 s")
        change.fed += [
            event(22, step="rules", state="done", detail="NAT"),
            event(23, step="address:eth1", state="running"),
            event(23, step="address:eth1", state="failed", detail="ifup: no such thing"),
            event(24, step="rules", state="undone", detail="our table is gone"),
            event(24, step="wires:eth1", state="undone", detail="the link is as it was"),
            event(25, result="failed", reason="ifup: no such thing. Look at it."),
        ]
        await driver.says(
            "✗ address on eth1: ifup: no such thing. Look at it.",
            "↩ Undone: both networks, rules",
            "Full log: /root/.local/state/ciao-wizard/run-1/output.log",
        )
        await driver.press("l")
        await driver.says("both networks: running", "$ ip link set dev eth1 up")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_pictures(start: Start, shoot: Shoot, size: tuple[int, int]) -> None:
    """A diff of lines that come and go, the commands, and the typed word."""
    shape = f"{size[0]}x{size[1]}"
    coming = "".join(f"+{line}\n" for line in TWICE.splitlines())
    diff = f"--- /etc/x\n+++ /etc/x\n@@ -1,2 +1,5 @@\n # the person's own\n-auto eth0 eth1\n+auto eth0\n{coming}"
    differing = (
        FileChange("/etc/network/interfaces", "x", "y", diff),
        new_file("/etc/ciao-wizard/nat.sh", "#!/bin/sh\n"),
    )
    async with start(FakeServices(differing=differing), size=size) as driver:
        await review_with(driver, answer="everyone")
        await driver.says("+ auto eth0")
        await shoot(driver, f"review-diff-{shape}")
        await driver.press("f7")
        await driver.says("7 steps")
        await shoot(driver, f"review-commands-{shape}")
        await driver.press("ctrl+a")
        await driver.says("Type its name")
        await shoot(driver, f"review-word-{shape}")
        await driver.type("eth1")
        await driver.press("enter")
        await driver.page("Apply")
        await driver.until(lambda: driver.app.changing)
        await pictures_of_an_apply(driver, shoot, shape)


async def pictures_of_an_apply(driver: Driver, shoot: Shoot, shape: str) -> None:
    """While it listens on both wires, and after a step that failed."""
    names = ["check", *(step.name for step in driver.services.to_come)]
    steps = [{"name": name, "title": name} for name in names]
    change = driver.services.change
    change.fed += [
        event(0, step="check", state="done", detail="2 findings, no error", steps=steps),
        event(17, step="wires:eth1", state="running"),
    ]
    await driver.says("listening 6 s")
    await shoot(driver, f"apply-probing-{shape}")
    why = "the gateway does not serve: port 53 is in use by dnsmasq (pid 812)."
    change.fed += [
        event(18, step="wires:eth1", state="done", detail="as it should be: corporate answers, cluster silent"),
        event(18, step="rules", state="done", detail="NAT, 3 forwards, firewall; our DHCP is mute until armed"),
        event(19, step="address:eth1", state="done", detail="192.168.0.200/24 on eth1, by ifupdown"),
        event(20, step="gateway", state="running"),
        event(21, step="gateway", state="failed", detail=why),
        event(22, step="address:eth1", state="undone", detail="eth1 is as it was"),
        event(22, step="rules", state="undone", detail="our table and accepts are gone"),
        event(22, step="wires:eth1", state="undone", detail="the link is as it was"),
        event(23, result="failed", reason=f"{why} Its log is /run/ciao-wizard/serve.log."),
    ]
    await driver.says("↩ Undone: both networks, rules, address on eth1")
    await shoot(driver, f"apply-undone-{shape}")


async def test_the_question_has_its_seconds(start: Start) -> None:
    async with start() as driver:
        await driver.begin_apply()
        driver.services.change.fed += [asks(120)]
        await driver.says("Keep it?", "going back in 1:47")


async def test_where_there_is_no_room_each_finding_has_a_line_and_the_chosen_one_its_whole_text(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Review")
        # The first is long; the second, one line of it, stands below.
        await driver.says(
            "1 warning, 1 note", "otherwise use addresses outside the range, or another range.", "· Subnet"
        )
        assert "▸ ! controller" in driver.text()
        assert "`export ciao` does" not in driver.flat()
        await driver.press("shift+tab", "down")
        await driver.says("`export ciao` does", "▸ · Subnet")
        assert "or another range" not in driver.flat()
        await driver.press("up")
        await driver.says("or another range")
        await driver.pilot.resize_terminal(120, 40)
        await driver.says("or another range", "`export ciao` does")
