"""Background calls: what is left of one when the app ends."""

from __future__ import annotations

import gc
import warnings

from textual.app import App

from wizard.app.calls import BackgroundCalls


async def test_a_call_that_is_cancelled_before_it_begins_leaves_nothing_behind() -> None:
    """As ctrl+q does right after a key that asks for something."""
    app: App[None] = App()
    ran: list[str] = []
    async with app.run_test() as pilot:
        calls = BackgroundCalls(app, lambda error: ran.append(str(error)))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            calls.call("group", lambda: ran.append("work"), lambda _: ran.append("then"))
            app.workers.cancel_all()
            await pilot.pause()
            gc.collect()
    assert not ran
    assert [str(each.message) for each in told if each.category is RuntimeWarning] == []
