"""Keys that act in the order in which they were pressed."""

from __future__ import annotations

from collections import deque
from functools import partial

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

# A widget that was removed by the key it was handling cannot tell when it is done. One that is there and busy can.
PATIENCE_S = 0.25
LONGEST_PATIENCE_S = 5.0


class OrderedKeysApp(App[None]):
    """Hands out one key after the other.

    In Textual a letter reaches its field at once, but a bound key acts only when it has bubbled up to the app.
    Where keys come in bursts, as over a slow line, tab and backspace so act on what was typed after them.
    """

    def __init__(self, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._keys: deque[events.Key] = deque()
        self.key_number = 0
        self.key_under_way = False
        self._handling: MessagePump | None = None

    def ignores(self, _key: str) -> bool:
        """Whether a key does nothing now; "" is a paste or the mouse. Asked when it comes and when its turn comes."""
        return False

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Paste | events.MouseEvent) and not event.is_forwarded and self.ignores(""):
            return
        if isinstance(event, events.Key) and not event.is_forwarded:
            if self.ignores(event.key):
                return
            self._keys.append(event)
            if not self.key_under_way:
                await self._next_key()
        else:
            await super().on_event(event)

    async def _next_key(self) -> None:
        self.key_under_way = bool(self._keys)
        if not self._keys:
            return
        self.key_number += 1
        key = self._keys.popleft()
        if self.ignores(key.key):
            await self._next_key()
            return
        target = self.focused or self.screen
        # The way of the key itself, and then of what its action told the page and the page told us.
        way: deque[MessagePump] = deque([*target.ancestors_with_self, target.screen, self])
        await super().on_event(key)
        self.set_timer(PATIENCE_S, partial(self._overdue, self.key_number, LONGEST_PATIENCE_S - PATIENCE_S))
        await self._behind(self.key_number, way)

    async def _behind(self, number: int, way: deque[MessagePump]) -> None:
        """Go behind key `number` along its way; once there, hand out the next one."""
        if number != self.key_number:
            return
        while way:
            node = self._handling = way.popleft()
            if node.call_later(self._behind, number, way):
                return
        await self._next_key()

    async def _overdue(self, number: int, patience: float) -> None:
        if number != self.key_number or not self.key_under_way:
            return
        if patience > 0 and self._handling is not None and self._handling.is_running:
            self.set_timer(PATIENCE_S, partial(self._overdue, number, patience - PATIENCE_S))
        else:
            await self._next_key()
