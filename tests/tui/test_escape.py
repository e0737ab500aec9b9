"""The escape key, from the terminal to the app."""

from __future__ import annotations

import os
import selectors
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
from textual.message import Message

from wizard.app import WizardApp
from wizard.app.escape import DELAY_S, QuickEscapeDriver, over_network


class Reader(QuickEscapeDriver):
    """The part of the driver that reads keys, and no terminal."""

    def __init__(self, fileno: int) -> None:
        self.fileno = fileno
        self.exit_event = threading.Event()
        self._debug = False
        self.keys: list[str] = []

    def process_message(self, message: Message) -> None:
        if isinstance(message, Key):
            self.keys.append(message.key)
            self.exit_event.set()


@pytest.mark.parametrize(("sent", "key"), [(b"\x1b", "escape"), (b"\x1bOP", "f1"), (b"\x1b[3~", "delete")])
def test_no_wait_of_the_reader_is_longer_than_an_escape_may_take(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, key: str
) -> None:
    monkeypatch.setattr("wizard.app.escape.over_network", lambda: False)
    waits: list[float | None] = []
    real = selectors.SelectSelector.select

    def select(self: selectors.SelectSelector, timeout: float | None = None) -> Any:
        waits.append(timeout)
        return real(self, timeout)

    monkeypatch.setattr(selectors.SelectSelector, "select", select)
    heard, spoken = os.pipe()
    try:
        os.write(spoken, sent)
        reader = Reader(heard)
        reader.run_input_thread()
    finally:
        os.close(heard)
        os.close(spoken)
    assert reader.keys == [key]
    assert waits
    assert all(wait is not None and wait <= DELAY_S for wait in waits)


def test_it_is_the_wizards_own_unless_the_environment_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WizardApp().driver_class is QuickEscapeDriver
    monkeypatch.setattr("textual.constants.DRIVER", "textual.drivers.headless_driver:HeadlessDriver")
    assert not issubclass(WizardApp().driver_class, LinuxDriver)


@pytest.mark.parametrize(("parents", "far"), [(["bash", "tmux: server"], False), (["sudo", "bash", "sshd"], True)])
def test_over_a_network_a_key_may_come_in_pieces(
    monkeypatch: pytest.MonkeyPatch, parents: list[str], far: bool
) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)

    class Here:
        def parents(self) -> list[Any]:
            return [SimpleNamespace(name=lambda name=name: name) for name in parents]

    monkeypatch.setattr("psutil.Process", Here)
    assert over_network() is far
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    assert over_network()
