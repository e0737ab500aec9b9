"""Saving a file from the screens where it is slow, where the person goes on meanwhile, and where it never ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab.terminal import Terminal
from tests.tui.driver import Driver, Start
from tests.tui.fakes import APPLIED, FakeServices
from wizard.plan.findings import WizardError
from wizard.widgets.save_dialog import SaveDialog

IS_THERE = "Not saved: /root/ciao.toml already exists."


@dataclass
class Slow(FakeServices):
    """Files in `kept_waiting` are written only once the gate is open; then "full" is refused."""

    gate: threading.Event = field(default_factory=threading.Event)
    kept_waiting: tuple[str, ...] = ("ciao.toml", "full", "slow")

    def save_file(self, path: str, plan_text: str, over: bool = False) -> str:
        if path in self.kept_waiting:
            assert self.gate.wait(10)
        if path == "full":
            raise WizardError("full cannot be written: No space left on device.", "Choose another place.")
        return super().save_file(path, plan_text, over)


async def save_from_review(driver: Driver, file: str = "") -> None:
    await driver.press("f6")
    await driver.says("Save the plan")
    if file:
        await driver.press("ctrl+u", *file)
    await driver.press("enter")
    await driver.until(lambda: not isinstance(driver.app.screen, SaveDialog))


async def test_over_a_file_it_asks_only_where_saving_was_asked(start: Start) -> None:
    services = Slow(files=("ciao.toml",))
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.jump("Review")
        await save_from_review(driver)
        await driver.press("escape")
        await driver.page("Forwards")
        services.gate.set()
        await driver.says(IS_THERE, "Go back to that page and save it again")
        assert "Overwrite it?" not in driver.text()
        await driver.press("y")
        assert services.did == []


async def test_over_a_file_it_does_not_ask_on_top_of_a_dialog(start: Start) -> None:
    services = Slow(files=("ciao.toml",))
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.jump("Review")
        await save_from_review(driver)
        # The field of this dialog takes the "y" of a name.
        await driver.press("f6")
        await driver.says("Save the plan")
        services.gate.set()
        await driver.until(lambda: IS_THERE in driver.toasts())
        await driver.press("ctrl+u", "y")
        await driver.says("Saves to", "Save the plan")
        await driver.press("escape")
        await driver.says(IS_THERE)
        assert services.did == []
        # Asked again and waited for, it does ask.
        await save_from_review(driver)
        await driver.says("Overwrite it?")
        await driver.press("y")
        await driver.says("Saved as /root/ciao.toml.")
        assert services.did == ["save ciao.toml over another"]


async def test_each_of_two_saves_has_its_own_end_told(start: Start) -> None:
    services = Slow()
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.jump("Review")
        await save_from_review(driver, "full")
        await save_from_review(driver, "two")
        await driver.says("Saved as /root/two.")
        services.gate.set()
        await driver.says("✗ full cannot be written: No space left on device.")


async def test_a_file_is_not_written_twice_at_once(start: Start) -> None:
    services = Slow()
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.jump("Review")
        await save_from_review(driver, "slow")
        await save_from_review(driver, "slow")
        await driver.says("slow is already being written.")
        services.gate.set()
        await driver.says("Saved as /root/slow.")
        await save_from_review(driver, "slow")
        await driver.until(lambda: services.did == ["save slow", "save slow"])


async def test_a_save_under_way_does_not_stand_as_the_last_one_did(start: Start) -> None:
    services = Slow()
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.jump("Review")
        await save_from_review(driver, "one")
        await driver.says("Saved as /root/one.")
        await save_from_review(driver, "slow")
        await driver.until(lambda: driver.toasts() == "")
        services.gate.set()
        await driver.says("Saved as /root/slow.")


async def test_a_home_is_looked_up_once_and_only_for_a_whole_name(
    start: Start, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def home(path: Path) -> Path:
        asked.append(str(path))
        if not str(path).startswith("~bob"):
            raise RuntimeError
        return Path(str(path).replace("~bob", "/home/bob"))

    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("x")
        await driver.says("ansible")
        monkeypatch.setattr(Path, "expanduser", home)
        await driver.press("s", "ctrl+u", *"~bob")
        await driver.says("Write a file name in ~bob.")
        assert asked == []
        await driver.press(*"/plans/x.ini")
        await driver.says("Saves to /home/bob/plans/x.ini")
        assert len(asked) == 1
        await driver.press("ctrl+u", *"~eve/xyz")
        await driver.says("✗ ~eve is not a home directory here.")
        assert len(asked) == 2


async def test_a_directory_that_is_gone_is_said(
    start: Start, sample: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    async with start(FakeServices(state=APPLIED, in_force=sample), plan=None) as driver:
        await driver.page("Dashboard")
        await driver.press("x")
        await driver.says("ansible")
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        await driver.press("s")
        await driver.says("✗ The directory where the wizard was started is gone.", "from / on")
        await driver.press("ctrl+u", *"/tmp/x")
        await driver.says("Saves to /tmp/x")


PROGRAM = """
import sys, threading, time
from pathlib import Path
from tests.tui.fakes import FakeServices
import wizard.services.host

class Services(FakeServices):
    def facts(self):
        {facts}
        return super().facts()

    def save_file(self, path, text, over=False):
        {save}
        return path

wizard.services.host.HostServices = Services
from wizard.app import run
print("ended", run(Path("examples/ciao.toml").read_text(), "ciao.toml"))
"""
Program = Callable[..., Terminal]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The wizard in a terminal, with a look at the machine and a save of the test's own."""

    def begun(facts: str = "", save: str = "") -> Terminal:
        text = PROGRAM.format(facts=facts or "pass", save=save or "pass")
        return Terminal([sys.executable, "-c", text], env={"XDG_STATE_HOME": str(tmp_path / "state")})

    return begun


def test_a_question_that_is_never_answered_does_not_keep_anybody(program: Program) -> None:
    with program(facts="threading.Event().wait()") as terminal:
        terminal.page("Start", "Welcome")
        terminal.press("ctrl+q")
        assert terminal.ended(10) == 0


def test_who_leaves_has_what_was_being_saved(program: Program, tmp_path: Path) -> None:
    begun, saved = tmp_path / "begun", tmp_path / "saved"
    save = f"Path({str(begun)!r}).touch(); time.sleep(1); Path({str(saved)!r}).write_text(text)"
    with program(save=save) as terminal:
        terminal.page("Welcome")
        terminal.settled()
        terminal.press("enter")
        terminal.page("Interfaces")
        for title in ("Network", "Nodes", "Forwards", "Review"):
            terminal.settled()
            terminal.press("ctrl+n")
            terminal.page(title)
        terminal.settled()
        terminal.press("f6")
        terminal.says("Save the plan")
        terminal.press("enter")
        terminal.until(begun.exists)
        terminal.press("ctrl+q")
        assert terminal.ended(10) == 0
    assert "[network]" in saved.read_text()
