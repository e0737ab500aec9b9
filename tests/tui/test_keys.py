"""Keys that act in their order: a bare app, fields, and one that is slow."""

from __future__ import annotations

import asyncio

from textual.app import ComposeResult
from textual.events import Key
from textual.widgets import Input

from wizard.widgets.keys import PATIENCE_S, OrderedKeysApp


class SlowInput(Input):
    """As one is on a machine with much else to do."""

    async def _on_key(self, event: Key) -> None:
        if event.character == "a":
            await asyncio.sleep(3 * PATIENCE_S)
        await super()._on_key(event)


class Fields(OrderedKeysApp):
    def compose(self) -> ComposeResult:
        yield SlowInput(id="first")
        yield Input(id="second")


async def test_a_slow_field_loses_no_key_and_changes_no_order() -> None:
    app = Fields()
    async with app.run_test() as pilot:
        first, second = app.query_one("#first", Input), app.query_one("#second", Input)
        for key, character in [("x", "x"), ("a", "a"), ("backspace", None), ("y", "y"), ("tab", None), ("z", "z")]:
            app.post_message(Key(key, character))
        while not second.value:
            await pilot.pause(0.02)
        assert (first.value, second.value) == ("xy", "z")
