"""Keys that act in their order: a bare app, fields, and one that is slow."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import ComposeResult
from textual.events import Key
from textual.widgets import Input

from wizard.app import keys
from wizard.app.keys import OrderedKeysApp


class SlowInput(Input):
    """As one is on a machine with much else to do."""

    async def _on_key(self, event: Key) -> None:
        if event.character == "a":
            await asyncio.sleep(3 * keys.PATIENCE_S)
        await super()._on_key(event)


class Fields(OrderedKeysApp):
    def compose(self) -> ComposeResult:
        yield SlowInput(id="first")
        yield Input(id="second")


async def _typed(field: Input) -> None:
    while not field.value:
        await asyncio.sleep(0.01)


async def test_a_slow_field_loses_no_key_and_changes_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "PATIENCE_S", 0.02)
    app = Fields()
    async with app.run_test():
        first, second = app.query_one("#first", Input), app.query_one("#second", Input)
        for name, character in [("x", "x"), ("a", "a"), ("backspace", None), ("y", "y"), ("tab", None), ("z", "z")]:
            app.post_message(Key(name, character))
        await asyncio.wait_for(_typed(second), 10)
        assert (first.value, second.value) == ("xy", "z")
